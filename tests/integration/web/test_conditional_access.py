"""Conditional interactions find what their caller may see (http.html#cond-update)."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.app import app_of
from imaging_fhir.errors import AccessDenied
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.search import Criterion, Restrictions, TokenValue
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.integration.web.answers import json_of

SEEN, HIDDEN = "identifier=urn:a|seen", "identifier=urn:a|hidden"
KINDS = ("batch", "transaction")


class OnlyWomen(AccessPolicy):
    """Men are not to be seen by this caller, who may not search for Organizations at all."""

    def require(self, caller: Caller, interaction: str, resource_type: str) -> None:
        if (interaction, resource_type) == ("search-type", "Organization"):
            raise AccessDenied("No search for Organizations.")

    def restrictions(self, caller: Caller, letters: str = "s") -> Restrictions:
        value = TokenValue(system=None, value="female")
        return {"Patient": (Criterion(parameter="gender", type="token", values=(value,)),)}


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    services = build_services(settings)
    client = app_of(services).test_client()
    for id_, gender in (("seen", "female"), ("hidden", "male")):
        assert client.put(f"/fhir/Patient/{id_}", json=patient(id_, gender)).status_code == 201
    visit: dict[str, Any] = {"resourceType": "Encounter", "id": "visit", "status": "finished"}
    visit |= {"class": {"code": "AMB"}, "subject": {"reference": "Patient/hidden"}}
    assert client.put("/fhir/Encounter/visit", json=visit).status_code == 201
    policy = OnlyWomen(settings)
    services.search.access = services.transactions.access = policy
    yield client
    services.close()


def patient(id_: str, gender: str, **more: Any) -> dict[str, Any]:
    number = [{"system": "urn:a", "value": id_}]
    return {"resourceType": "Patient", "id": id_, "gender": gender, "identifier": number, **more}


def unnamed(gender: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "gender": gender}


def versions(client: FlaskClient, reference: str = "Patient/hidden") -> int:
    return int(json_of(client.get(f"/fhir/{reference}"))["meta"]["versionId"])


def bundled(client: FlaskClient, kind: str, entry: dict[str, Any]) -> TestResponse:
    return client.post("/fhir", json={"resourceType": "Bundle", "type": kind, "entry": [entry]})


def status_of(response: TestResponse) -> str:
    """Of the one entry, or of the whole where that failed."""
    if response.status_code != 200:
        return str(response.status_code)
    return str(json_of(response)["entry"][0]["response"]["status"])[:3]


def test_a_create_finds_no_resource_that_is_hidden(client: FlaskClient) -> None:
    for condition, status in ((SEEN, 200), (HIDDEN, 201)):
        headers = {"If-None-Exist": condition}
        answer = client.post("/fhir/Patient", json=unnamed("male"), headers=headers)
        assert answer.status_code == status
        assert "hidden" not in answer.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("condition", "status"), [(SEEN, "200"), (HIDDEN, "201")])
def test_nor_does_one_in_a_bundle(
    client: FlaskClient, kind: str, condition: str, status: str
) -> None:
    request = {"method": "POST", "url": "Patient", "ifNoneExist": condition}
    answer = bundled(client, kind, {"resource": unnamed("male"), "request": request})
    assert status_of(answer) == status


@pytest.mark.parametrize(("condition", "status"), [(SEEN, 200), (HIDDEN, 201)])
def test_an_update_does_not_write_to_it(client: FlaskClient, condition: str, status: int) -> None:
    answer = client.put(f"/fhir/Patient?{condition}", json=unnamed("other"))
    assert answer.status_code == status
    assert versions(client) == 1


def test_a_delete_and_a_patch_do_not_reach_it(client: FlaskClient) -> None:
    assert client.delete(f"/fhir/Patient?{HIDDEN}").status_code == 204
    patch = [{"op": "replace", "path": "/gender", "value": "other"}]
    patched = client.patch(
        f"/fhir/Patient?{HIDDEN}", json=patch, content_type="application/json-patch+json"
    )
    assert patched.status_code == 404
    assert versions(client) == 1
    assert client.delete(f"/fhir/Patient?{SEEN}").status_code == 204
    assert client.get("/fhir/Patient/seen").status_code == 410


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_no_entry_of_a_bundle_reaches_it(client: FlaskClient, kind: str, method: str) -> None:
    request = {"method": method, "url": f"Patient?{HIDDEN}"}
    entry: dict[str, Any] = {"request": request}
    if method == "PUT":
        entry["resource"] = unnamed("other")
    assert status_of(bundled(client, kind, entry)) == ("201" if method == "PUT" else "204")
    assert versions(client) == 1


def test_a_conditional_reference_does_not_find_it(client: FlaskClient) -> None:
    def visit(condition: str) -> dict[str, Any]:
        return {
            "resource": {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": {"reference": f"Patient?{condition}"},
            },
            "request": {"method": "POST", "url": "Encounter"},
        }

    assert status_of(bundled(client, "transaction", visit(SEEN))) == "201"
    assert status_of(bundled(client, "transaction", visit(HIDDEN))) == "412"


def test_a_chain_does_not_lead_through_it(client: FlaskClient) -> None:
    assert client.delete("/fhir/Encounter?patient.identifier=urn:a|hidden").status_code == 204
    assert versions(client, "Encounter/visit") == 1
    assert client.delete("/fhir/Encounter?patient=hidden").status_code == 204
    assert client.get("/fhir/Encounter/visit").status_code == 410


def test_who_may_not_search_may_not_ask_by_condition(client: FlaskClient) -> None:
    organization = {"resourceType": "Organization", "name": "Ward"}
    headers = {"If-None-Exist": "name=Ward"}
    patch = [{"op": "add", "path": "/name", "value": "x"}]
    answers = (
        client.post("/fhir/Organization", json=organization, headers=headers),
        client.put("/fhir/Organization?name=Ward", json=organization),
        client.delete("/fhir/Organization?name=Ward"),
        client.patch(
            "/fhir/Organization?name=Ward", json=patch, content_type="application/json-patch+json"
        ),
    )
    assert [answer.status_code for answer in answers] == [403] * 4
    assert client.post("/fhir/Organization", json=organization).status_code == 201
