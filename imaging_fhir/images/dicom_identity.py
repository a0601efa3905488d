"""Whose image a DICOM file says it is, put in place of what it said (PS3.3 C.7.1.1).

Only the elements about the patient and the visit are written anew; all others, and the pixel data,
stay the bytes that they were.
"""

import struct
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.dicom_elements import PIXEL_DATA
from imaging_fhir.images.dicom_stream import FileStart, start_of_file
from imaging_fhir.images.minted_uids import ORIGINAL_ATTRIBUTES, MintedUids, elements_between
from imaging_fhir.model.dicom_attribute import is_of_identity
from imaging_fhir.model.study import DicomJson

CHARSET, UTF_8 = 0x00080005, "ISO_IR 192"
DAMAGED = (  # what pydicom raises where the bytes of a header are no elements
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
TEXTS = ("PN", "LO")
LARGE = 64 * 1024  # bytes of a value that is passed over
CHUNK = 256 * 1024
MAX_INFLATED = 2 * 1024**3  # of a deflated data set

Piece = bytes | tuple[int, int]  # new bytes, or from where to where of the stored ones


@dataclass(frozen=True, slots=True)
class Coerced:
    """The data set's bytes with another identity: pieces of the stream, and new ones between."""

    stream: BinaryIO
    offset: int  # of the data set in the stored file
    pieces: tuple[Piece, ...]


def coerced_json(elements: DicomJson, identity: DicomJson) -> DicomJson:
    """DICOM JSON with the identity's elements in place of those that there were."""
    kept = {tag: value for tag, value in elements.items() if not is_of_identity(int(tag, 16))}
    return dict(sorted({**kept, **identity}.items()))


def coerced(
    stream: BinaryIO, size: int, identity: DicomJson, minted: MintedUids | None = None
) -> Coerced:
    """The data set with that identity; raise UnreadableImage where it cannot be walked.

    `minted` is of a study that was split off. What comes before the data set is left to the caller.
    A deflated one is written anew to a temporary file.
    """
    try:
        return rewritten(stream, size, Dataset.from_json(identity), minted)
    except DAMAGED as error:
        raise UnreadableImage("The header cannot be walked to say whose image it is.") from error


def rewritten(stream: BinaryIO, size: int, new: Dataset, minted: MintedUids | None) -> Coerced:
    start = start_of_file(stream)
    begin = start.stream.tell()
    charset = charset_of(start)
    if needs_utf_8(new, charset):
        new.SpecificCharacterSet = charset = UTF_8
    start.stream.seek(begin)
    if start.transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return Coerced(stream, start.offset, tuple(spliced(start, size, new, charset, minted)))
    pieces = list(spliced(start, MAX_INFLATED, new, charset, minted))
    deflated = redeflated(stream, start.offset, pieces)
    return Coerced(deflated, start.offset, ((0, deflated.seek(0, 2)),))


def spliced(
    start: FileStart, end: int, new: Dataset, charset: str, minted: MintedUids | None = None
) -> Iterator[Piece]:
    """The stored bytes without what says whose they are, and that said anew in its place."""
    pending = sorted(int(tag) for tag in new.keys())  # noqa: SIM118  a Dataset iterates elements
    kept = position = start.stream.tell()
    for element in walked(start):
        tag, after = int(element.tag), start.stream.tell()
        due = [one for one in pending if one <= tag]
        moved = None if minted is None else minted.in_bytes(start, element, position, after)
        goes = is_of_identity(tag) or tag in due or moved is not None
        if due or goes:
            yield kept, position
            said = chosen(new, due)
            if minted is not None and tag in due:
                add_origin(start, said, tag, position, after)
            yield encoded(said, start, charset) + written(moved, start, charset)
            pending = pending[len(due) :]
            kept = after if goes else position
        position = after
    yield kept, position
    yield encoded(chosen(new, pending), start, charset)
    yield position, end


def charset_of(start: FileStart) -> str:
    """SpecificCharacterSet as it is written, empty where there is none."""
    for element in walked(start, beyond=CHARSET):
        if int(element.tag) == CHARSET:
            return text_of(element)
    return ""


def walked(start: FileStart, beyond: int = 0) -> Iterator[RawDataElement | DataElement]:
    """The elements up to the pixel data, or to what comes after `beyond`."""

    def is_end(tag: int, _vr: object, _length: int) -> bool:
        return int(tag) in PIXEL_DATA or (beyond > 0 and int(tag) > beyond)

    yield from data_element_generator(
        cast(BinaryIO, start.stream),
        start.implicit_vr,
        start.little_endian,
        stop_when=is_end,
        defer_size=LARGE,
    )


def chosen(data_set: Dataset, tags: list[int]) -> Dataset:
    found = Dataset()
    for tag in tags:
        found[tag] = data_set[tag]
    return found


def add_origin(start: FileStart, said: Dataset, tag: int, begin: int, end: int) -> None:
    """What the file says of its past at these positions stays, before what is added to it."""
    if tag == ORIGINAL_ATTRIBUTES:
        known = elements_between(start, begin, end)
        said[tag].value = [*known[tag].value, *said[tag].value]


def encoded(data_set: Dataset, start: FileStart, charset: str) -> bytes:
    """Its elements as the file at hand has them."""
    return written(fitting(data_set, convert_encodings(charset.split("\\"))), start, charset)


def written(data_set: Dataset | None, start: FileStart, charset: str) -> bytes:
    """The same of elements that come from that file."""
    if not data_set:
        return b""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = start.little_endian, start.implicit_vr
    write_dataset(buffer, data_set, convert_encodings(charset.split("\\")))
    return buffer.getvalue()


def fitting(data_set: Dataset, encodings: list[str]) -> Dataset:
    """Names that the file's character set cannot write, in letters that all can."""
    found = Dataset()
    for element in data_set:
        value = element.value
        if element.VR in TEXTS and not writable(str(value), encodings):
            plain = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode()
            element = DataElement(element.tag, element.VR, plain, validation_mode=config.IGNORE)
        found.add(element)
    return found


def needs_utf_8(data_set: Dataset, charset: str) -> bool:
    """Has it names beyond ASCII, where the rest of the file is ASCII alone?"""
    names = "".join(str(element.value) for element in data_set if element.VR in TEXTS)
    return charset.strip() in ("", "ISO_IR 6") and not names.isascii()


def writable(text: str, encodings: list[str]) -> bool:
    for encoding in encodings:
        try:
            text.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            continue
        return True
    return False


def text_of(element: RawDataElement | DataElement) -> str:
    value = element.value
    return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else ""


def redeflated(stream: BinaryIO, at: int, pieces: list[Piece]) -> BinaryIO:
    """A temporary file of the pieces of the inflated data set, deflated again (PS3.5 A.5)."""
    with ExitStack() as opened:
        target = opened.enter_context(TemporaryFile())
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        try:
            for piece in inflated_pieces(stream, at, pieces):
                target.write(deflater.compress(piece))
        except zlib.error as error:
            raise UnreadableImage("The deflated data set is damaged.") from error
        target.write(deflater.flush())
        if target.tell() % 2:
            target.write(b"\0")
        opened.pop_all()  # whoever reads it closes it
    return cast(BinaryIO, target)


def inflated_pieces(stream: BinaryIO, at: int, pieces: list[Piece]) -> Iterator[bytes]:
    """Read in one go from the start to the end: the ranges are in order."""
    blocks = inflated(stream, at)
    position, block = 0, b""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        low, high = piece
        while position < high:
            if not block:
                block = next(blocks, b"")
                if not block:
                    break
            step = block[: high - position]
            block = block[len(step) :]
            skipped = max(0, low - position)
            position += len(step)
            if step[skipped:]:
                yield step[skipped:]


def inflated(stream: BinaryIO, at: int) -> Iterator[bytes]:
    stream.seek(at)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while not inflater.eof:
        data = inflater.unconsumed_tail or stream.read(CHUNK)
        if not data:
            return
        block = inflater.decompress(data, CHUNK)
        total += len(block)
        if total > MAX_INFLATED:
            raise UnreadableImage("The deflated data set is larger than 2 GB.")
        if block:
            yield block
