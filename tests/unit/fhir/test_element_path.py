"""The part of FHIRPath that says where an element is."""

from typing import Any

import pytest

from imaging_fhir.errors import InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.fhir.element_path import MOST_VISITS, Visits, element_path

URL = "http://example.org/kin"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [
        {"use": "official", "family": "O'Hara", "given": ["Aino", "Maria"]},
        {"use": "usual", "given": ["Ansa"]},
    ],
    "active": True,
    "multipleBirthInteger": 2,
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": URL, "valueTime": "12:00:00"}]},
    "contact": [{"name": {"family": "Korhonen"}}],
    "extension": [{"url": URL, "valueCode": "DAU"}, {"url": "http://b", "valueInteger": 3}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Ward"}],
}


def values(path: str) -> list[Any]:
    return [place.value for place in element_path(path).places(PATIENT, Visits())]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Patient", [PATIENT]),
        ("Resource.active", [True]),
        ("active", [True]),
        (" Patient.birthDate ", ["1970-01-01"]),
        ("Patient.gender", []),
        ("Patient.name.given", ["Aino", "Maria", "Ansa"]),
        ("Patient.name.given[2]", ["Ansa"]),
        ("Patient.name[0].given[1]", ["Maria"]),
        ("Patient.name[7].given", []),
        ("Patient.name.first().given.last()", ["Maria"]),
        ("Patient.name.where(use = 'usual').given", ["Ansa"]),
        ("Patient.name.where(use='official' and family = 'O\\'Hara').use", ["official"]),
        ("Patient.name.where(use='official' and family = 'x').use", []),
        ("Patient.name.given.where($this = 'Maria')", ["Maria"]),
        ("Patient.contact.where(name.family = 'Korhonen').name.family", ["Korhonen"]),
        ("Patient.where(active = true).multipleBirth", [2]),
        ("Patient.where(active = 1).multipleBirth", []),
        ("Patient.multipleBirth.where($this = 2)", [2]),
        ("Patient.multipleBirth.ofType(integer)", [2]),
        ("Patient.multipleBirth.ofType(boolean)", []),
        (f"Patient.extension('{URL}').value", ["DAU"]),
        (f"Patient.birthDate.extension('{URL}').value", ["12:00:00"]),
        ("Patient.contained.ofType(Organization).name", ["Ward"]),
        ("Patient.contained.where(id = 'o').name", ["Ward"]),
    ],
)
def test_a_path_leads_to_its_elements(path: str, expected: list[Any]) -> None:
    assert values(path) == expected


def test_a_place_knows_the_json_that_it_stands_in() -> None:
    (place,) = element_path("Patient.multipleBirth").places(PATIENT, Visits())
    assert (place.parent is PATIENT, place.name, place.index) == (
        True,
        "multipleBirthInteger",
        None,
    )
    (given,) = element_path("Patient.name[0].given[1]").places(PATIENT, Visits())
    assert (given.parent is PATIENT["name"][0], given.name, given.index) == (True, "given", 1)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Patient.",
        "Patient..name",
        "Patient.name.(",
        "Patient.name[-1]",
        "Patient.name[x]",
        "Patient.name.where(use)",
        "Patient.name.where(use = official)",
        "Patient.name.where(use != 'official')",
        "Patient.name.where(use = 'official' or use = 'usual')",
        "Patient.name.matches('(a+)+$')",
        "Patient.name | Patient.contact",
        "Patient.descendants()",
        "%resource.name",
        "Patient.name; Patient.id",
        "Patient.name\nx",
        "Patient" + ".name" * 300,
    ],
)
def test_what_is_not_understood_is_refused_and_never_guessed(path: str) -> None:
    with pytest.raises(InvalidRequest):
        element_path(path)


@pytest.mark.parametrize(
    "path", ["Patient.colour", "Patient.name.where(colour = 'red')", "Observation.status"]
)
def test_what_r4_does_not_know_is_refused_with_the_path(path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        element_path(path).places(PATIENT, Visits())
    assert refused.value.expression == path


def test_paths_past_very_many_elements_end_early() -> None:
    many = {"resourceType": "Patient", "name": [{"given": ["a"] * 100}] * 1000}
    visits = Visits()
    path = element_path("Patient.name.given.where($this = 'b')")
    for _ in range(4):
        assert path.places(many, visits) == []
    with pytest.raises(UploadTooLarge, match=str(MOST_VISITS)):
        path.places(many, visits)
