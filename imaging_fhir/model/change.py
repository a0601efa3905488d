"""What happened to a resource, as subscriptions are told of it: shared by fhir and storage."""

from enum import IntFlag

from imaging_fhir.model.codec import Resource


class Change(IntFlag):
    CREATED = 1
    UPDATED = 2
    MOVED = 4  # to another patient or visit
    DELETED = 8  # for the audit trail alone


def told(changes: int) -> Change:
    """What several changes in a row amount to: what was created is new, whatever came after."""
    return Change.CREATED if changes & Change.CREATED else Change(changes)


def is_moved(before: Resource, after: Resource) -> bool:
    """Is it another's now, or of another visit?"""
    return places(before) != places(after)


def places(resource: Resource) -> list[str | None]:
    visits = resource.get("context", {}).get("encounter", [])
    listed = [resource.get("subject", {}), resource.get("encounter", {}), *visits]
    return [one.get("reference") for one in listed]
