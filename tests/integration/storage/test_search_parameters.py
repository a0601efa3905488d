"""Every parameter of every type finds what has the value, and nothing that has another."""

from collections.abc import Iterator

import pytest

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import OF_THE_ROW, index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import DICOM_PARAMETERS, SearchParameter
from imaging_fhir.storage import resources, search
from imaging_fhir.storage.database import Connection, Database, Transaction
from tests.search_samples import samples

BASE = "http://127.0.0.1:8080/fhir"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def indexed(type_name: str) -> list[SearchParameter]:
    """DICOM's own are answered from the images: test_search has them."""
    elsewhere = OF_THE_ROW | (DICOM_PARAMETERS if type_name == "ImagingStudy" else frozenset())
    parameters = RESOURCE_TYPES[type_name].search_parameters
    return [parameter for parameter in parameters if parameter.name not in elsewhere]


def put_samples(transaction: Transaction, type_name: str) -> list[tuple[str, str, str, str]]:
    """Parameter, the id of a resource with a value and that of one with another, and the text."""
    asked = []
    for at, parameter in enumerate(indexed(type_name)):
        pairs = zip(samples(type_name, parameter, 1), samples(type_name, parameter, 2), strict=True)
        for path, (one, other) in enumerate(pairs):
            ids = [f"p{at}-{path}-{number}" for number in (1, 2)]
            for id_, elements in zip(ids, (one.elements, other.elements), strict=True):
                put(transaction, {"resourceType": type_name, "id": id_, **elements})
            asked.append((parameter.name, ids[0], ids[1], one.text))
            asked.append((parameter.name, ids[1], ids[0], other.text))
    return asked


def put(transaction: Transaction, content: Resource) -> None:
    type_, id_ = content["resourceType"], content["id"]
    resources.put(transaction, type_, id_, content, index_entries(type_, content))


def found(connection: Connection, type_name: str, name: str, text: str) -> set[str]:
    query = parse_query(type_name, [(name, text)], base=BASE, strict=True, default_count=1000)
    return {match.id for match in search.search(connection, query).matches}


def test_every_parameter_finds_its_value_and_no_other(database: Database) -> None:
    count = 0
    for type_name in RESOURCE_TYPES:
        asked = database.write(lambda t, name=type_name: put_samples(t, name))  # type: ignore[misc]
        with database.read() as connection:
            for name, right, wrong, text in asked:
                ids = found(connection, type_name, name, text)
                assert right in ids, f"{type_name}?{name}={text}"
                assert wrong not in ids, f"{type_name}?{name}={text}"
                count += 1
    assert count > 700


OBSERVATION = {
    "resourceType": "Observation",
    "id": "bp",
    "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
    "component": [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]},
            "valueQuantity": {"value": 140, "unit": "mmHg", "system": "u", "code": "mm[Hg]"},
        },
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]},
            "valueQuantity": {"value": 90, "unit": "mmHg", "system": "u", "code": "mm[Hg]"},
        },
    ],
}


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("8480-6$140", True),
        ("8480-6$gt130|u|mm[Hg]", True),
        ("8480-6$gt130||mmHg", True),
        ("http://loinc.org|8462-4$lt100", True),
        ("8480-6$lt100", False),  # that is the other component
        ("8462-4$140", False),
        ("8480-6$140|u|kPa", False),
        ("85354-9$140", False),
        ("8462-4$140,8480-6$140", True),
    ],
)
def test_both_parts_of_a_composite_are_of_one_repeat(
    database: Database, text: str, is_found: bool
) -> None:
    database.write(lambda transaction: put(transaction, OBSERVATION))
    with database.read() as connection:
        for name in ("component-code-value-quantity", "combo-code-value-quantity"):
            assert found(connection, "Observation", name, text) == ({"bp"} if is_found else set())
        assert found(connection, "Observation", "code-value-quantity", text) == set()


def test_a_number_of_more_digits_than_a_float_has_is_found(database: Database) -> None:
    value = {"value": 186.89938615127508, "code": "cm"}
    content = {"resourceType": "Observation", "id": "height", "valueQuantity": value}
    database.write(lambda transaction: put(transaction, content))
    with database.read() as connection:
        for text in ("186.89938615127508", "186.899386151275081", "186.9||cm", "ge186.89"):
            assert found(connection, "Observation", "value-quantity", text) == {"height"}, text
        for text in ("186.8", "186.89938615127498", "gt186.9"):
            assert found(connection, "Observation", "value-quantity", text) == set(), text


UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (f"5.4|{UCUM}|mg", True),
        (f"0.0054|{UCUM}|g", True),
        (f"5400|{UCUM}|ug", True),
        (f"5|{UCUM}|mg", True),  # 4.5 to 5.5
        (f"5.40|{UCUM}|mg", True),
        (f"5.41|{UCUM}|mg", False),
        (f"ge5.4|{UCUM}|mg", True),
        (f"gt5.4|{UCUM}|mg", False),
        (f"lt6000|{UCUM}|ug", True),
        (f"ne5.4|{UCUM}|mg", False),
        (f"ap5|{UCUM}|mg", True),
        (f"5.4|{UCUM}|mL", False),
        ("0.0054", True),
        ("0.0054||g", True),
        ("5.4||mg", False),  # without a system the unit is compared as it is written
        ("5.4", False),
    ],
)
def test_a_quantity_of_ucum_is_found_in_any_of_its_units(
    database: Database, text: str, is_found: bool
) -> None:
    code = {"coding": [{"code": "dose"}]}
    value = {"value": 0.0054, "system": UCUM, "code": "g", "unit": "gram"}
    content = {"resourceType": "Observation", "id": "o", "code": code, "valueQuantity": value}
    database.write(lambda transaction: put(transaction, content))
    expected = {"o"} if is_found else set()
    with database.read() as connection:
        assert found(connection, "Observation", "value-quantity", text) == expected
        assert found(connection, "Observation", "code-value-quantity", f"dose${text}") == expected


def test_a_sampled_curve_is_found_by_the_range_of_its_points(database: Database) -> None:
    curve = {"origin": {"value": 100, "code": "mV"}, "factor": 2, "period": 1, "dimensions": 1}
    content = {"resourceType": "Observation", "id": "ecg"}
    content["valueSampledData"] = {**curve, "data": "-5 E 10 U L 0.5"}  # type: ignore[assignment]
    database.write(lambda transaction: put(transaction, content))
    with database.read() as connection:
        for text in ("gt119", "lt91", "ge120||mV"):
            assert found(connection, "Observation", "value-quantity", text) == {"ecg"}, text
        for text in ("gt120", "lt90", "100", "ge120||V"):
            assert found(connection, "Observation", "value-quantity", text) == set(), text
