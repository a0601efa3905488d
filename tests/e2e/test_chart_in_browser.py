"""The chart in Chromium, on the demo's images: what is seen, reached by keys, and asked for."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request

from imaging_fhir.demo import ATTACHED, PATIENTS_FILE, demo_bundle
from tests.e2e.browser import FAULTS_OF_STRUCTURE, TEXT_OF_WEAK_CONTRAST
from tests.e2e.server import Server

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def chart(server: Server, demo_samples: dict[str, bytes]) -> str:
    """The address of a chart with the demo's patients and images."""
    assert server.post_fhir(demo_bundle()).status == 200
    dicom = [content for name, content in demo_samples.items() if name.startswith("dicom/")]
    assert server.store(*dicom).status == 202  # what is held is stored with a warning
    for name, visit in ATTACHED.items():
        given = {"patient": f"Patient/{visit.patient.id}", "encounter": f"Encounter/{visit.id}"}
        assert server.import_files(demo_samples[name], **given) == [201]
    assert len(demo_samples) == len(dicom) + len(ATTACHED) + len([PATIENTS_FILE])
    return f"{server.address}/chart"


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, chart: str) -> Iterator[Open]:
    """Opens pages of the chart; at the end, none may have failed or asked anybody else."""
    contexts, faults = [], []

    def open_(path: str, *, width: int = 1280, scripts: bool = True) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: note_failed(request, faults))
        page.on("request", lambda request: note_foreign(request.url, chart, faults))
        page.goto(chart + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def note_failed(request: Request, faults: list[str]) -> None:
    """A page that is left, or closed, drops what it was still loading: that is no fault."""
    if request.failure != "net::ERR_ABORTED":
        faults.append(f"failed: {request.url} {request.failure}")


def note_foreign(url: str, chart: str, faults: list[str]) -> None:
    if urlsplit(url).netloc != urlsplit(chart).netloc:
        faults.append(f"foreign: {url}")


def load_pictures(page: Page) -> list[int]:
    """The width of each picture once it is there; those below the window are loaded by looking."""
    pictures = page.locator("main img")
    for number in range(pictures.count()):
        pictures.nth(number).scroll_into_view_if_needed()
        page.wait_for_function(
            "(number) => document.querySelectorAll('main img')[number].complete", arg=number
        )
    return [
        int(pictures.nth(n).evaluate("img => img.naturalWidth")) for n in range(pictures.count())
    ]


def box(locator: Locator) -> tuple[float, float, float, float]:
    found = locator.bounding_box()
    assert found is not None
    return found["x"], found["y"], found["width"], found["height"]


EACH_PAGE = {
    "patients": ("", None),
    "timeline": ("/patients/demo-lindqvist", None),
    "filtered": ("/patients/demo-lindqvist?show=photo", None),
    "study": ("/patients/demo-okafor", "CT of the chest"),
    "document": ("/patients/demo-lindqvist", "PDF document"),
    "held": ("/held", None),
    "held item": ("/held", "Name, birth date or sex contradict the identifier"),
}


def each_page(open_page: Open, name: str, width: int) -> Page:
    path, link = EACH_PAGE[name]
    page = open_page(path, width=width)
    if link:
        page.get_by_role("link", name=link, exact=True).first.click()
        page.wait_for_load_state()
    return page


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", EACH_PAGE)
def test_a_page_fits_is_readable_and_well_built(open_page: Open, name: str, width: int) -> None:
    page = each_page(open_page, name, width)
    load_pictures(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TEXT_OF_WEAK_CONTRAST) == []
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_picture_of_the_timeline_appears(open_page: Open, width: int) -> None:
    page = open_page("/patients/demo-lindqvist", width=width)
    widths = load_pictures(page)
    assert len(widths) == 4
    assert min(widths) > 100


def test_a_photo_and_a_letter_of_one_visit_are_side_by_side(open_page: Open) -> None:
    page = open_page("/patients/demo-lindqvist")
    visit = page.locator(".group", has_text="2 Apr 2025")
    photo, letter = box(visit.locator(".card").nth(0)), box(visit.locator(".card").nth(1))
    assert photo[1] == letter[1]
    assert photo[0] + photo[2] <= letter[0]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_patient_stays_in_sight(open_page: Open, width: int) -> None:
    page = open_page("/patients/demo-lindqvist", width=width)
    load_pictures(page)
    page.set_viewport_size({"width": width, "height": 500})
    page.mouse.wheel(0, 5000)
    page.wait_for_function("() => scrollY > 50")
    assert 0 <= box(page.locator(".banner"))[1] < 5
    assert "Lindqvist, Jonas" in page.locator(".banner").inner_text()


def test_a_patient_is_found_and_an_image_opened_by_keys_alone(open_page: Open) -> None:
    page = open_page("")
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to content"
    keys.press("Enter")
    keys.press("Tab")
    keys.type("okafor")
    keys.press("Enter")
    page.get_by_text("1 patient found").wait_for()
    assert "okafor" not in page.url
    tab_to(page, "Okafor, Amara")
    keys.press("Enter")
    page.get_by_role("heading", name="Images by visit").wait_for()
    tab_to(page, "CT of the chest")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    keys.press("Enter")
    page.get_by_role("heading", name="Why it is filed here").wait_for()


def tab_to(page: Page, text: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText").strip() == text:
            return
    raise AssertionError(f"{text} is not reached by Tab")


def open_series(page: Page) -> None:
    page.get_by_role("link", name="CT of the chest", exact=True).click()
    page.locator(".thumb").first.click()
    page.locator(".viewer img").wait_for()


def test_arrow_keys_leaf_through_a_series(open_page: Open) -> None:
    page = open_page("/patients/demo-okafor")
    open_series(page)
    assert "Image 21 of 40" in page.locator(".where").inner_text()
    load_pictures(page)
    page.keyboard.press("ArrowRight")
    page.get_by_text("Image 22 of 40").wait_for()
    assert load_pictures(page)[0] >= 256
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Image 21 of 40").wait_for()
    assert load_pictures(page)[0] >= 256


def test_everything_works_without_scripts(open_page: Open) -> None:
    page = open_page("", scripts=False)
    page.get_by_label("Name").fill("okafor")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Okafor, Amara").click()
    page.get_by_role("link", name="Magnetic resonance").click()
    assert page.locator(".card").count() == 1
    page.get_by_role("link", name="Show all images").click()
    open_series(page)
    page.get_by_role("link", name="Next").click()
    page.get_by_text("Image 22 of 40").wait_for()


def test_a_held_image_is_nobodys_but_can_be_read_about(open_page: Open) -> None:
    page = open_page("")
    page.get_by_role("link", name="1 image is held").click()
    page.get_by_role("link", name="Name, birth date or sex contradict the identifier").click()
    assert "demographics-disagree" in page.locator("main").inner_text()
    assert load_pictures(page)[0] > 100
    page.locator(".candidate h3 a").first.click()
    assert "Mammography, repeated" not in page.locator("main").inner_text()


def held_item(open_page: Open, **options: object) -> Page:
    """The page of the one held image, opened from the list by keys."""
    page = open_page("/held", **options)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Whose image it may be").wait_for()
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_a_held_image_is_filed_and_held_again(open_page: Open, width: int) -> None:
    """The demo's mammogram, whose birth date is mistyped."""
    page = held_item(open_page, width=width)
    assert "Differs" in page.locator(".candidate").first.inner_text()
    page.get_by_role("button", name="File to").first.click()
    page.get_by_role("heading", name="Filed by a person").wait_for()
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []
    assert page.evaluate(TEXT_OF_WEAK_CONTRAST) == []
    page.get_by_role("link", name="The image in its chart").click()
    page.get_by_role("link", name="Move to another patient or visit").click()
    page.get_by_role("heading", name="Move to another patient or visit").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []
    page.get_by_role("link", name="Show or undo").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="Whose image it may be").wait_for()
    assert "Undone" in page.locator("main").inner_text()


def test_another_patient_is_found_and_many_are_decided_without_scripts(open_page: Open) -> None:
    page = open_page("/held", scripts=False)
    page.get_by_role("link", name="Name, birth date or sex contradict the identifier").click()
    page.get_by_label("Name", exact=True).fill("okafor")
    page.get_by_role("button", name="Find").click()
    assert "You searched for them" in page.locator("main").inner_text()
    page.get_by_role("link", name="All held images").click()
    page.get_by_label("Choose Name, birth date or sex contradict the identifier").check()
    page.get_by_role("button", name="File those whose patient is certain").click()
    assert "0 of 1 done" in page.locator("h1").inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_single_images_are_moved_by_keys_alone_and_come_back(open_page: Open, width: int) -> None:
    page = open_page("/patients/demo-okafor", width=width)
    keys = page.keyboard
    open_series(page)
    tab_to(page, "Move single images to another patient")
    keys.press("Enter")
    page.get_by_role("heading", name="Move single images to another patient").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []
    assert page.evaluate(TEXT_OF_WEAK_CONTRAST) == []
    assert min(load_pictures(page)[:2]) > 100
    page.get_by_label("Image 1", exact=True).focus()
    keys.press("Space")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Space")
    assert page.get_by_label("Image 2", exact=True).is_checked()
    keys.press("Enter")
    page.get_by_role("heading", name="Move 2 images to another patient").wait_for()
    assert page.evaluate(FAULTS_OF_STRUCTURE) == []
    page.get_by_label("Name", exact=True).fill("lindqvist")
    keys.press("Enter")
    page.get_by_role("button", name="File to Lindqvist, Jonas").click()
    page.get_by_text("2 of 40 images of another study were moved here").first.wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="CT of the chest").wait_for()
    assert "40 images" in page.locator(".lead").inner_text()
