"""Netpbm: portable bit, grey and pixel maps."""

import re
from typing import BinaryIO

from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.raster import is_dicom, read_raster
from imaging_fhir.model.document import Document

HEADER = re.compile(rb"P[1-6](?:\s+(?:#[^\n]*\n\s*)*)\d+\s+\d+\s")


class NetpbmReader:
    media_type = "image/x-portable-anymap"

    def recognises(self, head: bytes) -> bool:
        return HEADER.match(head) is not None and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_raster, stream, self.media_type, limits=HEADER_LIMITS)
