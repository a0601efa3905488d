"""What the rules of linking make of an image, told rule by rule; nothing of it is stored."""

from dataclasses import dataclass
from typing import Literal

List = Literal["patient", "visit"]
RuleState = Literal["decides", "overruled", "switched-off", "does-not-apply", "not-reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedRule:
    """A row of the policy's tables. `there` is told by kinds, and has no value of the file."""

    list: List
    name: str
    needs: str
    proves: str
    state: RuleState
    there: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A Patient or visit that the evidence leads to; without a reference, the caller may not know
    which.
    """

    list: List
    reference: str | None
    taken: bool
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkMade:
    """The link that an image here has; `recorded` is in milliseconds since 1970 UTC."""

    target: str
    recorded: int
    patient_rule: str
    patient_reason: str
    encounter_rule: str
    encounter_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkExplanation:
    """`state` is what would become of the image: refused is an answer of an error, nothing kept.

    `patient` is None where it is held, and where a provisional one would be made.
    """

    state: Literal["filed", "held", "refused"]
    patient_rule: str
    patient_reason: str
    patient: str | None = None
    encounter_rule: str = ""
    encounter_reason: str = ""
    encounter: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()  # its kind, and what there is of it
    rules: tuple[TriedRule, ...] = ()
    candidates: tuple[Considered, ...] = ()
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  # what would change it
    made: LinkMade | None = None  # of an image that is here
