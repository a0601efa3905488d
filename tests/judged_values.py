"""What dates and measures mean in a search, told from R4's text alone (search.html#prefix)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Interval = tuple[int, int]  # half open, microseconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UCUM = "http://unitsofmeasure.org"
SAME_KIND = {  # what occurs among the resources, in units of one another
    "g/dL": ("mg/dL", Decimal(1000)),
    "kg": ("pg", Decimal(10) ** 15),
    "10*6/uL": ("10*3/uL", Decimal(1000)),
}


def prefixed(text: str) -> tuple[str, str]:
    known = text[:2] in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
    return (text[:2], text[2:]) if known else ("eq", text)


def interval(text: str, zone: Any) -> Interval:
    """All that a date of this precision can be."""
    match = re.fullmatch(
        r"(\d+)(?:-(\d+))?(?:-(\d+))?(?:T(\d+):(\d+)(?::(\d+)(\.\d+)?)?(Z|[+-]\d+:\d+)?)?", text
    )
    assert match, text
    _year, month, day, _hour, minute, second, fraction, offset = match.groups()
    numbers = [int(part or least) for part, least in zip(match.groups()[:6], "111000", strict=True)]
    start = datetime(*numbers, tzinfo=zone or UTC)  # type: ignore[misc,arg-type]
    if offset:
        sign = -1 if offset.startswith("-") else 1
        hours, minutes = (0, 0) if offset == "Z" else map(int, offset[1:].split(":"))
        start = start.replace(tzinfo=UTC) - sign * timedelta(hours=hours, minutes=minutes)
    low = micros(start)
    if fraction:
        step = 10 ** max(0, 7 - len(fraction))
        low += int(fraction[1:7].ljust(6, "0"))
        return low, low + step
    if second or minute:
        return low, low + (1_000_000 if second else 60_000_000)
    if day:
        return low, micros(start + timedelta(days=1))
    following = (
        start.year + (not month or start.month == 12),
        start.month % 12 + 1 if month else 1,
    )
    return low, micros(start.replace(year=following[0], month=following[1]))


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def contains_date(known: Interval, asked: Interval, prefix: str) -> bool:
    """`known` is the resource's; gt and lt ask for an overlap with what lies beyond."""
    within = asked[0] <= known[0] and known[1] <= asked[1]
    after, before = known[1] > asked[1], known[0] < asked[0]
    return {
        "eq": within,
        "ne": not within,
        "gt": after,
        "lt": before,
        "ge": after or within,
        "le": before or within,
        "sa": known[0] >= asked[1],
        "eb": known[1] <= asked[0],
        "ap": near(known, asked),
    }[prefix]


def near(known: Interval, asked: Interval) -> bool:
    """Within a tenth of the distance from now."""
    margin = abs(micros(datetime.now(UTC)) - (asked[0] + asked[1]) // 2) // 10
    return known[0] < asked[1] + margin and known[1] > asked[0] - margin


@dataclass(frozen=True)
class Measure:
    low: float
    high: float
    system: str | None = None
    code: str | None = None
    unit: str | None = None


def measure(value: Any) -> Measure | None:
    """A Quantity, a SampledData, or a number."""
    if isinstance(value, int | float | Decimal):
        return Measure(float(value), float(value))
    origin = value.get("origin", value)
    unit = (origin.get("system"), origin.get("code"), origin.get("unit"))
    if "origin" in value:
        points = [one for one in value.get("data", "").split() if one not in ("E", "U", "L")]
        scaled = [
            float(origin["value"]) + float(value.get("factor", 1)) * float(one) for one in points
        ]
        return Measure(min(scaled), max(scaled), *unit) if scaled else None
    if "value" not in value:
        return None
    number, comparator = float(value["value"]), value.get("comparator", "")
    low = float("-inf") if "<" in comparator else number
    return Measure(low, float("inf") if ">" in comparator else number, *unit)


@dataclass(frozen=True)
class Asked:
    value: Decimal
    low: Decimal
    high: Decimal

    def times(self, factor: Decimal) -> "Asked":
        return Asked(self.value * factor, self.low * factor, self.high * factor)


def precision(value: Decimal, prefix: str) -> Asked:
    half = Decimal(5).scaleb(int(value.as_tuple().exponent) - 1)
    margin = max(half, abs(value) / 10) if prefix == "ap" else half
    return Asked(value, value - margin, value + margin)


def contains_number(known: Measure, asked: Asked, prefix: str, unit: list[str]) -> bool:
    factor = Decimal(1)
    if unit:
        system, code = unit
        if system and known.system != system:
            return False
        if not system and code and code not in (known.code, known.unit):
            return False
        if system and code and known.code != code:
            factor = ratio(code, known.code)
            if not factor:
                return False
    return compared(known, asked.times(factor), prefix)


def ratio(code: str, known: str | None) -> Decimal:
    """How many of the known unit one of the other is; 0 where they are of two kinds."""
    if SAME_KIND.get(code, ("", 0))[0] == known:
        return SAME_KIND[code][1]
    if known in SAME_KIND and SAME_KIND[known][0] == code:
        return 1 / SAME_KIND[known][1]
    return Decimal(0)


def compared(known: Measure, asked: Asked, prefix: str) -> bool:
    low, high, value = float(asked.low), float(asked.high), float(asked.value)
    within = (low <= known.low and known.high < max(high, value + 1e-300)) or (
        known.low == known.high == value
    )
    return {
        "eq": within,
        "ne": not within,
        "gt": known.high > value,
        "lt": known.low < value,
        "ge": known.high >= value,
        "le": known.low <= value,
        "sa": known.low > value,
        "eb": known.high < value,
        "ap": known.low <= high and known.high >= low,
    }[prefix]
