"""An instance that came as metadata and bulk data (PS3.18 10.5.2), as a file of PS3.10.

Phones send photographs and films so (IHE WIC): what bulk data says of itself is taken from it.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from imaging_fhir.dicomweb.data_set import (
    BINARY_VRS,
    CHARSET,
    UNDEFINED,
    UTF_8,
    encoded,
    header,
    item,
    vr_of,
)
from imaging_fhir.dicomweb.jpeg_header import MAX_HEADER, jpeg_header
from imaging_fhir.dicomweb.media_type import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    FRAME_TYPES,
    OCTET_STREAM,
)
from imaging_fhir.dicomweb.part10 import file_head
from imaging_fhir.errors import InvalidRequest, UnsupportedMediaType
from imaging_fhir.model.study import DicomJson

UID = re.compile(r"[0-9.]{1,64}")
IDENTITY = ("00080016", "00080018", "0020000D", "0020000E")
PIXEL_DATA, NUMBER_OF_FRAMES = "7FE00010", "00280008"
DOCUMENT, DOCUMENT_TYPE, DOCUMENT_LENGTH = "00420011", "00420012", "00420015"
TRANSFER_SYNTAXES = ("00020010", "00083002")  # where metadata says it
STREAMED_VRS = BINARY_VRS | {"UC", "UR", "UT"}
JPEG = "image/jpeg"
DEFAULT_SYNTAXES = {  # PS3.18 8.7.3.3.2; of JPEG the stream says it
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jxl": "1.2.840.10008.1.2.4.110",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
}
LOSSY_JPEGS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 55))
MAX_IN_ITEM = 1024**2  # bytes of bulk data in a sequence, which is held in memory
CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPart:
    """A part of the body that has been put aside in a file."""

    file: BinaryIO
    offset: int
    size: int
    media_type: str
    transfer_syntax: str | None = None

    def start(self, size: int) -> bytes:
        self.file.seek(self.offset)
        return self.file.read(min(size, self.size))

    def chunks(self) -> Iterator[bytes]:
        """All of it, and what makes its length even."""
        done = 0
        while done < self.size:
            self.file.seek(self.offset + done)
            chunk = self.file.read(min(CHUNK, self.size - done))
            if not chunk:
                raise InvalidRequest("A part of the body is gone.")
            done += len(chunk)
            yield chunk
        if self.size % 2:
            yield b"\0"

    @property
    def even_size(self) -> int:
        return self.size + self.size % 2


BulkParts = Mapping[str, Sequence[BulkPart]]  # by Content-Location; frames have one in common
Piece = bytes | BulkPart


def uid_in(metadata: Mapping[str, Any], tag: str) -> str | None:
    """The UID that the metadata have there; None where they have none."""
    element = metadata.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    return value if isinstance(value, str) and UID.fullmatch(value) else None


def chunks_of(pieces: Sequence[Piece]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            yield from piece.chunks()


def assembled(metadata: DicomJson, parts: BulkParts) -> list[Piece]:
    """The file in pieces; raise InvalidRequest, UnsupportedMediaType for what makes none."""
    if not all(uid_in(metadata, tag) for tag in IDENTITY):
        raise InvalidRequest("The metadata lack a UID that says which instance it is.")
    pixels = pixel_parts(metadata, parts)
    syntax = transfer_syntax(metadata, pixels)
    said = {tag: element for tag, element in metadata.items() if tag[:4] != "0002"}
    said |= image_attributes(said, pixels) | document_attributes(said, parts)
    said[CHARSET] = {"vr": "CS", "Value": [UTF_8]}
    head = file_head(
        sop_class_uid=uid_in(said, "00080016") or "",
        sop_instance_uid=uid_in(said, "00080018") or "",
        transfer_syntax_uid=syntax,
    )
    return [head, *elements_in_pieces(said, parts, is_compressed=syntax in FRAME_TYPES)]


def pixel_parts(metadata: DicomJson, parts: BulkParts) -> Sequence[BulkPart]:
    uri = metadata.get(PIXEL_DATA, {}).get("BulkDataURI")
    return () if uri is None else found(str(uri), parts)


def found(uri: str, parts: BulkParts) -> Sequence[BulkPart]:
    if uri not in parts:
        raise InvalidRequest("No part of the body has the Content-Location of a BulkDataURI.")
    return parts[uri]


def transfer_syntax(metadata: DicomJson, pixels: Sequence[BulkPart]) -> str:
    """As the part says it, or the metadata, or the bytes, or the default of their media type."""
    if not pixels:
        return EXPLICIT_VR_LITTLE_ENDIAN
    part = pixels[0]
    given = [part.transfer_syntax, *(uid_in(metadata, tag) for tag in TRANSFER_SYNTAXES)]
    for syntax in filter(None, given):
        if FRAME_TYPES.get(syntax) == part.media_type:
            return syntax
        if part.media_type == OCTET_STREAM and syntax in FRAME_TYPES:
            return syntax
    if part.media_type == JPEG:
        return jpeg_header(part.start(MAX_HEADER)).transfer_syntax_uid
    if part.media_type in (OCTET_STREAM, ""):
        return EXPLICIT_VR_LITTLE_ENDIAN
    if part.media_type not in DEFAULT_SYNTAXES:
        raise UnsupportedMediaType("Pixel data came in a media type that is none of DICOM's.")
    return DEFAULT_SYNTAXES[part.media_type]


def image_attributes(said: DicomJson, pixels: Sequence[BulkPart]) -> DicomJson:
    """The Image Pixel Module (PS3.3 C.7.6.3) of a JPEG, as far as the metadata do not have it."""
    if not pixels or pixels[0].media_type != JPEG:
        return {}
    image = jpeg_header(pixels[0].start(MAX_HEADER))
    allocated = 8 if image.bits <= 8 else 16
    values: dict[str, tuple[str, object]] = {
        "00280002": ("US", image.components),
        "00280004": ("CS", image.photometric_interpretation),
        "00280010": ("US", image.rows),
        "00280011": ("US", image.columns),
        "00280100": ("US", allocated),
        "00280101": ("US", image.bits),
        "00280102": ("US", image.bits - 1),
        "00280103": ("US", 0),
    }
    if image.components > 1:
        values["00280006"] = ("US", 0)
    if len(pixels) > 1:
        values[NUMBER_OF_FRAMES] = ("IS", len(pixels))
    if image.transfer_syntax_uid in LOSSY_JPEGS:
        values["00282110"] = ("CS", "01")
        values["00282114"] = ("CS", "ISO_10918_1")
    return {
        tag: {"vr": vr, "Value": [value]}
        for tag, (vr, value) in values.items()
        if not said.get(tag, {}).get("Value")
    }


def document_attributes(said: DicomJson, parts: BulkParts) -> DicomJson:
    """Of an encapsulated document, what it is and its length without padding (PS3.3 C.24.2)."""
    uri = said.get(DOCUMENT, {}).get("BulkDataURI")
    if uri is None:
        return {}
    part = found(str(uri), parts)[0]
    values: dict[str, tuple[str, object]] = {DOCUMENT_LENGTH: ("UL", part.size)}
    if part.media_type not in ("", OCTET_STREAM):
        values[DOCUMENT_TYPE] = ("LO", part.media_type)
    return {
        tag: {"vr": vr, "Value": [value]}
        for tag, (vr, value) in values.items()
        if not said.get(tag, {}).get("Value")
    }


def elements_in_pieces(
    said: DicomJson, parts: BulkParts, *, is_compressed: bool
) -> Iterator[Piece]:
    """What is large is not loaded: it stays a piece of the file where it was put aside."""

    def value_of(uri: str) -> bytes:
        return held(found(uri, parts))

    small: DicomJson = {}
    for tag in sorted(said):
        element = said[tag]
        vr = vr_of(tag, element)
        if "BulkDataURI" not in element or vr not in STREAMED_VRS:
            small[tag] = element
            continue
        yield encoded(small, value_of)
        small = {}
        some = found(str(element["BulkDataURI"]), parts)
        yield from fragments(some) if tag == PIXEL_DATA and is_compressed else whole(tag, vr, some)
    yield encoded(small, value_of)


def held(parts: Sequence[BulkPart]) -> bytes:
    if len(parts) > 1 or parts[0].size > MAX_IN_ITEM:
        raise InvalidRequest(f"Bulk data in a sequence is at most {MAX_IN_ITEM} bytes here.")
    return parts[0].start(parts[0].size)


def whole(tag: str, vr: str, parts: Sequence[BulkPart]) -> Iterator[Piece]:
    length = sum(part.even_size for part in parts)
    if length >= UNDEFINED or any(part.size % 2 for part in parts[:-1]):
        raise InvalidRequest(f"The bulk data of {tag} are too large for one element.")
    yield header(tag, vr, length)
    yield from parts


def fragments(frames: Sequence[BulkPart]) -> Iterator[Piece]:
    """Encapsulated, each frame in one fragment, without an offset table (PS3.5 A.4)."""
    yield header(PIXEL_DATA, "OB", UNDEFINED) + item(b"")
    for frame in frames:
        if frame.even_size >= UNDEFINED:
            raise InvalidRequest("A frame is too large for one fragment.")
        yield struct.pack("<HHL", 0xFFFE, 0xE000, frame.even_size)
        yield frame
    yield struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
