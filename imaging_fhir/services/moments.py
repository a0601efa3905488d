"""Local times as intervals of real time, in microseconds since 1970 UTC (as model.search)."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.settings import zone as named_zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def acquired(started: LocalDateTime | None, zone: tzinfo | None) -> tuple[int, int] | None:
    """From when to when the image can have been made; None without a full date and a zone.

    A local time that the clock shows twice counts as both; a date alone is its whole day.
    """
    zone = zone_of(started.offset) if started is not None and started.offset else zone
    if started is None or zone is None or len(started.date) != 10:
        return None
    if started.time is None:
        midnight = datetime.fromisoformat(started.date)
        return (
            micros(midnight.replace(tzinfo=zone)),
            micros((midnight + timedelta(days=1)).replace(tzinfo=zone)),
        )
    local = datetime.fromisoformat(f"{started.date}T{started.time}")
    readings = [micros(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)]
    return min(readings), max(readings)


def period(value: dict[str, str], *, open_days: int) -> tuple[int, int]:
    """A FHIR Period; with a start and no end it is open for a number of days."""
    low = instant_bounds(value["start"])[0] if "start" in value else OPEN_LOW
    if "end" in value:
        return low, instant_bounds(value["end"])[1]
    return low, (low + open_days * 86_400_000_000) if low != OPEN_LOW else OPEN_HIGH


def instant_bounds(text: str) -> tuple[int, int]:
    """The first and the last microsecond that a FHIR dateTime can mean, dates read in UTC."""
    if "T" in text:
        moment = micros(datetime.fromisoformat(text))
        return moment, moment
    year, month, day = [*(int(part) for part in text.split("-")), None, None][:3]
    start = datetime(year or 1, month or 1, day or 1, tzinfo=UTC)
    if day is not None:
        following = start + timedelta(days=1)
    elif month is not None:
        following = (start + timedelta(days=31)).replace(day=1)
    else:
        following = start.replace(year=start.year + 1)
    return micros(start), micros(following) - 1
