import json
from collections.abc import Iterable
from typing import Any

from imaging_fhir.fhir.bundle import (
    Answer,
    Found,
    Version,
    answers,
    history,
    ignored_issues,
    search_links,
    searchset,
    truncated_issue,
)
from imaging_fhir.fhir.operation_outcome import operation_outcome
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.validation import require_valid

BASE = "http://127.0.0.1:8080/fhir"
BODY = b'{"resourceType":"Patient","id":"1"}'


def read(pieces: Iterable[bytes]) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads(b"".join(pieces))
    require_valid(bundle)
    return bundle


def test_an_empty_searchset_is_a_bundle() -> None:
    assert read(searchset([], base=BASE, links=[], total=0)) == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
    }


def test_a_searchset_holds_matches_includes_and_an_outcome() -> None:
    found = [
        Found(reference="Patient/1", body=BODY),
        Found(reference="Patient/2", body=BODY.replace(b"1", b"2"), mode="include"),
    ]
    bundle = read(searchset(found, base=BASE, links=[], warnings=[truncated_issue(1)]))
    assert "total" not in bundle
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "include", "outcome"]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/Patient/1"
    assert bundle["entry"][0]["resource"] == json.loads(BODY)
    assert "fullUrl" not in bundle["entry"][2]


def test_links_say_what_was_understood_and_hold_the_position() -> None:
    parameters = [("name", "Å b+c"), ("colour", "red"), ("_count", "9999")]
    query = parse_query("Patient", parameters, base=BASE)
    links = dict(search_links(BASE, query, "xyz"))
    first = f"{BASE}/Patient?name=%C3%85%20b%2Bc&_count=1000"
    assert links == {"self": first, "first": first, "next": f"{first}&_page=xyz"}
    assert len(ignored_issues(query)) == 1
    read(searchset([], base=BASE, links=list(links.items()), warnings=ignored_issues(query)))


def test_the_last_page_has_no_next() -> None:
    query = parse_query("Patient", [("_page", "xyz")], base=BASE)
    assert dict(search_links(BASE, query, None)) == {
        "self": f"{BASE}/Patient?_page=xyz",
        "first": f"{BASE}/Patient",
    }


def test_a_history_says_how_each_version_came_about() -> None:
    versions = [
        Version(reference="Patient/1", version=3, last_updated=1500, body=None),
        Version(reference="Patient/1", version=2, last_updated=1000, body=BODY),
        Version(reference="Patient/1", version=1, last_updated=0, body=BODY),
    ]
    bundle = read(history(versions, base=BASE, total=3))
    assert [entry["request"]["method"] for entry in bundle["entry"]] == ["DELETE", "PUT", "PUT"]
    assert [entry["response"]["status"] for entry in bundle["entry"]] == ["204", "200", "201"]
    assert bundle["entry"][0]["response"]["lastModified"] == "1970-01-01T00:00:01.500Z"
    assert bundle["entry"][0]["response"]["etag"] == 'W/"3"'
    assert "resource" not in bundle["entry"][0]


def test_a_response_has_an_entry_for_each_request() -> None:
    refused = Answer(status=400, outcome=operation_outcome("invalid", "No."))
    given = [Answer(status=201, location="Patient/1/_history/1", version=1, body=BODY), refused]
    bundle = read(answers("batch-response", given))
    first, second = bundle["entry"]
    assert first["resource"] == json.loads(BODY)
    assert first["response"]["location"] == "Patient/1/_history/1"
    assert second["response"]["status"] == "400"
    assert second["response"]["outcome"]["resourceType"] == "OperationOutcome"
