"""What an image says of whose it is, and what the rules make of it."""

from dataclasses import dataclass, field
from datetime import tzinfo

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Decision, EhrWord, Given
from imaging_fhir.model.person import IssuedId, Person, Visit
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.settings import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that one study or document says about whose it is."""

    person: Person = field(default_factory=Person)
    visit: Visit = field(default_factory=Visit)
    accession_numbers: tuple[IssuedId, ...] = ()
    study_instance_uid: str = ""  # empty of what is no DICOM
    started: LocalDateTime | None = None
    modalities: tuple[str, ...] = ()  # all of the study
    zone: tzinfo | None = None
    given: Given = field(default_factory=Given)
    ehr: EhrWord | None = None  # whether the EHR was asked about this, and answered
    decision: Decision | None = None  # what a person said comes before all rules
    source: Source
    is_study: bool = True  # a study that names nobody gets a provisional Patient, a photo is held


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientMatch:
    rule: str
    reason: str
    patient: Resource | None = None  # None: nobody known
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EncounterMatch:
    rule: str
    reason: str
    encounter: Resource | None = None
    identifier: tuple[str | None, str] | None = None
    contradicts: bool = False  # it is a visit of somebody else: hold the image
