"""One DICOM SOP Instance as far as FHIR is concerned, level by level (PS3.3 A.1).

Each level's attributes are a value of their own, so that two instances which agree on their
study and series can be told so by comparing them.
"""

from dataclasses import dataclass, field

from imaging_fhir.model.person import IssuedId, Person, PersonName, Visit

DicomJson = dict[str, dict[str, object]]  # tag as 8 hex digits -> {"vr": ..., "Value": [...]}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDateTime:
    """A date and time as written, before a time zone is settled.

    `date` is YYYY, YYYY-MM or YYYY-MM-DD; `time` is HH:MM:SS with up to six decimals and comes
    only with a full date; `offset` is +HH:MM, -HH:MM or Z where the file itself says it.
    """

    date: str
    time: str | None = None
    offset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedConcept:
    """An item of a code sequence (PS3.3 8.8)."""

    code_value: str | None = None
    coding_scheme_designator: str | None = None
    coding_scheme_uid: str | None = None  # from CodingSchemeIdentificationSequence or 8.8 itself
    code_meaning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonReference:
    """A physician or operator: a name, and the codes of the Identification Sequence (10.1)."""

    name: PersonName | None = None
    identification_codes: tuple[CodedConcept, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """PS3.3 C.7.5.1 General Equipment; of a photo, what EXIF says of the camera."""

    manufacturer: str | None = None
    manufacturer_model_name: str | None = None
    device_serial_number: str | None = None
    station_name: str | None = None
    software_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """An item of SpecimenDescriptionSequence (PS3.3 C.7.6.22)."""

    specimen_identifier: IssuedId | None = None
    specimen_uid: str | None = None
    specimen_type: CodedConcept | None = None
    short_description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAttributes:
    """PS3.3 C.7.2.1, C.7.2.2 and what a request says of the study."""

    study_instance_uid: str
    study_id: str | None = None
    accession_numbers: tuple[IssuedId, ...] = ()  # the study's own first, then the requests'
    placer_order_numbers: tuple[IssuedId, ...] = ()
    filler_order_numbers: tuple[IssuedId, ...] = ()
    started: LocalDateTime | None = None
    study_description: str | None = None
    referring_physicians: tuple[PersonReference, ...] = ()
    physicians_reading_study: tuple[PersonReference, ...] = ()
    procedure_codes: tuple[CodedConcept, ...] = ()
    reason_codes: tuple[CodedConcept, ...] = ()
    reason: str | None = None
    institution_name: str | None = None
    institutional_department_name: str | None = None
    elements: DicomJson = field(default_factory=dict, compare=False)  # as they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesAttributes:
    """PS3.3 C.7.3.1 and the equipment, body part and specimens of the series."""

    series_instance_uid: str
    modality: str = "OT"
    series_number: int | None = None  # only where it is an unsignedInt of FHIR
    series_description: str | None = None
    started: LocalDateTime | None = None
    anatomic_regions: tuple[CodedConcept, ...] = ()
    body_part_examined: str | None = None
    laterality: str | None = None  # R, L or B
    performing_physicians: tuple[PersonReference, ...] = ()
    operators: tuple[PersonReference, ...] = ()
    equipment: Equipment | None = None
    specimens: tuple[Specimen, ...] = ()
    elements: DicomJson = field(default_factory=dict, compare=False)  # as they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceAttributes:
    """PS3.3 C.12.1 and what a viewer must know before it asks for pixels."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None = None  # only where it is an unsignedInt of FHIR
    title: str | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int | None = None
    has_pixel_data: bool = False
    encapsulated_media_type: str | None = None  # MIMETypeOfEncapsulatedDocument, never trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadWarning:
    """What was wrong with a file that was nevertheless read: kept with it, and shown."""

    keyword: str  # the DICOM keyword or file property at fault
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomInstance:
    """All that one DICOM header says; the pixels were not looked at."""

    study: StudyAttributes
    series: SeriesAttributes
    instance: InstanceAttributes
    person: Person
    visit: Visit
    timezone_offset: str | None = None  # TimezoneOffsetFromUTC as +HH:MM
    warnings: tuple[ReadWarning, ...] = ()
    dicom_json: bytes = b""  # the DICOM JSON Model of the data set (PS3.18 F), UTF-8
