import pytest

from imaging_fhir.errors import UnsupportedMediaType
from imaging_fhir.web.negotiation import (
    accepts_json,
    chosen_format,
    is_json_format,
    prefers_fhir,
    prefers_xml,
    refusal,
    require_json_body,
)


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("", True),
        ("application/fhir+json; charset=utf-8", True),
        ("APPLICATION/JSON", True),
        ("application/fhir+xml, application/fhir+json;q=0.5", True),
        ("application/fhir+json;q=0", False),
        ("application/fhir+json;fhirVersion=3.0", False),
        ("application/fhir+json;q=0, */*", False),
        ("application/fhir+json;q=0, application/json", True),
        ("application/fhir+json;fhirVersion=5.0, */*;q=0.1", True),
        ("application/fhir+json;fhirVersion=4.0.1", True),
        ("application/fhir+json;fhirVersion=4.3", False),
        ("*/*;q=0", False),
        ("image/jpeg", False),
        (";;;,", False),
    ],
)
def test_what_accepts_json(accept: str, is_json: bool) -> None:
    assert accepts_json(accept) == is_json


@pytest.mark.parametrize(
    ("chosen", "is_json"),
    [
        ("json", True),
        ("application/fhir json", True),
        ("application/fhir+json; fhirVersion=4.0", True),
        ("text/json", True),
        ("application/fhir+json; fhirVersion=5.0", False),
        ("xml", False),
        ("", False),
    ],
)
def test_which_formats_are_json(chosen: str, is_json: bool) -> None:
    assert is_json_format(chosen) == is_json


@pytest.mark.parametrize(
    ("accept", "is_xml"),
    [
        ("application/fhir+json;q=0, */*", True),
        ("application/xml;q=0.9, */*;q=0.8", True),
        ("application/fhir+xml, application/fhir+json", True),
        ("application/fhir+json, application/fhir+xml", False),
        ("application/fhir+xml;q=0, */*", False),
        ("application/fhir+xml;fhirVersion=5.0, */*;q=0.1", False),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_prefers_xml(accept: str, is_xml: bool) -> None:
    assert prefers_xml(accept) == is_xml


@pytest.mark.parametrize(
    "wanted", ["application/fhir+json;fhirVersion=5.0", "json;fhirVersion=4.3"]
)
def test_another_version_is_refused_by_its_number(wanted: str) -> None:
    assert refusal(wanted).endswith(f"fhirVersion={wanted[-3:]}.")


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("", None),
        ("_format=", None),
        ("_format=xml&_format=json", "json"),
        ("a=b&_format=application/fhir+xml", "application/fhir xml"),
    ],
)
def test_the_last_format_counts(query: str, chosen: str | None) -> None:
    assert chosen_format(query) == chosen


@pytest.mark.parametrize(
    ("accept", "is_fhir"),
    [
        ("application/fhir+json", True),
        ("application/fhir+json, */*;q=0.1", True),
        ("image/*, application/fhir+json;q=0.5", False),
        ("application/json", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_who_prefers_the_fhir_form(accept: str, is_fhir: bool) -> None:
    assert prefers_fhir(accept) == is_fhir


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/fhir+xml", "application/json;charset=x"]
)
def test_a_body_of_another_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        require_json_body(content_type)


@pytest.mark.parametrize(
    "content_type",
    ["application/fhir+json", "application/json; charset=UTF-8", "text/json;charset=utf8"],
)
def test_json_in_every_spelling_is_taken(content_type: str) -> None:
    require_json_body(content_type)
