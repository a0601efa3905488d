"""The FHIR API opened in a browser, on each database."""

import json
import re
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
BASE = "https://images.example/fhir"
NARRATIVE = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><h1 class="skip" id="content">A narrative</h1>'
    '<img src="https://elsewhere.example/pixel.gif" alt="a pixel"/></div>'
)


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p",
        "name": [{"family": "Virtanen", "given": ["Aino"]}],
        "birthDate": "1967-03-12",
        "managingOrganization": {"reference": "Organization/o"},
        **more,
    }


@pytest.fixture
def patient_id(client: FlaskClient) -> str:
    organization = {"resourceType": "Organization", "id": "o", "name": "A & B <clinic>"}
    assert put(client, organization).status_code == 201
    narrative = {"status": "generated", "div": NARRATIVE}
    assert put(client, patient(text=narrative)).status_code == 201
    return "p"


def put(client: FlaskClient, resource: dict[str, Any]) -> TestResponse:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    return client.put(path, json=resource, headers={"Content-Type": "application/fhir+json"})


def opened(client: FlaskClient, path: str, accept: str = BROWSER, **options: Any) -> TestResponse:
    return client.get(path, headers={"Accept": accept}, **options)


def links(response: TestResponse) -> dict[str, str]:
    """Where each text leads."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>([^<]*)</a>', response.text)
    return {text: href.replace("&amp;", "&") for href, text in found}


@pytest.mark.parametrize(
    "accept", [BROWSER, "text/html", "text/html, application/xhtml+xml, image/jxr, */*"]
)
def test_a_browser_gets_a_page(client: FlaskClient, patient_id: str, accept: str) -> None:
    page = opened(client, f"/fhir/Patient/{patient_id}", accept)
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "Accept" in page.headers["Vary"]
    assert "ETag" not in page.headers


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/fhir+json",
        "application/json, text/plain, */*",
        "text/html;q=0.5, application/fhir+json",
        "text/html, application/fhir+json;q=0.5",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",  # Java's own
    ],
)
@pytest.mark.parametrize("path", ["/fhir/Patient/p", "/fhir/Patient", "/fhir/metadata"])
def test_an_api_client_gets_json(
    client: FlaskClient, patient_id: str, path: str, accept: str | None
) -> None:
    answer = client.get(path, headers={"Accept": accept} if accept else {})
    assert answer.status_code == 200
    assert answer.mimetype == "application/fhir+json"
    assert json.loads(answer.data)["resourceType"]


@pytest.mark.parametrize("chosen", ["html", "text/html", "text%2Fhtml"])
def test_a_page_can_be_asked_for_by_format(
    client: FlaskClient, patient_id: str, chosen: str
) -> None:
    page = opened(client, f"/fhir/Patient/p?_format={chosen}", "application/fhir+json")
    assert page.mimetype == "text/html"


def test_a_browser_gets_json_where_it_asks_for_it(client: FlaskClient, patient_id: str) -> None:
    page = opened(client, "/fhir/Patient/p")
    answer = opened(client, links(page)["JSON"])
    assert answer.mimetype == "application/fhir+json"
    assert answer.text.startswith('{\n  "resourceType"')


def test_the_page_of_a_resource_says_what_it_is_and_leads_on(
    client: FlaskClient, patient_id: str
) -> None:
    page = opened(client, "/fhir/Patient/p")
    assert "<h1>Virtanen, Aino</h1>" in page.text
    assert '<dt>Birth date</dt><dd><span class="said">1967-03-12</span>' in page.text
    found = links(page)
    assert found["Organization/o"] == "/fhir/Organization/o"
    assert found["History"] == "/fhir/Patient/p/_history"
    assert found["Version 1"] == "/fhir/Patient/p/_history/1"
    assert found["In the chart"] == "/chart/patients/p"
    ours = [href for href in found.values() if href.startswith("/fhir") and "docs" not in href]
    assert {opened(client, href).status_code for href in ours} <= {200, 302}


def test_what_a_resource_says_is_no_markup(client: FlaskClient, patient_id: str) -> None:
    page = opened(client, "/fhir/Organization/o")
    assert "A &amp; B &lt;clinic&gt;" in page.text
    assert "<clinic>" not in page.text


def test_a_narrative_is_shown_without_what_reaches_beyond_it(
    client: FlaskClient, patient_id: str
) -> None:
    page = opened(client, "/fhir/Patient/p").text
    shown = page[page.index('<div class="narrative">') : page.index('id="json"')]
    assert "<p>A narrative</p>" in shown
    assert "<span>a pixel</span>" in shown
    assert "elsewhere.example" not in shown


def test_the_json_of_a_page_is_that_of_the_answer(client: FlaskClient, patient_id: str) -> None:
    page = opened(client, "/fhir/Patient/p").text
    [shown] = re.findall(r'<pre class="json"[^>]*>(.*?)</pre>', page, re.DOTALL)
    unescaped = re.sub(r"<[^>]+>", "", shown)
    for entity, character in (("&#34;", '"'), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        unescaped = unescaped.replace(entity, character)
    assert json.loads(unescaped) == client.get("/fhir/Patient/p").json


def test_a_search_is_rows_and_pages(client: FlaskClient, patient_id: str) -> None:
    for number in range(3):
        assert put(client, patient(id=f"p{number}")).status_code == 201
    page = opened(
        client, "/fhir/Patient?_count=2&_total=accurate&family=virtanen&_sort=_lastUpdated"
    )
    assert "4 in all, 2 on this page" in page.text
    assert links(page)["Patient/p"] == "/fhir/Patient/p"
    following = opened(client, links(page)["Next page"])
    assert (following.status_code, following.mimetype) == (200, "text/html")
    assert "Patient/p2" in links(following)
    assert "Next page" not in links(following)
    assert 'name="family" value="virtanen"' in page.text


@pytest.mark.parametrize("name", ["Patient", "ImagingStudy"])
def test_the_form_asks_by_every_parameter_of_the_type(client: FlaskClient, name: str) -> None:
    page = opened(client, f"/fhir/{name}").text
    fields = set(re.findall(r'<input name="([^"]+)"', page))
    own = {one.name for one in RESOURCE_TYPES[name].search_parameters if one.name[0] != "_"}
    assert own <= fields


def test_the_form_s_empty_fields_mean_nothing(client: FlaskClient, patient_id: str) -> None:
    form = {"family": "VIRT", "birthdate": "", "_id": "", "_sort": ""}
    page = client.post("/fhir/Patient/_search", data=form, headers={"Accept": BROWSER})
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "Patient/p" in links(page)
    assert links(page)["Address of this page"].startswith("/fhir/Patient?family=VIRT")


def test_a_form_that_does_not_tell_its_length_is_read_whole(
    client: FlaskClient, patient_id: str
) -> None:
    """Not as an empty one, which would find everybody."""
    page = client.post(
        "/fhir/Patient/_search",
        input_stream=BytesIO(b"family=Nobody"),
        content_type="application/x-www-form-urlencoded",
        headers={"Accept": BROWSER},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )
    assert "Nothing was found" in page.text


def test_a_history_leads_to_each_version(client: FlaskClient, patient_id: str) -> None:
    assert put(client, patient(gender="female")).status_code == 200
    page = opened(client, "/fhir/Patient/p/_history")
    hrefs = re.findall(r'<th scope="row"><a href="([^"]+)">', page.text)
    assert hrefs == ["/fhir/Patient/p/_history/2", "/fhir/Patient/p/_history/1"]
    first = opened(client, hrefs[1])
    assert links(first)["Current version"] == "/fhir/Patient/p"


def test_an_error_is_a_page_with_its_status(client: FlaskClient) -> None:
    page = opened(client, "/fhir/Patient/nobody")
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "not-found" in page.text
    assert page.headers["X-Request-Id"]
    refused = opened(client, "/fhir/Patient?birthdate=yesterday")
    assert (refused.status_code, refused.mimetype) == (400, "text/html")


def test_the_base_leads_to_what_the_server_can_do(client: FlaskClient) -> None:
    page = opened(client, "/fhir", follow_redirects=True)
    assert page.request.path == "/fhir/metadata"
    assert {name: links(page)[name] for name in RESOURCE_TYPES} == {
        name: f"/fhir/{name}" for name in RESOURCE_TYPES
    }


def test_a_binary_is_its_bytes_for_a_browser_too(client: FlaskClient) -> None:
    sent = client.post("/fhir/Binary", data=b"{}", headers={"Content-Type": "text/plain"})
    path = sent.headers["Location"].removeprefix("https://images.example").split("/_history")[0]
    read = opened(client, path)
    assert (read.data, read.mimetype) == (b"{}", "text/plain")
    page = opened(client, f"{path}0")
    assert (page.status_code, page.mimetype) == (404, "text/html")


def test_head_has_the_headers_of_the_page(client: FlaskClient, patient_id: str) -> None:
    answer = client.head("/fhir/Patient/p", headers={"Accept": BROWSER})
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "text/html", b"")


def test_writing_answers_json_whatever_is_accepted(client: FlaskClient) -> None:
    headers = {"Accept": BROWSER, "Content-Type": "application/fhir+json"}
    answer = client.put("/fhir/Patient/p", json=patient(), headers=headers)
    assert answer.mimetype == "application/fhir+json"
