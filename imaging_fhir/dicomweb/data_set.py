"""A data set in DICOM JSON (PS3.18 F) as bytes of Explicit VR Little Endian (PS3.5 7.1, A.2)."""

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imaging_fhir.errors import InvalidRequest

Element = Mapping[str, Any]
BulkValue = Callable[[str], bytes]  # of a BulkDataURI in an item

CHARSET, UTF_8 = "00080005", "ISO_IR 192"
UNDEFINED = 0xFFFFFFFF
TAG = re.compile(r"[0-9A-F]{8}")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LONG_VRS = words("OB OD OF OL OV OW SQ SV UC UN UR UT UV")
TEXT_VRS = words("AE AS CS DA DS DT IS LO LT SH ST TM UC UI UR UT")
NUMBER_CODES = {
    "US": "H",
    "SS": "h",
    "UL": "L",
    "SL": "l",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
VRS = TEXT_VRS | BINARY_VRS | NUMBER_CODES.keys() | words("AT PN SQ")
SHORT_LIMIT = 0xFFFF
MAX_DEPTH = 64


def encoded(data_set: Mapping[str, Element], bulk: BulkValue, depth: int = 0) -> bytes:
    """Its elements in order, texts in UTF-8; raise InvalidRequest for what DICOM cannot say."""
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"The data set is nested deeper than {MAX_DEPTH} levels.")
    return b"".join(encoded_elements(data_set, bulk, depth))


def encoded_elements(
    data_set: Mapping[str, Element], bulk: BulkValue, depth: int
) -> Iterator[bytes]:
    for tag in sorted(data_set):
        element = data_set[tag]
        vr = vr_of(tag, element)
        value = value_of(tag, vr, element, bulk, depth)
        yield header(tag, vr, len(value)) + value


def vr_of(tag: str, element: Element) -> str:
    """Raise InvalidRequest for what is no element."""
    if not TAG.fullmatch(tag) or not isinstance(element, dict) or str(element.get("vr")) not in VRS:
        raise InvalidRequest("The data set has something else than elements with a tag and a VR.")
    return str(element["vr"])


def header(tag: str, vr: str, length: int) -> bytes:
    """What comes before a value of that length, which may be UNDEFINED."""
    start = struct.pack("<HH", int(tag[:4], 16), int(tag[4:], 16)) + vr.encode("ascii")
    if vr in LONG_VRS:
        return start + struct.pack("<HL", 0, length)
    if length > SHORT_LIMIT:
        raise not_said(tag)
    return start + struct.pack("<H", length)


def value_of(tag: str, vr: str, element: Element, bulk: BulkValue, depth: int) -> bytes:
    values = element.get("Value", [])
    if not isinstance(values, list):
        raise not_said(tag)
    try:
        if "BulkDataURI" in element:
            return even(bulk(str(element["BulkDataURI"])), b"\0")
        if "InlineBinary" in element:
            return even(base64.b64decode(element["InlineBinary"], validate=True), b"\0")
        if vr == "SQ":
            return b"".join(item(encoded(one or {}, bulk, depth + 1)) for one in values)
        return encoded_values(vr, values)
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        struct.error,
        binascii.Error,
    ) as error:
        raise not_said(tag) from error


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def encoded_values(vr: str, values: list[Any]) -> bytes:
    """Raise ValueError, KeyError and their like for what is none of that VR."""
    if vr == "PN":
        return even("\\".join(map(name_of, values)).encode(), b" ")
    if vr in TEXT_VRS:
        texts = ["" if one is None else text_of(one) for one in values]
        return even("\\".join(texts).encode(), b"\0" if vr == "UI" else b" ")
    if vr == "AT":
        return b"".join(
            struct.pack("<HH", int(str(one)[:4], 16), int(str(one)[4:8], 16)) for one in values
        )
    if vr in BINARY_VRS and not values:
        return b""
    code = NUMBER_CODES[vr]
    numbers = [float(one) if vr in ("FL", "FD") else int(one) for one in values]
    return struct.pack(f"<{len(numbers)}{code}", *numbers)


def text_of(value: object) -> str:
    if isinstance(value, dict | list | bool):
        raise ValueError("no text")
    return str(value)


def name_of(groups: Mapping[str, str] | None) -> str:
    if groups is None:
        return ""
    return "=".join(str(groups.get(name, "")) for name in GROUPS).rstrip("=")


def even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def not_said(tag: str) -> InvalidRequest:
    return InvalidRequest(f"The value of {tag} is none of its VR.")
