from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.search import (
    Criterion,
    DateValue,
    Inclusion,
    QuantityValue,
    Query,
    ReferenceValue,
    ReverseCriterion,
    SearchValue,
    SortKey,
    TokenValue,
)

BASE = "http://127.0.0.1:8080/fhir"
NOW = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000


def parsed(resource_type: str, *parameters: tuple[str, str], **options: Any) -> Query:
    return parse_query(resource_type, parameters, base=BASE, now=NOW, **options)


def criterion(resource_type: str, key: str, text: str, **options: Any) -> Criterion:
    (found,) = parsed(resource_type, (key, text), strict=True, **options).criteria
    assert isinstance(found, Criterion)
    return found


def values(resource_type: str, key: str, text: str, **options: Any) -> tuple[SearchValue, ...]:
    return criterion(resource_type, key, text, **options).values


def refusal(resource_type: str, *parameters: tuple[str, str], **options: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parsed(resource_type, *parameters, **options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "system", "value"),
    [
        ("a", None, "a"),
        ("s|a", "s", "a"),
        ("|a", "", "a"),
        ("s|", "s", None),
        (r"s|a\|b\,c\$d\\e", "s", r"a|b,c$d\e"),
    ],
)
def test_a_token_is_a_code_with_or_without_its_system(
    text: str, system: str | None, value: str | None
) -> None:
    assert values("Patient", "identifier", text) == (TokenValue(system=system, value=value),)


@pytest.mark.parametrize("text", ["|", "a|b|c"])
def test_a_token_of_another_form_is_refused(text: str) -> None:
    assert "identifier" in str(refusal("Patient", ("identifier", text)))


def test_commas_part_alternatives_and_empty_ones_are_none() -> None:
    assert values("Patient", "family", r"a,,b\,c") == ("a", "b,c")


def test_an_identifier_of_a_type_is_found_by_all_three() -> None:
    assert values("Patient", "identifier:of-type", "v2|MR|7") == (
        TokenValue(system=None, value="7", type_system="v2", type_code="MR"),
    )
    refusal("Patient", ("identifier:of-type", "MR|7"))


@pytest.mark.parametrize("text", ["1.2.3", "urn:oid:1.2.3"])
def test_a_uid_is_searched_in_both_spellings(text: str) -> None:
    spelled = values("ImagingStudy", "identifier", text)
    assert set(spelled) == {
        TokenValue(system=None, value="1.2.3"),
        TokenValue(system=None, value="urn:oid:1.2.3"),
    }
    assert values("ImagingStudy", "instance", text) == (TokenValue(system=None, value="1.2.3"),)


def test_an_accession_number_has_one_spelling() -> None:
    assert len(values("ImagingStudy", "identifier", "urn:a|A1")) == 1


@pytest.mark.parametrize(
    "text", ["p1", "Patient/p1", "Patient/p1/_history/4", f"{BASE}/Patient/p1"]
)
def test_a_reference_is_an_id_with_or_without_what_stands_before_it(text: str) -> None:
    expected = ReferenceValue(target_type="Patient", target_id="p1")
    assert values("ImagingStudy", "patient", text) == (expected,)
    assert values("ImagingStudy", "subject:Patient", text) == (expected,)


def test_an_id_alone_is_of_any_type_that_the_parameter_takes() -> None:
    types = [value.target_type for value in values("ImagingStudy", "subject", "1")]  # type: ignore[union-attr]
    assert types == ["Device", "Group", "Patient"]
    assert values("Task", "focus", "1") == (ReferenceValue(target_id="1"),)


def test_a_reference_elsewhere_is_its_address() -> None:
    url = "http://other/fhir/Patient/1"
    assert values("ImagingStudy", "patient", url) == (ReferenceValue(url=url),)


@pytest.mark.parametrize("text", ["a b", "Encounter/1", "Patient/", "#p", "a|b"])
def test_what_is_no_reference_to_the_type_is_refused(text: str) -> None:
    refusal("ImagingStudy", ("patient", text))


def test_a_date_has_a_prefix_and_is_one_of_the_zone() -> None:
    assert values("Patient", "birthdate", "ge1970-01-02") == (
        DateValue(prefix="ge", low=DAY, high=2 * DAY),
    )
    zone = ZoneInfo("Europe/Berlin")
    (value,) = values("Patient", "birthdate", "1970-01-02", zone=zone)
    assert value == DateValue(prefix="eq", low=DAY - DAY // 24, high=2 * DAY - DAY // 24)


def test_a_plus_sign_survives_as_the_space_it_is_decoded_to() -> None:
    with_space = values("ImagingStudy", "started", "2024-01-01T10:00:00 01:00")
    assert with_space == values("ImagingStudy", "started", "2024-01-01T10:00:00+01:00")


def test_an_approximate_date_is_a_tenth_of_its_distance_wide() -> None:
    (value,) = values("Patient", "birthdate", "ap2014-01-01")
    assert isinstance(value, DateValue)
    width = value.high - value.low - DAY
    assert width == pytest.approx(2 * 365.25 * DAY, rel=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", (100, 99.5, 100.5)),
        ("5.40", (5.4, 5.395, 5.405)),
        ("1e2", (100, 50, 150)),
        ("ap100", (100, 90, 110)),
    ],
)
def test_a_number_is_as_precise_as_it_is_written(
    text: str, expected: tuple[float, float, float]
) -> None:
    (value,) = values("Encounter", "length", f"{text}|http://ucum|min")
    assert isinstance(value, QuantityValue)
    assert (value.value, value.low, value.high) == pytest.approx(expected)
    assert (value.system, value.code) == ("http://ucum", "min")


@pytest.mark.parametrize("text", ["x", "1|2", "NaN", "Infinity", "1e9999999", "ge"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    refusal("Encounter", ("length", text))


def test_a_chain_follows_references_at_any_depth() -> None:
    found = criterion("ImagingStudy", "encounter.service-provider.name:exact", "X")
    ((encounter, provider),) = found.chain
    assert isinstance(provider, Criterion)
    ((organization, name),) = provider.chain
    assert (encounter, organization) == ("Encounter", "Organization")
    assert name == Criterion(parameter="name", type="string", modifier="exact", values=("X",))


def test_a_chain_without_a_type_tries_all_that_know_the_parameter() -> None:
    found = criterion("DocumentReference", "author.family", "X")
    assert [type_ for type_, _ in found.chain] == ["Patient", "Practitioner"]
    typed = criterion("DocumentReference", "author:Practitioner.family", "X")
    assert [type_ for type_, _ in typed.chain] == ["Practitioner"]


def test_has_asks_for_what_refers_here() -> None:
    key = "_has:Encounter:patient:_has:ImagingStudy:encounter:modality"
    (found,) = parsed("Patient", (key, "CT")).criteria
    assert isinstance(found, ReverseCriterion)
    assert (found.resource_type, found.reference_parameter) == ("Encounter", "patient")
    assert isinstance(found.criterion, ReverseCriterion)
    assert found.criterion.resource_type == "ImagingStudy"


@pytest.mark.parametrize(
    "key",
    [
        "_has:ImagingStudy:encounter",
        "name.family",
        "patient:Nonsense.name",
        "organization." * 7 + "name",
    ],
)
def test_a_malformed_chain_is_refused(key: str) -> None:
    refusal("Patient" if "patient" not in key else "Encounter", (key, "x"), strict=True)


@pytest.mark.parametrize(
    ("resource_type", "key"),
    [
        ("ImagingStudy", "started:exact"),
        ("ImagingStudy", "modality:in"),
        ("ImagingStudy", "modality:"),
        ("ImagingStudy", "instance:text"),
        ("Patient", "family:not"),
        ("Patient", "_id:text"),
        ("Patient", "identifier:Patient"),
        ("Patient", "_include:sometimes"),
    ],
)
def test_an_unknown_modifier_is_refused_even_when_lenient(resource_type: str, key: str) -> None:
    assert refusal(resource_type, (key, "2024")).status == 400


def test_missing_takes_true_or_false() -> None:
    assert criterion("Patient", "birthdate:missing", "true").modifier == "missing"
    refusal("Patient", ("birthdate:missing", "maybe"))


def test_an_unknown_parameter_is_listed_and_left_out_of_self() -> None:
    query = parsed("Patient", ("colour", "red"), ("gender", "male"), ("colour", "blue"))
    assert query.ignored == ("colour",)
    assert query.self_parameters == (("gender", "male"),)
    assert "colour" in str(refusal("Patient", ("colour", "red"), strict=True))


@pytest.mark.parametrize(
    "parameter",
    [
        ("_sort", "colour"),
        ("_include", "Patient:colour"),
        ("_query", "x"),
        ("_filter", "x"),
        ("_contained", "true"),
        ("gender", ""),
        ("_revinclude", "Nothing:patient"),
        ("_has:Nothing:patient:x", "1"),
        ("name.x", "1"),
    ],
)
def test_what_is_not_understood_is_left_out_or_refused(parameter: tuple[str, str]) -> None:
    if parameter[0] == "name.x":
        refusal("Patient", parameter)
    else:
        assert parsed("Patient", parameter).ignored == (parameter[0],)
    refusal("Patient", parameter, strict=True)


@pytest.mark.parametrize(
    ("resource_type", "key", "text"),
    [
        ("Organization", "patient", "1"),
        ("ImagingStudy", "patient", ""),
        ("ImagingStudy", "patient.colour", "red"),
        ("ImagingStudy", "subject:missing", " "),
        ("Patient", "_id", "no id"),
        ("Patient", "_security", "|"),
    ],
)
def test_an_error_in_who_or_what_may_be_seen_never_widens_the_search(
    resource_type: str, key: str, text: str
) -> None:
    refusal(resource_type, (key, text))


def test_a_refusal_names_the_parameter_and_never_the_value() -> None:
    error = refusal("ImagingStudy", ("patient", "Secret Name"))
    assert "patient" in str(error)
    assert "Secret" not in str(error)
    assert error.expression == "http.patient"


def test_the_result_parameters_are_understood() -> None:
    query = parsed(
        "ImagingStudy",
        ("_sort", "-started,_id"),
        ("_count", "5000"),
        ("_total", "accurate"),
        ("_summary", "data"),
        ("_elements", "status, subject"),
        ("_page", "abc"),
        ("_format", "json"),
    )
    assert query.sort == (
        SortKey(parameter="started", type="date", descending=True),
        SortKey(parameter="_id", type="token"),
    )
    assert (query.count, query.total, query.summary, query.after) == (1000, True, "data", "abc")
    assert query.elements == ("status", "subject")
    assert ("_count", "1000") in query.self_parameters
    assert not {"_page", "_format"} & {key for key, _ in query.self_parameters}


@pytest.mark.parametrize(
    "beside", [(), (("_summary", "true"),), (("_summary", "false"),), (("_total", "none"),)]
)
def test_a_count_of_none_asks_for_the_total_alone(beside: tuple[tuple[str, str], ...]) -> None:
    for parameters in ((("_count", "0"), *beside), (*beside, ("_count", "0"))):
        query = parsed("Patient", *parameters)
        assert (query.summary, query.total, query.count) == ("count", True, 0)
    assert parsed("Patient", *beside).total is False


def test_the_last_count_is_the_one_that_counts() -> None:
    query = parsed("Patient", ("_count", "0"), ("_count", "7"))
    assert (query.summary, query.total, query.count) == (None, False, 7)


@pytest.mark.parametrize(
    "parameter",
    [("_count", "-1"), ("_count", "x"), ("_count", "\u0663"), ("_summary", "no"),
     ("_total", "all")],
)  # fmt: skip
def test_a_result_parameter_with_another_value_is_refused(parameter: tuple[str, str]) -> None:
    refusal("Patient", parameter)


def test_includes_name_their_references() -> None:
    query = parsed(
        "ImagingStudy",
        ("_include", "ImagingStudy:subject:Patient"),
        ("_include:iterate", "Patient:general-practitioner"),
    )
    assert query.includes == (
        Inclusion(source_type="ImagingStudy", parameter="subject", target_type="Patient"),
        Inclusion(source_type="Patient", parameter="general-practitioner", iterate=True),
    )


def test_a_wildcard_includes_every_reference_that_fits() -> None:
    names = {one.parameter for one in parsed("ImagingStudy", ("_include", "*")).includes}
    assert {"patient", "encounter", "basedon", "endpoint"} <= names
    found = {
        (one.source_type, one.parameter)
        for one in parsed("Encounter", ("_revinclude", "*")).revincludes
    }
    assert ("ImagingStudy", "encounter") in found
    assert ("ImagingStudy", "patient") not in found


def test_too_many_alternatives_are_refused() -> None:
    refusal("Patient", ("_id", ",".join(str(number) for number in range(501))))
    refusal("Patient", ("name", ",".join(str(number) for number in range(101))))


@pytest.mark.parametrize("parameter", [("family", "a\0b"), ("_page", "\0"), ("colour", "\0")])
def test_a_value_that_no_database_takes_is_refused(parameter: tuple[str, str]) -> None:
    refusal("Patient", parameter)
