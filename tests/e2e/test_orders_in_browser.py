"""Orders without images, and reports beside their studies, in Chromium."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from imaging_fhir.demo import demo_bundle
from tests.e2e.browser import FAULTS_OF_STRUCTURE, TEXT_OF_WEAK_CONTRAST
from tests.e2e.server import Server
from tests.samples import pdf

WIDTHS = (1280, 390)
ACCESSION_TYPE = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
}
CONCLUSION = (
    "No pulmonary nodule above 4 mm. No effusion, no enlarged lymph node.\n"
    "Compared with the radiograph of the last visit, the infiltrate of the right lower lobe has "
    "cleared. A further examination is not needed unless symptoms return; the small cyst of the "
    "liver, which is partly covered, has no significance."
)
Open = Callable[..., Page]
pytestmark = pytest.mark.parametrize(
    "server", [{"registered_studies": "yes"}], indirect=True, ids=["registering"]
)


def order(id_: str, patient: str, **more: Any) -> dict[str, Any]:
    number = {"system": "https://hospital.example/accession", "value": id_.upper()}
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "identifier": [{"type": ACCESSION_TYPE, **number}],
        "subject": {"reference": f"Patient/{patient}"},
        "requester": {"display": "Dr Referrer"},
        "reasonCode": [{"text": "Follow-up of a treated infection"}],
        **more,
    }


def report(id_: str, patient: str, study: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": id_,
        "status": "final",
        "code": {"text": "Report"},
        "subject": {"reference": f"Patient/{patient}"},
        "imagingStudy": [{"reference": f"ImagingStudy/{study}"}],
        "conclusion": CONCLUSION,
        "resultsInterpreter": [{"display": "Dr Reader"}],
        **more,
    }


def bundle(*content: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in content
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


@pytest.fixture(scope="module")
def chart(server: Server, demo_samples: dict[str, bytes]) -> str:
    """The address of a chart with the demo's studies, orders and reports."""
    assert server.post_fhir(demo_bundle()).status == 200
    dicom = [content for name, content in demo_samples.items() if name.startswith("dicom/")]
    server.store(*dicom)
    form = {
        "contentType": "application/pdf",
        "data": base64.b64encode(pdf()).decode(),
        "title": "Signed report",
    }
    ct, heart = (
        server.fhir(f"ImagingStudy?patient={patient}&modality={modality}")["entry"][0]["resource"]
        for patient, modality in (("demo-okafor", "CT"), ("demo-lindqvist", "US"))
    )
    written = bundle(
        order("next-ct", "demo-okafor", code={"text": "CT of the chest, follow-up"}),
        order("next-us", "demo-lindqvist", occurrenceDateTime="2025-07-01T09:30:00Z"),
        report("first", "demo-okafor", ct["id"], issued="2025-01-17T15:30:00Z"),
        report(
            *("second", "demo-okafor", ct["id"]),
            status="appended",
            issued="2025-01-18T08:00:00Z",
            presentedForm=[form],
        ),
        report(
            *("heart", "demo-lindqvist", heart["id"]),
            status="preliminary",
            issued="2025-02-11T12:00:00Z",
        ),
    )
    assert server.post_fhir(written).status == 200
    return f"{server.address}/chart"


@pytest.fixture
def open_page(browser: Browser, chart: str) -> Iterator[Open]:
    contexts = []

    def open_(path: str, *, width: int = 1280) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        page.goto(chart + path)
        return page

    yield open_
    for context in contexts:
        context.close()


EACH_PAGE = {
    "timeline": ("/patients/demo-okafor", None),
    "timeline of one series": ("/patients/demo-lindqvist", None),
    "study": ("/patients/demo-okafor", "CT of the chest"),
    "order": ("/patients/demo-okafor", "CT of the chest, follow-up"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", EACH_PAGE)
def test_a_page_fits_is_readable_and_well_built(open_page: Open, name: str, width: int) -> None:
    path, link = EACH_PAGE[name]
    page = open_page(path, width=width)
    if link:
        page.get_by_role("link", name=link, exact=True).click()
        page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TEXT_OF_WEAK_CONTRAST) == []
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_is_in_the_card_of_its_study(open_page: Open, width: int) -> None:
    page = open_page("/patients/demo-okafor", width=width)
    card = page.locator(".card", has_text="A25011722")
    reports = card.locator(".report")
    assert [" ".join(one.split())[:40] for one in reports.all_inner_texts()] == [
        "Report With addendum 18 Jan 2025, 08:00 ",
        "Report Final 17 Jan 2025, 15:30 UTC No p",
    ]
    assert card.get_by_role("link", name="Signed report").is_visible()


def test_a_report_is_read_beside_the_image(open_page: Open) -> None:
    page = open_page("/patients/demo-okafor")
    page.get_by_role("link", name="CT of the chest", exact=True).click()
    page.locator(".thumb").first.click()
    page.locator(".viewer img").wait_for()
    assert "has no significance" in page.locator(".reports").inner_text()


def test_an_order_leads_to_its_page(open_page: Open) -> None:
    page = open_page("/patients/demo-okafor")
    assert page.get_by_text("1 order has no images yet.").is_visible()
    card = page.locator(".card.order")
    assert "Ordered, no images yet" in card.inner_text()
    card.get_by_role("link").click()
    page.get_by_role("heading", name="Order").wait_for()
    assert "Follow-up of a treated infection" in page.locator("main").inner_text()
