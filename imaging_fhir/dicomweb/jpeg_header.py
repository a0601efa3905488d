"""What a JPEG stream says of itself (ISO/IEC 10918-1 B.2), where a data set does not say it."""

import struct
from dataclasses import dataclass

from imaging_fhir.errors import InvalidRequest

START_OF_FRAME = {  # the transfer syntax by the process of the frame
    0xC0: "1.2.840.10008.1.2.4.50",
    0xC1: "1.2.840.10008.1.2.4.51",
    0xC2: "1.2.840.10008.1.2.4.55",
    0xC3: "1.2.840.10008.1.2.4.57",
}
LOSSLESS, FIRST_ORDER = 0xC3, "1.2.840.10008.1.2.4.70"
START_OF_SCAN, ADOBE = 0xDA, 0xEE
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
MAX_HEADER = 4 * 1024**2  # bytes: pictures within pictures are long


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegHeader:
    transfer_syntax_uid: str
    bits: int
    rows: int
    columns: int
    components: int
    is_subsampled: bool
    is_rgb: bool  # Adobe's mark says that colours are not transformed

    @property
    def photometric_interpretation(self) -> str:
        if self.components == 1:
            return "MONOCHROME2"
        if self.is_rgb:
            return "RGB"
        return "YBR_FULL_422" if self.is_subsampled else "YBR_FULL"


def jpeg_header(start: bytes) -> JpegHeader:
    """From the first bytes of a stream; raise InvalidRequest where it is no JPEG."""
    try:
        return walked(start)
    except (IndexError, struct.error) as error:
        raise InvalidRequest("The bulk data is no JPEG.") from error


def walked(start: bytes) -> JpegHeader:
    if start[:2] != b"\xff\xd8":
        raise InvalidRequest("The bulk data is no JPEG.")
    position, frame, marker_of_frame, is_rgb = 2, b"", 0, False
    while True:
        if start[position] != 0xFF:
            raise InvalidRequest("The bulk data is no JPEG.")
        marker = start[position + 1]
        if marker in ALONE or marker == 0xFF:
            position += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack(">H", start[position + 2 : position + 4])[0]
        segment = start[position + 4 : position + 2 + length]
        if marker in START_OF_FRAME:
            frame, marker_of_frame = segment, marker
        elif marker == ADOBE and segment[:5] == b"Adobe":
            is_rgb = segment[11] == 0
        elif marker == START_OF_SCAN:
            return header(marker_of_frame, frame, segment, is_rgb=is_rgb)
        position += 2 + length


def header(marker: int, frame: bytes, scan: bytes, *, is_rgb: bool) -> JpegHeader:
    bits, rows, columns, components = struct.unpack(">BHHB", frame[:6])
    syntax = START_OF_FRAME[marker]
    if marker == LOSSLESS and scan[1 + 2 * scan[0]] == 1:
        syntax = FIRST_ORDER
    sampling = {frame[7 + 3 * number] for number in range(components)}
    return JpegHeader(
        transfer_syntax_uid=syntax,
        bits=bits,
        rows=rows,
        columns=columns,
        components=components,
        is_subsampled=len(sampling) > 1,
        is_rgb=is_rgb and components == 3,
    )
