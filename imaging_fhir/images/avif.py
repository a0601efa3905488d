"""AVIF: a picture or a sequence in an ISO base media file."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document

BRANDS = (b"avif", b"avis")


class AvifReader:
    media_type = "image/avif"

    def recognises(self, head: bytes) -> bool:
        return head[4:8] == b"ftyp" and head[8:12] in BRANDS and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
