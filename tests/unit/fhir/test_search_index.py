from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries, study_entries
from imaging_fhir.model.codec import BASE_PLACEHOLDER, decode
from imaging_fhir.model.search import (
    DateEntry,
    IndexEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TextEntry,
    TokenEntry,
    UriEntry,
)


def entries(type_: str, parameter: str, /, **elements: Any) -> list[IndexEntry]:
    resource = {"resourceType": type_, **elements}
    return [entry for entry in index_entries(type_, resource) if entry.parameter == parameter]


def tokens(
    type_: str, parameter: str, /, **elements: Any
) -> list[tuple[str | None, str, str | None]]:
    found = entries(type_, parameter, **elements)
    assert all(isinstance(entry, TokenEntry) for entry in found)
    return [(entry.system, entry.value, entry.text) for entry in found]  # type: ignore[union-attr]


def test_a_code_and_a_boolean_are_tokens() -> None:
    assert tokens("Patient", "gender", gender="male") == [(None, "male", None)]
    assert tokens("Patient", "active", active=False) == [(None, "false", None)]


def test_a_concept_is_found_by_each_coding_and_by_its_text() -> None:
    concept = {
        "coding": [{"system": "s", "code": "a", "display": "A"}, {"system": "t", "code": "b"}],
        "text": "Both",
    }
    assert tokens("DocumentReference", "type", type=concept) == [
        ("s", "a", "A"),
        ("t", "b", None),
        (None, "", "Both"),
    ]


def test_an_identifier_brings_its_type() -> None:
    type_ = {"coding": [{"system": "v2", "code": "MR"}], "text": "Record"}
    identifier = {"system": "s", "value": "7", "type": type_}
    assert entries("Patient", "identifier", identifier=[identifier, {"system": "s"}]) == [
        TokenEntry(
            parameter="identifier",
            system="s",
            value="7",
            text="Record",
            type_system="v2",
            type_code="MR",
        )
    ]


def test_a_phone_is_no_email_and_its_use_is_its_namespace() -> None:
    telecom = [
        {"system": "phone", "value": "1", "use": "home"},
        {"system": "email", "value": "a@b"},
    ]
    assert tokens("Patient", "phone", telecom=telecom) == [("home", "1", None)]
    assert tokens("Patient", "email", telecom=telecom) == [(None, "a@b", None)]
    assert len(tokens("Patient", "telecom", telecom=telecom)) == 2


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, "false"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedDateTime": "2024"}, "true"),
    ],
)
def test_a_patient_is_dead_or_not(elements: dict[str, Any], expected: str) -> None:
    assert tokens("Patient", "deceased", **elements) == [(None, expected, None)]


def test_a_date_of_death_is_a_date() -> None:
    (entry,) = entries("Patient", "death-date", deceasedDateTime="1970")
    assert entry == DateEntry(parameter="death-date", low=0, high=365 * 86_400_000_000)
    assert entries("Patient", "death-date", deceasedBoolean=True) == []


def test_a_date_without_a_time_is_one_of_the_zone() -> None:
    resource = {"resourceType": "Patient", "birthDate": "1970-01-01"}
    found = index_entries("Patient", resource, zone=ZoneInfo("Asia/Tokyo"))
    (entry,) = [entry for entry in found if isinstance(entry, DateEntry)]
    assert entry.low == -9 * 3_600_000_000


def test_an_occurrence_is_found_whatever_its_type() -> None:
    for elements in ({"occurrenceDateTime": "2024"}, {"occurrencePeriod": {"start": "2024"}}):
        assert len(entries("ServiceRequest", "occurrence", **elements)) == 1


def reference(**elements: Any) -> list[IndexEntry]:
    return entries("ImagingStudy", "patient", subject=elements)


def test_references_here_elsewhere_and_by_identifier_are_told_apart() -> None:
    here = ReferenceEntry(parameter="patient", target_type="Patient", target_id="1")
    assert reference(reference="Patient/1") == [here]
    assert reference(reference=f"{BASE_PLACEHOLDER}/Patient/1/_history/2") == [here]
    url = "http://other/fhir/Patient/1"
    assert reference(reference=url) == [ReferenceEntry(parameter="patient", url=url)]
    identifier = {"system": "s", "value": "7"}
    assert reference(identifier=identifier, display="Ann") == [
        ReferenceEntry(
            parameter="patient", identifier_system="s", identifier_value="7", display="Ann"
        )
    ]


def test_patient_takes_no_reference_that_says_it_is_to_another_type() -> None:
    assert reference(reference="Group/1") == []
    assert reference(reference="http://other/fhir/Device/1") == []
    assert reference(type="Device", identifier={"value": "7"}) == []
    assert len(reference(type="Patient", identifier={"value": "7"})) == 1
    assert len(entries("ImagingStudy", "subject", subject={"reference": "Group/1"})) == 1


def test_a_reference_to_a_contained_resource_keeps_what_names_it() -> None:
    assert reference(reference="#p") == []
    (entry,) = reference(reference="#p", identifier={"value": "7"})
    assert entry == ReferenceEntry(parameter="patient", identifier_value="7")


def test_a_name_is_found_by_each_part_and_by_its_sound() -> None:
    name = {"family": "Müller", "given": ["Ann", "Bo"], "text": "Ann Müller", "use": "official"}
    found = entries("Patient", "name", name=[name])
    assert {entry.folded for entry in found if isinstance(entry, StringEntry)} == {
        "muller",
        "ann",
        "bo",
        "ann muller",
    }
    sounds = entries("Patient", "phonetic", name=[{"family": "Miller"}])
    assert sounds == [StringEntry(parameter="phonetic", value="Miller", folded="m460")]


def test_an_address_is_found_by_each_part() -> None:
    address = {"line": ["1 Main St"], "city": "Oslo", "postalCode": "0150", "country": "NO"}
    found = entries("Patient", "address", address=[address])
    assert [entry.value for entry in found if isinstance(entry, StringEntry)] == [
        "1 Main St",
        "Oslo",
        "0150",
        "NO",
    ]


def test_a_length_is_a_quantity_and_a_comparator_opens_it() -> None:
    length = {"value": 5, "comparator": ">", "unit": "h", "system": "ucum", "code": "h"}
    assert entries("Encounter", "length", length=length) == [
        QuantityEntry(
            parameter="length", low=5.0, high=float("inf"), system="ucum", code="h", unit="h"
        )
    ]


def test_profiles_sources_tags_and_labels_are_found() -> None:
    meta = {"profile": ["http://p"], "source": "http://s", "security": [{"code": "R"}]}
    found = index_entries("Patient", {"resourceType": "Patient", "meta": meta})
    assert UriEntry(parameter="_profile", value="http://p") in found
    assert UriEntry(parameter="_source", value="http://s") in found
    assert TokenEntry(parameter="_security", system=None, value="R") in found


def without_words(entries: list[IndexEntry]) -> list[IndexEntry]:
    return [entry for entry in entries if not isinstance(entry, TextEntry)]


def test_a_study_is_indexed_by_its_series_but_not_by_its_uids() -> None:
    series = {"uid": "1.2", "modality": {"system": "dcm", "code": "CT"}}
    found = study_entries({"modality": [{"system": "dcm", "code": "CT"}]}, [series, series])
    assert without_words(found) == [TokenEntry(parameter="modality", system="dcm", value="CT")]


def test_a_study_known_by_its_order_alone_has_a_modality() -> None:
    found = study_entries({"modality": [{"system": "dcm", "code": "CT"}]}, [])
    assert without_words(found) == [TokenEntry(parameter="modality", system="dcm", value="CT")]


def test_real_resources_are_indexed_without_a_fault(shared_data: Path) -> None:
    count = 0
    for path in sorted((shared_data / "fhir").rglob("*.json")):
        if "r5" in path.parts:
            continue
        content = decode(path.read_bytes())
        for one in [content, *(entry.get("resource", {}) for entry in content.get("entry", ()))]:
            if one.get("resourceType") in RESOURCE_TYPES:
                count += len(index_entries(one["resourceType"], one))
    assert count > 1000
