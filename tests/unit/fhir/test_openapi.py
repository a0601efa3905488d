from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from imaging_fhir.fhir.openapi import openapi
from imaging_fhir.fhir.openapi_types import INTERACTIONS, type_calls
from imaging_fhir.fhir.resource_type import EVERYTHING, RESOURCE_TYPES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi(root="https://images.example", version="1.2.3")


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    assert errors == []
    assert document["info"]["version"] == "1.2.3"


def test_the_validator_finds_what_is_wrong(document: dict[str, Any]) -> None:
    broken = document | {"info": {"title": "no version"}}
    assert list(OpenAPIV31SpecValidator(broken).iter_errors()) != []


def test_every_interaction_of_every_type_is_described() -> None:
    for type_ in RESOURCE_TYPES.values():
        described = {call.id for call in type_calls(type_.name, type_.interactions)}
        for interaction in type_.interactions:
            assert {call.id for call in INTERACTIONS[interaction](type_.name)} <= described
    assert set(EVERYTHING) <= INTERACTIONS.keys()


def test_no_call_has_the_name_of_another(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids)) > 100


@pytest.mark.parametrize("name", sorted(RESOURCE_TYPES))
def test_a_search_has_every_parameter_of_its_type(document: dict[str, Any], name: str) -> None:
    declared = {one.name for one in RESOURCE_TYPES[name].search_parameters}
    by_address = document["paths"][f"/fhir/{name}"]["get"]["parameters"]
    assert declared <= {one.get("name") for one in by_address}
    posted = document["paths"][f"/fhir/{name}/_search"]["post"]["requestBody"]["content"]
    assert declared == posted["application/x-www-form-urlencoded"]["schema"]["properties"].keys()


def test_what_is_not_offered_is_not_described(document: dict[str, Any]) -> None:
    assert "put" not in document["paths"]["/fhir/Task/{id}"]
    assert "post" not in document["paths"]["/fhir/AuditEvent"]


def test_images_are_sent_in_a_form_or_as_they_are(document: dict[str, Any]) -> None:
    body = document["paths"]["/fhir/$import-image"]["post"]["requestBody"]["content"]
    assert {"patient", "encounter", "file"} <= body["multipart/form-data"]["schema"][
        "properties"
    ].keys()
    assert body["*/*"]["schema"] == {"type": "string", "format": "binary"}
