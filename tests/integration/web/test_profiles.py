"""Profiles over HTTP: checked on request, claimed by what is built here, held to by a setting."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.settings import Settings
from tests.integration.web.answers import json_of
from tests.samples import raster

CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
IPA = "http://hl7.org/fhir/uv/ipa/StructureDefinition/ipa-"
Json = dict[str, Any]
BARE = {"resourceType": "Patient", "gender": "female"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, profiles="us-core,ipa", declared_profiles="strict")


def issues(client: FlaskClient, resource: Json, query: str = "") -> list[tuple[str, str, str]]:
    answer = client.post(f"/fhir/{resource['resourceType']}/$validate{query}", json=resource)
    assert answer.status_code == 200
    return [
        (one["severity"], one["code"], one.get("expression", [""])[0])
        for one in json_of(answer)["issue"]
    ]


def test_a_profile_is_checked_on_request(client: FlaskClient) -> None:
    expected = [("error", "required", f"Patient.{name}") for name in ("identifier", "name")]
    assert issues(client, BARE, f"?profile={CORE}patient") == expected
    assert issues(client, BARE, f"?profile={CORE}patient|6.1.0") == expected
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": BARE},
            {"name": "profile", "valueUri": f"{IPA}patient"},
        ],
    }
    answer = client.post("/fhir/Patient/$validate", json=parameters)
    (issue,) = json_of(answer)["issue"]
    assert (issue["code"], issue["expression"]) == ("required", ["Patient.identifier"])
    assert f"{IPA}patient|1.0.0" in issue["diagnostics"]


def test_an_unknown_profile_is_said_to_be_unknown(client: FlaskClient) -> None:
    base = "http://hl7.org/fhir/StructureDefinition/Patient"
    assert issues(client, BARE, f"?profile={base}") == [("information", "informational", "")]
    asked = issues(client, BARE, "?profile=https://a.example/p")
    assert asked == [("error", "not-supported", "http.profile")]
    claiming = {**BARE, "meta": {"profile": ["https://a.example/p", f"{IPA}patient"]}}
    assert issues(client, claiming) == [
        ("warning", "not-supported", "Patient.meta.profile"),
        ("error", "required", "Patient.identifier"),
    ]


@pytest.mark.parametrize("in_bundle", [False, True])
def test_a_false_claim_is_refused_where_the_site_wants_that(
    client: FlaskClient, in_bundle: bool
) -> None:
    claiming = {**BARE, "meta": {"profile": [f"{CORE}patient"]}}
    foreign = {**BARE, "meta": {"profile": ["https://a.example/p"]}}
    for resource, status in ((claiming, 422), (foreign, 201)):
        if in_bundle:
            entry = {"resource": resource, "request": {"method": "POST", "url": "Patient"}}
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
            answer = client.post("/fhir", json=bundle)
            assert answer.status_code == (422 if status == 422 else 200)
        else:
            answer = client.post("/fhir/Patient", json=resource)
            assert answer.status_code == status


def test_what_is_built_here_claims_what_it_conforms_to(client: FlaskClient) -> None:
    patient = {
        "resourceType": "Patient",
        "id": "a",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "7"}],
    }
    assert client.put("/fhir/Patient/a", json=patient).status_code == 201
    no_type, photograph = document_of(client, "PNG", "text"), document_of(client, "JPEG", CODE)
    assert no_type["meta"]["profile"] == [f"{IPA}documentreference"]
    assert photograph["meta"]["profile"] == [f"{IPA}documentreference", f"{CORE}documentreference"]
    for url in photograph["meta"]["profile"]:
        assert issues(client, photograph, f"?profile={url}") == [
            ("information", "informational", "")
        ]


CODE = "http://loinc.org|72170-4"


def document_of(client: FlaskClient, format_: str, type_: str) -> Json:
    answer = client.post(
        f"/fhir/$import-image?patient=Patient/a&type={type_}",
        data=raster(format_),
        content_type="application/octet-stream",
    )
    location = json_of(answer)["entry"][0]["response"]["location"]
    found: Json = json_of(client.get("/fhir/" + location.partition("/fhir/")[2]))
    return found


def test_the_capability_statement_lists_them(client: FlaskClient) -> None:
    statement = json_of(client.get("/fhir/metadata"))
    found = {
        one["type"]: one.get("supportedProfile", []) for one in statement["rest"][0]["resource"]
    }
    assert found["DocumentReference"] == [
        f"{IPA}documentreference|1.0.0", f"{CORE}documentreference|7.0.0"
    ]  # fmt: skip
    assert found["ImagingStudy"] == []
