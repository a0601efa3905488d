"""A data set's elements, walked once and turned into DICOM JSON on the way (PS3.5 7, PS3.18 F).

The walk is our own, not pydicom's, because an upload's header is untrusted and on the fast path:
a large value is passed over without being loaded, items of long sequences are encoded as they
end, and claimed lengths, depth and number of elements are bounded. What it makes of a sound file
is held equal to pydicom's `Dataset.to_json_dict` by test.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

import msgspec
from pydicom.datadict import dictionary_VR, private_dictionary_VR

from imaging_fhir.images.dicom_charset import charset_of
from imaging_fhir.images.dicom_json import (
    BINARY_VRS,
    CONVERTERS,
    MAX_INLINE_BYTES,
    Reading,
    Value,
    inline_binary,
)
from imaging_fhir.images.dicom_stream import LONG_VRS, FileStart, is_vr_like
from imaging_fhir.images.dicom_warnings import ReadWarnings, keyword_of
from imaging_fhir.model.codec import encode
from imaging_fhir.model.study import DicomJson

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SPECIFIC_CHARACTER_SET, PIXEL_REPRESENTATION = 0x00080005, 0x00280103
PER_FRAME_FUNCTIONAL_GROUPS, FRAME_ANATOMY = "52009230", "00209071"
ANATOMY = ("00082218", "00209072")  # AnatomicRegionSequence, FrameLaterality
SWITCHES = (SPECIFIC_CHARACTER_SET, PIXEL_REPRESENTATION)
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

MAX_VALUE_BYTES = 64 * 1024  # of one value that is loaded
MAX_LOADED_BYTES = 8 * 1024**2  # of all values together; more become BulkDataURI
MAX_KEPT_BYTES = 1024**2  # of values not yet encoded
MAX_ELEMENTS = 1_000_000  # what follows is left out
ITEM_COST = 4  # in elements, by the time that reading an item takes
MAX_OPEN_ELEMENTS = 100_000  # not yet encoded
ENCODING_ROOM = 80_000  # of these: once there is less room, each item is encoded as it ends
MAX_KEPT_ITEMS = 16  # of a sequence or a value, for whoever takes facts from them
MAX_DEPTH = 64
MAX_FRAME_ANATOMIES = 64  # distinct ones
MAX_FRAME_ANATOMY_BYTES = 4096
MAX_CHARSET_BYTES = 256

MAX_REMEMBERED_BYTES = 64  # of one value
MAX_REMEMBERED = 4096  # elements of one encoding
MAX_ENCODINGS = 8
WINDOW_BYTES = 4096  # looked at at a time for elements that are remembered
SHORT_HEAD = 8  # bytes of tag, VR and length; those of long VRs take 12

Element = dict[str, object]
Remembered = dict[bytes, tuple[str, Element]]  # tag, VR, length and value -> tag, element


@dataclass(slots=True, kw_only=True)
class DataSet:
    """A data set being read: the file's own or an item's."""

    reading: Reading
    implicit_vr: bool
    end: int | None  # None: up to its delimiter, or the end of the file
    path: str = ""
    depth: int = 0
    is_signed: bool = False  # PixelRepresentation
    creators: dict[int, str] = field(default_factory=dict)
    elements: DicomJson = field(default_factory=dict)

    def remembered(self) -> Remembered:
        reading = self.reading
        return remembered(
            self.implicit_vr, reading.little_endian, reading.charset.encodings, self.is_signed
        )

    def item(self, path: str, end: int | None, *, implicit_vr: bool) -> "DataSet":
        reading = Reading(
            warnings=self.reading.warnings,
            little_endian=self.reading.little_endian,
            charset=self.reading.charset,
        )
        return DataSet(
            reading=reading,
            implicit_vr=implicit_vr,
            end=end,
            path=path,
            depth=self.depth + 1,
            is_signed=self.is_signed,
        )


@lru_cache(maxsize=8192)
def public_vr(tag: int) -> str | None:
    """The VR in PS3.6, ambiguous ones as `US or SS`; None where the tag is not in it."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


@lru_cache(maxsize=8192)
def private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


@lru_cache(maxsize=MAX_ENCODINGS)
def remembered(
    implicit_vr: bool, little_endian: bool, encodings: tuple[str, ...], is_signed: bool
) -> Remembered:
    """Elements by their very bytes, where these are encoded so and mean the same in every file.

    The images of a series say nearly all the same. Nobody changes an element once it is made.
    """
    return {}


def in_tag_order(elements: DicomJson) -> DicomJson:
    """Data sets are written so (PS3.5 7.1) but for broken ones; DICOM JSON has to be."""
    order = sorted(elements)
    return elements if order == list(elements) else {tag: elements[tag] for tag in order}


_VRS = {vr.encode(): vr for vr in (*CONVERTERS, *BINARY_VRS, "SQ")}
SHORT_VRS = {code: vr for code, vr in _VRS.items() if code not in LONG_VRS}
LONG_EXPLICIT_VRS = {code: vr for code, vr in _VRS.items() if code in LONG_VRS}


class ElementReader:
    """Reads one file's data set up to its pixel data."""

    def __init__(self, start: FileStart, warnings: ReadWarnings) -> None:
        order = "<" if start.little_endian else ">"
        self.stream = start.stream
        self.warnings = warnings
        self.has_pixel_data = False
        self.frame_anatomies: dict[bytes, DicomJson] = {}  # distinct ones of single frames
        self._read = start.stream.read
        self._tell = start.stream.tell
        self._seek = start.stream.seek
        self._explicit = struct.Struct(f"{order}HH2sH").unpack
        self._implicit = struct.Struct(f"{order}HHL").unpack
        self._length = struct.Struct(f"{order}L").unpack
        self._length_at = {
            True: (4, struct.Struct(f"{order}L").unpack_from),  # implicit VR
            False: (6, struct.Struct(f"{order}H").unpack_from),
        }
        self._head = b""
        self._elements = 0
        self._element_limit = MAX_OPEN_ELEMENTS  # moves on as items are encoded
        self._loaded = 0  # bytes
        self._kept_limit = MAX_KEPT_BYTES  # likewise
        self._is_stopped = False

    def read(self, start: FileStart) -> DicomJson:
        reading = Reading(warnings=self.warnings, little_endian=start.little_endian)
        data_set = DataSet(reading=reading, implicit_vr=start.implicit_vr, end=None)
        return self._read_data_set(data_set)

    def _read_data_set(self, data_set: DataSet) -> DicomJson:
        elements, reading, end = data_set.elements, data_set.reading, data_set.end
        while True:
            self._pass_remembered(data_set)
            if end is not None and self._tell() >= end:
                break
            head = self._head = self._read(SHORT_HEAD)
            if len(head) < SHORT_HEAD or self._is_stopped:
                self._note_truncation(data_set, head)
                break
            tag, vr, length = self._header(head, data_set.implicit_vr)
            if tag >= ITEM or (tag in PIXEL_DATA and not data_set.depth):
                self._end_at(tag, vr, length, data_set)
                break
            reading.tag = tag
            element = self._element(tag, vr, length, data_set)
            if element is not None:
                elements[f"{tag:08X}"] = element
        return in_tag_order(elements)

    def _pass_remembered(self, data_set: DataSet) -> None:
        """Take the elements that come next as they were made of the same bytes before."""
        if self._is_stopped or self._loaded > self._kept_limit:
            return
        known = data_set.remembered()
        room = WINDOW_BYTES if data_set.end is None else data_set.end - self._tell()
        window = self._read(max(0, min(room, WINDOW_BYTES)))
        offset, length_at = self._length_at[data_set.implicit_vr]
        elements, find = data_set.elements, known.get
        at, passed, last = 0, 0, len(window) - SHORT_HEAD
        while at <= last:
            (length,) = length_at(window, at + offset)
            end = at + SHORT_HEAD + length
            found = find(window[at:end])
            if found is None:
                break
            tag, element = found
            elements[tag] = element
            at = end
            passed += 1
        self._seek(at - len(window), 1)
        self._elements += passed
        self._loaded += at - SHORT_HEAD * passed

    def _header(self, head: bytes, implicit_vr: bool) -> tuple[int, str | None, int]:
        """Tag, VR if the element says it, and length; the stream is then at its value."""
        if not implicit_vr:
            group, element, code, length = self._explicit(head)
            vr = SHORT_VRS.get(code)
            if vr is not None:
                return group << 16 | element, vr, length
            vr = LONG_EXPLICIT_VRS.get(code)
            if vr is not None:
                long_length = self._read(4)
                length = self._length(long_length)[0] if len(long_length) == 4 else 0
                return group << 16 | element, vr, length
            if is_vr_like(code):
                return group << 16 | element, "UN", length
        group, element, length = self._implicit(head)  # also where a writer switches in an item
        return group << 16 | element, None, length

    def _note_truncation(self, data_set: DataSet, head: bytes) -> None:
        if (head or data_set.depth) and not self._is_stopped:
            self._stop("ends in the middle of an element", None)

    def _stop(self, message: str, tag: int | None) -> None:
        self.warnings.add("DataSet" if tag is None else keyword_of(tag), message)
        self._is_stopped = True

    def _end_at(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> None:
        if tag in PIXEL_DATA:
            self.has_pixel_data = length > 0
            data_set.elements[f"{tag:08X}"] = _bulk(_pixel_data_vr(tag, vr), tag, data_set)
        elif tag != ITEM_END:
            self._seek(-8, 1)  # the sequence around it has to see it too

    def _element(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> Element | None:
        if self._is_beyond_limit(tag, 1):
            return None
        if vr is None or vr == "UN":
            vr = self._known_vr(tag, vr, length, data_set)
        if vr == "SQ":
            return self._sequence(tag, length, data_set)
        if length == UNDEFINED:
            self._skip_fragments(tag)
            return _bulk(vr, tag, data_set)
        if not tag & 0xFFFF:
            self._seek(length, 1)
            return None
        if not length:
            return self._remember(tag, self._head, {"vr": vr}, data_set)
        return self._value(tag, vr, length, data_set)

    def _is_beyond_limit(self, tag: int, cost: int) -> bool:
        self._elements += cost
        if self._elements > self._element_limit:
            self._stop("is beyond the number of elements that are read", tag)
        return self._is_stopped

    def _known_vr(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> str:
        if length == UNDEFINED and vr == "UN":
            return "SQ"  # PS3.5 6.2.2 note 5
        is_private = tag >> 16 & 1
        found = _private_vr_in(tag, data_set) if is_private else public_vr(tag)
        if found is None or found == "UN":
            return "SQ" if length == UNDEFINED and self._at_item() else "UN"
        if len(found) == 2:
            return found
        if found.startswith("US or SS"):
            return "SS" if data_set.is_signed else "US"
        return "OW"

    def _at_item(self) -> bool:
        head = self._read(8)
        self._seek(-len(head), 1)
        return len(head) == 8 and self._item_header(head)[0] == ITEM

    def _item_header(self, head: bytes) -> tuple[int, int]:
        group, element, length = self._implicit(head)
        return group << 16 | element, length

    def _value(self, tag: int, vr: str, length: int, data_set: DataSet) -> Element:
        convert = CONVERTERS.get(vr)
        limit = MAX_VALUE_BYTES if convert else MAX_INLINE_BYTES
        if length > limit or self._loaded > MAX_LOADED_BYTES:
            self._seek(length, 1)
            return _bulk(vr, tag, data_set)
        times = self.warnings.times
        value = self._read(length)
        self._loaded += length
        if len(value) < length:
            self._stop("ends in the middle of an element", tag)
        if convert is None:
            return {"vr": vr, "InlineBinary": inline_binary(vr, value, data_set.reading)}
        is_switch = tag in SWITCHES or tag & 0x1FF00 == 0x10000
        element = self._converted(tag, vr, value, data_set, is_switch=is_switch)
        is_large = length > MAX_REMEMBERED_BYTES or self._loaded > self._kept_limit
        if is_switch or is_large or self.warnings.times > times:
            return element
        return self._remember(tag, self._head + value, element, data_set)

    def _remember(self, tag: int, content: bytes, element: Element, data_set: DataSet) -> Element:
        """Where its VR does not depend on the elements before it, and its length is in its head."""
        is_private = tag >> 16 & 1
        if not is_private if data_set.implicit_vr else content[4:6] in SHORT_VRS:
            known = data_set.remembered()
            if len(known) >= MAX_REMEMBERED:
                known.clear()
            known[content] = f"{tag:08X}", element
        return element

    def _converted(
        self, tag: int, vr: str, value: bytes, data_set: DataSet, *, is_switch: bool
    ) -> Element:
        items = CONVERTERS[vr](value, data_set.reading)
        if is_switch:
            items = self._switched(tag, value, items, data_set)
        if not items:
            return {"vr": vr}
        if len(items) > MAX_KEPT_ITEMS or self._loaded > self._kept_limit:
            return {"vr": vr, "Value": msgspec.Raw(encode(items))}
        return {"vr": vr, "Value": items}

    def _switched(self, tag: int, value: bytes, items: Value, data_set: DataSet) -> Value:
        """Take note of what governs later elements: character set, signedness, private blocks."""
        if tag == SPECIFIC_CHARACTER_SET:
            self._switch_charset(value, data_set)
            return ["ISO_IR 192"]
        if tag == PIXEL_REPRESENTATION:
            data_set.is_signed = items[:1] == [1]
        elif items:
            data_set.creators[tag] = str(items[0])[:64]  # LO; it becomes the key of a cache
        return items

    def _switch_charset(self, value: bytes, data_set: DataSet) -> None:
        data_set.reading.charset = charset_of(value[:MAX_CHARSET_BYTES])
        if data_set.reading.charset.complaint:
            data_set.reading.warn(data_set.reading.charset.complaint)

    def _sequence(self, tag: int, length: int, data_set: DataSet) -> Element:
        end = None if length == UNDEFINED else self._tell() + length
        if data_set.depth >= MAX_DEPTH:
            self._stop(f"is nested deeper than {MAX_DEPTH} levels: what follows is left out", tag)
            return {"vr": "SQ"}
        items = _Items()
        while (item_length := self._next_item(tag, end)) is not None:
            path = f"{data_set.path}{tag:08X}/{items.count}/"
            items.count += 1
            self._item(self._item_data_set(data_set, path, item_length, end), items)
        if end is not None and not self._is_stopped:
            self._seek(end)
        return items.as_element()

    def _next_item(self, tag: int, end: int | None) -> int | None:
        """The length of the next item, or None where the sequence ends."""
        if self._is_beyond_limit(tag, ITEM_COST) or (end is not None and self._tell() >= end):
            return None
        head = self._read(8)
        if len(head) < 8:
            self._stop("ends in the middle of a sequence", tag)
            return None
        found, length = self._item_header(head)
        if found == ITEM:
            return length
        if found != SEQUENCE_END:
            self.warnings.add_for_tag(tag, "has something else than items")
            self._seek(-8, 1)
        return None

    def _item_data_set(
        self, parent: DataSet, path: str, length: int, sequence_end: int | None
    ) -> DataSet:
        end = None if length == UNDEFINED else self._tell() + length
        if end is not None and sequence_end is not None:
            end = min(end, sequence_end)
        return parent.item(path, end, implicit_vr=parent.implicit_vr or self._is_implicit_here())

    def _is_implicit_here(self) -> bool:
        """Items of VR UN are implicit (PS3.5 6.2.2), and some writers switch in others too."""
        head = self._read(6)
        self._seek(-len(head), 1)
        return not is_vr_like(head[4:6])

    def _item(self, item: DataSet, items: "_Items") -> None:
        """Read an item; past the first few, only its JSON text stays in memory."""
        room = self._element_limit - self._elements + ITEM_COST  # what there was before the item
        kept_room = self._kept_limit - self._loaded
        elements = self._read_data_set(item)
        if item.end is not None and not self._is_stopped:
            self._seek(item.end)
        if item.depth == 1 and item.path.startswith(PER_FRAME_FUNCTIONAL_GROUPS):
            self._note_frame_anatomy(elements)
        if not items.is_full and self._elements <= self._element_limit - ENCODING_ROOM:
            items.kept.append(elements)
            return
        items.append_encoded(elements)
        self._element_limit = min(self._elements + room, MAX_ELEMENTS)
        self._kept_limit = self._loaded + kept_room

    def _note_frame_anatomy(self, frame: DicomJson) -> None:
        for item in cast(list[DicomJson], frame.get(FRAME_ANATOMY, {}).get("Value", [])):
            anatomy = {tag: item[tag] for tag in ANATOMY if tag in item}
            text = encode(anatomy)
            is_room = len(self.frame_anatomies) < MAX_FRAME_ANATOMIES
            if is_room and len(text) < MAX_FRAME_ANATOMY_BYTES:
                self.frame_anatomies[text] = anatomy

    def _skip_fragments(self, tag: int) -> None:
        """Pass over encapsulated data in an item, such as an icon's (PS3.5 A.4)."""
        while not self._is_beyond_limit(tag, 1):
            head = self._read(8)
            if len(head) < 8:
                self._stop("ends in the middle of an element", tag)
                return
            found, length = self._item_header(head)
            if found != ITEM or length == UNDEFINED:
                return
            self._seek(length, 1)


@dataclass(slots=True)
class _Items:
    """The items of a sequence: the first ones as they are, the others as JSON text."""

    kept: list[DicomJson] = field(default_factory=list)
    encoded: bytearray = field(default_factory=bytearray)
    count: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.kept) >= MAX_KEPT_ITEMS or bool(self.encoded)

    def append_encoded(self, item: DicomJson) -> None:
        if self.encoded:
            self.encoded += b","
        self.encoded += encode(item)

    def as_element(self) -> Element:
        value: list[object] = [*self.kept]
        if self.encoded:
            value.append(msgspec.Raw(bytes(self.encoded)))
        return {"vr": "SQ", "Value": value} if value else {"vr": "SQ"}


def _private_vr_in(tag: int, data_set: DataSet) -> str:
    block = tag >> 8 & 0xFF
    if not block:
        return "LO" if tag & 0xFF >= 0x10 else "UN"
    creator = data_set.creators.get(tag & 0xFFFF0000 | block)
    return private_vr(tag, creator) if creator else "UN"


def _pixel_data_vr(tag: int, vr: str | None) -> str:
    return vr or {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(tag, "OW")


def _bulk(vr: str, tag: int, data_set: DataSet) -> Element:
    """Where the value can be had: relative, the web layer knows its own address."""
    return {"vr": vr, "BulkDataURI": f"bulkdata/{data_set.path}{tag:08X}"}
