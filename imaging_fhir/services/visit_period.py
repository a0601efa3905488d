"""When a visit was on: which of a patient's Encounters cover the time an image was made."""

from collections.abc import Sequence
from datetime import tzinfo

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import local_id
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.policy import NO_TOLERANCE, Tolerance
from imaging_fhir.services.moments import acquired, period

# How long a visit without an end counts as open, in days, by Encounter.class.
OPEN_DAYS = {"IMP": 60, "ACUTE": 60, "NONAC": 60, "EMER": 3, "OBSENC": 7, "SS": 2}
OPEN_DAYS_OTHERWISE = 1
MINUTE, DAY = 60_000_000, 86_400_000_000  # microseconds
NOT_THERE = frozenset({"planned", "reserved"})  # of Encounter.location.status
VISITED = frozenset({"arrived", "triaged", "in-progress", "onleave", "finished"})


def open_days(encounter: Resource) -> int:
    """How long it counts as open where it has no end."""
    return OPEN_DAYS.get(encounter.get("class", {}).get("code", ""), OPEN_DAYS_OTHERWISE)


def covers(
    encounter: Resource,
    started: LocalDateTime | None,
    zone: tzinfo | None,
    tolerance: Tolerance = NO_TOLERANCE,
) -> bool:
    """Whether the visit was on when the image was made, or began or ended shortly after or before.

    With no zone known only the days are compared, as each was written down, and of the tolerance
    its whole days count.
    """
    value = encounter.get("period", {})
    if "start" not in value or started is None:
        return False
    made = acquired(started, zone)
    before = tolerance.before_admission * MINUTE
    after = tolerance.after_discharge * MINUTE if "end" in value else 0
    low, high = period(value, open_days=open_days(encounter))
    if made is not None:
        return made[0] <= high + after and low - before <= made[1]
    before, after = before // DAY * DAY, after // DAY * DAY
    day = acquired(LocalDateTime(date=started.date, offset="Z"), None)
    first = period({"start": value["start"][:10]}, open_days=0)[0]
    last = period({"end": value["end"][:10]}, open_days=0)[1] if "end" in value else high
    return day is not None and day[0] <= last + after and first - before < day[1]


def was_at(
    encounter: Resource, place: str, started: LocalDateTime | None, zone: tzinfo | None
) -> bool:
    """Whether the visit was at that Location (as it refers to it) when the image was made."""
    return any(
        covers(
            {**encounter, "period": {**encounter.get("period", {}), **one.get("period", {})}},
            started,
            zone,
        )
        for one in encounter.get("location", ())
        if one.get("status") not in NOT_THERE and refers_to(one.get("location"), place)
    )


def refers_to(reference: Resource | None, place: str) -> bool:
    text = (reference or {}).get("reference", "")
    return bool(text.partition("/_history/")[0] == place)


def without_outer(encounters: Sequence[Resource]) -> list[Resource]:
    """Of visits nested by partOf, the innermost."""
    outer = {local_id(encounter.get("partOf"), "Encounter") for encounter in encounters}
    return [encounter for encounter in encounters if encounter["id"] not in outer]
