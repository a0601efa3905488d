"""`POST /fhir/$import-image` on both engines: any file, one answer per file, now or later."""

import io
import zipfile
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.services.composition import Services
from imaging_fhir.web.asynchronous import performing
from imaging_fhir.web.context import EXTENSION
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, issued_by
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES

BASE = "https://images.example/fhir"


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def put_patient(client: FlaskClient, resource_id: str = "jane") -> None:
    client.put(f"/fhir/Patient/{resource_id}", json={"resourceType": "Patient", "id": resource_id})


def send_form(
    client: FlaskClient, *parts: tuple[str, Any], headers: dict[str, str] | None = None
) -> TestResponse:
    """A form whose parts stand in this order: (name, text) or (name, (bytes, file name))."""
    boundary = "b0undary"
    body = b""
    for name, value in parts:
        text, filename = value if isinstance(value, tuple) else (value.encode(), None)
        disposition = f'form-data; name="{name}"'
        disposition += f'; filename="{filename}"' if filename else ""
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        body += text + b"\r\n"
    return client.post(
        "/fhir/$import-image",
        data=body + f"--{boundary}--\r\n".encode(),
        content_type=f"multipart/form-data; boundary={boundary}",
        headers=headers or {},
    )


def statuses(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.data
    bundle = json_of(response)
    require_valid(bundle)
    return [entry["response"]["status"][:3] for entry in bundle["entry"]]


def test_one_body_is_one_image(client: FlaskClient) -> None:
    response = client.post("/fhir/$import-image", data=ct_instance())
    assert statuses(response) == ["201"]
    (entry,) = json_of(response)["entry"]
    links = {link["relation"]: link["url"] for link in entry["link"]}
    assert links["subject"].startswith(f"{BASE}/Patient/provisional-")
    assert links["chart"].startswith("https://images.example/chart/studies/")
    assert entry["response"]["location"].startswith(f"{BASE}/ImagingStudy/")
    (coding,) = entry["response"]["outcome"]["issue"][0]["details"]["coding"]
    assert coding["code"] == "provisional-alone"


def test_the_same_again_is_known(client: FlaskClient) -> None:
    client.post("/fhir/$import-image", data=ct_instance())
    assert statuses(client.post("/fhir/$import-image", data=ct_instance())) == ["200"]


def test_each_file_of_a_form_has_its_entry_in_order(client: FlaskClient) -> None:
    put_patient(client)
    response = send_form(
        client,
        ("patient", "Patient/jane"),
        ("file", (photo(), "photo.jpg")),
        ("file", (b"no image", "notes.txt")),
        ("file", (ct_instance(PatientID=""), "ct.dcm")),
    )
    assert statuses(response) == ["201", "415", "201"]
    refused = json_of(response)["entry"][1]["response"]
    assert refused["outcome"]["issue"][0]["details"]["text"] == "notes.txt"


def test_a_field_counts_for_all_files_wherever_it_stands(client: FlaskClient) -> None:
    put_patient(client)
    response = send_form(client, ("file", (photo(), "photo.jpg")), ("patient", "Patient/jane"))
    assert statuses(response) == ["201"]


def test_a_field_nobody_knows_is_refused(client: FlaskClient) -> None:
    response = send_form(client, ("pateint", "Patient/jane"), ("file", (photo(), "a.jpg")))
    assert response.status_code == 400


def test_a_single_refused_file_answers_with_its_own_status(client: FlaskClient) -> None:
    assert client.post("/fhir/$import-image", data=b"no image").status_code == 415
    assert client.post("/fhir/$import-image", data=b"").status_code == 400
    damaged = client.post("/fhir/$import-image", data=ct_instance(StudyInstanceUID=None))
    assert damaged.status_code == 422
    assert "StudyInstanceUID" in json_of(damaged)["issue"][0]["diagnostics"]


def test_an_archive_has_an_entry_for_each_of_its_files(client: FlaskClient) -> None:
    response = client.post("/fhir/$import-image", data=archive())
    assert statuses(response) == ["201", "201", "415"]


def test_a_held_photo_leads_to_its_task(client: FlaskClient) -> None:
    response = client.post("/fhir/$import-image", data=photo())
    assert statuses(response) == ["202"]
    (entry,) = json_of(response)["entry"]
    assert "/Task/" in entry["response"]["location"]


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("1", ct_instance(SOPInstanceUID="1.2.3.1"))
        made.writestr("2", ct_instance(SOPInstanceUID="1.2.3.2"))
        made.writestr("3", b"no image")
    return content.getvalue()


def services_of(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


def later(client: FlaskClient, content: bytes) -> str:
    response = client.post("/fhir/$import-image", data=content, headers={"Prefer": "respond-async"})
    assert response.status_code == 202
    return response.headers["Content-Location"].removeprefix("https://images.example")


def work(app: Flask) -> None:
    while services_of(app).asynchronous.work(performing(app)):
        pass


def later_statuses(client: FlaskClient, status: str) -> list[str]:
    (entry,) = json_of(client.get(status))["entry"]
    return [one["response"]["status"][:3] for one in entry["resource"]["entry"]]


def test_an_answer_that_is_asked_for_later_comes_later(app: Flask, client: FlaskClient) -> None:
    status = later(client, archive())
    work(app)
    assert later_statuses(client, status) == ["201", "201", "415"]


def test_what_a_killed_worker_began_is_done_by_another(app: Flask, client: FlaskClient) -> None:
    status = later(client, archive())
    services = services_of(app)
    services.ingest.ingest(
        [ct_instance(SOPInstanceUID="1.2.3.1")], source=services.site.source("default")
    )
    work(app)
    assert later_statuses(client, status) == ["200", "201", "415"]


def test_a_form_may_be_answered_later_too(app: Flask, client: FlaskClient) -> None:
    put_patient(client)
    response = send_form(
        client,
        ("file", (photo(), "photo.jpg")),
        ("patient", "Patient/jane"),
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202
    work(app)
    status = response.headers["Content-Location"].removeprefix("https://images.example")
    assert later_statuses(client, status) == ["201"]


def test_a_single_image_that_is_refused_later_says_why(app: Flask, client: FlaskClient) -> None:
    status = later(client, b"no image")
    work(app)
    (entry,) = json_of(client.get(status))["entry"]
    assert entry["response"]["status"] == "415 Unsupported Media Type"
    assert entry["response"]["outcome"]["issue"][0]["code"] == "not-supported"


def test_every_issue_about_a_held_image_says_why(client: FlaskClient) -> None:
    named = ct_instance(PatientID="4711", IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL))
    identifier = [{"system": HOSPITAL, "value": "4711"}]
    patient = {"resourceType": "Patient", "identifier": identifier, "birthDate": "1900-01-01"}
    assert client.post("/fhir/Patient", json=patient).status_code == 201
    for content in (photo(), named):
        response = client.post("/fhir/$import-image", data=content)
        assert statuses(response) == ["202"]
        (entry,) = json_of(response)["entry"]
        issues = entry["response"]["outcome"]["issue"]
        assert len(issues) >= 2
        assert all(issue["diagnostics"] for issue in issues)
