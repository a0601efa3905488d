"""JPEG (ISO/IEC 10918-1), with the EXIF that cameras put in."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document


class JpegReader:
    media_type = "image/jpeg"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"\xff\xd8\xff") and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
