"""Dates, times, zones, UIDs and names of DICOM (PS3.5 6.2) as the model has them.

Each function answers None for a value that is malformed: nothing is repaired into a guess.
"""

import re
from datetime import date

from imaging_fhir.model.person import NameComponents, PersonName
from imaging_fhir.model.study import LocalDateTime

MAX_UNSIGNED_INT = 2**31 - 1  # of FHIR's unsignedInt

_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d)?)?", re.ASCII)
_OLD_DATE = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)", re.ASCII)  # ACR-NEMA 300
_TIME = re.compile(r"(\d\d)(\d\d)(?:(\d\d)(?:\.(\d{1,6})\d*)?)?", re.ASCII)
_OLD_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?", re.ASCII)
_ZONE = re.compile(r"([+-])(\d\d)(\d\d)", re.ASCII)
_DATE_TIME = re.compile(r"(\d{4,8})(\d{2}\d*(?:\.\d+)?)?([+-]\d{4})?", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)
_STRICT_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII)


def fhir_date(text: str) -> str | None:
    """YYYY, YYYY-MM or YYYY-MM-DD of a DA value, also in the form of ACR-NEMA."""
    match = _DATE.fullmatch(text) or _OLD_DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = match.groups()
    if not is_calendar_date(int(year), int(month or 1), int(day or 1)):
        return None
    return "-".join(part for part in (year, month, day) if part)


def is_calendar_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def fhir_time(text: str) -> str | None:
    """HH:MM:SS with up to six decimals; a leap second is the second before it.

    An hour alone is no time of FHIR's. Seconds that are not given are zero, as FHIR fills them.
    """
    match = _TIME.fullmatch(text) or _OLD_TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return None
    whole = f"{hour}:{minute}:{'59' if second == '60' else second or '00'}"
    return f"{whole}.{fraction}" if fraction else whole


def fhir_offset(text: str) -> str | None:
    """+HH:MM of TimezoneOffsetFromUTC: -1200 to +1400, and no -0000 (PS3.3 C.12.1.1.8)."""
    match = _ZONE.fullmatch(text)
    if match is None or text == "-0000":
        return None
    sign, hours, minutes = match.groups()
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > (14 * 60 if sign == "+" else 12 * 60):
        return None
    return f"{sign}{hours}:{minutes}"


def local_date_time(text: str) -> LocalDateTime | None:
    """A DT value; its own offset, where it has one, is kept."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    day, time, zone = match.groups()
    started = fhir_date(day)
    clock = fhir_time(time) if time else None
    offset = fhir_offset(zone) if zone else None
    if started is None or (time and not clock) or (zone and not offset):
        return None
    return LocalDateTime(date=started, time=clock, offset=offset if clock else None)


def is_uid(text: str) -> bool:
    """Up to 64 digits and dots; stricter rules would refuse images that exist."""
    return bool(_UID.fullmatch(text))


def is_strict_uid(text: str) -> bool:
    """PS3.5 9.1: components without leading zeros."""
    return bool(_STRICT_UID.fullmatch(text))


def unsigned_int(number: object) -> int | None:
    """FHIR's unsignedInt, or None."""
    if isinstance(number, int) and 0 <= number <= MAX_UNSIGNED_INT:
        return number
    return None


def person_name(groups: dict[str, str]) -> PersonName | None:
    name = PersonName(
        alphabetic=name_components(groups.get("Alphabetic", "")),
        ideographic=name_components(groups.get("Ideographic", "")),
        phonetic=name_components(groups.get("Phonetic", "")),
    )
    return None if name == PersonName() else name


def name_components(text: str) -> NameComponents | None:
    """Family^given^middle^prefix^suffix (PS3.5 6.2.1.1)."""
    parts = [part.strip() for part in text.split("^")][:5]
    if not any(parts):
        return None
    family, given, middle, prefix, suffix = parts + [""] * (5 - len(parts))
    return NameComponents(
        family=family or None,
        given=tuple(part for part in (given, middle) if part),
        prefix=(prefix,) if prefix else (),
        suffix=(suffix,) if suffix else (),
    )
