"""http.html, interaction by interaction."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.web.answers import json_of

FHIR_JSON = "application/fhir+json;charset=utf-8"
PATIENT: dict[str, Any] = {"resourceType": "Patient", "gender": "other"}


def patient(**elements: Any) -> dict[str, Any]:
    return PATIENT | elements


def put(client: FlaskClient, resource: dict[str, Any], **headers: str) -> TestResponse:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.put(path, json=resource, headers=named)


def issue_code(response: TestResponse) -> str:
    assert json_of(response)["resourceType"] == "OperationOutcome"
    return str(json_of(response)["issue"][0]["code"])


def test_a_created_resource_is_read_back_at_the_address_it_was_given(client: FlaskClient) -> None:
    created = client.post("/fhir/Patient", json=PATIENT)
    assert created.status_code == 201
    assert created.headers["ETag"] == 'W/"1"'
    location = created.headers["Location"]
    assert location == f"https://images.example/fhir/Patient/{json_of(created)['id']}/_history/1"
    read = client.get(f"/fhir/Patient/{json_of(created)['id']}")
    assert (read.status_code, read.content_type) == (200, FHIR_JSON)
    assert json_of(read) == json_of(created)
    assert {"ETag", "Last-Modified", "X-Request-Id"} <= set(read.headers.keys())


def test_the_client_chooses_neither_id_nor_version_of_what_it_creates(client: FlaskClient) -> None:
    given = patient(id="mine", meta={"versionId": "7", "tag": [{"code": "kept"}]})
    created = json_of(client.post("/fhir/Patient", json=given))
    assert created["id"] != "mine"
    assert created["meta"]["versionId"] == "1"
    assert created["meta"]["tag"] == [{"code": "kept"}]


def test_an_update_makes_a_version_and_the_earlier_one_stays(client: FlaskClient) -> None:
    assert put(client, patient(id="a")).status_code == 201
    updated = put(client, patient(id="a", gender="male"))
    assert (updated.status_code, updated.headers["ETag"]) == (200, 'W/"2"')
    assert json_of(client.get("/fhir/Patient/a"))["gender"] == "male"
    earlier = client.get("/fhir/Patient/a/_history/1")
    assert (earlier.status_code, json_of(earlier)["gender"]) == (200, "other")


def test_an_update_that_changes_nothing_makes_no_version(client: FlaskClient) -> None:
    put(client, patient(id="a", active=True))
    again = client.put("/fhir/Patient/a", json={"id": "a", "active": True, **PATIENT})
    assert (again.status_code, again.headers["ETag"]) == (200, 'W/"1"')


def test_an_update_needs_the_id_of_its_address(client: FlaskClient) -> None:
    response = client.put("/fhir/Patient/a", json=patient(id="b"))
    assert (response.status_code, issue_code(response)) == (400, "invalid")


def test_an_update_of_another_version_than_that_of_if_match_is_refused(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    assert put(client, patient(id="a", gender="male"), If_Match='W/"1"').status_code == 200
    late = put(client, patient(id="a", gender="female"), If_Match='W/"1"')
    assert (late.status_code, issue_code(late)) == (412, "conflict")
    assert json_of(client.get("/fhir/Patient/a"))["gender"] == "male"


def test_if_match_is_of_no_resource_that_is_not_there(client: FlaskClient) -> None:
    assert put(client, patient(id="a"), If_Match='W/"1"').status_code == 412


def test_if_none_match_keeps_an_update_from_what_exists(client: FlaskClient) -> None:
    assert put(client, patient(id="a"), If_None_Match="*").status_code == 201
    assert put(client, patient(id="a", gender="male"), If_None_Match="*").status_code == 412


def test_a_deleted_resource_is_gone_and_its_history_stays(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    assert client.delete("/fhir/Patient/a").status_code == 204
    assert client.delete("/fhir/Patient/a").status_code == 204
    gone = client.get("/fhir/Patient/a")
    assert (gone.status_code, issue_code(gone)) == (410, "deleted")
    assert client.get("/fhir/Patient/a/_history/1").status_code == 200
    assert client.get("/fhir/Patient/a/_history/2").status_code == 410


def test_what_was_never_there_is_deleted_too(client: FlaskClient) -> None:
    assert client.delete("/fhir/Patient/nobody").status_code == 204


def test_an_update_brings_a_deleted_resource_back(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    client.delete("/fhir/Patient/a")
    back = put(client, patient(id="a"))
    assert (back.status_code, back.headers["ETag"]) == (201, 'W/"3"')
    assert client.get("/fhir/Patient/a").status_code == 200


def test_history_lists_every_version_newest_first(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    put(client, patient(id="a", gender="male"))
    client.delete("/fhir/Patient/a")
    bundle = json_of(client.get("/fhir/Patient/a/_history"))
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    entries = bundle["entry"]
    told = [(entry["request"]["method"], entry["response"]["etag"]) for entry in entries]
    assert told == [("DELETE", 'W/"3"'), ("PUT", 'W/"2"'), ("PUT", 'W/"1"')]
    assert "resource" not in entries[0]
    assert entries[1]["resource"]["gender"] == "male"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/fhir/Patient/nobody", 404, "not-found"),
        ("/fhir/Patient/nobody/_history", 404, "not-found"),
        ("/fhir/Patient/nobody/_history/1", 404, "not-found"),
        ("/fhir/Patient/no_id", 404, "not-found"),
        ("/fhir/Spaceship/1", 404, "not-found"),
        ("/fhir/patient/1", 404, "not-found"),
        ("/fhir/Patient/1/2/3/4", 404, "not-found"),
        ("/elsewhere", 404, "not-found"),
    ],
)
def test_what_is_not_there_is_not_found(
    client: FlaskClient, path: str, status: int, code: str
) -> None:
    response = client.get(path)
    assert (response.status_code, issue_code(response)) == (status, code)


def test_a_method_that_is_not_offered_says_which_are(client: FlaskClient) -> None:
    response = client.put("/fhir/Task/1", json={"resourceType": "Task", "id": "1"})
    assert (response.status_code, issue_code(response)) == (405, "not-supported")
    assert "GET" in response.headers["Allow"]
    assert "PUT" not in response.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/fhir+json", 400),
        (b"[]", "application/fhir+json", 400),
        (b'{"gender":"male"}', "application/fhir+json", 400),
        (b'{"resourceType":"Encounter"}', "application/fhir+json", 400),
        (b'{"resourceType":"Patient","gender":"robot"}', "application/fhir+json", 422),
        (b'{"resourceType":"Patient","unknown":1}', "application/json", 422),
        (b'{"resourceType":"Patient"}', "text/plain", 415),
        (b"<Patient/>", "application/fhir+xml", 422),
        (b"<Patient", "application/fhir+xml", 400),
        (b'{"resourceType":"Patient"}', "application/fhir+json; fhirVersion=5.0", 415),
        (b'{"resourceType":"Patient"}', "application/fhir+json; charset=latin-1", 415),
        (b'{"a":' * 50_000, "application/fhir+json", 400),
        (b'{"resourceType":"Patient","x":' + b"[" * 500 + b"]" * 500 + b"}", "text/json", 400),
        (b" " * 2_000_001, "application/fhir+json", 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_that_cannot_be_kept_says_why(
    client: FlaskClient, body: bytes, content_type: str, status: int
) -> None:
    response = client.post("/fhir/Patient", data=body, content_type=content_type)
    assert response.status_code == status
    assert issue_code(response)


def test_every_fault_of_an_invalid_resource_is_named(client: FlaskClient) -> None:
    faulty = patient(gender="robot", birthDate="yesterday")
    issues = json_of(client.post("/fhir/Patient", json=faulty))["issue"]
    assert {"Patient.gender", "Patient.birthDate"} <= {issue["expression"][0] for issue in issues}


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("", "", 200),
        ("", "*/*", 200),
        ("", "application/fhir+json", 200),
        ("", "application/json;q=0.5, text/plain", 200),
        ("", "application/fhir+json; fhirVersion=4.0", 200),
        ("", "application/fhir+json; fhirVersion=5.0", 406),
        ("", "image/png", 406),
        ("?_format=json", "application/fhir+xml", 200),
        ("?_format=application/fhir+json", "", 200),
        ("?_format=application/fhir%2Bjson", "", 200),
        ("?_format=pdf", "*/*", 406),
    ],
)
def test_json_is_what_is_answered_unless_something_else_is_wanted(
    client: FlaskClient, query: str, accept: str, status: int
) -> None:
    put(client, patient(id="a"))
    response = client.get(f"/fhir/Patient/a{query}", headers={"Accept": accept})
    assert response.status_code == status
    assert response.content_type == FHIR_JSON


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": 'W/"1"'}, 304),
        ({"If-None-Match": '"1"'}, 304),
        ({"If-None-Match": 'W/"7", W/"1"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": 'W/"2"'}, 200),
        ({"If-Modified-Since": "Fri, 31 Dec 2100 00:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "Fri, 31 Dec 2100 00:00:00 GMT", "If-None-Match": 'W/"2"'}, 200),
        ({"If-Modified-Since": "whenever"}, 200),
    ],
)
def test_a_client_that_knows_the_version_is_told_so(
    client: FlaskClient, headers: dict[str, str], status: int
) -> None:
    put(client, patient(id="a"))
    response = client.get("/fhir/Patient/a", headers=headers)
    assert response.status_code == status
    assert (response.get_data() == b"") == (status == 304)


def test_the_answer_to_a_write_is_as_long_as_is_preferred(client: FlaskClient) -> None:
    def answered(preference: str) -> TestResponse:
        return client.post("/fhir/Patient", json=PATIENT, headers={"Prefer": preference})

    assert answered("return=minimal").get_data() == b""
    assert json_of(answered("return=representation"))["resourceType"] == "Patient"
    assert json_of(answered("return=OperationOutcome"))["resourceType"] == "OperationOutcome"
    assert answered("handling=strict, return=minimal").headers["Location"]


def test_head_answers_as_get_without_a_body(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    response = client.head("/fhir/Patient/a")
    assert (response.status_code, response.get_data()) == (200, b"")
    assert response.headers["ETag"] == 'W/"1"'


def test_pretty_is_the_same_on_several_lines(client: FlaskClient) -> None:
    put(client, patient(id="a"))
    pretty = client.get("/fhir/Patient/a?_pretty=true")
    assert b"\n" in pretty.get_data()
    assert json_of(pretty) == json_of(client.get("/fhir/Patient/a"))


def test_our_own_address_is_stored_as_a_relative_reference(client: FlaskClient) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "https://images.example/fhir/Patient/a"},
        "participant": [{"individual": {"reference": "https://other.example/fhir/Practitioner/b"}}],
    }
    kept = json_of(put(client, encounter))
    assert kept["subject"]["reference"] == "Patient/a"
    assert kept["participant"] == encounter["participant"]


def test_a_summary_is_not_stored_over_the_whole(client: FlaskClient) -> None:
    cut = patient(id="a", meta={"tag": [{"code": "SUBSETTED"}]})
    assert put(client, cut).status_code == 422


def test_decimals_keep_their_digits(client: FlaskClient) -> None:
    location = b'{"resourceType":"Location","position":{"longitude":10.10,"latitude":5.000}}'
    created = client.post("/fhir/Location", data=location, content_type="application/fhir+json")
    read = client.get(f"/fhir/Location/{json_of(created)['id']}").get_data()
    assert b'"longitude":10.10,"latitude":5.000' in read


def test_a_conditional_delete_keeps_to_if_match(client: FlaskClient) -> None:
    put(client, patient(id="a", identifier=[{"system": "urn:oid:1.2.3", "value": "77"}]))
    address = "/fhir/Patient?identifier=urn:oid:1.2.3|77"
    assert client.delete(address, headers={"If-Match": 'W/"7"'}).status_code == 412
    assert client.get("/fhir/Patient/a").status_code == 200
    assert client.delete(address, headers={"If-Match": 'W/"1"'}).status_code == 204
    assert client.get("/fhir/Patient/a").status_code == 410


def test_nobody_makes_a_patient_that_passes_for_provisional(client: FlaskClient) -> None:
    """Such a one would give way to whoever has the number."""
    tag = {
        "system": "https://imaging-fhir.org/fhir/CodeSystem/patient-origin",
        "code": "provisional",
    }
    content = {"resourceType": "Patient", "id": "provisional-1", "meta": {"tag": [tag]}}
    assert client.put("/fhir/Patient/provisional-1", json=content).status_code == 422
    assert client.get("/fhir/Patient/provisional-1").status_code == 404


class TestParametersOfAWrite:
    """A condition that were ignored would write to the wrong resource, or one more."""

    @pytest.mark.parametrize(
        ("method", "path", "hint"),
        [
            ("POST", "/fhir/Patient?identifier=a%7Cb", "If-None-Exist"),
            ("POST", "/fhir/Patient?_format=json&identifir=b", "If-None-Exist"),
            ("POST", "/fhir/Binary?identifier=b", "If-None-Exist"),
            ("PUT", "/fhir/Patient/p?identifier=b", "instead of an id"),
            ("PUT", "/fhir/Binary/p?identifier=b", "instead of an id"),
            ("PATCH", "/fhir/Patient/p?identifier=b", "instead of an id"),
            ("DELETE", "/fhir/Patient/p?_cascade=delete", "instead of an id"),
            ("PUT", "/fhir/Patient", "no search parameter"),
            ("PUT", "/fhir/Patient?nonsense=b", "nonsense"),
            ("PUT", "/fhir/Patient?identifier=b&nonsense=b", "nonsense"),
            ("PATCH", "/fhir/Patient", "no search parameter"),
            ("DELETE", "/fhir/Patient", "no search parameter"),
            ("DELETE", "/fhir/Patient?identifier=b&nonsense=b", "nonsense"),
        ],
    )
    def test_one_that_means_nothing_there_is_refused(
        self, client: FlaskClient, method: str, path: str, hint: str
    ) -> None:
        before = put(client, patient(id="p")).data
        response = client.open(path, method=method, json=patient(id="p", gender="male"))
        assert response.status_code == 400
        assert hint in json_of(response)["issue"][0]["diagnostics"]
        assert client.get("/fhir/Patient/p").data == before
        assert json_of(client.get("/fhir/Patient?_total=accurate"))["total"] == 1

    def test_those_of_the_answer_are_at_home_everywhere(self, client: FlaskClient) -> None:
        path = "/fhir/Patient?_format=json&_pretty=true"
        assert client.post(path, json=PATIENT).status_code == 201
        path = "/fhir/Patient/p?_format=json&_pretty=true"
        assert client.put(path, json=patient(id="p")).status_code == 201
        assert client.delete(path).status_code == 204

    def test_an_entry_of_a_bundle_has_none_either(self, client: FlaskClient) -> None:
        for kind, status in (("batch", 200), ("transaction", 400)):
            entry = {
                "resource": PATIENT,
                "request": {"method": "POST", "url": "Patient?identifier=b"},
            }
            bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
            response = client.post("/fhir", json=bundle)
            assert response.status_code == status
            assert "ifNoneExist" in response.text
            assert json_of(client.get("/fhir/Patient?_total=accurate"))["total"] == 0
