"""gzip out where it is taken, in where it is sent; bounded however little a bomb is."""

import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.fhir.xml import to_xml
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of
from tests.samples import raster

FHIR_JSON = "application/fhir+json"
GZIP = {"Accept-Encoding": "gzip"}
SENT = {"Content-Type": FHIR_JSON, "Content-Encoding": "gzip"}
LONG: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"family": "Virtanen", "given": ["Aino"] * 200}],
}
SHORT = {"resourceType": "Patient", "id": "short"}


@pytest.fixture(autouse=True)
def _patients(client: FlaskClient) -> None:
    for one in (LONG, SHORT):
        assert client.put(f"/fhir/Patient/{one['id']}", json=one).status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Patient/p",
        "/fhir/Patient/p?_format=xml",
        "/fhir/Patient/p?_format=html",
        "/fhir/Patient/p/_history/1",
        "/fhir/Patient?_id=p",
        "/fhir/metadata",
    ],
)
def test_an_answer_is_the_same_when_it_is_compressed(client: FlaskClient, path: str) -> None:
    plain, packed = client.get(path), client.get(path, headers=GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data)
    if "Bundle" not in plain.text and "html" not in path:  # a page says when it was made
        assert gzip.decompress(packed.data) == plain.data
    assert packed.headers.get("ETag") == plain.headers.get("ETag")
    for one in (plain, packed):
        if "html" not in path:
            assert {"Accept", "Accept-Encoding"} <= set(one.headers["Vary"].split(", "))
        assert (
            "private" in one.headers["Cache-Control"] or "no-store" in one.headers["Cache-Control"]
        )


@pytest.mark.parametrize(
    ("accept_encoding", "is_packed"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip, deflate, br, zstd", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("identity, gzip;q=0.5", False),
        ("", False),
        (";;q=,", False),
    ],
)
def test_who_gets_gzip(client: FlaskClient, accept_encoding: str, is_packed: bool) -> None:
    answer = client.get("/fhir/Patient/p", headers={"Accept-Encoding": accept_encoding})
    assert answer.status_code == 200
    assert (answer.headers.get("Content-Encoding") == "gzip") == is_packed


def test_a_short_answer_stays_as_it_is(client: FlaskClient) -> None:
    assert "Content-Encoding" not in client.get("/fhir/Patient/short", headers=GZIP).headers


def test_a_head_says_what_a_get_would(client: FlaskClient) -> None:
    answer = client.head("/fhir/Patient/p", headers=GZIP)
    assert (answer.headers["Content-Encoding"], answer.data) == ("gzip", b"")
    assert "Content-Length" not in answer.headers


def test_a_known_version_is_a_304_either_way(client: FlaskClient) -> None:
    tag = client.get("/fhir/Patient/p", headers=GZIP).headers["ETag"]
    answer = client.get("/fhir/Patient/p", headers={**GZIP, "If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("part", [{}, {"Range": "bytes=0-1999"}])
def test_bytes_and_parts_of_them_are_never_compressed(
    client: FlaskClient, part: dict[str, str]
) -> None:
    content = b"text " * 1000
    client.put("/fhir/Binary/b", data=content, headers={"Content-Type": "text/plain"})
    answer = client.get("/fhir/Binary/b", headers={**GZIP, **part})
    assert "Content-Encoding" not in answer.headers
    assert content.startswith(answer.data)


def test_dicom_json_is_one_member_of_gzip(client: FlaskClient) -> None:
    stored = client.post(
        "/dicomweb/studies", data=ct_instance(), headers={"Content-Type": "application/dicom"}
    )
    assert stored.status_code == 200, stored.text
    address = json_of(stored)["00081190"]["Value"][0].removeprefix("https://images.example")
    plain = client.get(f"{address}/metadata")
    packed = client.get(f"{address}/metadata", headers=GZIP)
    assert gzip.decompress(packed.data) == plain.data
    assert packed.data.count(b"\x1f\x8b\x08") == 1
    image = client.get(address, headers=GZIP, buffered=True)
    assert "Content-Encoding" not in image.headers


def packed(resource: dict[str, Any]) -> bytes:
    return gzip.compress(json.dumps(resource).encode())


def test_a_body_may_come_as_gzip(client: FlaskClient) -> None:
    assert client.put("/fhir/Patient/p", data=packed(LONG), headers=SENT).status_code == 200
    xml = gzip.compress(to_xml(LONG | {"id": "x"}))
    headers = SENT | {"Content-Type": "application/fhir+xml"}
    assert client.put("/fhir/Patient/x", data=xml, headers=headers).status_code == 201
    assert json_of(client.get("/fhir/Patient/x"))["name"] == LONG["name"]
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    found = client.post("/fhir/Patient/_search", data=gzip.compress(b"_id=x"), headers=form)
    assert [one["resource"]["id"] for one in json_of(found)["entry"]] == ["x"]
    checked = client.post("/fhir/Patient/$validate", data=packed(LONG), headers=SENT)
    assert checked.status_code == 200


def test_an_image_may_come_as_gzip(client: FlaskClient) -> None:
    headers = {"Content-Type": "image/jpeg", "Content-Encoding": "gzip"}
    image = raster("JPEG")
    taken = client.post(
        "/fhir/$import-image?patient=Patient/p", data=gzip.compress(image), headers=headers
    )
    assert (taken.status_code, json_of(taken)["entry"][0]["response"]["status"][:3]) == (200, "201")
    kept = client.put("/fhir/Binary/b", data=gzip.compress(image), headers=headers)
    assert kept.status_code == 201
    assert client.get("/fhir/Binary/b").data == image


@pytest.mark.parametrize(
    "path", ["/fhir/Patient", "/fhir/Patient/_search", "/fhir", "/fhir/Patient/$validate"]
)
def test_a_bomb_is_too_large(client: FlaskClient, path: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    form = "application/x-www-form-urlencoded"
    type_ = form if path.endswith("_search") else FHIR_JSON
    answer = client.post(path, data=bomb, headers=SENT | {"Content-Type": type_})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"no gzip at all",
        packed(LONG)[:-9],
        packed(LONG)[:40],
        packed(LONG) + b"rest",
        packed(LONG) + packed(LONG),
        b"",
    ],
    ids=["none", "cut", "begun", "rest", "twice", "empty"],
)
@pytest.mark.parametrize("path", ["/fhir/Patient", "/fhir/Binary", "/fhir/Patient/_search"])
def test_a_broken_body_is_refused(client: FlaskClient, path: str, body: bytes) -> None:
    form = "application/x-www-form-urlencoded"
    type_ = {"/fhir/Binary": "text/plain", "/fhir/Patient": FHIR_JSON}.get(path, form)
    answer = client.post(path, data=body, headers=SENT | {"Content-Type": type_})
    assert answer.status_code == 400
    assert "gzip" in json_of(answer)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip"])
def test_another_coding_is_refused_with_the_one_that_is_taken(
    client: FlaskClient, coding: str
) -> None:
    for path in ("/fhir/Patient", "/dicomweb/studies"):
        answer = client.post(path, data=b"x", headers=SENT | {"Content-Encoding": coding})
        assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "gzip")
