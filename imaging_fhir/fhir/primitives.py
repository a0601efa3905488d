"""The primitive types of R4 (https://hl7.org/fhir/R4/datatypes.html#primitive).

Each check answers what is wrong with a JSON value, or None.
"""

import binascii
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from imaging_fhir.fhir.narrative import xhtml_fault

MAX_DIGITS = 200  # of a decimal; R4 asks for 18
MAX_EXPONENT = 999
MAX_STRING = 1024 * 1024  # R4: strings shall not exceed 1 MB in size
_DAY = r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)%s)?)?"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?"
_ZONE = r"(?:Z|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))"
_DATE = re.compile(_DAY % "", re.ASCII)
_DATE_TIME = re.compile(_DAY % f"(?:T{_CLOCK}{_ZONE})?", re.ASCII)
_INSTANT = re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)T{_CLOCK}{_ZONE}", re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_CODE = re.compile(r"[^\s\x00-\x1f]+(?: [^\s\x00-\x1f]+)*")
_URI = re.compile(r"[^\s\x00-\x1f]+")
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+", re.ASCII)
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_BASE64 = re.compile(r"[0-9A-Za-z+/=\s]*", re.ASCII)

Check = Callable[[Any], str | None]


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _text(value: Any) -> str | None:
    """What is wrong with any primitive that JSON writes as a string."""
    if not isinstance(value, str):
        return "must be a JSON string"
    return None if value else "must not be empty"


def _string(value: Any) -> str | None:
    if fault := _text(value):
        return fault
    if len(value) > MAX_STRING:
        return "is longer than 1 MB"
    if not value.isprintable() and _CONTROL.search(value):
        return "has a control character"
    return None if value.strip() else "is white space alone"


def _matching(pattern: re.Pattern[str], expected: str) -> Check:
    def check(value: Any) -> str | None:
        if fault := _text(value):
            return fault
        return None if pattern.fullmatch(value) else f"is not {expected}"

    return check


def _calendar(pattern: re.Pattern[str], expected: str) -> Check:
    """A date that also exists: R4's regular expressions take 31 February."""

    def check(value: Any) -> str | None:
        if fault := _text(value):
            return fault
        match = pattern.fullmatch(value)
        if match is None:
            return f"is not {expected}"
        year, month, day = (int(match[name] or 1) for name in ("year", "month", "day"))
        try:
            date(year, month, day)
        except ValueError:
            return "is a date that does not exist"
        return None

    return check


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be a JSON true or false"


def _integer(low: int, high: int = 2**31 - 1) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "must be a JSON number without decimals"
        return None if low <= value <= high else f"must be between {low} and {high}"

    return check


def _decimal(value: Any) -> str | None:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return "must be a JSON number"
    if isinstance(value, Decimal):
        is_small = abs(value.adjusted()) <= MAX_EXPONENT
        is_small = is_small and len(value.as_tuple().digits) <= MAX_DIGITS
        return None if is_small else "has too many digits"
    return None if abs(value) < 10**MAX_DIGITS else "has too many digits"


def _base64(value: Any) -> str | None:
    if fault := _text(value):
        return fault
    if not _BASE64.fullmatch(value):
        return "is not base64"
    try:
        binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except binascii.Error:
        return "is not base64"
    return None


def _xhtml(value: Any) -> str | None:
    return _text(value) or xhtml_fault(value)


_ANY_URI = _matching(_URI, "a URI (it has white space)")
CHECKS: dict[str, Check] = {
    "base64Binary": _base64,
    "boolean": _boolean,
    "canonical": _ANY_URI,
    "code": _matching(_CODE, "a code: no white space but single spaces inside"),
    "date": _calendar(_DATE, "a date: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": _calendar(_DATE_TIME, "a dateTime: a date, or a date and time with a zone"),
    "decimal": _decimal,
    "id": _matching(_ID, "an id: 1 to 64 of A-Z, a-z, 0-9, - and ."),
    "instant": _calendar(_INSTANT, "an instant: a date and time to the second, with a zone"),
    "integer": _integer(-(2**31)),
    "markdown": _string,
    "oid": _matching(_OID, "an OID: urn:oid:..."),
    "positiveInt": _integer(1),
    "string": _string,
    "time": _matching(_TIME, "a time: hh:mm:ss without a zone"),
    "unsignedInt": _integer(0),
    "uri": _ANY_URI,
    "url": _ANY_URI,
    "uuid": _matching(_UUID, "a UUID: urn:uuid:... in lower case"),
    "xhtml": _xhtml,
}
