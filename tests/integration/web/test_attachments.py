"""Bytes inside a resource become a Binary, whatever the type and wherever they stand."""

import base64
import hashlib
from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.fhir.attachment import attachments
from tests.integration.web.answers import json_of

Json = dict[str, Any]
BASE = "https://images.example"
OCTETS = b"not a picture at all"
INLINE = {"contentType": "image/png", "data": base64.b64encode(OCTETS).decode(), "title": "a"}
SUBJECT = {"reference": "Patient/1"}
HOLDERS: dict[str, Json] = {
    "Patient.photo": {"resourceType": "Patient", "photo": [INLINE]},
    "Practitioner.photo": {"resourceType": "Practitioner", "photo": [INLINE]},
    "Media.content": {"resourceType": "Media", "status": "completed", "content": INLINE},
    "DiagnosticReport.presentedForm": {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "a"},
        "presentedForm": [INLINE],
    },
    "BodyStructure.image": {"resourceType": "BodyStructure", "patient": SUBJECT, "image": [INLINE]},
    "Consent.source": {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "a"},
        "category": [{"text": "a"}],
        "policyRule": {"text": "a"},
        "sourceAttachment": INLINE,
    },
    "DocumentReference.content": {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": INLINE}],
    },
    "Group.extension": {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "extension": [{"url": "https://a.example/e", "valueAttachment": INLINE}],
    },
    "Device.contained": {
        "resourceType": "Device",
        "owner": {"reference": "#o"},
        "contained": [
            {
                "resourceType": "Organization",
                "id": "o",
                "name": "a",
                "_name": {"extension": [{"url": "https://a.example/e", "valueAttachment": INLINE}]},
            }
        ],
    },
}


def post(client: FlaskClient, resource: Json) -> Json:
    answer = client.post(f"/fhir/{resource['resourceType']}", json=resource)
    assert answer.status_code == 201, answer.text
    found: Json = json_of(answer)
    return found


def only_attachment(resource: Json) -> Json:
    (found,) = attachments(resource)
    return found


@pytest.mark.parametrize("resource", HOLDERS.values(), ids=HOLDERS)
def test_bytes_leave_the_resource_and_come_back_from_their_address(
    client: FlaskClient, resource: Json
) -> None:
    created = post(client, resource)
    attachment = only_attachment(created)
    digest = hashlib.sha1(OCTETS, usedforsecurity=False).digest()
    assert {name: value for name, value in attachment.items() if name != "url"} == {
        "contentType": "image/png",
        "title": "a",
        "size": len(OCTETS),
        "hash": base64.b64encode(digest).decode(),
    }
    path = attachment["url"].removeprefix(BASE)
    assert client.get(path).data == OCTETS
    binary = json_of(client.get(path, headers={"Accept": "application/fhir+json"}))
    owner = f"{created['resourceType']}/{created['id']}"
    assert binary["securityContext"] == {"reference": owner}
    assert json_of(client.get(f"/fhir/{owner}")) == created
    assert client.delete(f"/fhir/{owner}").status_code == 204
    assert client.get(path).status_code == 410


@pytest.mark.parametrize("resource", HOLDERS.values(), ids=HOLDERS)
def test_what_is_read_can_be_written_back(client: FlaskClient, resource: Json) -> None:
    created = post(client, resource)
    path = f"/fhir/{created['resourceType']}/{created['id']}"
    answer = client.put(path, json={**created, "language": "en"})
    assert (answer.status_code, json_of(answer)["meta"]["versionId"]) == (200, "2")
    url = only_attachment(json_of(answer))["url"]
    assert client.get(url.removeprefix(BASE)).data == OCTETS


@pytest.mark.parametrize(("wrong", "where"), [({"hash": "YQ=="}, "hash"), ({"size": 3}, "size")])
def test_what_is_said_of_the_bytes_must_be_true(
    client: FlaskClient, wrong: Json, where: str
) -> None:
    resource = {**HOLDERS["Patient.photo"], "photo": [{**INLINE, **wrong}]}
    answer = client.post("/fhir/Patient", json=resource)
    assert answer.status_code == 422
    assert json_of(answer)["issue"][0]["expression"] == [f"Patient.photo[0].{where}"]


def test_a_patch_and_a_transaction_bring_bytes_too(client: FlaskClient) -> None:
    entry = {
        "resource": HOLDERS["Media.content"],
        "request": {"method": "POST", "url": "Media"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answer = client.post("/fhir", json=bundle, headers={"Prefer": "return=representation"})
    media = json_of(answer)["entry"][0]["resource"]
    assert client.get(only_attachment(media)["url"].removeprefix(BASE)).data == OCTETS
    patient = post(client, {"resourceType": "Patient", "active": True})
    patched = client.patch(
        f"/fhir/Patient/{patient['id']}",
        json=[{"op": "add", "path": "/photo", "value": [INLINE]}],
        content_type="application/json-patch+json",
    )
    assert patched.status_code == 200, patched.text
    assert client.get(only_attachment(json_of(patched))["url"].removeprefix(BASE)).data == OCTETS


def test_a_binary_that_a_document_refers_to_outlives_its_owner(client: FlaskClient) -> None:
    media = post(client, HOLDERS["Media.content"])
    url = media["content"]["url"]
    post(
        client,
        {
            **HOLDERS["DocumentReference.content"],
            "content": [{"attachment": {"contentType": "image/png", "url": url}}],
        },
    )
    assert client.delete(f"/fhir/Media/{media['id']}").status_code == 204
    assert client.get(url.removeprefix(BASE)).data == OCTETS
