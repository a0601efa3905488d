"""References that must lead somewhere, where the site says so; documents that replace others."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.settings import Settings
from tests.integration.web.answers import json_of

Resource = dict[str, Any]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, reference_integrity="strict")


def put(client: FlaskClient, resource: Resource) -> TestResponse:
    return client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)


def patient(resource_id: str, **elements: Any) -> Resource:
    return {"resourceType": "Patient", "id": resource_id, **elements}


def encounter(resource_id: str, subject: str) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": resource_id,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": subject},
    }


def document(resource_id: str, subject: str, *replaces: str) -> Resource:
    relations = [{"code": "replaces", "target": {"reference": one}} for one in replaces]
    return {
        "resourceType": "DocumentReference",
        "id": resource_id,
        "status": "current",
        "subject": {"reference": subject},
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
        **({"relatesTo": relations} if relations else {}),
    }


def bundle(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def entry(method: str, resource: Resource) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    body = {"resource": resource} if method == "PUT" else {}
    return {"request": {"method": method, "url": url}, **body}


class TestStrict:
    def test_a_reference_to_nobody_is_refused_with_its_place(self, client: FlaskClient) -> None:
        answer = put(client, encounter("e", "Patient/none"))
        assert answer.status_code == 422
        assert json_of(answer)["issue"][0]["expression"] == ["Encounter.subject"]
        assert client.get("/fhir/Encounter/e").status_code == 404

    def test_what_is_referred_to_cannot_be_deleted(self, client: FlaskClient) -> None:
        put(client, patient("p"))
        assert put(client, encounter("e", "Patient/p")).status_code == 201
        refused = client.delete("/fhir/Patient/p")
        assert refused.status_code == 409
        assert "Encounter/e" in json_of(refused)["issue"][0]["diagnostics"]
        assert client.get("/fhir/Patient/p").status_code == 200
        assert client.delete("/fhir/Encounter/e").status_code == 204
        assert client.delete("/fhir/Patient/p").status_code == 204

    def test_a_transaction_is_judged_as_a_whole(self, client: FlaskClient) -> None:
        visit_first = bundle(entry("PUT", encounter("e", "Patient/p")), entry("PUT", patient("p")))
        assert client.post("/fhir", json=visit_first).status_code == 200
        both_go = bundle(entry("DELETE", patient("p")), entry("DELETE", encounter("e", "")))
        assert client.post("/fhir", json=both_go).status_code == 200
        assert client.get("/fhir/Patient/p").status_code == 410

    def test_a_transaction_that_leaves_a_loose_end_changes_nothing(
        self, client: FlaskClient
    ) -> None:
        loose = bundle(entry("PUT", patient("p")), entry("PUT", encounter("e", "Patient/q")))
        answer = client.post("/fhir", json=loose)
        assert answer.status_code == 422
        assert "Bundle.entry[1]" in str(json_of(answer)["issue"][0])
        assert client.get("/fhir/Patient/p").status_code == 404

    def test_references_to_types_that_are_not_kept_here_and_to_other_servers_are_free(
        self, client: FlaskClient
    ) -> None:
        free = patient(
            "p",
            contained=[{"resourceType": "Organization", "id": "o", "name": "Ward"}],
            managingOrganization={"reference": "#o"},
            generalPractitioner=[{"reference": "https://a.example/fhir/Practitioner/1"}],
        )
        assert put(client, free).status_code == 201


class TestReplacing:
    @pytest.fixture(autouse=True)
    def _patients(self, client: FlaskClient) -> None:
        for one in ("a", "b"):
            assert put(client, patient(one)).status_code == 201

    def test_what_is_replaced_is_superseded(self, client: FlaskClient) -> None:
        put(client, document("old", "Patient/a"))
        assert put(client, document("new", "Patient/a", "DocumentReference/old")).status_code == 201
        old = client.get("/fhir/DocumentReference/old")
        assert (json_of(old)["status"], old.headers["ETag"]) == ("superseded", 'W/"2"')
        found = json_of(client.get("/fhir/DocumentReference?subject=Patient/a&status=current"))
        assert [one["resource"]["id"] for one in found["entry"]] == ["new"]

    def test_said_again_it_makes_no_further_version(self, client: FlaskClient) -> None:
        put(client, document("old", "Patient/a"))
        put(client, document("new", "Patient/a", "DocumentReference/old"))
        put(client, {**document("new", "Patient/a", "DocumentReference/old"), "description": "x"})
        assert client.get("/fhir/DocumentReference/old").headers["ETag"] == 'W/"2"'

    def test_a_document_of_another_patient_is_not_touched(self, client: FlaskClient) -> None:
        put(client, document("old", "Patient/a"))
        answer = put(client, document("new", "Patient/b", "DocumentReference/old"))
        assert answer.status_code == 422
        expression = json_of(answer)["issue"][0]["expression"]
        assert expression == ["DocumentReference.relatesTo[0].target"]
        assert json_of(client.get("/fhir/DocumentReference/old"))["status"] == "current"
        assert client.get("/fhir/DocumentReference/new").status_code == 404

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://other.example/fhir/DocumentReference/old",
            "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a",
        ],
    )
    def test_a_document_of_another_server_is_not_the_one_of_that_id(
        self, client: FlaskClient, elsewhere: str
    ) -> None:
        put(client, document("old", "Patient/a"))
        assert put(client, document("new", "Patient/a", elsewhere)).status_code == 201
        assert json_of(client.get("/fhir/DocumentReference/old"))["status"] == "current"

    def test_a_patient_of_another_server_is_not_the_one_of_that_id(
        self, client: FlaskClient
    ) -> None:
        put(client, document("old", "https://other.example/fhir/Patient/a"))
        answer = put(client, document("new", "Patient/a", "DocumentReference/old"))
        assert answer.status_code == 422
        assert client.get("/chart/documents/old").status_code == 404
        assert "entry" not in json_of(client.get("/fhir/DocumentReference?patient=a"))
        assert "old" not in client.get("/fhir/Patient/a/$everything").text
