"""Pages of listed origins may read and write, and are told no; pages of others may do neither."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings

APP = "https://app.example:8443"
FOREIGN = "https://evil.example"
LEAVE = "Access-Control-Allow-Origin"
WRITE = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, cors_origins=f"{APP}, capacitor://localhost")


@pytest.fixture
def anybody(settings: Settings) -> Iterator[FlaskClient]:
    services = build_services(replace(settings, cors_origins="*", allow_open=True))
    yield app_of(services).test_client()
    services.close()


def names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/fhir/Patient/p", 200),
        ("/fhir/Patient/p?_format=xml", 200),
        ("/fhir/Patient", 200),
        ("/fhir/metadata", 200),
        ("/fhir/Binary/b", 200),
        ("/fhir/Patient/none", 404),
        ("/fhir/Patient?gender:wings=2", 400),
        ("/dicomweb/studies/1.2/metadata", 404),
    ],
)
def test_every_answer_can_be_read_by_the_app(client: FlaskClient, path: str, status: int) -> None:
    client.put("/fhir/Patient/p", json={"resourceType": "Patient", "id": "p"})
    client.put("/fhir/Binary/b", data=b"bytes", headers={"Content-Type": "text/plain"})
    answer = client.get(path, headers={"Origin": APP})
    assert answer.status_code == status
    assert answer.headers.getlist(LEAVE) == [APP]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert {"etag", "location", "x-request-id", "retry-after"} <= names(
        answer.headers["Access-Control-Expose-Headers"]
    )
    assert "origin" in names(answer.headers["Vary"])


@pytest.mark.parametrize("path", ["/fhir/Patient/p", "/fhir/Binary/b", "/dicomweb/studies"])
def test_a_preflight_says_what_may_be_sent(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers={"Origin": APP, **WRITE})
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers[LEAVE] == APP
    assert {"put", "patch", "delete", "post"} <= names(
        answer.headers["Access-Control-Allow-Methods"]
    )
    assert {
        "authorization",
        "prefer",
        "if-match",
        "if-none-exist",
        "if-none-match",
        "if-modified-since",
        "content-type",
        "accept",
        "x-request-id",
    } <= names(answer.headers["Access-Control-Allow-Headers"])
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "origin" in names(answer.headers["Vary"])


def test_a_listed_page_writes(client: FlaskClient) -> None:
    body = {"resourceType": "Patient", "id": "p"}
    answer = client.put("/fhir/Patient/p", json=body, headers={"Origin": APP})
    assert (answer.status_code, answer.headers[LEAVE]) == (201, APP)


@pytest.mark.parametrize("origin", [FOREIGN, "null", f"{APP}.evil.example", "https://app.example"])
def test_a_page_that_is_not_listed_gets_no_leave(client: FlaskClient, origin: str) -> None:
    body = {"resourceType": "Patient", "id": "p"}
    assert LEAVE not in client.options("/fhir/Patient", headers={"Origin": origin, **WRITE}).headers
    read = client.get("/fhir/Patient", headers={"Origin": origin})
    assert LEAVE not in read.headers
    assert "origin" in names(read.headers["Vary"])  # no cache gives it to the app
    refused = client.put("/fhir/Patient/p", json=body, headers={"Origin": origin})
    assert (refused.status_code, LEAVE in refused.headers) == (403, False)


def test_a_preflight_for_another_host_is_refused(client: FlaskClient) -> None:
    headers = {"Origin": APP, "Host": "evil.example", **WRITE}
    assert client.options("/fhir/Patient", headers=headers).status_code == 403


def test_pages_for_people_are_for_nobody_else(client: FlaskClient) -> None:
    assert LEAVE not in client.get("/chart", headers={"Origin": APP}).headers
    assert LEAVE not in client.get("/metrics", headers={"Origin": APP}).headers


def test_any_origin_where_that_is_said(anybody: FlaskClient) -> None:
    read = anybody.get("/fhir/Patient", headers={"Origin": FOREIGN})
    assert (read.status_code, read.headers[LEAVE]) == (200, "*")
    assert anybody.get("/fhir/Patient").headers[LEAVE] == "*"  # what a cache keeps serves all
    body = {"resourceType": "Patient", "id": "p"}
    written = anybody.put("/fhir/Patient/p", json=body, headers={"Origin": FOREIGN})
    assert (written.status_code, written.headers[LEAVE]) == (201, "*")


def test_without_listed_origins_there_is_nothing_of_it(settings: Settings) -> None:
    services = build_services(replace(settings, cors_origins=""))
    app: Flask = app_of(services)
    answer = app.test_client().get("/fhir/Patient", headers={"Origin": APP})
    services.close()
    assert LEAVE not in answer.headers
    assert "origin" not in names(answer.headers["Vary"])
