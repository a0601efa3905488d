"""parameters.html: what an operation is given."""

from typing import Any

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.parameters import (
    read_parameters,
    require_only,
    resource_in,
    text,
    texts,
    truth,
    whole_number,
)


def given(*listed: dict[str, Any]) -> list[tuple[str, Any]]:
    return read_parameters({"resourceType": "Parameters", "parameter": list(listed)})


def test_values_are_read_as_a_query_would_have_them() -> None:
    found = given(
        {"name": "type", "valueCoding": {"system": "urn:a", "code": "b"}},
        {"name": "type", "valueCoding": {"code": "c"}},
        {"name": "count", "valueInteger": 3},
        {"name": "only", "valueBoolean": True},
        {"name": "resource", "resource": {"resourceType": "Patient"}},
    )
    assert texts(found, "type") == ["urn:a|b", "c"]
    assert whole_number(found, "count") == 3
    assert truth(found, "only")
    assert resource_in(found, "resource") == {"resourceType": "Patient"}


def test_what_is_not_there_is_nothing_or_the_default() -> None:
    assert text([], "patient") is None
    assert whole_number([], "count") is None
    assert not truth([], "only")
    assert truth([], "only", default=True)
    assert resource_in([], "resource") is None
    assert read_parameters({"resourceType": "Parameters"}) == []


@pytest.mark.parametrize(
    "listed",
    [
        {"valueString": "nameless"},
        {"name": "empty"},
        {"name": "two", "valueString": "a", "valueCode": "b"},
        {"name": 5, "valueString": "a"},
    ],
)
def test_a_parameter_of_another_shape_is_refused(listed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        given({"name": "fine", "valueString": "a"}, listed)
    assert refused.value.expression == "Parameters.parameter[1]"


def test_parameters_that_are_no_list_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no array"):
        read_parameters({"resourceType": "Parameters", "parameter": {"name": "a"}})


def test_values_of_another_type_and_repetitions_are_refused_by_name() -> None:
    wrong: list[tuple[str, Any]] = [
        ("count", "many"),
        ("only", "perhaps"),
        ("patient", "a"),
        ("patient", "b"),
        ("coded", ["a"]),
        ("resource", "text"),
    ]
    for read, name in (
        (whole_number, "count"),
        (truth, "only"),
        (text, "patient"),
        (texts, "coded"),
        (resource_in, "resource"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            read(wrong, name)
        assert refused.value.expression == f"http.{name}"


def test_a_parameter_that_the_operation_does_not_have_is_refused() -> None:
    require_only([("start", "2024"), ("_pretty", "true")], ["start"])
    with pytest.raises(InvalidRequest, match="stat"):
        require_only([("stat", "2024")], ["start"])
