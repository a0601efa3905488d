"""Where on the index of a date those entries lie that fulfil what a search asks of that date.

Only of what a resource has one value of. Of `MOMENTS` that is a date or time. A date without a time
lasts long, but begins with its day, month or year: what reaches into a range begins in it, or at
one of few midnights before it. Of `SPANS` it may be a Period, which may have begun at any time
before: the one window ends with the range, and what in it was over before the range is told from
the index itself. The windows leave out nothing that fulfils the criteria; what else lies in them is
for the criteria themselves to tell.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from imaging_fhir.model.search import (
    MOMENTS,
    OPEN_HIGH,
    OPEN_LOW,
    SPANS,
    AnyCriterion,
    Criterion,
    DateValue,
)

Window = tuple[int, int]  # of `low`: half open, microseconds since 1970 UTC
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)  # no zone is that far from UTC
LONGEST_DAY = timedelta(days=2)  # some lasted so long, where a zone went over the date line
EARLIEST = (datetime(2, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST = (datetime(9998, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""A date of the year 9999 lasts for ever."""


def windows(
    resource_type: str, parameter: str, criteria: Iterable[AnyCriterion]
) -> list[Window] | None:
    """Apart from each other, the earliest first; None: anywhere."""
    asked = list(values_of(parameter, criteria))
    name = f"{resource_type}.{parameter}"
    if name not in MOMENTS | SPANS or not asked:
        return None
    reaches = [[reach(value) for value in values] for values in asked]
    start = max(min(low for low, _ in one) for one in reaches)
    end = min(max(high for _, high in one) for one in reaches)
    if name in SPANS:
        begin = max(min(map(begin_of, values)) for values in asked)
        return [(begin, end)] if begin < end else []
    return merged((low, min(high, end)) for low, high in begins_of(start) if low < end)


def lasting_beyond(
    resource_type: str, parameter: str, criteria: Iterable[AnyCriterion]
) -> int | None:
    """What fulfils the criteria ends after this; None: there is no such instant."""
    asked = list(values_of(parameter, criteria))
    if f"{resource_type}.{parameter}" not in SPANS or not asked:
        return None
    return max(min(reach(value)[0] for value in values) for values in asked)


def begin_of(value: DateValue) -> int:
    """What fulfils it does not begin before."""
    return {"eq": value.low, "sa": value.high}.get(value.prefix, OPEN_LOW)


def values_of(parameter: str, criteria: Iterable[AnyCriterion]) -> Iterator[list[DateValue]]:
    """Of each criterion that nothing without that date fulfils, the alternatives."""
    for criterion in criteria:
        if not isinstance(criterion, Criterion) or criterion.parameter != parameter:
            continue
        if criterion.type == "date" and criterion.modifier is None and not criterion.chain:
            yield [value for value in criterion.values if isinstance(value, DateValue)]


def reach(value: DateValue) -> Window:
    """What fulfils it lasts beyond the first, and begins before the second."""
    match value.prefix:
        case "ne":
            return OPEN_LOW, OPEN_HIGH
        case "gt" | "sa":
            return value.high, OPEN_HIGH
        case "ge":
            return value.low, OPEN_HIGH
        case "lt" | "eb":
            return OPEN_LOW, value.low
        case "le":
            return OPEN_LOW, value.high
    return value.low, value.high


def begins_of(start: int) -> list[Window]:
    """Where begins what lasts beyond the instant."""
    if not EARLIEST <= start < LATEST:
        return [(OPEN_LOW, OPEN_HIGH)]
    instant = EPOCH + timedelta(microseconds=start)
    midnights = set()
    for local in (instant - A_DAY, instant + A_DAY):
        month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        midnights |= {month, month.replace(month=1)}
    around = [(micros(one - A_DAY), micros(one + A_DAY)) for one in midnights]
    return [*around, (micros(instant - LONGEST_DAY), OPEN_HIGH)]


def merged(found: Iterable[Window]) -> list[Window]:
    apart: list[Window] = []
    for low, high in sorted(found):
        if apart and low <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(high, apart[-1][1]))
        else:
            apart.append((low, high))
    return apart


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def ahead(window: Window, value: int, descending: bool) -> Window:
    """What is left from a value in it on, in that direction."""
    low, high = window
    return (low, value + 1) if descending else (value, high)
