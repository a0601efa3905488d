"""A date, time or Period as the interval of real time that it stands for (search.html#date)."""

import re
from datetime import MAXYEAR, UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW

Interval = tuple[int, int]  # half open, microseconds since 1970 UTC
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|([+-])(\d\d):(\d\d))?", re.ASCII
)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def interval_of_text(text: str, zone: tzinfo) -> Interval | None:
    """What a date or dateTime can mean: a year all its days, a second all its parts.

    None where it is neither. `zone` is that of a date, and of a time without one.
    """
    try:
        if date := _DATE.fullmatch(text):
            return _interval_of_date(date, zone)
        if time := _TIME.fullmatch(text):
            return _interval_of_time(time, zone)
    except (ValueError, OverflowError):  # a day that no calendar has
        return None
    return None


def _interval_of_date(match: re.Match[str], zone: tzinfo) -> Interval:
    year, month, day = (int(part) if part else None for part in match.groups())
    first = datetime(year or 0, month or 1, day or 1, tzinfo=zone)
    if year == MAXYEAR:
        return micros(first), OPEN_HIGH
    if day:
        following = first + timedelta(days=1)  # in local time: a day may have 23 or 25 hours
    elif month:
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        following = first.replace(year=first.year + 1)
    return micros(first), micros(following)


def _interval_of_time(match: re.Match[str], zone: tzinfo) -> Interval:
    minute, second, fraction, offset, sign, hours, minutes = match.groups()
    if offset and offset != "Z":
        ahead = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(ahead if sign == "+" else -ahead)
    elif offset:
        zone = UTC
    low = micros(datetime.fromisoformat(minute).replace(tzinfo=zone))
    if second is None:
        return low, low + 60 * SECOND
    if int(second) > 60:
        raise ValueError("There is no such second.")
    low += min(int(second), 59) * SECOND  # a leap second is part of the one before it
    if fraction is None:
        return low, low + SECOND
    digits = fraction[:6]
    step = 10 ** (6 - len(digits))
    low += int(digits) * step
    return low, low + step


def interval_of(value: Any, zone: tzinfo) -> Interval | None:
    """The interval of a date, dateTime, instant, Period or Timing of a resource."""
    if isinstance(value, str):
        return interval_of_text(value, zone)
    if not isinstance(value, dict):
        return None
    if "start" in value or "end" in value:
        return _interval_of_period(value, zone)
    return _interval_of_timing(value, zone)


def _interval_of_period(period: dict[str, Any], zone: tzinfo) -> Interval | None:
    start = interval_of_text(period["start"], zone) if "start" in period else None
    end = interval_of_text(period["end"], zone) if "end" in period else None
    if start is None and end is None:
        return None
    return start[0] if start else OPEN_LOW, end[1] if end else OPEN_HIGH


def _interval_of_timing(timing: dict[str, Any], zone: tzinfo) -> Interval | None:
    """From the first event to the last (search.html#date)."""
    values = [*timing.get("event", ()), timing.get("repeat", {}).get("boundsPeriod")]
    found = [interval for value in values if value and (interval := interval_of(value, zone))]
    if not found:
        return None
    return min(low for low, _ in found), max(high for _, high in found)
