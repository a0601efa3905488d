"""PNG and its animations (W3C PNG, third edition)."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document


class PngReader:
    media_type = "image/png"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"\x89PNG\r\n\x1a\n") and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
