import pytest

from imaging_fhir.fhir.invariants import is_after
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.codec import Resource

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("2024", "2023", True),
        ("2024", "2024-05", False),
        ("2024-06", "2024-05-31", True),
        ("2024-05-01T10:00:00Z", "2024-05-01", False),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T08:30:00Z", False),
        ("2024-05-01T10:00:00+02:00", "2024-05-01T07:30:00Z", True),
        ("2024-05-01T10:00:60Z", "2024-05-01T09:00:00Z", False),  # not to be read: no fault
    ],
)
def test_times_are_compared_as_far_as_both_go(one: str, other: str, expected: bool) -> None:
    assert is_after(one, other) == expected


def document(**changes: object) -> Resource:
    composition = {
        "resourceType": "Composition",
        "text": {"status": "generated", "div": DIV},
        "status": "final",
        "type": {"text": "a"},
        "date": "2024",
        "author": [{"display": "a"}],
        "title": "a",
    }
    bundle = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"},
        "type": "document",
        "timestamp": "2024-05-01T10:00:00Z",
        "entry": [{"fullUrl": "http://a.example/Composition/1", "resource": composition}],
    }
    return {name: value for name, value in {**bundle, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"identifier": None}, "bdl-9"),
        ({"identifier": {"value": "a"}}, "bdl-9"),
        ({"timestamp": None}, "bdl-10"),
        ({"entry": [{"resource": {"resourceType": "Organization", "name": "a"}}]}, "bdl-11"),
        ({"type": "message"}, "bdl-12"),
        ({"type": "history"}, "bdl-3"),
        ({"type": "searchset", "entry": [{"fullUrl": "http://a.example/Basic/1"}]}, "bdl-5"),
    ],
)
def test_a_document_keeps_the_rules_of_bundles(changes: dict[str, object], key: str) -> None:
    assert check(document()) == []
    assert any(key in issue.message for issue in check(document(**changes)))


@pytest.mark.parametrize(
    ("extension", "key"),
    [
        ({"valueRange": {"low": {"value": 2}, "high": {"value": 1}}}, "rng-2"),
        ({"valueRatio": {"numerator": {"value": 2}}}, "rat-1"),
        ({"valueQuantity": {"value": 2, "code": "mm"}}, "qty-3"),
        ({"valueString": "a", "extension": [{"url": "a:b", "valueCode": "a"}]}, "ext-1"),
        ({"_valueString": {"extension": [{"url": "a:b", "valueCode": "a"}]}}, None),
        ({"valueRange": {"low": {"value": 2}}}, None),
        ({"valueRatio": {"numerator": {"value": 2}, "denominator": {"value": 1}}}, None),
    ],
)
def test_datatypes_keep_their_rules_wherever_they_stand(
    extension: Resource, key: str | None
) -> None:
    issues = check({"resourceType": "Patient", "extension": [{"url": "a:b", **extension}]})
    assert [key in issue.message for issue in issues if key] == [True] * len(issues)
    assert bool(issues) == bool(key)


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ({"kind": "capability"}, "cpb-15"),
        ({"implementation": {"description": "a"}, "kind": "instance"}, None),
        ({"kind": "requirements"}, "cpb-2"),
    ],
)
def test_a_capability_statement_is_of_an_instance_or_of_software(
    resource: Resource, key: str | None
) -> None:
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2024",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server"}],
        **resource,
    }
    issues = check(statement)
    assert bool(issues) == bool(key)
    assert key is None or any(key in issue.message for issue in issues)


def test_a_search_parameter_is_listed_once_a_type() -> None:
    parameter = {"name": "_id", "type": "token"}
    resource = {"type": "Patient", "searchParam": [parameter, parameter]}
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2024",
        "kind": "instance",
        "implementation": {"description": "a"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": [resource]}],
    }
    (issue,) = check(statement)
    assert issue.expression == "CapabilityStatement.rest[0].resource[0]"
