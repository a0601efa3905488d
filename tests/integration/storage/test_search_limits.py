"""The largest searches that are let through run on both engines; what is larger is refused."""

from dataclasses import replace

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.search_limits import (
    MOST_COMPARED,
    MOST_LISTED,
    MOST_PARAMETERS,
    MOST_SORT_KEYS,
    MOST_VALUES,
)
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.search_union import Options, parse_union
from imaging_fhir.model.search import Query
from imaging_fhir.services.search import searched_types
from imaging_fhir.storage import search
from imaging_fhir.storage.database import Database

BASE = "https://images.example/fhir"
DEEP = "subject:Patient.general-practitioner:PractitionerRole.practitioner:Practitioner.identifier"
Pair = tuple[str, str]


def many(form: str, count: int) -> str:
    return ",".join(form.format(number) for number in range(count))


REPEATED: dict[str, tuple[str, Pair]] = {
    "stamps": ("ImagingStudy", ("_lastUpdated", "ne2020-01-01")),
    "dates": ("ImagingStudy", ("started", "ge2020-01-01")),
    "many dates": ("ImagingStudy", ("started", many("ne{:04}", MOST_COMPARED + 1)[7:])),
    "tokens of many systems": ("Patient", ("identifier", many("s{}|v", MOST_COMPARED))),
    "tokens": ("Patient", ("identifier", many("s|{}", MOST_LISTED))),
    "not": ("Patient", ("identifier:not", "v")),
    "types": ("Patient", ("identifier:of-type", many("s|c{}|v", MOST_COMPARED))),
    "references": ("ImagingStudy", ("subject", many("Patient/{}", MOST_LISTED))),
    "logical references": ("ImagingStudy", ("subject:identifier", many("s|{}", MOST_COMPARED))),
    "names": ("Patient", ("name", many("n{}", MOST_COMPARED))),
    "parts of names": ("Patient", ("name:contains", many("n{}", MOST_COMPARED))),
    "quantities": (
        "Observation",
        ("value-quantity", many("{}|http://unitsofmeasure.org|mg", MOST_COMPARED)),
    ),
    "composites": (
        "Observation",
        ("code-value-quantity", many("c|{}$5|http://unitsofmeasure.org|mg", MOST_COMPARED)),
    ),
    "chains": ("ImagingStudy", ("patient.name", "n")),
    "chains to any type": ("Observation", ("performer.name", "n")),
    "deep chains": ("ImagingStudy", (DEEP, "v")),
    "reverse chains": ("Patient", ("_has:ImagingStudy:patient:identifier", "v")),
    "lists": ("Patient", ("_list", many("l{}", MOST_LISTED))),
    "words": ("ImagingStudy", ("_content", "a (b OR c) NOT d")),
    "alternative words": ("ImagingStudy", ("_content", many("w{}", MOST_COMPARED // 2))),
    "sizes": ("ImagingStudy", ("number-of-instances", many("{}", MOST_COMPARED))),
    "includes": ("ImagingStudy", ("_include", "ImagingStudy:patient")),
}


def asked(resource_type: str, parameters: list[Pair]) -> Query:
    return parse_query(resource_type, parameters, base=BASE)


def largest(resource_type: str, pair: Pair) -> Query:
    """As often as it is let through."""
    query = asked(resource_type, [pair])
    for count in range(2, MOST_PARAMETERS + 1):
        try:
            query = asked(resource_type, [pair] * count)
        except InvalidRequest:
            break
    return query


@pytest.mark.parametrize("name", REPEATED)
def test_the_largest_search_of_its_kind_runs(database_url: str, name: str) -> None:
    query = largest(*REPEATED[name])
    database = Database(database_url)
    with database.read() as connection, search.limited(connection, 60):
        for text in ("_id,-_lastUpdated", "_lastUpdated"):
            sort = asked(query.resource_type, [("_sort", text)]).sort
            found = search.search(connection, replace(query, sort=sort))
            assert found.matches == ()
    database.close()


@pytest.mark.parametrize("name", REPEATED)
def test_a_search_with_a_thousand_parameters_is_refused(name: str) -> None:
    resource_type, pair = REPEATED[name]
    with pytest.raises(InvalidRequest, match="at most") as caught:
        asked(resource_type, [pair] * 1_000)
    assert caught.value.issue_code == "too-costly"


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        (("identifier", many("v{}", 5_000)), "identifier"),
        (("identifier", many("s{}|v", MOST_COMPARED + 1)), "identifier"),
        (("name", many("n{}", MOST_COMPARED + 1)), "name"),
        (("_id", many("i{}", 5_000)), "_id"),
        (("_list", many("l{}", MOST_LISTED + 1)), "_list"),
        (("_sort", ",".join(["name"] * (MOST_SORT_KEYS + 1))), "_sort"),
    ],
)
def test_a_parameter_with_too_many_values_is_refused_by_its_name(pair: Pair, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked("Patient", [pair])
    assert (caught.value.issue_code, caught.value.expression) == ("too-costly", f"http.{name}")


def test_values_count_together() -> None:
    pair = ("identifier", many("s|{}", MOST_LISTED))
    asked("Patient", [pair] * (MOST_VALUES // MOST_LISTED))
    with pytest.raises(InvalidRequest, match="in all"):
        asked("Patient", [pair] * (MOST_VALUES // MOST_LISTED) + [("name", "a")])


def test_the_largest_search_of_the_system_runs(database_url: str) -> None:
    options = Options(base=BASE, zone=None, default_count=50, max_count=1000, strict=True)
    pair = ("_tag", many("s{}|v", MOST_COMPARED))
    parameters = [pair] * (MOST_VALUES // MOST_COMPARED)
    union = parse_union(searched_types(), parameters, options, address="")
    database = Database(database_url)
    with database.read() as connection, search.limited(connection, 60):
        found = search.search_union(connection, union.whole, union.parts)
        assert found.matches == ()
    database.close()
    with pytest.raises(InvalidRequest, match="at most"):
        parse_union(searched_types(), [("_lastUpdated", "ge2020")] * 1_000, options, address="")
