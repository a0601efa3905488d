"""What a batch may ask beyond a transaction, what is said of each entry, and patches with bytes."""

import base64
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.integration.web.answers import json_of
from tests.integration.web.test_transaction import Entry, entry, post

PATIENT: Entry = {"resourceType": "Patient", "id": "p", "gender": "other"}
DOCUMENT: Entry = {
    "resourceType": "DocumentReference",
    "id": "d",
    "status": "current",
    "subject": {"reference": "Patient/p"},
    "content": [{"attachment": {"contentType": "text/plain", "url": "https://a.example/1"}}],
}
BYTES = b"what the patch brings"


@pytest.fixture(autouse=True)
def _filled(client: FlaskClient) -> None:
    for one in (PATIENT, DOCUMENT):
        path = f"/fhir/{one['resourceType']}/{one['id']}"
        assert client.put(path, json=one).status_code == 201


READ = [
    "_history",
    "_history?_count=1",
    "Patient/_history",
    "Patient/p/_history",
    "?_type=Patient,DocumentReference&_id=p",
    "Patient/p/DocumentReference?status=current",
    "Patient/p/*",
    "Patient/p/$everything",
    "Patient/p/$everything?_type=DocumentReference",
    "DocumentReference/$docref?patient=p",
    "Patient?_id=p",
    "Patient/p",
]


@pytest.mark.parametrize("url", READ)
def test_a_get_in_a_batch_answers_as_alone(client: FlaskClient, url: str) -> None:
    alone = json_of(client.get(f"/fhir/{url}"))
    for address in (url, f"/{url}", f"https://images.example/fhir/{url}"):
        [answered] = json_of(post(client, "batch", entry("GET", address)))["entry"]
        assert answered["response"]["status"] == "200 OK"
        assert answered["resource"] == alone


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("Cat/_history", "404"),
        ("Cat/1/_history", "404"),
        ("Patient/none/_history", "404"),
        ("Cat/1/Patient", "404"),
        ("Patient/p/Cat", "404"),
        ("Patient/p/$nothing", "404"),
        ("Patient/p/$everything?wings=2", "400"),
        ("Patient/p/DocumentReference?status:wings=2", "400"),
        ("_history?_count=many", "400"),
        ("?_type=Cat", "400"),
        ("", "400"),
        ("../metrics", "400"),
    ],
)
def test_a_get_that_fails_fails_alone(client: FlaskClient, url: str, status: str) -> None:
    answer = post(client, "batch", entry("GET", url), entry("GET", "Patient/p"))
    refused, other = json_of(answer)["entry"]
    assert refused["response"]["status"][:3] == status
    assert refused["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert other["resource"]["id"] == "p"


@pytest.mark.parametrize("url", ["_history", "Patient/p/$everything", "Patient/p/*"])
def test_a_transaction_has_none_of_them_and_says_so(client: FlaskClient, url: str) -> None:
    refused = post(client, "transaction", entry("GET", url))
    assert refused.status_code == 400
    assert "in a batch" in json_of(refused)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_what_is_returned_of_each_entry_is_as_preferred(client: FlaskClient, kind: str) -> None:
    write = entry("PUT", "Patient/p", PATIENT)
    for wanted in ("minimal", "representation", "OperationOutcome"):
        answer = post(client, kind, write, prefer=f"return={wanted}")
        assert answer.headers["Preference-Applied"] == f"return={wanted}"
        [answered] = json_of(answer)["entry"]
        assert ("resource" in answered) == (wanted == "representation")
        assert ("outcome" in answered["response"]) == (wanted == "OperationOutcome")
    assert "Preference-Applied" not in post(client, kind, write).headers


def test_strict_handling_counts_in_a_batch(client: FlaskClient) -> None:
    searches = [entry("GET", "Patient?wings=2"), entry("GET", "Patient/p/_history?wings=2")]
    lenient = json_of(post(client, "batch", *searches))["entry"]
    assert [one["response"]["status"][:3] for one in lenient] == ["200", "200"]
    strict = json_of(post(client, "batch", *searches, prefer="handling=strict"))["entry"]
    assert [one["response"]["status"][:3] for one in strict] == ["400", "400"]


def test_every_fault_of_an_entry_is_told(client: FlaskClient) -> None:
    wrong = PATIENT | {"gender": "femal", "birthDate": "yesterday"}
    [answered] = json_of(post(client, "batch", entry("PUT", "Patient/p", wrong)))["entry"]
    issues = answered["response"]["outcome"]["issue"]
    assert answered["response"]["status"] == "422"
    assert {one["expression"][0].split(": ")[-1] for one in issues} == {
        "Patient.gender",
        "Patient.birthDate",
    }


def patches() -> dict[str, Entry]:
    """The same change as JSON Patch and as FHIRPath Patch."""
    data = base64.b64encode(BYTES).decode()
    attachment = {"contentType": "text/plain", "data": data}
    operation = {"op": "replace", "path": "/content/0/attachment", "value": attachment}
    parts: list[dict[str, Any]] = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "DocumentReference.content[0].attachment"},
        {"name": "value", "valueAttachment": attachment},
    ]
    return {
        "json": {
            "resourceType": "Binary",
            "contentType": "application/json-patch+json",
            "data": base64.b64encode(json.dumps([operation]).encode()).decode(),
        },
        "fhirpath": {
            "resourceType": "Parameters",
            "parameter": [{"name": "operation", "part": parts}],
        },
    }


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("form", ["json", "fhirpath"])
@pytest.mark.parametrize("url", ["DocumentReference/d", "DocumentReference?_id=d"])
def test_a_patch_in_a_bundle_brings_bytes(
    client: FlaskClient, kind: str, form: str, url: str
) -> None:
    answer = post(client, kind, entry("PATCH", url, patches()[form]))
    assert json_of(answer)["entry"][0]["response"]["status"] == "200 OK"
    [content] = json_of(client.get("/fhir/DocumentReference/d"))["content"]
    assert "data" not in content["attachment"]
    assert content["attachment"]["size"] == len(BYTES)
    path = content["attachment"]["url"].removeprefix("https://images.example")
    assert client.get(path).data == BYTES


def test_of_a_transaction_that_fails_no_bytes_are_left(client: FlaskClient) -> None:
    before = json_of(client.get("/fhir/Binary?_summary=count"))["total"]
    failed = post(
        client,
        "transaction",
        entry("PATCH", "DocumentReference/d", patches()["json"]),
        entry("GET", "Patient/none"),
    )
    assert failed.status_code == 404
    assert json_of(client.get("/fhir/DocumentReference/d"))["content"] == DOCUMENT["content"]
    after = json_of(client.get("/fhir/Binary?_summary=count"))["total"]
    assert after == before
