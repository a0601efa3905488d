"""Where a DICOM file's data set begins, and how it is encoded (PS3.10 7, PS3.5 A)."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import UnreadableImage

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
MAX_INFLATED_BYTES = 32 * 1024**2  # of a deflated data set's header
INFLATE_STEP = 64 * 1024
MAX_META_ELEMENTS = 100
MAX_META_VALUE = 1024

LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)


class SeekableBytes(Protocol):
    """The part of a binary stream that reading a header takes."""

    def read(self, size: int = ..., /) -> bytes: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStart:
    """The file meta information, and the stream at the first byte of the data set."""

    stream: SeekableBytes
    implicit_vr: bool
    little_endian: bool
    transfer_syntax_uid: str
    is_transfer_syntax_guessed: bool
    offset: int  # of the data set in the file, be it deflated there
    meta: dict[int, str] = field(default_factory=dict)


class InflatedStream:
    """A deflated data set, inflated as far as it is read and no further than a limit."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._bytes = bytearray()
        self._position = 0

    def read(self, size: int = 0, /) -> bytes:
        self._inflate_to(self._position + size)
        value = bytes(self._bytes[self._position : self._position + size])
        self._position += len(value)
        return value

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._position = offset + (self._position if whence == 1 else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def _inflate_to(self, end: int) -> None:
        while len(self._bytes) < end and not self._inflater.eof:
            if len(self._bytes) > MAX_INFLATED_BYTES:
                raise UnreadableImage("The deflated DICOM header is larger than 32 MB.")
            data = self._inflater.unconsumed_tail or self._stream.read(INFLATE_STEP)
            if not data:
                return
            self._bytes += self._inflater.decompress(data, INFLATE_STEP)


def start_of_file(stream: BinaryIO) -> FileStart:
    """Read the preamble and the file meta information, as far as there are any."""
    stream.seek(0)
    if stream.read(PREAMBLE_BYTES + len(PREFIX))[PREAMBLE_BYTES:] != PREFIX:
        stream.seek(0)
    meta = _file_meta(stream)
    declared = meta.get(0x00020010)
    _skip_command_set(stream)
    offset = stream.tell()
    if declared == DeflatedExplicitVRLittleEndian:
        return _file_start(InflatedStream(stream), meta, declared, offset)
    return _file_start(stream, meta, declared, offset)


def _file_start(
    stream: SeekableBytes, meta: dict[int, str], declared: str | None, offset: int
) -> FileStart:
    implicit, little = encoding_found(stream)
    return FileStart(
        stream=stream,
        implicit_vr=implicit,
        little_endian=little,
        transfer_syntax_uid=declared or _syntax_of(implicit, little),
        is_transfer_syntax_guessed=declared is None,
        offset=offset,
        meta=meta,
    )


def encoding_found(stream: SeekableBytes) -> tuple[bool, bool]:
    """Whether the first element is implicit VR, and whether it is little endian.

    The bytes are believed rather than the transfer syntax: files that switched it exist. A big
    endian group up to 003F reads as 0100 to 3F00 in little endian, where no public group is.
    """
    head = stream.read(6)
    stream.seek(-len(head), 1)
    if len(head) < 6:
        return False, True
    return not is_vr_like(head[4:6]), not (head[0] == 0 and 0 < head[1] < 0x40)


def is_vr_like(vr: bytes) -> bool:
    """Two capital letters; an implicit length that looks so would exceed 16 kB."""
    return vr.isalpha() and vr.isupper()


def _syntax_of(implicit: bool, little: bool) -> str:
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _file_meta(stream: BinaryIO) -> dict[int, str]:
    """The string values of group 0002, always explicit VR little endian but in broken files."""
    meta: dict[int, str] = {}
    for _ in range(MAX_META_ELEMENTS):
        head = stream.read(8)
        if head[:2] != b"\x02\x00" or len(head) < 8:
            stream.seek(-len(head), 1)
            break
        tag, length = _meta_header(stream, head)
        value = stream.read(min(length, MAX_META_VALUE))
        if len(value) < length:
            stream.seek(length - len(value), 1)
        meta[tag] = value.decode("ascii", "replace").strip(" \0")
    return {tag: value for tag, value in meta.items() if value}


def _meta_header(stream: BinaryIO, head: bytes) -> tuple[int, int]:
    group, element, length = struct.unpack("<HHL", head)
    vr = head[4:6]
    if vr in LONG_VRS:
        length = int.from_bytes(stream.read(4), "little")
    elif is_vr_like(vr):
        length >>= 16
    return group << 16 | element, length


def _skip_command_set(stream: BinaryIO) -> None:
    """Group 0000 before a data set, left by some toolkits: implicit VR little endian (PS3.7)."""
    for _ in range(MAX_META_ELEMENTS):
        head = stream.read(8)
        if len(head) < 8 or head[:2] != b"\0\0":
            stream.seek(-len(head), 1)
            return
        stream.seek(int.from_bytes(head[4:8], "little"), 1)


def plausible_start(head: bytes) -> bool:
    """Whether a file that begins so, in group 0002 or 0008, seems to hold elements in order."""
    if head[:2] in (b"\x02\x00", b"\x08\x00"):
        return _plausible_elements(head, "<")
    return head[:2] == b"\x00\x08" and _plausible_elements(head, ">")


def _plausible_elements(head: bytes, order: str) -> bool:
    first = _plausible_element(head, 0, order)
    if first is None:
        return False
    tag, end = first
    if end + 8 > len(head):
        return end == len(head) and len(head) > 8
    second = _plausible_element(head, end, order)
    return second is not None and second[0] > tag


def _plausible_element(head: bytes, at: int, order: str) -> tuple[int, int] | None:
    """The tag and the end of the element that starts at an offset, or None if none seems to."""
    if len(head) < at + 12:
        return None
    group, element, length = struct.unpack_from(f"{order}HHL", head, at)
    if group > 0x0028 or element > 0x3FFF:
        return None
    start = at + 8
    vr = head[at + 4 : at + 6]
    if vr in LONG_VRS:
        length, start = struct.unpack_from(f"{order}L", head, at + 8)[0], at + 12
    elif is_vr_like(vr):
        length = struct.unpack_from(f"{order}H", head, at + 6)[0]
    end = start + length
    return (group << 16 | element, end) if end <= len(head) else None
