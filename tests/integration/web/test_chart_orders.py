"""The chart's orders without images, and reports beside their studies."""

import base64
import html
import re
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.model.link import Given
from imaging_fhir.settings import DEFAULT_SOURCE, Settings
from imaging_fhir.web.context import EXTENSION
from tests.dicom_samples import SERIES, STUDY, ct_instance
from tests.house import ORDERS, issued_by

NUMBERS = "urn:oid:1.2.3"
ACCESSION = {
    "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    },
    "system": ORDERS,
    "value": "A-1",
}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, registered_studies=True)


@pytest.fixture
def jane(client: FlaskClient) -> FlaskClient:
    for id_, number in (("jane", "4711"), ("john", "9")):
        put(client, "Patient", id_, identifier=[{"system": NUMBERS, "value": number}])
    return client


def put(client: FlaskClient, resource_type: str, id_: str, **content: Any) -> None:
    resource = {"resourceType": resource_type, "id": id_, **content}
    assert client.put(f"/fhir/{resource_type}/{id_}", json=resource).status_code in (200, 201)


def order(client: FlaskClient, **more: Any) -> None:
    content: dict[str, Any] = {
        "status": "active",
        "intent": "order",
        "identifier": [ACCESSION],
        "code": {"text": "Chest CT"},
        "subject": {"reference": "Patient/jane"},
        "occurrenceDateTime": "2026-03-14",
        "requester": {"display": "Dr Referrer"},
        "reasonCode": [{"text": "Cough"}],
        "priority": "urgent",
    }
    put(client, "ServiceRequest", "order", **(content | more))


def report(client: FlaskClient, id_: str = "report", **more: Any) -> None:
    content: dict[str, Any] = {
        "status": "final",
        "identifier": [ACCESSION],
        "code": {"text": "CT report"},
        "subject": {"reference": "Patient/jane"},
        "issued": "2026-03-14T12:00:00Z",
        "conclusion": "No nodule.",
        "resultsInterpreter": [{"display": "Dr Reader"}],
    }
    put(client, "DiagnosticReport", id_, **(content | more))


def send(app: Flask) -> str:
    content = ct_instance(
        PatientID="4711",
        IssuerOfPatientIDQualifiersSequence=issued_by(NUMBERS),
        AccessionNumber="A-1",
        IssuerOfAccessionNumberSequence=issued_by(ORDERS),
        StudyDescription="Chest",
    )
    services = app.extensions[EXTENSION]
    outcome = services.ingest.ingest([content], source=DEFAULT_SOURCE, given=Given())
    return str(outcome.location).partition("/")[2]


def words(response: TestResponse) -> str:
    assert response.status_code == 200, response.text
    text = html.unescape(re.sub(r"<[^>]+>", " ", response.text))
    return re.sub(r"\s+", " ", text)


def study_id(client: FlaskClient) -> str:
    bundle = client.get("/fhir/ImagingStudy?patient=jane").get_json()
    return str(bundle["entry"][0]["resource"]["id"])


def pages(client: FlaskClient, id_: str) -> list[str]:
    """Where a report stands beside its study."""
    addresses = ("patients/jane", f"studies/{id_}", f"studies/{id_}/series/{SERIES}")
    return [words(client.get(f"/chart/{one}")) for one in addresses]


def test_an_order_is_in_the_timeline_until_its_images_come(jane: FlaskClient, app: Flask) -> None:
    order(jane)
    shown = words(jane.get("/chart/patients/jane"))
    assert "1 order has no images yet." in shown
    assert "Chest CT Ordered, no images yet Planned for 14 Mar 2026 Accession A-1" in shown
    send(app)
    shown = words(jane.get("/chart/patients/jane"))
    assert "no images yet" not in shown
    assert "Accession A-1" in shown


@pytest.mark.parametrize("status", ["revoked", "entered-in-error"])
def test_an_order_that_is_none_any_more_is_not_in_the_timeline(
    jane: FlaskClient, status: str
) -> None:
    order(jane)
    order(jane, status=status)
    assert "Chest CT" not in words(jane.get("/chart/patients/jane"))
    state = {"revoked": "Order cancelled", "entered-in-error": "Entered in error"}[status]
    assert state in words(jane.get(f"/chart/studies/{study_id(jane)}"))


def test_an_order_is_in_its_visit(jane: FlaskClient) -> None:
    visit = {"status": "planned", "class": {"code": "AMB"}, "reasonCode": [{"text": "Check"}]}
    put(jane, "Encounter", "visit", subject={"reference": "Patient/jane"}, **visit)
    order(jane, encounter={"reference": "Encounter/visit"})
    shown = words(jane.get("/chart/patients/jane"))
    assert "Ambulatory Check Chest CT Ordered, no images yet" in shown
    assert "Not linked to a visit" not in shown


def test_the_page_of_an_order_says_what_is_asked(jane: FlaskClient) -> None:
    order(jane)
    page = jane.get(f"/chart/studies/{study_id(jane)}")
    shown = words(page)
    for text in ("Ordered, no images yet", "Cough", "Dr Referrer", "A-1", "Urgent"):
        assert text in shown
    assert 'href="/fhir/ServiceRequest/order?_pretty=true"' in page.text


def test_a_study_that_began_as_an_order_is_reached_by_its_uid(
    jane: FlaskClient, app: Flask
) -> None:
    order(jane)
    kept = study_id(jane)
    assert send(app) == kept
    viewer = jane.get(f"/fhir/ImagingStudy/{kept}").get_json()["contained"][-2]["address"]
    assert viewer == f"https://images.example/iid?requestType=STUDY&studyUID={STUDY}"
    assert "Why it is filed here" in words(jane.get(f"/chart/studies/{STUDY}"))
    assert "Why it is filed here" in words(jane.get(f"/chart/studies/{kept}"))


def test_the_id_of_an_order_leads_to_the_study_that_has_its_images(
    jane: FlaskClient, app: Flask
) -> None:
    send(app)
    order(jane, identifier=[{**ACCESSION, "value": "A-2"}])
    bundle = jane.get("/fhir/ImagingStudy?status=registered").get_json()
    kept = bundle["entry"][0]["resource"]["id"]
    order(jane)
    assert f"/chart/studies/{STUDY}/series/" in jane.get(f"/chart/studies/{kept}").text


def test_a_report_stands_beside_its_study(jane: FlaskClient, app: Flask) -> None:
    id_ = send(app)
    report(jane)
    for shown in pages(jane, id_):
        assert "CT report Final 14 Mar 2026" in shown
        assert "No nodule." in shown
    assert "Dr Reader" in pages(jane, id_)[1]


def test_a_report_of_an_order_stands_beside_it(jane: FlaskClient) -> None:
    order(jane)
    content: dict[str, Any] = {"identifier": [{"value": "R-1"}]}
    report(jane, basedOn=[{"reference": "ServiceRequest/order"}], **content)
    for address in ("patients/jane", f"studies/{study_id(jane)}"):
        assert "No nodule." in words(jane.get(f"/chart/{address}"))


@pytest.mark.parametrize(
    ("status", "shown_as"),
    [
        ("preliminary", "Preliminary"),
        ("amended", "Amended"),
        ("corrected", "Corrected"),
        ("appended", "With addendum"),
        ("entered-in-error", None),
        ("cancelled", None),
    ],
)
def test_the_status_is_followed(
    jane: FlaskClient, app: Flask, status: str, shown_as: str | None
) -> None:
    id_ = send(app)
    report(jane, imagingStudy=[{"reference": f"ImagingStudy/{id_}"}])
    report(jane, status=status, imagingStudy=[{"reference": f"ImagingStudy/{id_}"}])
    for shown in pages(jane, id_):
        assert ("CT report" in shown) == (shown_as is not None)
        assert shown_as is None or f"CT report {shown_as}" in shown


def test_a_report_about_somebody_else_is_not_shown_whatever_it_names(
    jane: FlaskClient, app: Flask
) -> None:
    id_ = send(app)
    subject = {"reference": "Patient/john"}
    report(jane, subject=subject, imagingStudy=[{"reference": f"ImagingStudy/{id_}"}])
    assert not any("No nodule." in shown for shown in pages(jane, id_))


def test_the_newest_report_is_first_and_its_file_is_linked(jane: FlaskClient, app: Flask) -> None:
    id_ = send(app)
    report(jane, "first", conclusion="First reading.")
    data = base64.b64encode(b"%PDF-1.4 report").decode()
    form = {"contentType": "application/pdf", "data": data, "title": "Signed report"}
    later = {"issued": "2026-03-15T12:00:00Z", "conclusion": "Second reading."}
    report(jane, "second", presentedForm=[form], **later)
    page = jane.get(f"/chart/studies/{id_}")
    shown = words(page)
    assert shown.index("Second reading.") < shown.index("First reading.")
    (address,) = re.findall(r'<a href="(/fhir/Binary/[^"]+)">Signed report</a>', page.text)
    answer = jane.get(address, headers={"Accept": "application/pdf"})
    assert answer.data == b"%PDF-1.4 report"


def test_what_a_report_says_is_text(jane: FlaskClient, app: Flask) -> None:
    id_ = send(app)
    form = {"contentType": "application/pdf", "url": "javascript:alert(1)", "title": HOSTILE}
    report(jane, conclusion=HOSTILE, code={"text": HOSTILE}, presentedForm=[form])
    for address in ("patients/jane", f"studies/{id_}"):
        text = jane.get(f"/chart/{address}").text
        assert HOSTILE not in text
        assert "javascript:" not in text
