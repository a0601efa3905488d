"""Orders without images over HTTP: read, searched, refused, filled, and where a kept id leads."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.services import order_backlog
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.dicom_samples import STUDY, ct_instance
from tests.house import ORDERS, issued_by

NUMBERS = "urn:oid:1.2.3"
ACCESSION = {
    "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    },
    "system": ORDERS,
    "value": "A-1",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, registered_studies=True)


def put(client: FlaskClient, content: dict[str, Any]) -> None:
    address = f"/fhir/{content['resourceType']}/{content['id']}"
    assert client.put(address, json=content).status_code in (200, 201)


def patient(client: FlaskClient, id_: str = "jane", number: str = "4711") -> None:
    numbers = [{"system": NUMBERS, "value": number}]
    put(client, {"resourceType": "Patient", "id": id_, "identifier": numbers})


def order(client: FlaskClient, number: str = "A-1", **more: Any) -> None:
    content = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": [{**ACCESSION, "value": number}],
        "code": {"text": "CT"},
        "subject": {"reference": "Patient/jane"},
    }
    put(client, {**content, **more})


def send(client: FlaskClient, **attributes: Any) -> str:
    content = ct_instance(
        **{
            "PatientID": "4711",
            "IssuerOfPatientIDQualifiersSequence": issued_by(NUMBERS),
            "AccessionNumber": "A-1",
            "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
            **attributes,
        }
    )
    answer = client.post("/fhir/$import-image", data={"file": (BytesIO(content), "image.dcm")})
    location = str(answer.get_json()["entry"][0]["response"]["location"])
    return location.removeprefix("https://images.example/fhir/")


def found(client: FlaskClient, query: str) -> list[dict[str, Any]]:
    bundle = client.get(f"/fhir/ImagingStudy?{query}").get_json()
    return [entry["resource"] for entry in bundle.get("entry", ())]


def test_it_is_found_and_filled_under_its_id(client: FlaskClient) -> None:
    patient(client)
    order(client)
    by_number = f"identifier={ORDERS}|A-1"
    (registered,) = found(client, f"patient=jane&status=registered&basedon=order&{by_number}")
    location = send(client)
    assert location == f"ImagingStudy/{registered['id']}"
    (filled,) = found(client, f"identifier=urn:dicom:uid|urn:oid:{STUDY}")
    assert (filled["id"], filled["status"]) == (registered["id"], "available")
    assert found(client, "status=registered") == []
    history = client.get(f"/fhir/{location}/_history").get_json()["entry"]
    assert [one["resource"]["status"] for one in history] == ["available", "registered"]
    assert client.get(f"/dicomweb/studies/{STUDY}/metadata").status_code == 200


def test_it_is_changed_by_its_order_alone(client: FlaskClient) -> None:
    patient(client)
    order(client)
    (registered,) = found(client, "status=registered")
    address = f"/fhir/ImagingStudy/{registered['id']}"
    edited = {**registered, "note": [{"text": "Soon"}]}
    refused = client.put(address, json=edited)
    assert refused.status_code == 405
    assert "ServiceRequest/order" in refused.get_json()["issue"][0]["diagnostics"]
    assert client.delete(address).status_code == 405
    patch = [{"op": "replace", "path": "/status", "value": "cancelled"}]
    patched = client.patch(address, json=patch, content_type="application/json-patch+json")
    assert patched.status_code == 405
    assert client.get(address).get_json() == registered
    send(client)
    edited = {**client.get(address).get_json(), "note": [{"text": "Now it is the images'"}]}
    assert client.put(address, json=edited).status_code == 200


def test_a_kept_id_leads_to_the_study_that_has_the_images(client: FlaskClient) -> None:
    patient(client)
    send(client)
    order(client, "A-2")
    (registered,) = found(client, "status=registered")
    order(client)
    gone = client.get(f"/fhir/ImagingStudy/{registered['id']}")
    assert gone.status_code == 410
    target = f"https://images.example/fhir/ImagingStudy/{STUDY}"
    assert gone.headers["Link"] == f'<{target}>; rel="successor-version"'
    assert STUDY in gone.get_json()["issue"][0]["diagnostics"]
    client.delete("/fhir/ServiceRequest/order")
    assert "Link" not in client.get(f"/fhir/ImagingStudy/{registered['id']}").headers


def test_a_merge_and_its_end_are_followed(client: FlaskClient) -> None:
    patient(client)
    patient(client, "joan", "12")
    order(client)
    merge(client, "jane", "joan")
    background(client)
    assert [one["basedOn"] for one in found(client, "patient=joan&status=registered")] == [
        [{"reference": "ServiceRequest/order"}]
    ]


def test_orders_that_are_here_when_it_is_switched_on_are_registered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_backlog, "AT_ONCE", 2)
    monkeypatch.setattr(order_backlog, "PAUSE", 0)
    before = build_services(replace(settings, registered_studies=False))
    client = app_of(before).test_client()
    patient(client)
    for number in range(5):
        order(client, f"A-{number + 1}", id=f"order-{number}")
    order(client, "A-9", id="draft", status="draft")
    send(client)
    assert found(client, "status=registered") == []
    before.close()
    after = build_services(settings)
    after.background.worker()
    client = app_of(after).test_client()
    background(client)
    orders = [one["basedOn"][0]["reference"] for one in found(client, "status=registered")]
    assert sorted(orders) == [f"ServiceRequest/order-{number}" for number in range(1, 5)]
    after.close()


def test_a_filing_that_is_taken_back_lets_the_report_go(client: FlaskClient) -> None:
    patient(client)
    patient(client, "john", "9")
    order(client)
    report(client, "john")
    held = send(client, PatientID="9")
    assert held.startswith("Task/")
    body = {"name": "patient", "valueReference": {"reference": "Patient/john"}}
    parameters = {"resourceType": "Parameters", "parameter": [body]}
    answer = client.post(f"/fhir/{held}/$link", json=parameters)
    assert answer.status_code == 200
    assert sizes(client)[0] == 1
    (told,) = [one for one in answer.get_json()["parameter"] if one["name"] == "provenance"]
    undone = client.post(f"/fhir/{told['valueReference']['reference']}/$undo")
    assert undone.status_code == 200
    assert sizes(client)[0] == 0


def merge(client: FlaskClient, source: str, target: str) -> str:
    """Address of the Provenance, by which it is undone."""
    names = {"source-patient": f"Patient/{source}", "target-patient": f"Patient/{target}"}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": name, "valueReference": {"reference": value}} for name, value in names.items()
        ],
    }
    merged = client.post("/fhir/Patient/$merge", json=parameters)
    assert merged.status_code == 200
    background(client)
    (told,) = [one for one in merged.get_json()["parameter"] if one["name"] == "provenance"]
    return str(told["valueReference"]["reference"])


def background(client: FlaskClient) -> None:
    services = client.application.extensions["imaging_fhir"]
    while services.background.work():
        pass


def report(client: FlaskClient, subject: str = "jane") -> None:
    content = {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "identifier": [ACCESSION],
        "code": {"text": "CT report"},
        "subject": {"reference": f"Patient/{subject}"},
    }
    put(client, content)


SEARCHES = (
    f"DiagnosticReport?imaging-study=ImagingStudy/{STUDY}",
    f"DiagnosticReport?imaging-study.identifier=urn:dicom:uid|urn:oid:{STUDY}",
    "ImagingStudy?_has:DiagnosticReport:imaging-study:status=final",
    "ImagingStudy?_revinclude=DiagnosticReport:imaging-study",
    "DiagnosticReport?_include=DiagnosticReport:imaging-study",
)


def sizes(client: FlaskClient) -> list[int]:
    return [len(client.get(f"/fhir/{one}").get_json().get("entry", ())) for one in SEARCHES]


def test_a_report_is_found_by_its_study_and_the_other_way_round(client: FlaskClient) -> None:
    patient(client)
    report(client)
    assert sizes(client) == [0, 0, 0, 0, 1]
    send(client)
    assert sizes(client) == [1, 1, 1, 2, 2]
    assert "imagingStudy" not in client.get("/fhir/DiagnosticReport/report").get_json()
    tag = [{"system": "urn:oid:1.2.3.4", "code": "seen"}]
    meta = {"name": "meta", "valueMeta": {"tag": tag}}
    parameters = {"resourceType": "Parameters", "parameter": [meta]}
    assert (
        client.post("/fhir/DiagnosticReport/report/$meta-add", json=parameters).status_code == 200
    )
    assert sizes(client) == [1, 1, 1, 2, 2]


def test_a_report_of_the_other_of_two_merged_is_tied_as_long(client: FlaskClient) -> None:
    patient(client)
    patient(client, "joan", "12")
    send(client)
    report(client, "joan")
    assert sizes(client) == [0, 0, 0, 1, 1]
    provenance = merge(client, "joan", "jane")
    assert sizes(client) == [1, 1, 1, 2, 2]
    assert client.post(f"/fhir/{provenance}/$undo").status_code == 200
    background(client)
    assert sizes(client) == [0, 0, 0, 1, 1]
