"""Binary: bytes in, the same bytes out."""

import base64
import hashlib
import random
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.web.answers import json_of

OCTETS = random.Random(3).randbytes(700_000)


def post(client: FlaskClient, octets: bytes, content_type: str, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/fhir/Binary", data=octets, content_type=content_type, headers=named)


def address(created: TestResponse) -> str:
    assert created.status_code == 201, created.get_data()
    return f"/fhir/Binary/{json_of(created)['id']}"


def test_bytes_come_back_as_they_were_sent(client: FlaskClient) -> None:
    read = client.get(address(post(client, OCTETS, "image/jpeg")))
    assert (read.status_code, read.content_type) == (200, "image/jpeg")
    assert read.get_data() == OCTETS
    assert read.headers["Accept-Ranges"] == "bytes"
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in read.headers["Content-Security-Policy"]


def test_nothing_is_bytes_too(client: FlaskClient) -> None:
    read = client.get(address(post(client, b"", "application/octet-stream")))
    assert (read.status_code, read.get_data()) == (200, b"")


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/xml"])
def test_what_a_browser_would_run_is_downloaded(client: FlaskClient, content_type: str) -> None:
    read = client.get(address(post(client, b"<script>1</script>", content_type)))
    assert read.headers["Content-Disposition"] == "attachment"


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=0-9", OCTETS[:10], "bytes 0-9/700000"),
        ("bytes=699990-", OCTETS[-10:], "bytes 699990-699999/700000"),
        ("bytes=-5", OCTETS[-5:], "bytes 699995-699999/700000"),
        ("bytes=1-9999999", OCTETS[1:], "bytes 1-699999/700000"),
    ],
)
def test_a_range_is_answered_with_that_part(
    client: FlaskClient, asked: str, part: bytes, content_range: str
) -> None:
    where = address(post(client, OCTETS, "image/jpeg"))
    response = client.get(where, headers={"Range": asked})
    assert (response.status_code, response.headers["Content-Range"]) == (206, content_range)
    assert response.get_data() == part


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "nonsense", "bytes=9-1"])
def test_a_range_that_is_not_understood_is_all(client: FlaskClient, asked: str) -> None:
    where = address(post(client, OCTETS, "image/jpeg"))
    response = client.get(where, headers={"Range": asked})
    assert (response.status_code, len(response.get_data())) == (200, len(OCTETS))


def test_a_range_beyond_the_end_is_refused(client: FlaskClient) -> None:
    where = address(post(client, b"short", "text/plain"))
    response = client.get(where, headers={"Range": "bytes=5-"})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */5"


def test_a_part_of_another_version_is_not_mixed_in(client: FlaskClient) -> None:
    where = address(post(client, OCTETS, "image/jpeg"))
    same = client.get(where, headers={"Range": "bytes=0-9", "If-Range": 'W/"1"'})
    other = client.get(where, headers={"Range": "bytes=0-9", "If-Range": 'W/"2"'})
    assert (same.status_code, other.status_code) == (206, 200)


@pytest.mark.parametrize(
    ("accept", "is_fhir"),
    [
        ("", False),
        ("*/*", False),
        ("image/jpeg", False),
        ("application/fhir+json", True),
        ("application/fhir+json, */*;q=0.1", True),
    ],
)
def test_the_fhir_form_is_for_who_asks_for_it(
    client: FlaskClient, accept: str, is_fhir: bool
) -> None:
    where = address(post(client, OCTETS, "image/jpeg"))
    read = client.get(where, headers={"Accept": accept})
    assert read.content_type.startswith("application/fhir+json") == is_fhir
    octets = base64.b64decode(json_of(read)["data"]) if is_fhir else read.get_data()
    assert octets == OCTETS


def test_the_fhir_form_goes_in_as_well(client: FlaskClient) -> None:
    binary = {
        "resourceType": "Binary",
        "contentType": "application/pdf",
        "data": base64.b64encode(b"%PDF-").decode(),
        "securityContext": {"reference": "Patient/a"},
    }
    created = client.post("/fhir/Binary", json=binary, content_type="application/fhir+json")
    read = client.get(address(created))
    assert (read.content_type, read.get_data()) == ("application/pdf", b"%PDF-")
    assert read.headers["X-Security-Context"] == "Patient/a"


def test_the_security_context_of_bytes_is_a_header(client: FlaskClient) -> None:
    created = post(client, b"x", "text/plain", X_Security_Context="Patient/a")
    assert json_of(created)["securityContext"] == {"reference": "Patient/a"}
    assert client.get(address(created)).headers["X-Security-Context"] == "Patient/a"


def test_a_version_that_the_client_has_is_not_sent_again(client: FlaskClient) -> None:
    where = address(post(client, OCTETS, "image/jpeg"))
    response = client.get(where, headers={"If-None-Match": 'W/"1"'})
    assert (response.status_code, response.get_data()) == (304, b"")


def test_other_bytes_make_another_version_and_the_same_do_not(client: FlaskClient) -> None:
    def put(octets: bytes) -> TestResponse:
        return client.put("/fhir/Binary/b", data=octets, content_type="text/plain")

    assert [put(b"one").status_code, put(b"one").headers["ETag"]] == [201, 'W/"1"']
    assert put(b"two").headers["ETag"] == 'W/"2"'
    assert client.get("/fhir/Binary/b").get_data() == b"two"


def test_only_the_current_version_has_its_bytes(client: FlaskClient) -> None:
    for octets in (b"one", b"two"):
        client.put("/fhir/Binary/b", data=octets, content_type="text/plain")
    assert client.get("/fhir/Binary/b/_history/2").get_data() == b"two"
    assert client.get("/fhir/Binary/b/_history/1").status_code == 404


def test_a_deleted_binary_is_gone(client: FlaskClient) -> None:
    where = address(post(client, b"x", "text/plain"))
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 410


@pytest.mark.parametrize("content_type", ["nonsense", "text/html\x01", "a/" + "b" * 300])
def test_a_content_type_that_is_none_is_refused(client: FlaskClient, content_type: str) -> None:
    assert post(client, b"x", content_type).status_code == 400


def document(**attachment: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/a"},
        "content": [{"attachment": {"contentType": "image/png", **attachment}}],
    }


def test_inline_data_of_a_document_becomes_a_binary(client: FlaskClient) -> None:
    data = base64.b64encode(b"picture").decode()
    created = json_of(client.post("/fhir/DocumentReference", json=document(data=data)))
    attachment = created["content"][0]["attachment"]
    assert "data" not in attachment
    assert attachment["size"] == 7
    assert base64.b64decode(attachment["hash"]) == hashlib.sha1(b"picture").digest()  # noqa: S324 - R4 says SHA-1
    path = attachment["url"].removeprefix("https://images.example")
    read = client.get(path)
    assert (read.content_type, read.get_data()) == ("image/png", b"picture")
    assert read.headers["X-Security-Context"] == f"DocumentReference/{created['id']}"
    client.delete(f"/fhir/DocumentReference/{created['id']}")
    assert client.get(path).status_code == 410


@pytest.mark.parametrize("wrong", [{"size": 8}, {"hash": "AAAA"}, {"data": "!"}])
def test_inline_data_that_is_not_what_is_said_of_it_is_refused(
    client: FlaskClient, wrong: dict[str, Any]
) -> None:
    attachment = {"data": base64.b64encode(b"picture").decode(), **wrong}
    response = client.post("/fhir/DocumentReference", json=document(**attachment))
    assert response.status_code == 422
    assert json_of(response)["issue"][0]["expression"][0].startswith("DocumentReference.content[0]")
