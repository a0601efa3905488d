"""An image on its way in: what is known of it when its transaction begins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from imaging_fhir.model.codec import encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import EhrWord, Given
from imaging_fhir.model.person import Person
from imaging_fhir.model.study import DicomInstance, ReadWarning
from imaging_fhir.settings import Source

Verdict = Literal["same", "lossless", "renamed", "lossy", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """`comparisons`: how its data set compares with instances that have its SOP Instance UID."""

    source: Source
    given: Given
    zone: str  # of the source or the site; empty when unknown
    ehr: EhrWord | None = None  # what was asked of the EHR before the transaction
    comparisons: Mapping[int, Verdict] = field(default_factory=dict)  # by key of `instance`
    data_set_sha256: str = ""  # only where something was compared


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomArrival(Arrival):
    image: DicomInstance

    @property
    def identity(self) -> str:
        return identity_of(self.image.person, self.given)


def identity_of(person: Person, given: Given) -> str:
    """What makes the person named in one file the same as in another file of the study."""
    return sha256(encode((person, given.patient, given.encounter))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentArrival(Arrival):
    document: Document
    sha1_base64: str
    size: int


class ComparisonNeeded(Exception):
    """Other bytes are kept under this SOP Instance UID: compare first, then file again."""

    def __init__(self, instance: int, sha256: str, size: int, generation: int) -> None:
        super().__init__("The same SOP Instance UID is kept with other bytes.")
        self.instance = instance
        self.sha256 = sha256
        self.size = size
        self.generation = generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """What became of one image.

    `status` is 201 (new), 200 (known already) or 202 (kept, but held or as a conflict).
    """

    status: Literal[200, 201, 202]
    location: str  # ImagingStudy/…, DocumentReference/… or Task/…
    patient: str | None = None
    encounter: str | None = None
    rule: str = ""
    reason: str = ""
    encounter_rule: str = ""
    encounter_reason: str = ""
    warnings: tuple[ReadWarning, ...] = ()
    retrieved_as: tuple[str, str, str] | None = None  # study, series and instance, not the file's
