"""What a batch or transaction may read, what is said of each entry, and patches with bytes."""

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
OTHER: Entry = {"resourceType": "Patient", "id": "q"}
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
    "Patient/p/_history/1",
]
KINDS = ("batch", "transaction")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("url", READ)
def test_a_get_in_a_bundle_answers_as_alone(client: FlaskClient, url: str, kind: str) -> None:
    alone = json_of(client.get(f"/fhir/{url}"))
    for address in (url, f"/{url}", f"https://images.example/fhir/{url}"):
        [answered] = json_of(post(client, kind, entry("GET", address)))["entry"]
        assert answered["response"]["status"] == "200 OK"
        assert answered["resource"] == alone


@pytest.mark.parametrize("url", READ)
def test_a_head_in_a_bundle_brings_no_resource(client: FlaskClient, url: str) -> None:
    for kind in KINDS:
        [answered] = json_of(post(client, kind, entry("HEAD", url)))["entry"]
        assert answered["response"]["status"] == "200 OK"
        assert "resource" not in answered


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("Patient/q/_history", True),
        ("Patient/_history", True),
        ("_history", True),
        ("Patient?gender=unknown", True),
        ("?_type=Patient&_id=q", True),
        ("Patient/q/*", True),
        ("Patient/q/Patient", True),
        ("Patient/q/$everything", True),
        ("Patient/q", True),
        ("Patient/p/DocumentReference", False),
    ],
)
def test_a_get_in_a_transaction_sees_what_its_writes_did(
    client: FlaskClient, url: str, seen: bool
) -> None:
    new = {"resourceType": "Patient", "id": "q", "gender": "unknown"}
    answer = post(
        client,
        "transaction",
        entry("GET", url),
        entry("PUT", "Patient/q", new),
        entry("DELETE", "DocumentReference/d"),
    )
    read, *_ = json_of(answer)["entry"]
    found = read["resource"]
    resources = [found, *(one.get("resource", {}) for one in found.get("entry", []))]
    assert any(one.get("id") == "q" for one in resources) == seen
    assert url.endswith("_history") or all(one.get("id") != "d" for one in resources)
    assert client.get("/fhir/DocumentReference/d").status_code == 410


@pytest.mark.parametrize("kind", KINDS)
def test_a_conditional_read_in_a_bundle_says_what_did_not_change(
    client: FlaskClient, kind: str
) -> None:
    modified = json_of(client.get("/fhir/Patient/p"))["meta"]["lastUpdated"]
    conditions: list[tuple[Entry, str]] = [
        ({"ifNoneMatch": 'W/"1"'}, "304"),
        ({"ifNoneMatch": '"1"'}, "304"),
        ({"ifNoneMatch": "*"}, "304"),
        ({"ifNoneMatch": 'W/"2"'}, "200"),
        ({"ifModifiedSince": modified}, "304"),
        ({"ifModifiedSince": "2999-01-01T00:00:00+14:00"}, "304"),
        ({"ifModifiedSince": "1999-01-01T00:00:00Z"}, "200"),
        ({"ifNoneMatch": 'W/"2"', "ifModifiedSince": "2999-01-01T00:00:00Z"}, "200"),
    ]
    entries = [entry("GET", "Patient/p", request=condition) for condition, _ in conditions]
    answered = json_of(post(client, kind, *entries))["entry"]
    assert [one["response"]["status"][:3] for one in answered] == [one for _, one in conditions]
    for one in answered:
        assert ("resource" in one) == one["response"]["status"].startswith("200")
        assert one["response"]["etag"] == 'W/"1"'


def test_a_time_that_is_none_is_refused(client: FlaskClient) -> None:
    wrong = entry("GET", "Patient/p", request={"ifModifiedSince": "yesterday"})
    [answered] = json_of(post(client, "batch", wrong))["entry"]
    assert answered["response"]["status"] == "400"


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
    whole = post(client, "transaction", entry("PUT", "Patient/q", OTHER), entry("GET", url))
    assert whole.status_code == int(status) or (url == "" and whole.status_code == 422)
    assert client.get("/fhir/Patient/q").status_code == 404


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
