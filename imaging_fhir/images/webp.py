"""WebP (RFC 9649), one of several types in a RIFF container."""

from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document


class WebpReader:
    media_type = "image/webp"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"RIFF") and head[8:12] == b"WEBP" and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
