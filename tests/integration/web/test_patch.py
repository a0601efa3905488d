"""http.html#patch over HTTP: both forms, their conditions, and within a Bundle."""

import base64
import json
import random
import threading
from typing import Any

import jsonpatch
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.integration.web.answers import json_of

Json = dict[str, Any]
JSON_PATCH = "application/json-patch+json"
PATCH_TYPES = [JSON_PATCH, "application/fhir+json", "application/fhir+xml"]
URN = "urn:uuid:6f0b4a0e-5d1c-4a6c-9a3e-1f1d3a1b0009"
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "a",
    "identifier": [{"system": "http://example.org", "value": "1"}],
    "name": [{"family": "Virtanen", "given": ["Aino"]}],
}


def put(client: FlaskClient, resource: Json) -> None:
    answer = client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code in (200, 201), answer.json


@pytest.fixture
def patient(client: FlaskClient) -> str:
    put(client, PATIENT)
    return "/fhir/Patient/a"


def json_patch(client: FlaskClient, path: str, *operations: Json, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(path, data=json.dumps(operations), content_type=JSON_PATCH, headers=named)


def fhirpath_patch(client: FlaskClient, path: str, *operations: Json) -> TestResponse:
    return client.patch(path, json=parameters(*operations), content_type="application/fhir+json")


def parameters(*operations: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def operation(type_: str, path: str, *parts: Json) -> Json:
    head = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": [*head, *parts]}


def part(name: str, **value: Any) -> Json:
    return {"name": name, **value}


GENDER = {"op": "add", "path": "/gender", "value": "female"}
ADD_GENDER = operation(
    "add", "Patient", part("name", valueString="gender"), part("value", valueCode="female")
)


def test_a_json_patch_makes_the_next_version(client: FlaskClient, patient: str) -> None:
    answer = json_patch(client, patient, GENDER)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert json_of(answer)["gender"] == "female"
    assert json_of(client.get(patient)) == json_of(answer)
    assert "gender" not in json_of(client.get(f"{patient}/_history/1"))


def test_a_fhirpath_patch_makes_the_next_version(client: FlaskClient, patient: str) -> None:
    answer = fhirpath_patch(client, patient, ADD_GENDER)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    found = json_of(client.get("/fhir/Patient?gender=female"))
    assert found["entry"][0]["resource"] == json_of(answer)


def test_a_patch_that_changes_nothing_makes_no_version(client: FlaskClient, patient: str) -> None:
    same = {"op": "replace", "path": "/name/0/family", "value": "Virtanen"}
    assert json_patch(client, patient, same).headers["ETag"] == 'W/"1"'
    assert fhirpath_patch(client, patient).headers["ETag"] == 'W/"1"'


def test_a_patch_of_another_version_than_that_of_if_match_is_refused(
    client: FlaskClient, patient: str
) -> None:
    assert json_patch(client, patient, GENDER, If_Match='W/"1"').status_code == 200
    late = json_patch(client, patient, {"op": "remove", "path": "/gender"}, If_Match='W/"1"')
    assert late.status_code == 412
    assert json_of(client.get(patient))["gender"] == "female"


def test_prefer_says_what_comes_back(client: FlaskClient, patient: str) -> None:
    minimal = json_patch(client, patient, GENDER, Prefer="return=minimal")
    assert (minimal.status_code, minimal.get_data()) == (200, b"")
    assert minimal.headers["Preference-Applied"] == "return=minimal"
    outcome = json_patch(client, patient, Prefer="return=OperationOutcome")
    assert json_of(outcome)["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    ("operation", "status", "expression"),
    [
        ({"op": "test", "path": "/gender", "value": "male"}, 422, "/gender"),
        ({"op": "remove", "path": "/photo/0"}, 422, "/photo/0"),
        ({"op": "add", "path": "/gender", "value": "pink"}, 422, "Patient.gender"),
        ({"op": "add", "path": "/colour", "value": "red"}, 422, "Patient"),
        ({"op": "replace", "path": "", "value": 3}, 422, None),
        ({"op": "replace", "path": "/id", "value": "b"}, 422, "Patient.id"),
        ({"op": "replace", "path": "/resourceType", "value": "Group"}, 422, "Patient.resourceType"),
        ({"op": "replace", "path": "/meta/versionId", "value": "9"}, 422, "Patient.meta.versionId"),
        ({"op": "remove", "path": "/meta"}, 422, "Patient.meta.versionId"),
        ({"op": "upsert", "path": "/gender"}, 400, None),
    ],
)
def test_what_a_json_patch_cannot_do_is_refused_and_named(
    client: FlaskClient, patient: str, operation: Json, status: int, expression: str | None
) -> None:
    refused = json_patch(client, patient, GENDER, operation)
    issue = json_of(refused)["issue"][0]
    assert (refused.status_code, issue.get("expression", [None])[0]) == (status, expression), issue
    assert client.get(patient).headers["ETag"] == 'W/"1"'


def test_what_a_fhirpath_patch_cannot_do_is_refused_with_its_path(
    client: FlaskClient, patient: str
) -> None:
    value = part("value", valueString="x")
    for path in (
        "Patient.birthDate",
        "Patient.name.where(use = 'old').family",
        "Patient.meta.versionId",
    ):
        refused = fhirpath_patch(client, patient, operation("replace", path, value))
        assert refused.status_code == 422
        assert json_of(refused)["issue"][0]["expression"] == [path]
    unclear = fhirpath_patch(client, patient, operation("delete", "Patient.name.matches('a')"))
    assert unclear.status_code == 400
    assert json_of(unclear)["issue"][0]["expression"] == ["Parameters.parameter[0]"]


def test_a_body_that_is_no_patch_is_bad(client: FlaskClient, patient: str) -> None:
    for body in (b"{", b"{}", b"[1]"):
        assert client.patch(patient, data=body, content_type=JSON_PATCH).status_code == 400
    as_fhir = client.patch(patient, json=PATIENT, content_type="application/fhir+json")
    assert as_fhir.status_code == 400


def test_other_types_of_patch_are_refused_with_those_that_do(
    client: FlaskClient, patient: str
) -> None:
    refused = client.patch(patient, data=b"<diff/>", content_type="application/xml-patch+xml")
    assert refused.status_code == 415
    assert refused.headers["Accept-Patch"] == ", ".join(PATCH_TYPES)


def test_a_part_to_be_merged_is_no_patch_of_r4(client: FlaskClient, patient: str) -> None:
    merged = client.patch(patient, json={"gender": "male"}, content_type="application/json")
    assert merged.status_code == 415
    assert merged.headers["Accept-Patch"] == ", ".join(PATCH_TYPES)
    assert json_of(client.get(patient))["meta"]["versionId"] == "1"
    whole = client.patch(patient, json=PATIENT | {"gender": "male"})
    assert (whole.status_code, whole.headers["Accept-Patch"]) == (415, ", ".join(PATCH_TYPES))


def test_a_fhirpath_patch_may_be_xml(client: FlaskClient, patient: str) -> None:
    parts = (
        '<part><name value="type"/><valueCode value="add"/></part>'
        '<part><name value="path"/><valueString value="Patient"/></part>'
        '<part><name value="name"/><valueString value="gender"/></part>'
        '<part><name value="value"/><valueCode value="female"/></part>'
    )
    body = (
        '<Parameters xmlns="http://hl7.org/fhir">'
        f'<parameter><name value="operation"/>{parts}</parameter></Parameters>'
    )
    answer = client.patch(patient, data=body, content_type="application/fhir+xml")
    assert (answer.status_code, json_of(answer)["gender"]) == (200, "female")


def test_what_is_too_large_is_refused(client: FlaskClient, patient: str) -> None:
    assert json_patch(client, patient, *[GENDER] * 1001).status_code == 413
    huge = {"op": "add", "path": "/language", "value": "x" * 2_000_001}
    assert json_patch(client, patient, huge).status_code == 413


def test_what_is_not_there_or_gone_is_not_patched(client: FlaskClient, patient: str) -> None:
    assert json_patch(client, "/fhir/Patient/b", GENDER).status_code == 404
    client.delete(patient)
    assert json_patch(client, patient, GENDER).status_code == 410


def test_the_bytes_of_a_binary_are_not_patched(client: FlaskClient) -> None:
    refused = json_patch(client, "/fhir/Binary/a", GENDER)
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    denied = json_patch(client, "/fhir/Task/a", GENDER)
    assert (denied.status_code, denied.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_addresses_are_those_that_the_client_reads(client: FlaskClient, patient: str) -> None:
    mine = "https://images.example/fhir/Organization/x"
    add = {"op": "add", "path": "/managingOrganization", "value": {"reference": mine}}
    assert json_of(json_patch(client, patient, add))["managingOrganization"] == {
        "reference": "Organization/x"
    }


def test_a_conditional_patch_needs_the_one_that_fulfils_it(
    client: FlaskClient, patient: str
) -> None:
    where = "/fhir/Patient?identifier=http://example.org|1"
    assert json_patch(client, where, GENDER).status_code == 200
    assert json_of(client.get(patient))["gender"] == "female"
    assert json_patch(client, where, GENDER, If_Match='W/"1"').status_code == 412
    assert json_patch(client, "/fhir/Patient?identifier=2", GENDER).status_code == 404
    put(client, PATIENT | {"id": "b"})
    several = json_patch(client, where, GENDER)
    assert (several.status_code, json_of(several)["issue"][0]["code"]) == (412, "multiple-matches")
    assert json_patch(client, "/fhir/Patient", GENDER).status_code == 400


def test_an_attachment_that_a_patch_brings_becomes_a_binary(client: FlaskClient) -> None:
    document: Json = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/plain", "url": "http://x/y"}}],
    }
    put(client, document)
    attachment = {"contentType": "text/plain", "data": base64.b64encode(b"new").decode()}
    add = {"op": "add", "path": "/content/-", "value": {"attachment": attachment}}
    changed = json_of(json_patch(client, "/fhir/DocumentReference/d", add))
    address = changed["content"][1]["attachment"]["url"].removeprefix("https://images.example")
    assert client.get(address).get_data() == b"new"


def binary(*operations: Json) -> Json:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": JSON_PATCH, "data": data}


def entry(resource: Json, url: str, **request: str) -> Json:
    return {"resource": resource, "request": {"method": "PATCH", "url": url, **request}}


def bundle(client: FlaskClient, type_: str, *entries: Json) -> TestResponse:
    content = {"resourceType": "Bundle", "type": type_, "entry": list(entries)}
    return client.post("/fhir", json=content, headers={"Prefer": "return=representation"})


def statuses(answer: TestResponse) -> list[str]:
    return [one["response"]["status"][:3] for one in json_of(answer)["entry"]]


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_a_bundle_patches_in_both_forms(client: FlaskClient, patient: str, type_: str) -> None:
    put(client, PATIENT | {"id": "b", "identifier": [{"system": "urn:x", "value": "2"}]})
    answer = bundle(
        client,
        type_,
        entry(binary(GENDER), "Patient/a", ifMatch='W/"1"'),
        entry(parameters(ADD_GENDER), "Patient?identifier=2"),
    )
    assert statuses(answer) == ["200", "200"]
    assert [one["resource"]["gender"] for one in json_of(answer)["entry"]] == ["female", "female"]
    assert json_of(client.get("/fhir/Patient/b"))["gender"] == "female"


def test_in_a_batch_each_patch_stands_for_itself(client: FlaskClient, patient: str) -> None:
    text = {**binary(GENDER), "contentType": "text/plain"}
    answer = bundle(
        client,
        "batch",
        entry(binary(GENDER), "Patient/none"),
        entry(text, "Patient/a"),
        entry(PATIENT, "Patient/a"),
        entry(binary({"op": "remove", "path": "/gender"}), "Patient/a"),
        entry(binary(GENDER), "Patient/a", ifMatch='W/"7"'),
        entry(binary(GENDER), "Patient?identifier=3"),
        entry(binary(GENDER), "Binary/a"),
        entry(binary(GENDER), "Patient/a"),
    )
    assert statuses(answer) == ["404", "415", "400", "422", "412", "404", "405", "200"]


def test_a_transaction_whose_patch_fails_changes_nothing(client: FlaskClient, patient: str) -> None:
    new = {
        "resource": {"resourceType": "Organization", "name": "x"},
        "request": {"method": "POST", "url": "Organization"},
    }
    for bad, status in (
        (entry(binary({"op": "remove", "path": "/gender"}), "Patient/a"), 422),
        (entry(parameters(ADD_GENDER), "Patient?identifier=9"), 404),
        (entry(parameters(ADD_GENDER), "Patient/a", ifMatch='W/"5"'), 412),
        (entry(binary({"op": "replace", "path": "/id", "value": "b"}), "Patient/a"), 422),
    ):
        assert bundle(client, "transaction", new, bad).status_code == status
    assert client.get(patient).headers["ETag"] == 'W/"1"'
    assert "entry" not in json_of(client.get("/fhir/Organization"))


def test_a_patch_in_a_transaction_refers_to_what_another_entry_creates(
    client: FlaskClient, patient: str
) -> None:
    new = {
        "fullUrl": URN,
        "resource": {"resourceType": "Organization", "name": "x", "identifier": [{"value": "o"}]},
        "request": {"method": "POST", "url": "Organization"},
    }
    by_urn = {"op": "add", "path": "/managingOrganization", "value": {"reference": URN}}
    found_later = operation(
        "add",
        "Patient",
        part("name", valueString="generalPractitioner"),
        part("value", valueReference={"reference": "Organization?identifier=o"}),
    )
    put(client, PATIENT | {"id": "b"})
    answer = bundle(
        client,
        "transaction",
        entry(binary(by_urn), "Patient/a"),
        entry(parameters(found_later), "Patient/b"),
        new,
    )
    assert statuses(answer) == ["200", "200", "201"], json_of(answer)
    made = json_of(answer)["entry"][2]["resource"]["id"]
    own = {"reference": f"Organization/{made}"}
    assert json_of(client.get(patient))["managingOrganization"] == own
    assert json_of(client.get("/fhir/Patient/b"))["generalPractitioner"] == [own]


def test_the_capability_statement_says_which_patches_are_taken(client: FlaskClient) -> None:
    said = json_of(client.get("/fhir/metadata"))
    assert said["patchFormat"] == PATCH_TYPES
    by_type = {
        one["type"]: {code["code"] for code in one["interaction"]}
        for one in said["rest"][0]["resource"]
    }
    assert "patch" in by_type["Patient"]
    assert "patch" not in by_type["Binary"]


def test_the_options_of_an_address_name_patch(client: FlaskClient) -> None:
    for path in ("/fhir/Patient/a", "/fhir/Patient"):
        assert "PATCH" in client.options(path).headers["Allow"]


def random_patient(chance: random.Random) -> Json:
    def some(values: list[Any]) -> list[Any]:
        return [
            json.loads(json.dumps(chance.choice(values))) for _ in range(chance.randrange(1, 4))
        ]

    names = [{"family": "A"}, {"given": ["B", "C"]}, {"text": "Ä~/ x", "given": ["D"]}]
    numbers = [{"system": "urn:x", "value": "1.50"}, {"value": "a/b~c"}]
    elements: Json = {
        "name": some(names),
        "identifier": some(numbers),
        "gender": chance.choice(["male", "female", "other"]),
        "active": chance.random() < 0.5,
        "contact": [{"name": name} for name in some(names)],
        "multipleBirthInteger": chance.randrange(4),
        "_birthDate": {"extension": [{"url": "http://x", "valueDecimal": 1.25}]},
    }
    kept = {name: value for name, value in elements.items() if chance.random() < 0.7}
    return {"resourceType": "Patient", "id": "p", **kept}


def test_a_json_patch_from_one_resource_to_another_makes_the_other(client: FlaskClient) -> None:
    chance = random.Random(20)
    for _ in range(25):
        put(client, random_patient(chance))
        first = json_of(client.get("/fhir/Patient/p"))
        second = {"meta": first["meta"], **random_patient(chance)}
        answer = json_patch(client, "/fhir/Patient/p", *jsonpatch.make_patch(first, second))
        assert answer.status_code == 200, json_of(answer)
        assert {**json_of(answer), "meta": None} == {**second, "meta": None}


def test_patches_at_the_same_time_are_all_kept(app: Flask, client: FlaskClient) -> None:
    put(client, PATIENT)
    answers: list[int] = []

    def writer(number: int) -> None:
        mine = app.test_client()
        for turn in range(4):
            add = {"op": "add", "path": "/identifier/-", "value": {"value": f"{number}-{turn}"}}
            answers.append(json_patch(mine, "/fhir/Patient/a", add).status_code)

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 16
    found = json_of(client.get("/fhir/Patient/a"))
    assert len({one["value"] for one in found["identifier"]}) == 17
    assert found["meta"]["versionId"] == "17"
