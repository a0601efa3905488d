"""Whatever the facts, what we build of them is valid R4."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.body_part import body_site_concept
from imaging_fhir.fhir.datatypes import dicom_uid, universal_system
from imaging_fhir.fhir.device import device
from imaging_fhir.fhir.document_reference import document_reference
from imaging_fhir.fhir.endpoint import archive_endpoint, picture_endpoint, viewer_endpoint
from imaging_fhir.fhir.imaging_study import (
    SeriesFragment,
    assemble,
    imaging_study_head,
    imaging_study_instance,
    imaging_study_series_head,
)
from imaging_fhir.fhir.operation_outcome import issue, operation_outcome, outcome_of
from imaging_fhir.fhir.patient import patient
from imaging_fhir.fhir.task import held_task
from imaging_fhir.fhir.validation import check
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, Person, PersonName
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
from tests.unit.fhir.facts import INSTANCE, PERSON, PHOTO, SERIES, STUDY

DATA = Path(__file__).parents[4] / "shared" / "data"
FILES = [path for path in sorted(DATA.glob("dicom/**/*")) if path.is_file()]
ZONES: tuple[tzinfo | None, ...] = (
    None,
    UTC,
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("Pacific/Apia"),
)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
TEXTS = (
    None,
    "",
    " ",
    "a",
    " a  b ",
    "\x00",
    "a\x1bb",
    "山田^",
    "x" * 300,
    "é\u0301",
    "<b>&",
    "a\nb",
)
SEED = 20260301


def study_resource(
    study: StudyAttributes,
    series: SeriesAttributes,
    instance: InstanceAttributes,
    zone: tzinfo | None,
) -> Resource:
    """What is served of a study of one instance, through the fragments."""
    head = imaging_study_head(
        study,
        subject={"reference": "Patient/1"},
        modalities=[series.modality],
        zone=zone,
        system_of=universal_system,
        archive_endpoint="Endpoint/archive",
        own_endpoints=(
            viewer_endpoint("https://h.example/chart"),
            picture_endpoint("https://h.example/picture"),
        ),
    )
    fragment = SeriesFragment(
        head=encode(imaging_study_series_head(series, zone=zone, system_of=universal_system)),
        number_of_instances=1,
        instances=[encode(imaging_study_instance(instance))],
    )
    pieces = assemble(
        encode(head),
        resource_id="s",
        meta={"versionId": "1"},
        number_of_series=1,
        number_of_instances=1,
        series=[fragment],
    )
    found: Resource = decode(b"".join(pieces))
    return found


def other_resources() -> Iterator[Resource]:
    yield archive_endpoint("https://h.example/dicomweb", requires_access_token=True)
    yield operation_outcome("too-costly", "", expression="http.modality", details="x")
    yield outcome_of([issue("value", "a", severity="warning"), issue("deleted", "b")])
    yield outcome_of([])
    yield held_task(rule="r", reason="\x00", facts={"a": "", "b": 0, "c": None}, authored_on=MARCH)
    yield patient(PERSON, system_of=universal_system, with_identifiers=True)
    yield patient(Person(), system_of=universal_system, with_identifiers=True)
    yield device(Equipment(manufacturer="a", software_versions=("", "1")))


def document_resource(document: Document, text: str | None, zone: tzinfo | None) -> Resource:
    return document_reference(
        document,
        identifier=dicom_uid("1.2.3"),
        subject={"reference": "Patient/1"},
        encounter={"reference": "Encounter/1"},
        date=MARCH,
        zone=zone,
        binary_url="https://h.example/fhir/Binary/1",
        size=1,
        sha1_base64="2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        description=text,
        body_site=body_site_concept(text or ""),
        laterality="L",
        thumbnail_url="https://h.example/fhir/Binary/1/$thumbnail",
    )


@pytest.mark.parametrize("zone", ZONES)
def test_facts_with_something_everywhere_make_valid_resources(zone: tzinfo | None) -> None:
    assert check(study_resource(STUDY, SERIES, INSTANCE, zone)) == []
    assert check(document_resource(PHOTO, "Left shin", zone)) == []


def test_the_other_resources_are_valid() -> None:
    for resource in other_resources():
        assert check(decode(encode(resource))) == []


class Chance:
    """Model values of any content that a reader may give, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str | None:
        return self.random.choice(TEXTS)

    def texts(self) -> tuple[str, ...]:
        return tuple(text for text in (self.text(), self.text()) if text is not None)

    def local(self) -> LocalDateTime | None:
        choose = self.random.choice
        date = choose(
            [
                "2024",
                "2024-03",
                "2024-03-31",
                "2024-10-27",
                "1899-12-30",
                "0001-01-01",
                "9999-12-31",
            ]
        )
        time = choose([None, "02:30:00", "23:59:60", "00:00:00.000001"])
        offset = choose([None, "+02:00", "-14:00", "+14:00", "+14:30", "Z", "-00:30"])
        if choose([True, False, False]):
            return None
        full = len(date) == 10
        return LocalDateTime(date=date, time=time if full else None, offset=offset)

    def issuer(self) -> Issuer | None:
        kind = self.random.choice(["ISO", "URI", "UUID", "DNS", "x", None])
        entity = self.random.choice(["1.2.3", "1.02", "a b", "https://a.example", "a.example", ""])
        found = Issuer(
            local_namespace_entity_id=self.text(),
            universal_entity_id=entity,
            universal_entity_id_type=kind,
        )
        return self.random.choice([None, found])

    def issued(self) -> IssuedId:
        kind = self.random.choice([None, "MR", "SS", "ZZ"])
        return IssuedId(value=self.text() or "", issuer=self.issuer(), type_code=kind)

    def concept(self) -> CodedConcept:
        choose = self.random.choice
        return CodedConcept(
            code_value=choose([self.text(), "T-A0100", "76752008", "18748-4"]),
            coding_scheme_designator=choose([None, "", "SCT", "SRT", "LN", "DCM", "99X", "I10"]),
            coding_scheme_uid=choose([None, "1.2.3", "x", "2.16.840.1.113883.6.96"]),
            code_meaning=self.text(),
        )

    def concepts(self) -> tuple[CodedConcept, ...]:
        return tuple(self.concept() for _ in range(self.random.randrange(3)))

    def components(self) -> NameComponents | None:
        found = NameComponents(
            family=self.text(), given=self.texts(), prefix=self.texts(), suffix=self.texts()
        )
        return self.random.choice([None, found])

    def name(self) -> PersonName:
        return PersonName(
            alphabetic=self.components(),
            ideographic=self.components(),
            phonetic=self.components(),
        )

    def people(self) -> tuple[PersonReference, ...]:
        return tuple(
            PersonReference(
                name=self.random.choice([None, self.name()]), identification_codes=self.concepts()
            )
            for _ in range(self.random.randrange(3))
        )

    def equipment(self) -> Equipment | None:
        return self.random.choice([None, Equipment(
            manufacturer=self.text(),
            manufacturer_model_name=self.text(),
            device_serial_number=self.text(),
            station_name=self.text(),
            software_versions=self.texts(),
        )])  # fmt: skip

    def study(self) -> StudyAttributes:
        return StudyAttributes(
            study_instance_uid="1.2.3",
            study_id=self.text(),
            accession_numbers=(self.issued(), self.issued()),
            placer_order_numbers=(self.issued(),),
            filler_order_numbers=(self.issued(),),
            started=self.local(),
            study_description=self.text(),
            referring_physicians=self.people(),
            physicians_reading_study=self.people(),
            procedure_codes=self.concepts(),
            reason_codes=self.concepts(),
            reason=self.text(),
            institution_name=self.text(),
            institutional_department_name=self.text(),
        )

    def series(self) -> SeriesAttributes:
        return SeriesAttributes(
            series_instance_uid="1.2.3.4",
            modality=self.random.choice(["CT", "", " MR", "A  B", "\x00"]),
            series_number=self.random.choice([None, 0, 2**31 - 1]),
            series_description=self.text(),
            started=self.local(),
            anatomic_regions=self.concepts(),
            body_part_examined=self.random.choice([self.text(), "CHEST"]),
            laterality=self.random.choice([None, "R", "L", "B", "U", "x"]),
            performing_physicians=self.people(),
            operators=self.people(),
            equipment=self.equipment(),
            specimens=(
                Specimen(
                    specimen_identifier=self.issued(),
                    specimen_uid=self.random.choice([None, "1.2.3"]),
                    short_description=self.text(),
                ),
            ),
        )

    def instance(self) -> InstanceAttributes:
        return InstanceAttributes(
            sop_instance_uid="1.2.3.4.5",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            transfer_syntax_uid="1.2.840.10008.1.2",
            instance_number=self.random.choice([None, 0, 7]),
            title=self.text(),
        )

    def person(self) -> Person:
        return Person(
            identifiers=(self.issued(), self.issued()),
            names=(self.name(), self.name()),
            birth_date=self.random.choice([None, "2024", "2024-02", "2024-02-29"]),
            gender=self.random.choice([None, "male", "other"]),
            is_placeholder=self.random.choice([True, False]),
        )

    def document(self) -> Document:
        return Document(
            media_type="image/png",
            taken=self.local(),
            equipment=self.equipment(),
            is_photograph=self.random.choice([True, False]),
        )


@pytest.mark.parametrize("seed", range(SEED, SEED + 10))
def test_whatever_the_facts_their_resources_are_valid(seed: int) -> None:
    chance = Chance(seed)
    for _ in range(30):
        zone = chance.random.choice(ZONES)
        whole = study_resource(chance.study(), chance.series(), chance.instance(), zone)
        assert check(whole) == []
        person = patient(chance.person(), system_of=universal_system, with_identifiers=True)
        assert check(person) == []
        assert check(document_resource(chance.document(), chance.text(), zone)) == []
        equipment = chance.equipment()
        assert equipment is None or check(device(equipment)) == []


@pytest.mark.skipif(not FILES, reason="the DICOM files are not beside the project")
def test_every_dicom_file_makes_a_valid_study_and_patient() -> None:
    read = 0
    for path in FILES:
        try:
            with path.open("rb") as stream:
                image = DicomReader().read(stream)
        except (ImagingError, ValueError):
            continue
        read += 1
        for zone in (None, ZONES[2]):
            found = study_resource(image.study, image.series, image.instance, zone)
            assert check(found) == [], path.name
        person = patient(image.person, system_of=universal_system, with_identifiers=True)
        assert check(person) == [], path.name
    assert read > 100
