"""Who an image is of, and at which visit it was made, as the file says it (PS3.3 C.7.1, C.7.2)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An assigning authority (PS3.3 10.14 HL7v2 Hierarchic Designator)."""

    local_namespace_entity_id: str | None = None
    universal_entity_id: str | None = None
    universal_entity_id_type: str | None = None  # ISO, URI, UUID, DNS, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedId:
    """A number and who gave it; without an issuer it means nothing outside its source."""

    value: str
    issuer: Issuer | None = None
    type_code: str | None = None  # v2-0203: MR, VN, ACSN, PLAC, FILL, ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NameComponents:
    """One component group of a PN value (PS3.5 6.2.1)."""

    family: str | None = None
    given: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonName:
    alphabetic: NameComponents | None = None
    ideographic: NameComponents | None = None
    phonetic: NameComponents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A patient as one file names them: evidence, not yet a Patient."""

    identifiers: tuple[IssuedId, ...] = ()  # PatientID first, then OtherPatientIDsSequence
    names: tuple[PersonName, ...] = ()  # PatientName first, then OtherPatientNames
    birth_date: str | None = None  # FHIR date, possibly partial: YYYY, YYYY-MM or YYYY-MM-DD
    gender: str | None = None  # male, female, other; None when the file does not say or says U
    is_placeholder: bool = False  # ANONYMOUS, UNKNOWN, 0, ...: names nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The visit numbers of PS3.3 C.7.2.2 (Patient Study) and C.3.2 (Visit Identification)."""

    admission_id: IssuedId | None = None
    service_episode_id: IssuedId | None = None
