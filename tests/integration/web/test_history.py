"""http.html#history: of one resource, of a type, of everything."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from imaging_fhir.app import app_of
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.search import Criterion, TokenValue
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from imaging_fhir.storage import history
from imaging_fhir.storage.history import HistoryQuery
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of

BASE = "https://images.example/fhir"
TYPES = {"a": "Patient", "b": "Patient", "o": "Organization"}


def put(client: FlaskClient, resource_id: str, **elements: Any) -> dict[str, Any]:
    """A next version; its meta."""
    type_ = TYPES[resource_id]
    resource = {"resourceType": type_, "id": resource_id, "language": "en", **elements}
    answer = client.put(f"/fhir/{type_}/{resource_id}", json=resource)
    assert answer.status_code in (200, 201), json_of(answer)
    meta: dict[str, Any] = json_of(answer)["meta"]
    return meta


def bundle(client: FlaskClient, path: str, **query: str | int) -> dict[str, Any]:
    answer = client.get(f"/fhir/{path}", query_string=query or None)
    assert answer.status_code == 200, json_of(answer)
    found: dict[str, Any] = json_of(answer)
    assert [issue for issue in check(found) if issue.severity == "error"] == []
    return found


def versions(found: dict[str, Any]) -> list[str]:
    """`a1`: version 1 of the resource with the id a."""
    return [
        entry["fullUrl"].rpartition("/")[2] + entry["response"]["etag"][3:-1]
        for entry in found.get("entry", ())
    ]


def link(found: dict[str, Any], relation: str) -> str | None:
    urls = [one["url"] for one in found["link"] if one["relation"] == relation]
    return urls[0].removeprefix(f"{BASE}/") if urls else None


def pages(client: FlaskClient, path: str) -> list[list[str]]:
    shown, following = [], path
    while following:
        found = bundle(client, following)
        shown.append(versions(found))
        following = link(found, "next") or ""
    return shown


def test_a_history_shows_the_versions_of_one_resource_of_a_type_or_of_all(
    client: FlaskClient,
) -> None:
    put(client, "a")
    put(client, "o", name="One")
    put(client, "b")
    put(client, "a", gender="male")
    client.delete("/fhir/Patient/b")
    assert versions(bundle(client, "Patient/a/_history")) == ["a2", "a1"]
    assert versions(bundle(client, "Patient/_history")) == ["b2", "a2", "b1", "a1"]
    everything = versions(bundle(client, "_history"))
    assert everything[:5] == ["b2", "a2", "b1", "o1", "a1"]
    assert everything[5:] == ["dicomweb1"]


def test_an_entry_says_how_its_version_came_about_and_a_deletion_has_no_resource(
    client: FlaskClient,
) -> None:
    put(client, "a")
    changed = put(client, "a", gender="male")
    client.delete("/fhir/Patient/a")
    deleted, updated, created = bundle(client, "Patient/_history")["entry"]
    assert "resource" not in deleted
    assert deleted["request"] == {"method": "DELETE", "url": "Patient/a"}
    assert deleted["response"]["status"] == "204"
    assert updated["fullUrl"] == f"{BASE}/Patient/a"
    assert updated["resource"]["gender"] == "male"
    assert updated["request"] == {"method": "PUT", "url": "Patient/a"}
    assert updated["response"] == {
        "status": "200",
        "etag": 'W/"2"',
        "lastModified": changed["lastUpdated"],
    }
    assert created["response"]["status"] == "201"
    assert "gender" not in created["resource"]


def test_pages_are_stable_while_others_write(client: FlaskClient) -> None:
    for gender in ("male", "female", "other"):
        for one in ("a", "b"):
            put(client, one, gender=gender)
    first = bundle(client, "Patient/_history", _count=2)
    assert versions(first) == ["b3", "a3"]
    put(client, "a", gender="unknown")
    client.delete("/fhir/Patient/b")
    following = link(first, "next")
    assert following is not None
    assert pages(client, following) == [["b2", "a2"], ["b1", "a1"]]
    assert pages(client, "Patient/a/_history?_count=3") == [["a4", "a3", "a2"], ["a1"]]


def test_versions_of_one_commit_are_all_on_some_page(client: FlaskClient) -> None:
    entries = [
        {
            "resource": {"resourceType": "Patient", "id": f"p{number}", "language": "en"},
            "request": {"method": "PUT", "url": f"Patient/p{number}"},
        }
        for number in range(7)
    ]
    together = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert client.post("/fhir", json=together).status_code == 200
    shown = [one for page in pages(client, "Patient/_history?_count=2") for one in page]
    assert shown == [f"p{number}1" for number in reversed(range(7))]


def test_since_is_inclusive(client: FlaskClient) -> None:
    put(client, "a")
    second = put(client, "b")["lastUpdated"]
    third = put(client, "a", gender="male")["lastUpdated"]
    assert versions(bundle(client, "Patient/_history", _since=second)) == ["a2", "b1"]
    assert versions(bundle(client, "Patient/a/_history", _since=second)) == ["a2"]
    found = bundle(client, "_history", _since=second.replace("Z", "+00:00"), _count=1)
    assert versions(found) == ["a2"]
    assert pages(client, link(found, "next") or "") == [["b1"]]
    later = third.replace("Z", "1+00:00")
    assert versions(bundle(client, "_history", _since=later)) == []


def test_at_shows_what_was_current_then(client: FlaskClient) -> None:
    first = put(client, "a")["lastUpdated"]
    put(client, "b")
    third = put(client, "a", gender="male")["lastUpdated"]
    client.delete("/fhir/Patient/b")
    put(client, "a", gender="female")
    assert versions(bundle(client, "Patient/_history", _at=first)) == ["a1"]
    assert versions(bundle(client, "Patient/_history", _at=third)) == ["a2", "b1"]
    assert versions(bundle(client, "Patient/a/_history", _at=third)) == ["a2"]
    assert versions(bundle(client, "Patient/_history", _at=third[:4])) == [
        "a3", "b2", "a2", "b1", "a1",
    ]  # fmt: skip
    assert versions(bundle(client, "Patient/_history", _at="2001")) == []
    assert versions(bundle(client, "Patient/_history", _at="2999-01-01")) == ["a3"]
    assert pages(client, f"Patient/_history?_count=1&_at={third}") == [["a2"], ["b1"]]


def test_a_count_of_nothing_answers_the_total_alone(client: FlaskClient) -> None:
    put(client, "a")
    put(client, "a", gender="male")
    for path in ("Patient/_history", "Patient/a/_history"):
        found = bundle(client, path, _count=0)
        assert (found["total"], versions(found), link(found, "next")) == (2, [], None)
    assert bundle(client, "Patient/a/_history", _count=1)["total"] == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Patient/_history?_list=x", "_list"),
        ("_history?_list=x", "_list"),
        ("_history?_since=2020", "_since"),
        ("_history?_since=2020-01-01T00:00:00", "_since"),
        ("_history?_at=yesterday", "_at"),
        ("_history?_count=-1", "_count"),
        ("_history?_page=1-2", "_page"),
    ],
)
def test_what_a_history_cannot_do_is_refused_by_name(
    client: FlaskClient, path: str, name: str
) -> None:
    answer = client.get(f"/fhir/{path}")
    assert answer.status_code == 400
    assert json_of(answer)["issue"][0]["expression"] == [f"http.{name}"]


def test_an_unknown_parameter_is_left_out_or_refused_as_the_client_prefers(
    client: FlaskClient,
) -> None:
    assert "colour" not in str(link(bundle(client, "_history", colour="red"), "self"))
    answer = client.get("/fhir/_history?colour=red", headers={"Prefer": "handling=strict"})
    assert (answer.status_code, json_of(answer)["issue"][0]["code"]) == (400, "invalid")


@pytest.mark.parametrize(
    ("path", "status"),
    [("Patient/nobody/_history", 404), ("Basic/_history", 404), ("Binary/_history", 404)],
)
def test_what_has_no_history_is_refused(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(f"/fhir/{path}")
    assert (answer.status_code, json_of(answer)["resourceType"]) == (status, "OperationOutcome")


def test_an_imaging_study_shows_its_current_version_and_those_that_were_kept(
    client: FlaskClient,
) -> None:
    data = ct_instance()
    assert client.post(
        "/fhir/$import-image", data=data, content_type="application/dicom"
    ).status_code in (200, 201)
    [entry] = bundle(client, "ImagingStudy/_history")["entry"]
    study = entry["resource"]
    assert study == json_of(client.get(f"/fhir/ImagingStudy/{study['id']}"))
    client.delete(f"/fhir/ImagingStudy/{study['id']}")
    shown = bundle(client, "ImagingStudy/_history")["entry"]
    assert [one["request"]["method"] for one in shown] == ["DELETE", "POST"]
    assert shown[1]["resource"] == study


class OnlyWomen(AccessPolicy):
    def restrictions(self, caller: Caller, letters: str = "s") -> Any:
        value = TokenValue(system=None, value="female")
        return {"Patient": (Criterion(parameter="gender", type="token", values=(value,)),)}


def test_a_resource_that_the_caller_may_not_see_now_is_in_no_history(settings: Settings) -> None:
    services = build_services(settings)
    services.history.access = OnlyWomen(settings)
    client = app_of(services).test_client()
    put(client, "a", gender="female")
    put(client, "b", gender="female")
    put(client, "b", gender="male")
    assert versions(bundle(client, "Patient/_history")) == ["a1"]
    assert "b1" not in versions(bundle(client, "_history"))
    hidden, unknown = (client.get(f"/fhir/Patient/{one}/_history") for one in "bx")
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.text == unknown.text.replace("Patient/x", "Patient/b")
    assert versions(bundle(client, "Patient/a/_history?_since=2999-01-01T00:00:00Z")) == []
    services.close()


def test_no_history_looks_through_a_whole_table(app: Flask, client: FlaskClient) -> None:
    """Each statement walks an index in the order of the history, whatever page is asked for."""
    put(client, "a")
    database = app.extensions["imaging_fhir"].database
    after = (2**40, 5, 1)
    with database.read() as connection:
        if database.is_sqlite:
            explain = "EXPLAIN QUERY PLAN "
        else:
            connection.execute(text("SET enable_seqscan = off"))
            connection.execute(text("SET enable_sort = off"))
            connection.execute(text("SET enable_bitmapscan = off"))
            explain = "EXPLAIN "
        for query in (
            HistoryQuery(count=10, resource_type="Patient", rid=1, after=after),
            HistoryQuery(count=10, resource_type="Patient", after=after, since=5),
            HistoryQuery(count=10, without=("Binary",), after=after),
            HistoryQuery(count=10, resource_type="Patient", at=(5, 6)),
        ):
            for statement in history.statements(connection, query, {}):
                sql = history.ordered(statement, query).compile(
                    connection, compile_kwargs={"literal_binds": True}
                )
                plan = "\n".join(
                    str(row) for row in connection.execute(text(explain + str(sql))).all()
                )
                is_one_row = "pk_resource" in plan or "INTEGER PRIMARY KEY" in plan
                assert "SCAN version\n" not in plan, plan
                assert "Seq Scan" not in plan, plan
                assert "TEMP B-TREE" not in plan or (is_one_row and query.rid), plan


def test_a_history_tells_how_each_version_came(client: FlaskClient) -> None:
    person = {"resourceType": "Patient", "active": True}
    created = json_of(client.post("/fhir/Patient", json=person))
    path = f"Patient/{created['id']}"
    client.put(f"/fhir/{path}", json={**created, "active": False})
    client.delete(f"/fhir/{path}")
    client.put("/fhir/Patient/chosen", json={**person, "id": "chosen"})
    entries = [
        {"resource": person, "request": {"method": "POST", "url": "Patient"}},
        {
            "resource": {**person, "id": "mine"},
            "request": {"method": "PUT", "url": "Patient/mine"},
        },
    ]
    client.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    photo = {"contentType": "image/png", "data": "YQ=="}
    client.put("/fhir/Patient/photo", json={**person, "id": "photo", "photo": [photo]})

    def told(address: str) -> list[tuple[str, str, str]]:
        bundle = json_of(client.get(f"/fhir/{address}"))
        return [
            (one["request"]["method"], one["request"]["url"], one["response"]["status"][:3])
            for one in bundle["entry"]
        ]

    assert told(f"{path}/_history") == [
        ("DELETE", path, "204"),
        ("PUT", path, "200"),
        ("POST", "Patient", "201"),
    ]
    assert told("Patient/chosen/_history") == [("PUT", "Patient/chosen", "201")]
    assert told("Patient/mine/_history") == [("PUT", "Patient/mine", "201")]
    expected = [
        ("DELETE", path, "204"),
        ("POST", "Patient", "201"),
        ("POST", "Patient", "201"),
        ("PUT", "Patient/chosen", "201"),
        ("PUT", "Patient/mine", "201"),
        ("PUT", "Patient/photo", "201"),
        ("PUT", path, "200"),
    ]
    assert sorted(told("Patient/_history?_count=100")) == sorted(expected)
