"""What clients may write of a document that was taken in as an image, and of its bytes."""

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.web.answers import json_of
from tests.integration.web.test_images import location, take_in
from tests.samples import SAMPLES

Json = dict[str, Any]
PNG = SAMPLES["image/png"]()


def put(client: FlaskClient, content: Json) -> TestResponse:
    return client.put(f"/fhir/{content['resourceType']}/{content['id']}", json=content)


@pytest.fixture
def document(client: FlaskClient) -> str:
    for patient in ("a", "b"):
        put(client, {"resourceType": "Patient", "id": patient})
        visit = {
            "resourceType": "Encounter",
            "id": f"of-{patient}",
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
            },
            "subject": {"reference": f"Patient/{patient}"},
        }
        assert put(client, visit).status_code == 201
    return location(take_in(client, PNG, "?encounter=Encounter/of-a"))


def binary_of(client: FlaskClient, document: str) -> str:
    url: str = json_of(client.get(document))["content"][0]["attachment"]["url"]
    return url.removeprefix("https://images.example")


def expressions(response: TestResponse) -> list[str]:
    return [one for issue in json_of(response)["issue"] for one in issue.get("expression", ())]


MOVES: dict[str, Json] = {
    "DocumentReference.subject": {"subject": {"reference": "Patient/b"}},
    "DocumentReference.context.encounter": {
        "context": {"encounter": [{"reference": "Encounter/of-b"}]}
    },
    "DocumentReference.content": {
        "content": [{"attachment": {"contentType": "image/png", "url": "http://example.org/x.png"}}]
    },
}


@pytest.mark.parametrize("expression", MOVES)
def test_an_update_does_not_move_a_filed_image(
    client: FlaskClient, document: str, expression: str
) -> None:
    before = json_of(client.get(document))
    refused = put(client, before | MOVES[expression])
    assert (refused.status_code, expressions(refused)) == (422, [expression])
    assert json_of(client.get(document)) == before


@pytest.mark.parametrize("expression", MOVES)
def test_neither_does_a_patch_nor_a_transaction(
    client: FlaskClient, document: str, expression: str
) -> None:
    before = json_of(client.get(document))
    patch = [
        {"op": "replace", "path": f"/{name}", "value": value}
        for name, value in MOVES[expression].items()
    ]
    refused = client.patch(
        document, data=json.dumps(patch), content_type="application/json-patch+json"
    )
    assert (refused.status_code, expressions(refused)) == (422, [expression])
    request = {"method": "PUT", "url": document.removeprefix("/fhir/")}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": before | MOVES[expression], "request": request}],
    }
    assert client.post("/fhir", json=bundle).status_code == 422
    assert json_of(client.get(document)) == before


def test_what_images_cannot_know_is_written(client: FlaskClient, document: str) -> None:
    content = json_of(client.get(document)) | {"description": "Left hand"}
    assert put(client, content).status_code == 200
    assert json_of(client.get(document))["description"] == "Left hand"


def test_a_deleted_image_is_not_written_again(client: FlaskClient, document: str) -> None:
    content = json_of(client.get(document))
    client.delete(document)
    assert put(client, content | MOVES["DocumentReference.subject"]).status_code == 410


def test_the_bytes_of_a_filed_image_stay(client: FlaskClient, document: str) -> None:
    path = binary_of(client, document)
    data = base64.b64encode(b"another").decode()
    other = {"resourceType": "Binary", "id": path.rpartition("/")[2], "contentType": "image/png"}
    assert put(client, other | {"data": data}).status_code == 409
    assert client.delete(path).status_code == 409
    assert client.get(path).get_data() == PNG
    assert client.delete(document).status_code == 204
    assert client.get(path).status_code == 410


def test_an_image_of_another_patient_is_not_shown_by_reference(
    client: FlaskClient, document: str
) -> None:
    """Not by a document that has its own subject and the other's bytes."""
    url = f"https://images.example{binary_of(client, document)}"
    content = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/b"},
        "content": [{"attachment": {"contentType": "image/png", "url": url}}],
    }
    refused = client.post("/fhir/DocumentReference", json=content)
    assert refused.status_code == 422
    assert expressions(refused) == ["DocumentReference.content[0].attachment.url"]
    own = content | {"subject": {"reference": "Patient/a"}}
    assert client.post("/fhir/DocumentReference", json=own).status_code == 201
