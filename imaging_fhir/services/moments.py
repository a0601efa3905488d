"""Local times as intervals of real time, in microseconds since 1970 UTC (as model.search)."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from imaging_fhir.fhir.search_dates import interval_of_text, micros
from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.settings import zone as named_zone

OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")


def zone_of(text: str) -> tzinfo | None:
    """The zone that an offset (+02:00, Z) or an IANA name stands for."""
    if text == "Z":
        return UTC
    match = OFFSET.fullmatch(text)
    if match is None:
        return named_zone(text)
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def acquired(started: LocalDateTime | None, zone: tzinfo | None) -> tuple[int, int] | None:
    """From when to when the image can have been made; None without a full date and a zone.

    A local time that the clock shows twice counts as both; a date alone is its whole day.
    """
    zone = zone_of(started.offset) if started is not None and started.offset else zone
    if started is None or zone is None or len(started.date) != 10:
        return None
    if started.time is None:
        return instant_bounds(started.date, zone)
    try:
        local = datetime.fromisoformat(f"{started.date}T{started.time}")
    except ValueError:  # such as a leap second
        return None
    readings = [micros(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)]
    return min(readings), max(readings)


def period(value: dict[str, str], *, open_days: int) -> tuple[int, int]:
    """A FHIR Period; with a start and no end it is open for a number of days."""
    low = instant_bounds(value["start"])[0] if "start" in value else OPEN_LOW
    if "end" in value:
        return low, instant_bounds(value["end"])[1]
    return low, (low + open_days * 86_400_000_000) if low != OPEN_LOW else OPEN_HIGH


def instant_bounds(text: str, zone: tzinfo = UTC) -> tuple[int, int]:
    """The first and the last microsecond that a FHIR dateTime can mean; none where it is none."""
    interval = interval_of_text(text, zone)
    return (OPEN_HIGH, OPEN_LOW) if interval is None else (interval[0], interval[1] - 1)
