"""OPTIONS, and the Allow of a 405, say what the CapabilityStatement says; HEAD is as GET."""

import pytest
from flask.testing import FlaskClient

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES

OF_ONE = {"read": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
OF_A_TYPE = {
    "search-type": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


def allowed(client: FlaskClient, path: str) -> set[str]:
    answer = client.options(path)
    assert (answer.status_code, answer.data) == (204, b"")
    found = set(answer.headers["Allow"].split(", "))
    assert "OPTIONS" in found
    assert ("GET" in found) == ("HEAD" in found)
    return found - {"OPTIONS", "HEAD"}


@pytest.mark.parametrize("type_name", RESOURCE_TYPES)
def test_what_is_allowed_is_what_the_type_offers(client: FlaskClient, type_name: str) -> None:
    offered = RESOURCE_TYPES[type_name].interactions
    for path, methods in (("/1", OF_ONE), ("", OF_A_TYPE)):
        found = allowed(client, f"/fhir/{type_name}{path}")
        named = {method for interaction, method in methods.items() if interaction in offered}
        assert found <= named | {"GET", "POST"}
        if type_name != "Binary":
            assert found == named


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/fhir", {"GET", "POST"}),
        ("/fhir/metadata", {"GET"}),
        ("/fhir/_history", {"GET"}),
        ("/fhir/Patient/_search", {"POST"}),
        ("/fhir/Patient/1/_history", {"GET"}),
        ("/fhir/Patient/1/_history/1", {"GET"}),
        ("/fhir/Patient/1/ImagingStudy", {"GET"}),
        ("/fhir/Patient/$match", {"POST"}),
        ("/fhir/Patient/1/$everything", {"GET", "POST"}),
        ("/fhir/$import-image", {"POST"}),
        ("/dicomweb/studies", {"POST", "GET"}),
        ("/dicomweb/studies/1.2/metadata", {"GET"}),
        ("/healthz", {"GET"}),
    ],
)
def test_options_of_an_address(client: FlaskClient, path: str, methods: set[str]) -> None:
    assert allowed(client, path) <= methods
    assert allowed(client, path)


@pytest.mark.parametrize("path", ["/fhir/Cat/1", "/fhir/Cat", "/fhir/Patient/$nothing", "/nowhere"])
def test_nothing_is_allowed_of_what_is_not_there(client: FlaskClient, path: str) -> None:
    assert client.options(path).status_code == 404
    assert client.delete(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/fhir/AuditEvent/1", "GET, HEAD, OPTIONS"),
        ("POST", "/fhir/AuditEvent", "GET, HEAD, OPTIONS"),
        ("PATCH", "/fhir/AuditEvent", "GET, HEAD, OPTIONS"),
        ("GET", "/fhir/Patient/$match", "OPTIONS, POST"),
    ],
)
def test_a_405_says_what_is_allowed(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    body = {"resourceType": "AuditEvent"}
    answer = client.open(path, method=method, json=body if method != "GET" else None)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Patient/p",
        "/fhir/Patient/none",
        "/fhir/Patient",
        "/fhir/Patient/p/_history",
        "/fhir/Patient/p/_history/1",
        "/fhir/Patient/p/$everything",
        "/fhir/Patient/$match",
        "/fhir/metadata",
        "/fhir/openapi.json",
        "/fhir/Binary/b",
        "/fhir/Cat",
        "/dicomweb/studies/1.2",
        "/healthz",
        "/metrics",
        "/chart",
    ],
)
@pytest.mark.parametrize("accept", ["application/fhir+json", "*/*"])
def test_head_answers_as_get_without_the_body(client: FlaskClient, path: str, accept: str) -> None:
    client.put("/fhir/Patient/p", json={"resourceType": "Patient", "id": "p"})
    client.put("/fhir/Binary/b", data=b"bytes", headers={"Content-Type": "text/plain"})
    head, get = (client.open(path, method=one, headers={"Accept": accept}) for one in HEAD_GET)
    assert (head.status_code, head.data) == (get.status_code, b"")
    for name in ("Content-Type", "ETag", "Last-Modified", "Vary", "Allow"):
        assert head.headers.get(name) == get.headers.get(name), name
    if "Content-Length" in head.headers and path != "/metrics":
        assert int(head.headers["Content-Length"]) == len(get.data)


HEAD_GET = ("HEAD", "GET")
