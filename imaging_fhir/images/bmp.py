"""Windows bitmaps, told by the length of their second header."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document

HEADER_LENGTHS = (12, 16, 40, 52, 56, 64, 108, 124)


def _has_bitmap_header(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in HEADER_LENGTHS


class BmpReader:
    media_type = "image/bmp"

    def recognises(self, head: bytes) -> bool:
        return _has_bitmap_header(head) and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
