"""TIFF 6.0 and BigTIFF; a whole-slide image in TIFF counts as a plain one."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffReader:
    media_type = "image/tiff"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(MAGIC) and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
