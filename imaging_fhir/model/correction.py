"""What a person corrected, and how it was before: enough to undo it."""

from dataclasses import dataclass
from typing import Literal

from imaging_fhir.model.link import Decision, Link
from imaging_fhir.model.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a person decided of the images of a study that name that person."""

    person: Person
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKey:
    """A series as it was sent."""

    origin: str  # StudyInstanceUID
    original: str  # SeriesInstanceUID
    of_person: bool  # only what names one person of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Relinked:
    """A study or document that a person filed, moved or rejected; the rest is how it was."""

    kind: Literal["study", "document"]
    pk: int
    state: str  # filed, held
    link: Link
    decision: Decision | None
    task: int | None = None  # row of the Task, where it was held
    overlay: bytes | None = None  # what users had written, of an image of another patient too
    decided: Decision  # by this correction
    corrected: bool = False  # the study was one whose files name somebody else
    decisions: tuple[Decided, ...] = ()  # of others whom its images name
    joined: bool = False  # its images are one with those of the study that was filed already
    origin: str | None = None  # StudyInstanceUID of the study that it was a held part of
    parted: tuple[SeriesKey, ...] = ()  # of which it had a part, and another study the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Refiled:
    """The link of an image before its Patient was merged."""

    pk: int
    link: Link
    corrected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedPatient:
    """A Patient whose place another took."""

    source: str  # id of the Patient
    target: str
    active: bool | None  # of the source, as it was
    given: tuple[int, ...] = ()  # which of the source's identifiers the target was given
    # Type, id and where in it (names and positions, with dots) the source was referred to
    rewritten: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    studies: tuple[Refiled, ...] = ()
    documents: tuple[Refiled, ...] = ()
    stamp: int = 0  # of the merge, in milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOff:
    """Instances that became another Patient's study."""

    study: int  # key of the one that they were in
    part: int  # of their own
    decided: Decision
    moved: int  # so many instances
    total: int  # of so many
    left: tuple[Person, ...] = ()  # whom no other instance of the study names
    parted: tuple[SeriesKey, ...] = ()  # of which a part stays where all of it had been moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One of the three."""

    relinked: Relinked | None = None
    merged: MergedPatient | None = None
    split: SplitOff | None = None

    @property
    def subject(self) -> str:
        """What was corrected: of two corrections of the same, the later is undone first."""
        if self.relinked is not None:
            return f"{self.relinked.kind} {self.relinked.pk}"
        if self.split is not None:
            return subject_of_study(self.split.study)
        return subject_of_patient(self.merged.source) if self.merged else ""


def subject_of_patient(id_: str) -> str:
    return f"Patient {id_}"


def subject_of_study(pk: int) -> str:
    return f"study {pk}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What became of it: the resource that it ended in, and the Provenance that says so."""

    text: str
    result: str  # Type/<id>
    provenance: str | None = None  # Provenance/<id>; None for a preview
