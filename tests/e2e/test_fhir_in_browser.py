"""The FHIR API in Chromium, on the demo's images: read, followed, searched and fitting a phone."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.browser import FAULTS_OF_STRUCTURE, TEXT_OF_WEAK_CONTRAST
from tests.e2e.server import Server
from tests.serving import demo_server

PAGES = (
    "/metadata",
    "/docs",
    "/Patient/demo-tanaka",
    "/Patient/demo-tanaka/_history",
    "/ImagingStudy?_count=2&_include=ImagingStudy:subject",
    "/Patient/demo-tanaka/DocumentReference",
    "/Patient?birthdate=yesterday",
)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, demo_samples: dict[str, bytes]
) -> Iterator[Server]:
    with demo_server(tmp_path_factory.mktemp("fhir"), demo_samples) as started:
        yield started


@pytest.fixture
def open_page(browser: Browser, site: Server) -> Iterator[Open]:
    """Opens pages below /fhir; at the end, none may have asked anybody else."""
    contexts, foreign = [], []

    def open_(path: str, *, width: int = 1280, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: foreign.append(urlsplit(request.url).netloc))
        page.goto(f"{site.address}/fhir{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert set(foreign) == {urlsplit(site.address).netloc}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_can_be_read_and_fits(open_page: Open, path: str, width: int) -> None:
    page = open_page(path, width=width)
    assert page.evaluate(TEXT_OF_WEAK_CONTRAST) == []
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_reference_in_the_json_is_followed_without_scripts(open_page: Open) -> None:
    page = open_page("/ImagingStudy?patient=demo-tanaka", scripts=False)
    page.locator("tbody th a").first.click()
    page.locator("pre a", has_text="Patient/demo-tanaka").first.click()
    assert urlsplit(page.url).path == "/fhir/Patient/demo-tanaka"
    page.get_by_role("link", name="History", exact=True).click()
    assert page.locator("h1").inner_text() == "History of Patient/demo-tanaka"


def test_the_form_is_found_and_sent_by_keys(open_page: Open) -> None:
    page = open_page("/Patient", scripts=False)
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("family", exact=True).focus()
    page.keyboard.type("tanaka")
    page.keyboard.press("Enter")
    page.wait_for_url("**/_search")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="Address of this page").click()
    assert "family=tanaka" in page.url


def test_pages_are_turned_to_the_end(open_page: Open, site: Server) -> None:
    page = open_page("/ImagingStudy?_count=2")
    seen = page.locator("tbody th a").all_inner_texts()
    while (link := page.get_by_role("link", name="Next page")).count():
        link.click()
        seen += page.locator("tbody th a").all_inner_texts()
    assert len(seen) == len(set(seen)) == site.fhir("ImagingStudy?_summary=count")["total"]


def test_a_call_of_the_description_opens(open_page: Open) -> None:
    page = open_page("/docs", scripts=False)
    page.locator("summary", has_text="/fhir/$import-image").first.click()
    assert page.locator("details[open]").get_by_text("respond-async").is_visible()
