"""XML over HTTP: in and out of every interaction, errors included."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from lxml import etree

from imaging_fhir.fhir.xml import from_xml, to_xml
from tests.integration.web.answers import json_of

FHIR_XML = "application/fhir+xml"
XML = {"Accept": FHIR_XML}
SENT = {"Accept": FHIR_XML, "Content-Type": FHIR_XML}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "p", "gender": "other"}


@pytest.fixture(autouse=True)
def _patient(client: FlaskClient) -> None:
    assert client.put("/fhir/Patient/p", data=to_xml(PATIENT), headers=SENT).status_code == 201


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("/fhir/Patient/p", "Patient"),
        ("/fhir/Patient/p/_history/1", "Patient"),
        ("/fhir/Patient/p/_history", "Bundle"),
        ("/fhir/Patient?gender=other", "Bundle"),
        ("/fhir/metadata", "CapabilityStatement"),
        ("/fhir/Patient/none", "OperationOutcome"),
        ("/fhir/Cat/1", "OperationOutcome"),
        ("/fhir/Patient?gender:wings=2", "OperationOutcome"),
    ],
)
def test_what_is_json_is_xml_for_whom_wants_it(client: FlaskClient, path: str, root: str) -> None:
    answer = client.get(path, headers=XML)
    as_json = client.get(path)
    assert answer.content_type == "application/fhir+xml;charset=utf-8"
    assert (answer.status_code, answer.headers.get("ETag")) == (
        as_json.status_code,
        as_json.headers.get("ETag"),
    )
    assert etree.QName(etree.fromstring(answer.data)).localname == root
    assert "Accept" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("query", "accept", "is_xml"),
    [
        ("?_format=xml", "application/fhir+json", True),
        ("?_format=application/fhir%2Bxml", "", True),
        ("?_format=application/fhir+xml", "", True),
        ("?_format=text/xml", "", True),
        ("?_format=json", FHIR_XML, False),
        ("", "application/xml", True),
        ("", "application/fhir+xml;fhirVersion=4.0", True),
        ("", "application/fhir+json, application/fhir+xml", False),
        ("", "application/fhir+json;q=0.5, application/fhir+xml", True),
        ("", "application/fhir+xml;q=0.5, */*", False),
        ("", "*/*", False),
    ],
)
def test_who_gets_xml(client: FlaskClient, query: str, accept: str, is_xml: bool) -> None:
    answer = client.get(f"/fhir/Patient/p{query}", headers={"Accept": accept})
    assert answer.status_code == 200
    assert (answer.mimetype == FHIR_XML) == is_xml


@pytest.mark.parametrize("version", ["4.3", "5.0"])
def test_another_version_of_fhir_is_not_served(client: FlaskClient, version: str) -> None:
    accept = {"Accept": f"{FHIR_XML};fhirVersion={version}"}
    refused = client.get("/fhir/Patient/p", headers=accept)
    assert refused.status_code == 406
    assert "4.0" in json_of(refused)["issue"][0]["diagnostics"]
    sent = {"Content-Type": f"{FHIR_XML};fhirVersion={version}"}
    assert client.post("/fhir/Patient", data=to_xml(PATIENT), headers=sent).status_code == 415


def test_xml_in_and_json_out(client: FlaskClient) -> None:
    created = client.post(
        "/fhir/Patient", data=to_xml(PATIENT), headers={"Content-Type": "application/xml"}
    )
    assert (created.status_code, json_of(created)["gender"]) == (201, "other")


def test_a_transaction_in_xml_is_answered_in_xml(client: FlaskClient) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p"}}],
    }
    answer = client.post("/fhir", data=to_xml(bundle), headers=SENT)
    assert answer.status_code == 200
    assert from_xml(answer.data)["entry"][0]["response"]["status"].startswith("200")


def test_xml_that_does_not_parse_is_refused_in_xml(client: FlaskClient) -> None:
    answer = client.post("/fhir/Patient", data=b"<Patient", headers=SENT)
    assert answer.status_code == 400
    assert "line 1" in from_xml(answer.data)["issue"][0]["diagnostics"]
    wrong = to_xml(PATIENT).replace(b"other", b"plaid")
    assert client.post("/fhir/Patient", data=wrong, headers=SENT).status_code == 422


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    large = to_xml({**PATIENT, "name": [{"text": "x" * 2_100_000}]})
    assert client.post("/fhir/Patient", data=large, headers=SENT).status_code == 413


def test_bytes_of_xml_stay_what_they_are(client: FlaskClient) -> None:
    sent = client.post("/fhir/Binary", data=b"<a/>", headers={"Content-Type": "application/xml"})
    assert sent.status_code == 201
    path = sent.headers["Location"].removeprefix("https://images.example").split("/_history")[0]
    assert client.get(path, headers={"Accept": "application/xml"}).data == b"<a/>"
    assert from_xml(client.get(path, headers=XML).data)["contentType"] == "application/xml"


def test_pretty_xml_has_lines(client: FlaskClient) -> None:
    assert client.get("/fhir/Patient/p?_pretty=true", headers=XML).data.count(b"\n") > 3


def test_a_client_that_knows_the_version_is_told_so(client: FlaskClient) -> None:
    known = client.get("/fhir/Patient/p", headers={**XML, "If-None-Match": 'W/"1"'})
    assert (known.status_code, known.data) == (304, b"")


def test_head_answers_as_get_without_a_body(client: FlaskClient) -> None:
    answer = client.head("/fhir/Patient/p", headers=XML)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, FHIR_XML, b"")


@pytest.mark.parametrize(
    "body",
    [
        to_xml(PATIENT).replace(b"UTF-8", b"ISO-8859-1"),
        to_xml(PATIENT).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        to_xml(PATIENT).decode().partition("?>")[2].encode("utf-16-le"),
    ],
    ids=["declared", "with its mark", "without a mark"],
)
def test_xml_in_another_encoding_is_refused_rather_than_misread(
    client: FlaskClient, body: bytes
) -> None:
    refused = client.put("/fhir/Patient/p", data=body, headers={"Content-Type": FHIR_XML})
    assert refused.status_code == 415
    assert "UTF-8" in json_of(refused)["issue"][0]["diagnostics"]


def test_a_charset_that_is_said_is_minded(client: FlaskClient) -> None:
    body = b"\xef\xbb\xbf" + to_xml(PATIENT)
    for charset, status in (("utf-8", 200), ("UTF8", 200), ("iso-8859-1", 415), ("utf-16", 415)):
        sent = {"Content-Type": f"{FHIR_XML}; charset={charset}"}
        assert client.put("/fhir/Patient/p", data=body, headers=sent).status_code == status


def test_a_posted_search_says_its_format_in_the_form(client: FlaskClient) -> None:
    answer = client.post("/fhir/Patient/_search", data={"_id": "p", "_format": "xml"})
    assert (answer.status_code, answer.mimetype) == (200, FHIR_XML)
    assert b'<id value="p"/>' in answer.data
    pretty = client.post("/fhir/_search", data={"_type": "Patient", "_pretty": "true"})
    assert b'\n  "resourceType"' in pretty.data
    page = client.post("/fhir/Patient/_search", data={"_id": "p", "_format": "html"})
    assert page.mimetype == "text/html"
    refused = client.post("/fhir/Patient/_search", data={"_format": "turtle"})
    assert refused.status_code == 406


def test_who_may_not_come_in_has_nothing_parsed(client: FlaskClient) -> None:
    headers = {"Content-Type": FHIR_XML, "Host": "evil.example"}
    assert client.put("/fhir/Patient/p", data=b"<", headers=headers).status_code == 403
    assert client.put("/fhir/Patient/p", data=b"<", headers=SENT).status_code == 400
