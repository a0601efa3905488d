"""What a DICOM header says of study, series, instance, person and visit (PS3.3 C.7, C.12)."""

from itertools import chain

from imaging_fhir.images.dicom_attributes import Attributes, distinct
from imaging_fhir.images.dicom_values import (
    fhir_date,
    fhir_offset,
    fhir_time,
    local_date_time,
)
from imaging_fhir.model.dicom_attribute import SERIES_TAGS, STUDY_TAGS, elements_of
from imaging_fhir.model.person import IssuedId, Issuer, Person, Visit
from imaging_fhir.model.study import (
    CodedConcept,
    Equipment,
    InstanceAttributes,
    LocalDateTime,
    PersonReference,
    SeriesAttributes,
    Specimen,
    StudyAttributes,
)
from imaging_fhir.policy import is_placeholder

REQUEST_ATTRIBUTES_SEQUENCE, REFERENCED_REQUEST_SEQUENCE = "00400275", "0040A370"
SHARED_FUNCTIONAL_GROUPS_SEQUENCE, FRAME_ANATOMY_SEQUENCE = "52009229", "00209071"
ANATOMIC_REGION_SEQUENCE, FRAME_LATERALITY = "00082218", "00209072"
PERSON_IDENTIFICATION_CODE_SEQUENCE = "00401101"

GENDERS = {"M": "male", "F": "female", "O": "other"}
NOT_A_DATE = "is not a date"
NOT_A_TIME = "is not a time of day with hour and minute"


def study_attributes(attributes: Attributes, study_instance_uid: str) -> StudyAttributes:
    requests = [
        *attributes.items(REQUEST_ATTRIBUTES_SEQUENCE),
        *attributes.items(REFERENCED_REQUEST_SEQUENCE),
    ]
    levels = [attributes, *requests]
    return StudyAttributes(
        study_instance_uid=study_instance_uid,
        study_id=attributes.text("00200010"),
        accession_numbers=distinct(
            level.issued_id("00080050", "00080051", "ACSN") for level in levels
        ),
        placer_order_numbers=distinct(
            level.issued_id("00402016", "00400026", "PLAC") for level in levels
        ),
        filler_order_numbers=distinct(
            level.issued_id("00402017", "00400027", "FILL") for level in levels
        ),
        started=date_and_time(attributes, "00080020", "00080030"),
        study_description=attributes.text("00081030"),
        referring_physicians=people(attributes, "00080090", "00080096"),
        physicians_reading_study=people(attributes, "00081060", "00081062"),
        procedure_codes=first_codes(levels, "00081032") or first_codes(levels, "00321064"),
        reason_codes=first_codes(levels, "0040100A"),
        reason=next(filter(None, (level.text("00401002") for level in levels)), None),
        institution_name=attributes.text("00080080"),
        institutional_department_name=attributes.text("00081040"),
        elements=elements_of(attributes.data_set, STUDY_TAGS),
    )


def first_codes(levels: list[Attributes], tag: str) -> tuple[CodedConcept, ...]:
    """The codes of the first level that has some: the study itself, then its requests."""
    return next(filter(None, (level.codes(tag) for level in levels)), ())


def date_and_time(attributes: Attributes, date_tag: str, time_tag: str) -> LocalDateTime | None:
    day = attributes.parsed(date_tag, fhir_date, NOT_A_DATE)
    time = clock_time(attributes, time_tag)
    if day is None:
        return None
    return LocalDateTime(date=day, time=time if len(day) == len("YYYY-MM-DD") else None)


def clock_time(attributes: Attributes, tag: str) -> str | None:
    time = attributes.parsed(tag, fhir_time, NOT_A_TIME)
    text = attributes.text(tag)
    if time and text and text.replace(":", "")[4:6] == "60":
        attributes.warn(tag, "is a leap second, taken as the second before")
    return time


def people(attributes: Attributes, name_tag: str, codes_tag: str) -> tuple[PersonReference, ...]:
    """Names with their identification codes; paired only where there are as many of both."""
    names = attributes.names(name_tag)
    codes = [
        item.codes(PERSON_IDENTIFICATION_CODE_SEQUENCE) for item in attributes.items(codes_tag)
    ]
    if len(names) == len(codes):
        return tuple(
            PersonReference(name=name, identification_codes=code)
            for name, code in zip(names, codes, strict=True)
        )
    named = [PersonReference(name=name) for name in names]
    return (*named, *(PersonReference(identification_codes=code) for code in codes if code))


def series_attributes(
    attributes: Attributes, series_instance_uid: str, frames: list[Attributes]
) -> SeriesAttributes:
    """`frames` are the distinct items of FrameAnatomySequence of the single frames."""
    shared = [
        anatomy
        for groups in attributes.items(SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
        for anatomy in groups.items(FRAME_ANATOMY_SEQUENCE)
    ]
    return SeriesAttributes(
        series_instance_uid=series_instance_uid,
        modality=modality(attributes),
        series_number=attributes.unsigned_int("00200011"),
        series_description=attributes.text("0008103E"),
        started=series_started(attributes),
        anatomic_regions=anatomic_regions(attributes, [*shared, *frames]),
        body_part_examined=attributes.text("00180015"),
        laterality=laterality(attributes, [*shared, *frames]),
        performing_physicians=people(attributes, "00081050", "00081052"),
        operators=people(attributes, "00081070", "00081072"),
        equipment=equipment(attributes),
        specimens=tuple(specimen(item) for item in attributes.items("00400560")),
        elements=elements_of(attributes.data_set, SERIES_TAGS),
    )


def modality(attributes: Attributes) -> str:
    found = attributes.text("00080060")
    if found is None:
        attributes.warn("00080060", "is missing: taken as OT (other)")
    return found or "OT"


def series_started(attributes: Attributes) -> LocalDateTime | None:
    return (
        date_and_time(attributes, "00080021", "00080031")
        or attributes.parsed("0008002A", local_date_time, "is not a date with time")
        or date_and_time(attributes, "00080022", "00080032")
    )


def anatomic_regions(
    attributes: Attributes, anatomies: list[Attributes]
) -> tuple[CodedConcept, ...]:
    own = attributes.codes(ANATOMIC_REGION_SEQUENCE)
    regions = chain.from_iterable(item.codes(ANATOMIC_REGION_SEQUENCE) for item in anatomies)
    return own or tuple(dict.fromkeys(regions))


def laterality(attributes: Attributes, anatomies: list[Attributes]) -> str | None:
    """R, L or B; nothing where unpaired, unknown, or not the same for all frames."""
    image = side(attributes, "00200062")
    if image is not None:
        return image
    sides = {side(item, FRAME_LATERALITY) for item in anatomies}
    if len(sides) > 1:
        return None
    return next(iter(sides), None) or side(attributes, "00200060")


def side(attributes: Attributes, tag: str) -> str | None:
    code = attributes.text(tag)
    if code is not None and code not in ("R", "L", "B", "U"):
        attributes.warn(tag, "is none of R, L, B and U")
    return code if code in ("R", "L", "B") else None


def equipment(attributes: Attributes) -> Equipment | None:
    found = Equipment(
        manufacturer=attributes.text("00080070"),
        manufacturer_model_name=attributes.text("00081090"),
        device_serial_number=attributes.text("00181000"),
        station_name=attributes.text("00081010"),
        software_versions=attributes.texts("00181020"),
    )
    return None if found == Equipment() else found


def specimen(item: Attributes) -> Specimen:
    return Specimen(
        specimen_identifier=item.issued_id("00400551", "00400562", None),
        specimen_uid=item.uid("00400554"),
        specimen_type=next(iter(item.codes("0040059A")), None),
        short_description=item.text("00400600"),
    )


def instance_attributes(
    attributes: Attributes,
    *,
    sop_instance_uid: str,
    sop_class_uid: str,
    transfer_syntax_uid: str,
    has_pixel_data: bool,
) -> InstanceAttributes:
    return InstanceAttributes(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=transfer_syntax_uid,
        instance_number=attributes.unsigned_int("00200013"),
        title=title(attributes),
        rows=attributes.unsigned_int("00280010"),
        columns=attributes.unsigned_int("00280011"),
        number_of_frames=attributes.unsigned_int("00280008"),
        has_pixel_data=has_pixel_data,
        encapsulated_media_type=attributes.text("00420012"),
    )


def title(attributes: Attributes) -> str | None:
    """Of an encapsulated document its title, of a report its concept, of an image its type."""
    document_title = attributes.text("00420010")
    if document_title is not None:
        return document_title
    concepts = attributes.codes("0040A043")
    if concepts and concepts[0].code_meaning:
        return concepts[0].code_meaning
    return "\\".join(attributes.texts("00080008")) or None


def person(attributes: Attributes) -> Person:
    identifiers = distinct([patient_id(attributes), *other_patient_ids(attributes)])
    return Person(
        identifiers=identifiers,
        names=tuple(dict.fromkeys([*attributes.names("00100010"), *attributes.names("00101001")])),
        birth_date=attributes.parsed("00100030", fhir_date, NOT_A_DATE),
        gender=gender(attributes),
        is_placeholder=all(is_placeholder(one.value) for one in identifiers),
    )


def names_a_carrier(attributes: Attributes) -> bool:
    """TypeOfPatientID RFID or BARCODE: the number of a tag or label, not of a person."""
    return attributes.text("00100022") in ("RFID", "BARCODE")


def patient_id(attributes: Attributes) -> IssuedId | None:
    value = attributes.text("00100020")
    if value is None or names_a_carrier(attributes):
        return None
    return IssuedId(value=value, issuer=patient_id_issuer(attributes), type_code="MR")


def patient_id_issuer(attributes: Attributes) -> Issuer | None:
    """IssuerOfPatientID, made precise by its qualifiers (PS3.3 10.15)."""
    local = attributes.text("00100021")
    qualifiers = attributes.issuer("00100024") or Issuer()
    found = Issuer(
        local_namespace_entity_id=local or qualifiers.local_namespace_entity_id,
        universal_entity_id=qualifiers.universal_entity_id,
        universal_entity_id_type=qualifiers.universal_entity_id_type,
    )
    return None if found == Issuer() else found


def other_patient_ids(attributes: Attributes) -> list[IssuedId]:
    """Of OtherPatientIDsSequence. OtherPatientIDs (0010,1000) has no issuers, and says nothing."""
    found = []
    for item in attributes.items("00101002"):
        one = patient_id(item)
        if one is not None:
            found.append(IssuedId(value=one.value, issuer=one.issuer))
    return found


def gender(attributes: Attributes) -> str | None:
    code = attributes.text("00100040")
    if code is not None and code not in (*GENDERS, "U"):
        attributes.warn("00100040", "is none of M, F and O")
    return GENDERS.get(code or "")


def visit(attributes: Attributes) -> Visit:
    return Visit(
        admission_id=attributes.issued_id("00380010", "00380014", "VN"),
        service_episode_id=attributes.issued_id("00380060", "00380064", None),
    )


def timezone_offset(attributes: Attributes) -> str | None:
    return attributes.parsed("00080201", fhir_offset, "is not an offset from -1200 to +1400")
