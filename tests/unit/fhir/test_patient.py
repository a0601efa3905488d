from dataclasses import replace

from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.patient import is_provisional, patient, subject_reference
from tests.unit.fhir.facts import PERSON


def test_a_provisional_patient_says_who_the_file_names() -> None:
    found = patient(PERSON, system_of=universal_system, with_identifiers=True)
    assert found["identifier"][0]["system"] == "urn:oid:1.2.3.4"
    assert found["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert found["identifier"][1]["type"]["coding"][0]["code"] == "SS"
    assert [name["family"] for name in found["name"]] == ["Yamada", "山田", "やまだ"]
    assert (found["gender"], found["birthDate"]) == ("male", "1970-02")
    assert is_provisional({**found, "id": "provisional-1"})
    assert not is_provisional({**found, "id": "1"})  # a tag alone can be written by anyone


def test_a_bare_number_is_no_key() -> None:
    found = patient(PERSON, system_of=universal_system, with_identifiers=False)
    assert "identifier" not in found


def test_a_placeholder_has_no_name_and_an_unknown_sex_is_unknown() -> None:
    placeholder = replace(PERSON, is_placeholder=True, gender=None)
    found = patient(placeholder, system_of=universal_system, with_identifiers=False)
    assert "name" not in found
    assert found["gender"] == "unknown"


def test_other_patients_are_not_provisional() -> None:
    assert not is_provisional({"resourceType": "Patient"})


def test_a_subject_can_be_read_without_following_the_reference() -> None:
    found = {
        "resourceType": "Patient",
        "identifier": [{"use": "usual", "system": "urn:oid:1.2", "value": "7"}],
        "name": [{"family": "Gray", "given": ["Ann"]}],
    }
    assert subject_reference("p", found) == {
        "reference": "Patient/p",
        "type": "Patient",
        "identifier": {"system": "urn:oid:1.2", "value": "7"},
        "display": "Ann Gray",
    }
    assert subject_reference("p", {}) == {"reference": "Patient/p", "type": "Patient"}
