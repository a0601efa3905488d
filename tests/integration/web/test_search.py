"""Searching over HTTP (search.html); what each parameter finds is tested with the storage."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.fhir.capability_statement import DEFINITIONS
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import require_valid
from tests.integration.web.answers import json_of

BASE = "https://images.example/fhir"


@pytest.fixture(autouse=True)
def people(client: FlaskClient) -> None:
    for number in range(5):
        client.put(
            f"/fhir/Patient/p{number}",
            json={
                "resourceType": "Patient",
                "id": f"p{number}",
                "gender": "female" if number % 2 else "male",
                "name": [{"family": f"Family{number}", "text": "shown"}],
                "identifier": [{"system": "urn:oid:1.2.3", "value": str(number)}],
                "contact": [{"name": {"family": "Next"}}],
            },
        )
    for number in (0, 1):
        client.put(
            f"/fhir/Encounter/e{number}",
            json={
                "resourceType": "Encounter",
                "id": f"e{number}",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": {"reference": f"Patient/p{number}"},
            },
        )


def found(response: TestResponse, mode: str = "match") -> list[str]:
    """Type/id of the entries of that mode."""
    bundle = json_of(response)
    assert (response.status_code, bundle["type"]) == (200, "searchset"), bundle
    entries = [one for one in bundle.get("entry", []) if one["search"]["mode"] == mode]
    return [one["fullUrl"].removeprefix(f"{BASE}/") for one in entries]


def link(response: TestResponse, relation: str) -> str | None:
    urls = {one["relation"]: one["url"] for one in json_of(response)["link"]}
    url: str | None = urls.get(relation)
    return url


def test_a_search_answers_a_valid_bundle_of_what_it_found(client: FlaskClient) -> None:
    response = client.get("/fhir/Patient?gender=female")
    assert set(found(response)) == {"Patient/p1", "Patient/p3"}
    assert link(response, "self") == f"{BASE}/Patient?gender=female"
    require_valid(json_of(response))


def test_nothing_found_is_an_answer_too(client: FlaskClient) -> None:
    response = client.get("/fhir/Patient?gender=other")
    assert found(response) == []
    assert "entry" not in json_of(response)


def test_a_search_is_posted_as_well(client: FlaskClient) -> None:
    form = {"identifier": "urn:oid:1.2.3|3"}
    assert found(client.post("/fhir/Patient/_search", data=form)) == ["Patient/p3"]
    assert found(client.post("/fhir/Patient/_search?gender=male", data=form)) == []


def test_a_search_is_posted_as_a_form_only(client: FlaskClient) -> None:
    response = client.post("/fhir/Patient/_search", json={"gender": "male"})
    assert response.status_code == 415


def test_pages_follow_one_another_until_all_is_seen(client: FlaskClient) -> None:
    seen: list[str] = []
    url: str | None = "/fhir/Patient?_count=2&_sort=family"
    pages = 0
    while url is not None:
        split = urlsplit(url)
        response = client.get(f"{split.path}?{split.query}")
        seen += found(response)
        url = link(response, "next")
        pages += 1
    assert seen == [f"Patient/p{number}" for number in range(5)]
    assert pages == 3


def test_a_position_that_is_none_is_refused(client: FlaskClient) -> None:
    assert client.get("/fhir/Patient?_page=nonsense").status_code == 400


def test_the_total_is_told_when_asked_for(client: FlaskClient) -> None:
    assert "total" not in json_of(client.get("/fhir/Patient"))
    assert json_of(client.get("/fhir/Patient?_total=accurate&_count=1"))["total"] == 5
    counted = json_of(client.get("/fhir/Patient?_summary=count"))
    assert (counted["total"], counted.get("entry")) == (5, None)


def test_what_matches_refer_to_comes_with_them(client: FlaskClient) -> None:
    response = client.get("/fhir/Encounter?_id=e1&_include=Encounter:patient")
    assert (found(response), found(response, "include")) == (["Encounter/e1"], ["Patient/p1"])
    reverse = client.get("/fhir/Patient?_id=p0&_revinclude=Encounter:patient")
    assert (found(reverse), found(reverse, "include")) == (["Patient/p0"], ["Encounter/e0"])


@pytest.mark.parametrize(
    "path", ["/fhir/Patient/p1/Encounter", "/fhir/Patient/p1/Encounter?_count=9"]
)
def test_a_compartment_holds_what_is_the_patients(client: FlaskClient, path: str) -> None:
    assert found(client.get(path)) == ["Encounter/e1"]
    posted = client.post("/fhir/Patient/p1/Encounter/_search", data={"status": "planned"})
    assert found(posted) == []


@pytest.mark.parametrize(
    "path", ["/fhir/Patient/p1/Device", "/fhir/Device/1/Encounter", "/fhir/Patient/p1/Nonsense"]
)
def test_what_is_in_no_compartment_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_what_is_not_known_is_ignored_and_said_or_refused(client: FlaskClient) -> None:
    lenient = client.get("/fhir/Patient?gender=female&shoesize=44")
    assert len(found(lenient)) == 2
    assert link(lenient, "self") == f"{BASE}/Patient?gender=female"
    outcome = json_of(lenient)["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert "shoesize" in outcome["resource"]["issue"][0]["diagnostics"]
    strict = client.get("/fhir/Patient?shoesize=44", headers={"Prefer": "handling=strict"})
    assert strict.status_code == 400


def test_a_searched_value_is_never_shown_in_an_error(client: FlaskClient) -> None:
    response = client.get("/fhir/Encounter?date=Secretvalue")
    assert response.status_code == 400
    assert "Secretvalue" not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("query", "kept", "cut"),
    [
        ("_summary=true", {"name", "gender", "identifier"}, {"contact"}),
        ("_summary=data", {"name", "contact"}, {"text"}),
        ("_summary=text", {"id", "meta"}, {"name", "contact"}),
        ("_elements=gender", {"id", "meta", "gender"}, {"name", "contact"}),
        ("_elements=Patient.gender,nonsense", {"gender"}, {"name"}),
    ],
)
@pytest.mark.parametrize("path", ["/fhir/Patient/p1?", "/fhir/Patient?_id=p1&"])
def test_a_cut_resource_has_what_was_asked_for_and_says_that_it_is_cut(
    client: FlaskClient, path: str, query: str, kept: set[str], cut: set[str]
) -> None:
    answer: Any = json_of(client.get(path + query))
    resource = answer["entry"][0]["resource"] if "entry" in answer else answer
    assert kept <= set(resource)
    assert not cut & set(resource)
    assert [tag["code"] for tag in resource["meta"]["tag"]] == ["SUBSETTED"]


def test_conditional_create_makes_what_is_not_there_and_finds_what_is(client: FlaskClient) -> None:
    def create(condition: str) -> TestResponse:
        return client.post(
            "/fhir/Patient",
            json={
                "resourceType": "Patient",
                "identifier": [{"system": "urn:oid:1.2.3", "value": "9"}],
            },
            headers={"If-None-Exist": condition},
        )

    made = create("identifier=urn:oid:1.2.3|9")
    again = create("identifier=urn:oid:1.2.3|9")
    assert (made.status_code, again.status_code) == (201, 200)
    assert again.headers["Location"] == made.headers["Location"]
    assert create("gender=female").status_code == 412
    assert create("").status_code == 400
    assert create("shoesize=1").status_code == 400


def test_of_many_conditional_creates_at_once_one_creates(app: Flask) -> None:
    def create(_: int) -> TestResponse:
        return app.test_client().post(
            "/fhir/Patient",
            json={
                "resourceType": "Patient",
                "identifier": [{"system": "urn:oid:1.2.3", "value": "99"}],
            },
            headers={"If-None-Exist": "identifier=urn:oid:1.2.3|99"},
        )

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(create, range(24)))
    assert sorted(answer.status_code for answer in answers) == [200] * 23 + [201]
    assert len({json_of(answer)["id"] for answer in answers}) == 1


def test_conditional_update_writes_to_what_it_finds(client: FlaskClient) -> None:
    def update(condition: str, **elements: Any) -> TestResponse:
        resource = {"resourceType": "Patient", "gender": "unknown", **elements}
        return client.put(f"/fhir/Patient?{condition}", json=resource)

    assert update("identifier=urn:oid:1.2.3|1").headers["ETag"] == 'W/"2"'
    assert json_of(client.get("/fhir/Patient/p1"))["gender"] == "unknown"
    assert update("identifier=urn:oid:9|9", id="fresh").status_code == 201
    assert client.get("/fhir/Patient/fresh").status_code == 200
    assert update("identifier=urn:oid:9|9", id="p2").status_code == 409
    assert update("identifier=urn:oid:1.2.3|3", id="p2").status_code == 400
    assert update("gender=male").status_code == 412


def test_conditional_delete_is_of_one_resource(client: FlaskClient) -> None:
    assert client.delete("/fhir/Patient?identifier=urn:oid:1.2.3|4").status_code == 204
    assert client.get("/fhir/Patient/p4").status_code == 410
    assert client.delete("/fhir/Patient?gender=female").status_code == 412
    assert client.delete("/fhir/Patient").status_code == 400
    assert client.delete("/fhir/Patient?identifier=nobody").status_code == 204


def test_what_is_deleted_is_found_no_more(client: FlaskClient) -> None:
    client.delete("/fhir/Patient/p1")
    assert found(client.get("/fhir/Patient?gender=female")) == ["Patient/p3"]


def test_the_server_says_what_it_can_do_and_can_do_it(client: FlaskClient) -> None:
    statement = json_of(client.get("/fhir/metadata"))
    require_valid(statement)
    declared = {one["type"]: one for one in statement["rest"][0]["resource"]}
    assert set(declared) == {*RESOURCE_TYPES, *DEFINITIONS}
    for name, resource in declared.items():
        interactions = {one["code"] for one in resource["interaction"]}
        assert (client.get(f"/fhir/{name}").status_code == 200) == ("search-type" in interactions)
        created = client.post(f"/fhir/{name}", json={"resourceType": "Nonsense"})
        assert (created.status_code not in (404, 405)) == ("create" in interactions)


@pytest.mark.parametrize("path", ["/fhir", "/fhir/Patient", "/fhir/Patient/p0/Encounter"])
def test_a_search_that_asks_too_much_is_refused_not_put_off(client: FlaskClient, path: str) -> None:
    much = "&".join(["_lastUpdated=ge2020-01-01"] * 1_000)
    answers = [client.get(f"{path}?{much}")]
    if path != "/fhir/Patient/p0/Encounter":
        form = "application/x-www-form-urlencoded"
        answers.append(client.post(f"{path}/_search", data=much, content_type=form))
    for answer in answers:
        issue = json_of(answer)["issue"][0]
        assert (answer.status_code, issue["code"]) == (400, "too-costly")
        assert "at most 100 parameters" in issue["diagnostics"]


def test_a_condition_that_asks_too_much_is_refused(client: FlaskClient) -> None:
    condition = "identifier=" + ",".join(map(str, range(5_000)))
    created = client.post(
        "/fhir/Patient", json={"resourceType": "Patient"}, headers={"If-None-Exist": condition}
    )
    issue = json_of(created)["issue"][0]
    assert (created.status_code, issue["code"]) == (400, "too-costly")
    assert issue["expression"] == ["http.identifier"]
