from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.document_reference import (
    document_reference,
    encapsulated_document_reference,
)
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.document import Document
from imaging_fhir.model.search import ReferenceEntry, TokenEntry
from tests.unit.fhir.facts import PHOTO, STUDY

GIVEN: dict[str, Any] = {
    "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"},
    "subject": {"reference": "Patient/1"},
    "date": datetime(2024, 5, 2, 8, 0, 0, 123456, tzinfo=UTC),
    "zone": ZoneInfo("Europe/Berlin"),
    "binary_url": "https://h.example/fhir/Binary/b",
    "size": 1234,
    "sha1_base64": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
}


def photo(document: Document = PHOTO, **changes: Any) -> Resource:
    return document_reference(document, **{**GIVEN, **changes})


def test_a_photograph_is_one_content_with_its_time_of_capture() -> None:
    found = photo(encounter={"reference": "Encounter/e"}, description="Left shin")
    assert found["date"] == "2024-05-02T08:00:00.123Z"
    assert found["context"] == {
        "encounter": [{"reference": "Encounter/e"}],
        "period": {"start": "2024-05-01T09:00:00+02:00", "end": "2024-05-01T09:00:00+02:00"},
    }
    (content,) = found["content"]
    assert content["attachment"] == {
        "contentType": "image/jpeg",
        "url": "https://h.example/fhir/Binary/b",
        "size": 1234,
        "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        "title": "Left shin",
        "creation": "2024-05-01T09:00:00+02:00",
    }
    assert content["format"]["code"] == "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    assert found["masterIdentifier"] in found["identifier"]


def test_only_a_photograph_has_a_type_by_default() -> None:
    assert photo()["type"]["coding"][0]["code"] == "72170-4"
    assert "type" not in photo(replace(PHOTO, is_photograph=False))


def test_what_is_given_wins() -> None:
    concept = {"text": "given"}
    found = photo(
        type_=concept, category=concept, security_label=concept, taken="2023", author=[concept]
    )
    assert found["type"] == concept
    assert found["category"] == [concept]
    assert found["securityLabel"] == [concept]
    assert found["author"] == [concept]
    assert found["content"][0]["attachment"]["creation"] == "2023"


def test_the_camera_is_named_without_its_serial_number() -> None:
    assert photo()["author"] == [{"type": "Device", "display": "Apple iPhone 12"}]


def test_body_site_and_side_are_extensions() -> None:
    site = {"text": "Shin"}
    extensions = photo(body_site=site, laterality="L")["extension"]
    assert extensions[0]["url"].endswith("extension-DocumentReference.bodySite")
    assert extensions[0]["extension"] == [{"url": "concept", "valueCodeableConcept": site}]
    assert extensions[1]["valueCodeableConcept"]["coding"][0]["code"] == "7771000"


def test_an_encapsulated_document_is_found_by_its_study_and_its_order() -> None:
    found = encapsulated_document_reference(
        STUDY,
        Document(media_type="application/pdf"),
        imaging_study="ImagingStudy/1",
        system_of=universal_system,
        **GIVEN,
    )
    values = {
        (entry.parameter, entry.value)
        for entry in index_entries("DocumentReference", found)
        if isinstance(entry, TokenEntry)
    }
    uid = f"urn:oid:{STUDY.study_instance_uid}"
    assert {("study-instance-uid", uid), ("accession-number", "A1")} <= values
    assert ReferenceEntry(
        parameter="related",
        target_type="ImagingStudy",
        target_id="1",
        identifier_system="urn:dicom:uid",
        identifier_value=uid,
    ) in index_entries("DocumentReference", found)


def test_an_encapsulated_document_is_related_to_its_study() -> None:
    found = encapsulated_document_reference(
        STUDY,
        Document(media_type="application/pdf"),
        imaging_study="ImagingStudy/1",
        title="Report",
        system_of=universal_system,
        **GIVEN,
    )
    study, *orders = found["context"]["related"]
    uid = f"urn:oid:{STUDY.study_instance_uid}"
    assert study == {
        "reference": "ImagingStudy/1",
        "identifier": {"system": "urn:dicom:uid", "value": uid},
    }
    assert [order["identifier"]["value"] for order in orders] == ["A1", "A2"]
    assert found["description"] == "Report"
    assert found["content"][0]["attachment"]["creation"] == "2024-05-01T13:45:07.25+02:00"
