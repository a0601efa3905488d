"""An ImagingStudy that a client writes: kept as authored, and the overlay of its images."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.dicom_samples import STUDY, ct_instance
from tests.integration.web.answers import json_of
from tests.integration.web.test_study_edit import NUMBERS, put, visit

Json = dict[str, Any]
PATH = f"/fhir/ImagingStudy/{STUDY}"
UID = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
DCM = "http://dicom.nema.org/resources/ontology/DCM"
AUTHORED: Json = {
    "resourceType": "ImagingStudy",
    "identifier": [UID],
    "status": "registered",
    "subject": {"reference": "Patient/a"},
    "encounter": {"reference": "Encounter/v"},
    "basedOn": [{"reference": "ServiceRequest/s"}],
    "reasonCode": [{"text": "fall"}],
    "note": [{"text": "please compare"}],
    "procedureReference": {"reference": "Procedure/p"},
    "interpreter": [{"reference": "#dr"}],
    "contained": [{"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Salo"}]}],
    "description": "as ordered",
    "meta": {"tag": [{"system": "https://a.example", "code": "teaching"}]},
}
KEPT = ("encounter", "basedOn", "reasonCode", "note", "procedureReference", "interpreter")


@pytest.fixture
def patients(client: FlaskClient) -> FlaskClient:
    """Patient/a has the visit v; Patient/b the visit w."""
    for id_, number, family in (("a", "4711", "Virtanen"), ("b", "4712", "Korhonen")):
        patient = {
            "resourceType": "Patient",
            "id": id_,
            "identifier": [{"system": NUMBERS, "value": number}],
            "name": [{"family": family}],
        }
        assert put(client, patient).status_code == 201
    for one in (visit("v", "a"), visit("w", "b")):
        assert put(client, one).status_code == 201
    return client


def send(client: FlaskClient, *, number: str = "4711", family: str = "Virtanen") -> Json:
    octets = ct_instance(
        PatientID=number,
        IssuerOfPatientIDQualifiersSequence=[
            {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}
        ],
        PatientName=f"{family}^Aino",
    )
    answer = client.post(
        "/fhir/$import-image", data=octets, content_type="application/octet-stream"
    )
    entry: Json = json_of(answer)["entry"][0]["response"]
    return entry


def post(client: FlaskClient, content: Json, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/fhir/ImagingStudy", json=content, headers=named)


def conflict(answer: TestResponse) -> None:
    assert answer.status_code == 409, answer.text
    assert f"ImagingStudy/{STUDY}" in json_of(answer)["issue"][0]["diagnostics"]


def test_it_is_kept_as_authored_until_images_come(patients: FlaskClient) -> None:
    created = post(
        patients, {**AUTHORED, "id": "mine", "meta": {**AUTHORED["meta"], "versionId": "7"}}
    )
    assert created.status_code == 201, created.text
    assert created.headers["Location"].endswith(f"{PATH}/_history/1")
    found = json_of(patients.get(PATH))
    assert found["meta"]["versionId"] == "1"
    assert found["meta"]["tag"] == AUTHORED["meta"]["tag"]
    assert {**found, "meta": 0, "id": 0} == {**AUTHORED, "meta": 0, "id": 0}
    for query in ("patient=a", f"identifier=urn:dicom:uid|urn:oid:{STUDY}", "encounter=v"):
        bundle = json_of(patients.get(f"/fhir/ImagingStudy?{query}"))
        assert [one["resource"]["id"] for one in bundle["entry"]] == [STUDY]
    assert patients.get("/chart/patients/a", follow_redirects=True).status_code < 500


def test_images_of_its_subject_take_it_as_their_overlay(patients: FlaskClient) -> None:
    assert post(patients, AUTHORED).status_code == 201
    assert send(patients)["status"][:3] == "201"
    found = json_of(patients.get(PATH))
    assert found["id"] == STUDY
    assert {name: found[name] for name in KEPT} == {name: AUTHORED[name] for name in KEPT}
    assert [one["id"] for one in found["contained"] if one["id"] == "dr"] == ["dr"]
    assert (found["status"], found["numberOfInstances"]) == ("available", 1)
    assert found.get("description") != "as ordered"
    assert found["meta"]["tag"] == AUTHORED["meta"]["tag"]
    first = json_of(patients.get(f"{PATH}/_history/1"))
    assert first["description"] == "as ordered"
    refused = put(patients, {**found, "numberOfInstances": 9})
    assert refused.status_code == 422
    assert "ImagingStudy.numberOfInstances" in refused.text
    edited = put(patients, {**found, "note": [{"text": "seen"}]})
    assert json_of(edited)["note"] == [{"text": "seen"}]


def test_an_error_that_was_entered_stays_one(patients: FlaskClient) -> None:
    assert post(patients, {**AUTHORED, "status": "entered-in-error"}).status_code == 201
    send(patients)
    assert json_of(patients.get(PATH))["status"] == "entered-in-error"


def test_a_client_may_choose_the_id_and_images_keep_it(patients: FlaskClient) -> None:
    assert put(patients, {**AUTHORED, "id": "order-7"}).status_code == 201
    assert send(patients)["location"].endswith("ImagingStudy/order-7")
    found = json_of(patients.get("/fhir/ImagingStudy/order-7"))
    assert (found["numberOfInstances"], found["note"]) == (1, AUTHORED["note"])
    assert patients.get(PATH).status_code == 404


@pytest.mark.parametrize(
    "images",
    [
        {"number": "4712", "family": "Korhonen"},  # of another patient
        {"number": "9999", "family": "Nobody"},  # of one whom nobody knows
    ],
)
def test_images_of_somebody_else_are_held(patients: FlaskClient, images: Json) -> None:
    assert post(patients, AUTHORED).status_code == 201
    before = patients.get(PATH).data
    response = send(patients, **images)
    assert response["status"][:3] == "202"
    assert "Task/" in response["location"]
    task = json_of(patients.get("/fhir/" + response["location"].partition("/fhir/")[2]))
    assert "written for another Patient" in str(task)
    assert patients.get(PATH).data == before


def test_images_of_the_patient_whose_id_another_server_has_too_are_held(
    patients: FlaskClient,
) -> None:
    elsewhere = {"reference": "https://other.example/fhir/Patient/a"}
    assert post(patients, {**AUTHORED, "subject": elsewhere}).status_code == 201
    assert send(patients)["status"][:3] == "202"


def test_held_images_are_filed_when_the_study_is_corrected(patients: FlaskClient) -> None:
    wrong = {**AUTHORED, "subject": {"reference": "Patient/b"}}
    for name in ("encounter",):
        del wrong[name]
    assert post(patients, wrong).status_code == 201
    assert send(patients)["status"][:3] == "202"
    corrected = put(patients, {**AUTHORED, "id": STUDY})
    assert corrected.status_code == 200, corrected.text
    found = json_of(patients.get(PATH))
    assert (found["subject"]["reference"], found["numberOfInstances"]) == ("Patient/a", 1)
    assert found["note"] == AUTHORED["note"]


def test_held_images_are_filed_when_the_study_is_deleted(patients: FlaskClient) -> None:
    wrong = {**AUTHORED, "subject": {"reference": "Patient/b"}}
    del wrong["encounter"]
    assert post(patients, wrong).status_code == 201
    assert send(patients)["status"][:3] == "202"
    assert patients.delete(PATH).status_code == 204
    found = json_of(patients.get(PATH))
    assert (found["subject"]["reference"], found["numberOfInstances"]) == ("Patient/a", 1)
    assert "note" not in found


def test_a_study_has_one_imaging_study(patients: FlaskClient) -> None:
    assert post(patients, AUTHORED).status_code == 201
    conflict(post(patients, AUTHORED))
    conflict(put(patients, {**AUTHORED, "id": "other"}))
    again = post(patients, AUTHORED, If_None_Exist=f"identifier=urn:dicom:uid|urn:oid:{STUDY}")
    assert again.status_code == 200
    send(patients)
    conflict(post(patients, AUTHORED))
    conflict(put(patients, {**AUTHORED, "id": "other"}))


def test_images_first_and_then_the_client(patients: FlaskClient) -> None:
    send(patients)
    conflict(post(patients, AUTHORED))
    known = post(patients, AUTHORED, If_None_Exist=f"identifier=urn:dicom:uid|urn:oid:{STUDY}")
    assert known.status_code == 200
    merged = {**json_of(patients.get(PATH)), "note": AUTHORED["note"]}
    assert json_of(put(patients, merged))["note"] == AUTHORED["note"]


def test_a_visit_of_another_patient_is_refused(patients: FlaskClient) -> None:
    answer = post(patients, {**AUTHORED, "encounter": {"reference": "Encounter/w"}})
    assert answer.status_code == 422
    assert json_of(answer)["issue"][0]["expression"] == ["ImagingStudy.encounter"]
    two = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert post(patients, {**AUTHORED, "identifier": [UID, two]}).status_code == 422


def test_a_transaction_creates_it_and_a_study_without_uid_is_just_kept(
    patients: FlaskClient,
) -> None:
    without = {name: value for name, value in AUTHORED.items() if name != "identifier"}
    entries = [
        {"resource": one, "request": {"method": "POST", "url": "ImagingStudy"}}
        for one in (AUTHORED, without)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = json_of(patients.post("/fhir", json=bundle))
    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["201", "201"]
    assert f"ImagingStudy/{STUDY}/" in answer["entry"][0]["response"]["location"]
    send(patients)
    assert json_of(patients.get(PATH))["numberOfInstances"] == 1
    bundle = json_of(patients.get("/fhir/ImagingStudy?patient=a"))
    assert len(bundle["entry"]) == 2


@pytest.mark.parametrize("times", range(3))
def test_whoever_comes_first_there_is_one_study_with_both(
    app: Flask, patients: FlaskClient, times: int
) -> None:
    """Two clients author it while its images arrive."""
    statuses: list[int] = []

    def author() -> None:
        condition = f"identifier=urn:dicom:uid|urn:oid:{STUDY}"
        statuses.append(post(app.test_client(), AUTHORED, If_None_Exist=condition).status_code)

    def image() -> None:
        statuses.append(int(send(app.test_client())["status"][:3]))

    run_together(author, image, author)
    assert set(statuses) <= {200, 201}
    bundle = json_of(patients.get("/fhir/ImagingStudy?patient=a"))
    (found,) = [one["resource"] for one in bundle["entry"]]
    assert (found["id"], found["numberOfInstances"]) == (STUDY, 1)


def run_together(*actions: Callable[[], None]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
