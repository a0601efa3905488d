import pytest

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.person import NameComponents, Person, PersonName
from imaging_fhir.services.demographics import disagreement


def person(family: str | None = None, given: str = "", **values: str) -> Person:
    names: tuple[PersonName, ...] = ()
    if family is not None:
        group = NameComponents(family=family, given=(given,) if given else ())
        names = (PersonName(alphabetic=group),)
    return Person(names=names, **values)  # type: ignore[arg-type]


def patient(*families: str, **values: str) -> Resource:
    return {
        "resourceType": "Patient",
        "name": [{"family": family} for family in families],
        **values,
    }


def test_what_is_missing_agrees() -> None:
    assert disagreement(Person(), patient("Doe", birthDate="1970-01-01", gender="male")) is None
    assert disagreement(person("Doe", birth_date="1970-01-01"), {"resourceType": "Patient"}) is None


def test_another_birth_date_disagrees() -> None:
    file = person("Doe", birth_date="1970-01-02")
    assert disagreement(file, patient("Doe", birthDate="1970-01-01")) == "birthDate"


def test_a_partial_birth_date_is_compared_as_far_as_it_goes() -> None:
    assert disagreement(person(birth_date="1970"), patient(birthDate="1970-05-01")) is None
    assert disagreement(person(birth_date="1971"), patient(birthDate="1970-05")) == "birthDate"


@pytest.mark.parametrize("gender", ["other", "unknown", "female"])
def test_other_and_unknown_gender_agree_with_all(gender: str) -> None:
    assert disagreement(person(gender="female"), patient(gender=gender)) is None


def test_male_and_female_disagree() -> None:
    assert disagreement(person(gender="male"), patient(gender="female")) == "gender"


@pytest.mark.parametrize(
    ("in_file", "in_chart"),
    [
        ("DOE", "Doe"),
        ("Müller", "Mueller"),
        ("Muller", "Müller"),
        ("GARCIA LOPEZ", "López García"),
        ("Smith", "Smith-Jones"),
        ("van der Berg", "Berg"),
        ("Dr. O'Neill", "O'NEILL"),
        ("Sørensen", "Soerensen"),
    ],
)
def test_spellings_of_one_family_name_agree(in_file: str, in_chart: str) -> None:
    assert disagreement(person(in_file), patient(in_chart)) is None


@pytest.mark.parametrize(
    ("in_file", "in_chart"), [("van der Berg", "van der Meer"), ("Doe", "Roe"), ("Dr Who", "Dr No")]
)
def test_other_family_names_disagree(in_file: str, in_chart: str) -> None:
    assert disagreement(person(in_file), patient(in_chart)) == "name.family"


def test_a_maiden_name_in_the_chart_agrees() -> None:
    assert disagreement(person("Doe"), patient("Roe", "Doe")) is None


def test_names_in_different_scripts_are_not_compared() -> None:
    assert disagreement(person("山田"), patient("Yamada")) is None
    assert disagreement(person("山田"), patient("鈴木")) == "name.family"


def test_without_a_family_name_set_apart_any_word_may_be_it() -> None:
    group = NameComponents(given=("John", "Doe"))
    file = Person(names=(PersonName(alphabetic=group),))
    assert disagreement(file, patient("Doe")) is None
