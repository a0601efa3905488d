"""Whose image it is, at which visit, and how that was found out."""

from dataclasses import dataclass, field
from typing import Literal

OWN_ID = ""  # the system of an awaited number that is the id of the resource itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the sender says beside the file: evidence, not an override."""

    patient: str | None = None  # Patient/<id>
    encounter: str | None = None  # Encounter/<id>
    type: str | None = None  # system|code of DocumentReference.type, or its text
    body_site: str | None = None  # system|code, or its text
    laterality: str | None = None  # R, L, B, or system|code
    description: str | None = None
    date: str | None = None  # FHIR dateTime of capture


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided of whose image it is: no rule and no news changes it.

    Of no patient, it is in nobody's chart. Of no encounter, the rules look for the visit. With a
    `source`, that decided it: a person's decision takes its place, never the other way round.
    """

    patient: str | None  # Patient/<id>
    encounter: str | None = None  # Encounter/<id>
    source: str = ""  # id of an authoritative one; empty: a person


@dataclass(frozen=True, slots=True, kw_only=True)
class EhrWord:
    """Whether the EHR answered what was asked about an image; `at` is in ms since 1970 UTC.

    `at` is when it said what it said, or when it was asked in vain.
    """

    answered: bool
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The decision and its reasons; the reasons name no patient.

    `rule`s are the names in services/linking: they are stored, shown, and stable.
    """

    state: Literal["filed", "held"]
    patient: str | None = None  # Patient/<id>; None when held
    patient_rule: str
    patient_reason: str
    encounter: str | None = None  # Encounter/<id>
    encounter_rule: str = "no-evidence"
    encounter_reason: str = ""
    encounter_identifier: tuple[str | None, str] | None = None  # (system, value) nobody knows yet
    based_on: tuple[str, ...] = ()  # ServiceRequest/<id> of the orders that are known
    awaited: tuple[tuple[str, str, str], ...] = field(default=())  # (type, system, value)
    ehr: Literal["", "confirmed", "unconfirmed", "waiting"] = ""  # empty: it was not asked
    ehr_at: int = 0  # when it said so, or was asked in vain, in milliseconds since 1970 UTC


def id_of(reference: str | None) -> str | None:
    """`5` of `Patient/5`."""
    return None if reference is None else reference.rpartition("/")[2]
