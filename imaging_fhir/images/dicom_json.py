"""Element values as the DICOM JSON Model has them (PS3.18 F.2), one converter a VR.

A converter answers the items of `Value`; none means an empty attribute. A value that its VR does
not allow is left out with a warning, or is null where other values of the attribute remain.
"""

import base64
import math
import re
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from imaging_fhir.images.dicom_charset import Charset, clean
from imaging_fhir.images.dicom_warnings import ReadWarnings

MAX_INLINE_BYTES = 1024  # of a binary value; a longer one is a BulkDataURI
MAX_NUMBER_CHARACTERS = 32  # twice what DS allows: careless writers print every digit

Value = list[object]


@dataclass(slots=True, kw_only=True)
class Reading:
    """What converting the values of one data set depends on, and the element at hand."""

    warnings: ReadWarnings
    little_endian: bool
    charset: Charset = field(default_factory=Charset)
    tag: int = 0

    def warn(self, message: str) -> None:
        self.warnings.add_for_tag(self.tag, message)


MAX_CHARACTERS = {
    "AE": 16,
    "AS": 4,
    "CS": 16,
    "DS": 16,
    "IS": 12,
    "LO": 64,
    "PN": 64,  # each component group
    "SH": 16,
    "UI": 64,
    "ST": 1024,
    "LT": 10240,
}


def _warn_of_long(vr: str, texts: list[str], reading: Reading) -> None:
    limit = MAX_CHARACTERS.get(vr)
    if limit is not None and max(map(len, texts), default=0) > limit:
        reading.warn(f"is longer than the {limit} characters of {vr}")


def _multiple(texts: list[str]) -> Value:
    """Empty values are null between others, and nothing where there is no other."""
    if len(texts) == 1:
        return [texts[0]] if texts[0] else []
    items: Value = [text or None for text in texts]
    return items if any(texts) else []


def _ascii_texts(vr: str, value: bytes, reading: Reading) -> list[str]:
    """Values of the default character repertoire, without padding."""
    if not value.isascii():
        reading.warn("has characters that its VR does not allow")
    texts = [clean(part.strip(" \0")) for part in value.decode("latin_1").split("\\")]
    if len(value) > MAX_CHARACTERS.get(vr, 0):
        _warn_of_long(vr, texts, reading)
    return texts


def ascii_converter(vr: str) -> "Converter":
    def convert(value: bytes, reading: Reading) -> Value:
        return _multiple(_ascii_texts(vr, value, reading))

    return convert


def _decoded(value: bytes, reading: Reading, delimiters: bytes) -> str:
    text, complaint = reading.charset.decode(value, delimiters)
    if complaint:
        reading.warn(complaint)
    return clean(text)


def text_converter(vr: str) -> "Converter":
    """SH, LO, UC: several values, in the character set of the data set."""

    def convert(value: bytes, reading: Reading) -> Value:
        text = _decoded(value, reading, b"\\")
        texts = [part.strip(" \0") for part in text.split("\\")]
        if len(value) > MAX_CHARACTERS.get(vr, 0):
            _warn_of_long(vr, texts, reading)
        return _multiple(texts)

    return convert


def long_text_converter(vr: str) -> "Converter":
    """ST, LT, UT: one value; leading spaces belong to it (PS3.5 6.2)."""

    def convert(value: bytes, reading: Reading) -> Value:
        text = _decoded(value, reading, b"\r\n\t\f").rstrip(" \0")
        _warn_of_long(vr, [text], reading)
        return [text] if text else []

    return convert


def uri(value: bytes, reading: Reading) -> Value:
    text = clean(value.decode("latin_1").rstrip(" \0"))
    return [text] if text else []


PN_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def person_names(value: bytes, reading: Reading) -> Value:
    names = [_person_name(text, reading) for text in _decoded(value, reading, b"\\^=").split("\\")]
    items: Value = [name or None for name in names]
    return items if any(names) else []


def _person_name(text: str, reading: Reading) -> dict[str, str]:
    groups = [group.strip(" \0") for group in text.split("=")]
    _warn_of_long("PN", groups, reading)
    if len(groups) > len(PN_GROUPS):
        reading.warn("has more than three component groups")
    return {name: group for name, group in zip(PN_GROUPS, groups, strict=False) if group}


_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)


def _numbers(texts: list[str], number: Callable[[str], object], reading: Reading) -> Value:
    items: Value = [number(text) if text else None for text in texts]
    if None not in items:
        return items
    if any(item is None and text for item, text in zip(items, texts, strict=True)):
        reading.warn("is not a number")
    return items if any(item is not None for item in items) else []


def decimal_strings(value: bytes, reading: Reading) -> Value:
    return _numbers(_ascii_texts("DS", value, reading), _decimal, reading)


def _decimal(text: str) -> Decimal | int | None:
    if len(text) > MAX_NUMBER_CHARACTERS or not _DECIMAL.fullmatch(text):
        return None
    if text.isdigit():
        return int(text)
    number = Decimal(text)
    return number if abs(number.adjusted()) <= 308 else None  # what a JSON reader's double holds


def integer_strings(value: bytes, reading: Reading) -> Value:
    items = _numbers(_ascii_texts("IS", value, reading), _integer, reading)
    if any(isinstance(item, int) and not -(2**31) <= item < 2**31 for item in items):
        reading.warn("is beyond the 32 bits of IS")
    return items


def _integer(text: str) -> int | None:
    """Also 1.0, which some writers make of 1; no other fraction."""
    if len(text) <= MAX_NUMBER_CHARACTERS and _INTEGER.fullmatch(text):
        return int(text)
    number = _decimal(text)
    return int(number) if isinstance(number, Decimal) and _is_small_whole(number) else None


def _is_small_whole(number: Decimal) -> bool:
    return abs(number) < 2**31 and number == number.to_integral_value()


def number_converter(code: str) -> "Converter":
    size = struct.calcsize(f"<{code}")
    one = {True: struct.Struct(f"<{code}"), False: struct.Struct(f">{code}")}

    def convert(value: bytes, reading: Reading) -> Value:
        if len(value) == size:
            return list(one[reading.little_endian].unpack(value))
        count, rest = divmod(len(value), size)
        if rest:
            reading.warn(f"is not made of values of {size} bytes")
        order = "<" if reading.little_endian else ">"
        return list(struct.unpack(f"{order}{count}{code}", value[: count * size]))

    return convert


def float_converter(code: str) -> "Converter":
    numbers = number_converter(code)

    def convert(value: bytes, reading: Reading) -> Value:
        items = numbers(value, reading)
        if all(map(math.isfinite, items)):  # type: ignore[arg-type]  # floats, by the code
            return items
        reading.warn("is not a finite number")
        finite: Value = [item if math.isfinite(item) else None for item in items]  # type: ignore[arg-type]
        return finite if any(item is not None for item in finite) else []

    return convert


_tag_numbers = number_converter("H")


def attribute_tags(value: bytes, reading: Reading) -> Value:
    if len(value) % 4:
        reading.warn("is not made of values of 4 bytes")
    numbers = _tag_numbers(value[: len(value) // 4 * 4], reading)
    return [
        f"{group:04X}{element:04X}"
        for group, element in zip(numbers[::2], numbers[1::2], strict=True)
    ]


Converter = Callable[[bytes, Reading], Value]

CONVERTERS: dict[str, Converter] = {
    **{vr: ascii_converter(vr) for vr in ("AE", "AS", "CS", "DA", "DT", "TM", "UI")},
    **{vr: text_converter(vr) for vr in ("LO", "SH", "UC")},
    **{vr: long_text_converter(vr) for vr in ("LT", "ST", "UT")},
    "UR": uri,
    "PN": person_names,
    "DS": decimal_strings,
    "IS": integer_strings,
    "US": number_converter("H"),
    "SS": number_converter("h"),
    "UL": number_converter("L"),
    "SL": number_converter("l"),
    "UV": number_converter("Q"),
    "SV": number_converter("q"),
    "FL": float_converter("f"),
    "FD": float_converter("d"),
    "AT": attribute_tags,
}

BINARY_VRS = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}  # bytes a word
_WORD_CODES = {2: "H", 4: "I", 8: "Q"}


def inline_binary(vr: str, value: bytes, reading: Reading) -> str:
    """Base64, always little endian (PS3.18 F.2.7)."""
    size = BINARY_VRS[vr]
    if size == 1 or reading.little_endian or len(value) % size:
        return base64.b64encode(value).decode("ascii")
    words = array(_WORD_CODES[size], value)
    words.byteswap()
    return base64.b64encode(words.tobytes()).decode("ascii")
