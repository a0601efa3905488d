"""What a person of each role may do, and what of that an app is given.

The one table of roles. An app never gets more than it asks for, than it is registered for, and than
the person may do who lets it in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product

from imaging_fhir.model.caller import EVERY_TYPE, Scope
from imaging_fhir.smart.scope import MOST, parse_scope, parse_scopes, written

ROLE_SCOPES: Mapping[str, str] = {
    "clinician": (
        "user/*.rs user/ImagingStudy.cruds user/DocumentReference.cruds user/Binary.cruds "
        "user/Task.cruds"
    ),
    "uploader": (
        "user/ImagingStudy.c user/DocumentReference.c user/Binary.c user/Patient.rs "
        "user/Encounter.rs"
    ),
    "administrator": "user/*.cruds",
    "patient": "patient/*.rs",
}
OF_LAUNCH = frozenset(  # scopes that open nothing by themselves
    {
        "openid",
        "fhirUser",
        "profile",
        "launch",
        "launch/patient",
        "launch/encounter",
        "launch/imagingstudy",
        "offline_access",
        "online_access",
    }
)


def scopes_of_roles(roles: Iterable[str]) -> tuple[Scope, ...]:
    """In the order of the table, whatever other roles there are."""
    named = set(roles)
    text = " ".join(scopes for role, scopes in ROLE_SCOPES.items() if role in named)
    return parse_scopes(text)


def may_choose_patients(roles: Iterable[str]) -> bool:
    """Whoever may read more than the own record."""
    return any(
        scope.context == "user" and scope.resource_type in (EVERY_TYPE, "Patient")
        for scope in scopes_of_roles(roles)
    )


def granted_to_person(asked: str, registered: str, roles: Iterable[str]) -> tuple[str, ...]:
    """The scopes that are left of those asked for, in their words where nothing was taken away."""
    open_to_person = scopes_of_roles(roles)
    allowed = [*open_to_person, *as_of_patient(open_to_person)]
    return tuple(
        dict.fromkeys(
            narrowed
            for text in words(asked)
            for once in allowed_part(text, registered)
            for narrowed in part_within(once, allowed)
        )
    )


def granted_to_system(asked: str, registered: str) -> tuple[str, ...]:
    """Of a back end: `system/` scopes alone."""
    found = (part for text in words(asked) for part in allowed_part(text, registered))
    return tuple(dict.fromkeys(text for text in found if text.startswith("system/")))


def words(text: str) -> list[str]:
    return list(dict.fromkeys(text.split()))[:MOST]


def allowed_part(text: str, registered: str) -> list[str]:
    """What of one scope is within those that a client is registered for."""
    if parse_scope(text) is None:
        return [text] if text in OF_LAUNCH and text in words(registered) else []
    return list(part_within(text, parse_scopes(registered)))


def part_within(text: str, allowed: Iterable[Scope]) -> Iterator[str]:
    """As it is, where it is allowed as a whole; else each part that is."""
    scope = parse_scope(text)
    if scope is None:
        yield text
        return
    parts = [part for one in allowed if (part := both(scope, one)) is not None]
    if scope in parts:
        yield text
    else:
        yield from (written(one) for one in without_smaller(parts))


def both(asked: Scope, allowed: Scope) -> Scope | None:
    """What is within both; None: nothing."""
    types = {asked.resource_type, allowed.resource_type}
    specific = types - {EVERY_TYPE}
    permissions = asked.permissions & allowed.permissions
    if asked.context != allowed.context or len(specific) > 1 or not permissions:
        return None
    return Scope(
        context=asked.context,
        resource_type=next(iter(specific), EVERY_TYPE),
        permissions=permissions,
        parameters=tuple(dict.fromkeys((*asked.parameters, *allowed.parameters))),
    )


def without_smaller(scopes: list[Scope]) -> list[Scope]:
    found = list(dict.fromkeys(scopes))
    smaller = {one for one, other in product(found, found) if one != other and covers(other, one)}
    return [one for one in found if one not in smaller]


def covers(larger: Scope, smaller: Scope) -> bool:
    return both(smaller, larger) == smaller


def as_of_patient(scopes: Iterable[Scope]) -> Iterator[Scope]:
    """Who may see every patient may let an app see one."""
    for scope in scopes:
        if scope.context == "user":
            yield replace(scope, context="patient")
