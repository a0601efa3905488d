"""Where each frame of an instance lies in its file (PS3.5 8.1, A.4; PS3.3 C.7.6.3.1.8).

A table tells it of all frames, so that one is read without reading the others.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, cast

import msgspec
import numpy as np

from imaging_fhir.errors import ResourceNotFound, UnreadableImage
from imaging_fhir.images.dicom_elements import (
    ITEM,
    PIXEL_DATA,
    UNDEFINED,
    DataSet,
    Element,
    ElementReader,
)
from imaging_fhir.images.dicom_identity import inflated
from imaging_fhir.images.dicom_stream import (
    FileStart,
    InflatedStream,
    SeekableBytes,
    start_of_file,
)
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.images.pieces import CHUNK, Piece
from imaging_fhir.model.study import DicomJson

SAMPLES, PHOTOMETRIC, FRAMES = "00280002", "00280004", "00280008"
ROWS, COLUMNS, ALLOCATED = "00280010", "00280011", "00280100"
DESCRIPTION = frozenset(
    int(tag, 16) for tag in (SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, ALLOCATED)
)
PIXELS, EXTENDED_OFFSETS = 0x7FE00010, 0x7FE00001
BITS_OF_FLOATS = {0x7FE00008: 32, 0x7FE00009: 64}
VR_OF_FLOATS = {0x7FE00008: "OF", 0x7FE00009: "OD"}
SHARED_COLOUR = {"YBR_FULL_422": 2, "YBR_PARTIAL_422": 2}  # samples of a pixel as they are stored
VIDEO = "1.2.840.10008.1.2.4.10"  # 1.2.840.10008.1.2.4.100 to .108: one stream, not frames
END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000
END_BYTES = 10  # of a fragment, which its end of image is among, with some padding
MAX_FRAGMENTS = 4_000_000
MAX_TABLE_BYTES = 32 * 1024**2
OFFSET = struct.Struct("<Q")
ITEM_HEAD = struct.Struct("<HHL")


class TableIsWrong(UnreadableImage):
    """The file's own table of offsets leads to something else than its frames."""


class NativeFrames(msgspec.Struct, frozen=True, tag="native"):
    """Frames without compression: all of one size, one after the other, even within a byte."""

    number: int
    offset: int  # of the first, in the data set where that is deflated
    bits: int  # of each
    word: int  # bytes that are stored the other way round; 1: none
    vr: str  # that the value has in little endian
    tag: int  # of the value
    deflated_at: int | None = None  # where the data set begins that has to be inflated first

    @property
    def size(self) -> int:
        """Of a frame, in bytes."""
        return -(-self.bits // 8)


class CompressedFrames(msgspec.Struct, frozen=True, tag="compressed"):
    """Frames in fragments, each with a head of its own."""

    number: int
    bounds: bytes  # the start of each frame's first fragment, and the end of the last one

    def of(self, number: int) -> tuple[int, int]:
        start, end = struct.unpack_from("<QQ", self.bounds, (number - 1) * OFFSET.size)
        return start, end


FrameTable = NativeFrames | CompressedFrames
PixelElement = tuple[int, str | None, int, int]  # tag, VR, length, offset


class FrameFinder(ElementReader):
    """Walks to the pixel data; of what comes before, only what describes that is read."""

    def __init__(self, start: FileStart) -> None:
        super().__init__(start, ReadWarnings())
        self.pixels: PixelElement | None = None
        self.extended_offsets: tuple[int, int] | None = None  # offset, length
        self.is_little_endian = start.little_endian

    def _element(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> Element | None:
        if length == UNDEFINED or (tag in DESCRIPTION and not data_set.depth):
            return super()._element(tag, vr, length, data_set)
        if tag == EXTENDED_OFFSETS and not data_set.depth:
            self.extended_offsets = self._tell(), length
        if not self._is_beyond_limit(tag, 1):
            self._seek(length, 1)
        return None

    def _end_at(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> None:
        if tag in PIXEL_DATA:
            self.pixels = tag, vr, length, self._tell()
        super()._end_at(tag, vr, length, data_set)


def frame_table(stream: BinaryIO, *, transfer_syntax: str, scan: bool = False) -> FrameTable:
    """The table of a file's frames; `scan` looks at each fragment whatever the file's table says.

    Raise ResourceNotFound where it has none, UnreadableImage.
    """
    start = start_of_file(stream)
    finder = FrameFinder(start)
    described = finder.read(start)
    if finder.pixels is None or not finder.has_pixel_data:
        raise ResourceNotFound("The instance has no frames.")
    number = max(whole_number(described, FRAMES, default=1), 1)
    if finder.pixels[2] != UNDEFINED:
        return native_frames(finder.pixels, start, described, number)
    if transfer_syntax.startswith(VIDEO):
        number = 1
    extended = () if scan else (finder.extended_offsets or ())
    bounds = frame_bounds(start.stream, finder.pixels[3], number, extended, scan=scan)
    return CompressedFrames(number=number, bounds=struct.pack(f"<{number + 1}Q", *bounds))


def native_frames(
    pixels: PixelElement, start: FileStart, described: DicomJson, number: int
) -> NativeFrames:
    tag, vr, length, offset = pixels
    allocated = BITS_OF_FLOATS.get(tag) or whole_number(described, ALLOCATED)
    bits = bits_of_frame(described, allocated)
    if not bits:
        raise UnreadableImage("The header does not say how large a frame is.")
    if number * bits > length * 8:
        raise UnreadableImage("There is less pixel data than the header says.")
    is_deflated = isinstance(start.stream, InflatedStream)
    return NativeFrames(
        number=number,
        offset=offset,
        bits=bits,
        word=1 if start.little_endian else word_of(vr, allocated),
        vr=VR_OF_FLOATS.get(tag) or vr_of(allocated),
        tag=tag,
        deflated_at=start.offset if is_deflated else None,
    )


def bits_of_frame(described: DicomJson, allocated: int) -> int:
    samples = whole_number(described, SAMPLES, default=1)
    shared = SHARED_COLOUR.get(str(first(described, PHOTOMETRIC)))
    pixels = whole_number(described, ROWS) * whole_number(described, COLUMNS)
    return pixels * (shared if samples == 3 and shared else samples) * allocated


def word_of(vr: str | None, allocated: int) -> int:
    """Bytes of what big endian turns around: of a pixel, and at least two in OW."""
    return max(allocated // 8, 1 if vr == "OB" else 2)


def vr_of(allocated: int) -> str:
    """Of pixel data that is not compressed, in explicit VR (PS3.5 8.1.2)."""
    return "OW" if allocated > 8 else "OB"


def whole_number(described: DicomJson, tag: str, default: int = 0) -> int:
    value = first(described, tag)
    return value if isinstance(value, int) and value > 0 else default


def first(described: DicomJson, tag: str) -> object:
    values = cast("dict[str, list[object]]", described.get(tag, {})).get("Value")
    return values[0] if values else None


def frame_bounds(
    stream: SeekableBytes,
    begin: int,
    number: int,
    extended: tuple[()] | tuple[int, int] = (),
    *,
    scan: bool = False,
) -> list[int]:
    """Where each frame begins, and where the last one ends, in a value that begins there.

    `extended` is where the table of extended offsets begins, and its length.
    """
    stream.seek(begin)
    length = item_length(stream)
    if length is None or length > MAX_TABLE_BYTES:
        raise UnreadableImage("The compressed pixel data does not begin with a table of offsets.")
    basic = stream.read(length)
    first_frame = begin + ITEM_HEAD.size + length
    if number == 1:
        return [first_frame, *last_end(stream, first_frame)]
    if not scan:
        offsets = known_offsets(stream, extended, basic, number)
        if offsets:
            starts = [first_frame + offset for offset in offsets]
            return [*starts, *last_end(stream, starts[-1])]
    return scanned(stream, first_frame, number)


def last_end(stream: SeekableBytes, start: int) -> list[int]:
    return [start, *(end for _, end in fragments(stream, start))][-1:]


def known_offsets(
    stream: SeekableBytes, extended: tuple[()] | tuple[int, int], basic: bytes, number: int
) -> Sequence[int]:
    """By the extended or the basic table, where it is one of all frames; else none."""
    if extended and extended[1] == number * OFFSET.size:
        stream.seek(extended[0])
        table, code = stream.read(number * OFFSET.size), "Q"
    else:
        table, code = basic, "L"
    if len(table) != number * struct.calcsize(f"<{code}"):
        return ()
    offsets = struct.unpack(f"<{number}{code}", table)
    is_rising = all(one < other for one, other in pairwise(offsets))
    return offsets if offsets[0] == 0 and is_rising else ()


def scanned(stream: SeekableBytes, begin: int, number: int) -> list[int]:
    """By the fragments: one a frame, or as many as go to an end of image."""
    found = list(fragments(stream, begin))
    if len(found) > number:
        found = list(whole_images(stream, found))
    if len(found) != number:
        raise UnreadableImage(f"The fragments do not make {number} frames.")
    return [*(start for start, _ in found), found[-1][1]]


def whole_images(
    stream: SeekableBytes, found: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """From where to where the fragments are of one frame."""
    begin = found[0][0]
    for start, end in found:
        stream.seek(max(end - END_BYTES, start))
        if END_OF_IMAGE in stream.read(min(END_BYTES, end - start)):
            yield begin, end
            begin = end


def fragments(stream: SeekableBytes, begin: int) -> Iterator[tuple[int, int]]:
    """From where to where each item goes, its head included, up to the first other thing."""
    for _ in range(MAX_FRAGMENTS):
        stream.seek(begin)
        length = item_length(stream)
        if length is None:
            return
        end = begin + ITEM_HEAD.size + length
        yield begin, end
        begin = end
    raise UnreadableImage("The pixel data has too many fragments.")


def item_length(stream: SeekableBytes) -> int | None:
    """Of the item here; None where there is none."""
    head = stream.read(ITEM_HEAD.size)
    if len(head) < ITEM_HEAD.size:
        return None
    group, element, length = ITEM_HEAD.unpack(head)
    return None if group << 16 | element != ITEM or length == UNDEFINED else length


def frame_pieces(stream: BinaryIO, size: int, table: FrameTable, number: int) -> tuple[Piece, ...]:
    """The bytes of frame `number` (from 1): compressed as stored, else in little endian.

    `size` is that of the file, which is not deflated. Raise ResourceNotFound, TableIsWrong,
    UnreadableImage where the file is cut off.
    """
    if not 1 <= number <= table.number:
        raise ResourceNotFound(f"The instance has no frame {number}, only 1 to {table.number}.")
    if isinstance(table, CompressedFrames):
        return compressed_pieces(stream, size, *table.of(number))
    low = (number - 1) * table.bits
    start, end = table.offset + low // 8, table.offset + -(-(low + table.bits) // 8)
    if table.word == 1 and not low % 8 and not table.bits % 8:
        require_within(end, size)
        return ((start, end),)
    return (in_little_endian(stream, table, low, start, end),)


def compressed_pieces(stream: BinaryIO, size: int, start: int, end: int) -> tuple[Piece, ...]:
    require_within(end, size)
    pieces = []
    for begin, stop in fragments(stream, start):
        if begin >= end:
            break
        pieces.append((begin + ITEM_HEAD.size, stop))
    if not pieces or pieces[-1][1] != end:
        raise TableIsWrong("The table of offsets does not lead to the frames.")
    return tuple(pieces)


def require_within(end: int, size: int) -> None:
    if end > size:
        raise UnreadableImage("The file is cut off before the end of this frame.")


def in_little_endian(
    stream: BinaryIO, table: NativeFrames, low: int, start: int, end: int
) -> bytes:
    """The frame that begins at bit `low`, from its first byte and bit on (PS3.5 8.1.1)."""
    before = (start - table.offset) % table.word
    after = -(end - table.offset) % table.word
    stream.seek(start - before)
    content = stream.read(end + after - start + before)
    if len(content) < before + end - start:
        raise UnreadableImage("The file is cut off before the end of this frame.")
    content = swapped(content, table.word)[before : before + end - start]
    if not low % 8 and not table.bits % 8:
        return content
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    return np.packbits(bits[low % 8 :][: table.bits], bitorder="little").tobytes()


def inflated_copy(stream: BinaryIO, at: int, table: NativeFrames, target: BinaryIO) -> NativeFrames:
    """The table of the same frames in `target`, a file that the data set is inflated into."""
    target.writelines(inflated(stream, at))
    target.flush()
    return msgspec.structs.replace(table, deflated_at=None)


def whole_value(stream: BinaryIO, table: NativeFrames) -> Iterator[bytes]:
    """The value of all frames in little endian, without what pads it."""
    left = -(-table.number * table.bits // 8)
    stream.seek(table.offset)
    while left and (chunk := stream.read(min(CHUNK, left + -left % table.word))):
        yield swapped(chunk, table.word)[:left]
        left -= min(len(chunk), left)


def swapped(chunk: bytes, word: int) -> bytes:
    """The bytes of each whole word in reverse order."""
    if word == 1 or len(chunk) % word:
        return chunk
    turned = bytearray(len(chunk))
    for position in range(word):
        turned[position::word] = chunk[word - 1 - position :: word]
    return bytes(turned)
