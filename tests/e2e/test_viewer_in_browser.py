"""The OHIF viewer in Chromium, as the service serves it: it shows what is asked for, no more."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request

from imaging_fhir.demo import demo_bundle
from tests.e2e.server import Server

SITE = Path(__file__).resolve().parents[2] / ".venv" / "viewer"
SECONDS = 120_000  # milliseconds: the viewer is large, and the machine may be busy
CANVAS = ".cornerstone-viewport-element canvas"
Picture = npt.NDArray[np.uint8]
Show = Callable[[str], Page]
pytestmark = [
    pytest.mark.skipif(
        not (SITE / "index.html").exists(), reason=f"{SITE.name} is not there: `make viewer`"
    ),
    pytest.mark.parametrize("server", [{"viewer_dir": str(SITE)}], indirect=True, ids=["viewer"]),
]


@pytest.fixture(scope="module")
def studies(server: Server, demo_samples: dict[str, bytes]) -> dict[str, str]:
    """The StudyInstanceUID of the demo's patients' studies, by modality."""
    assert server.post_fhir(demo_bundle()).status == 200
    dicom = [content for name, content in demo_samples.items() if name.startswith("dicom/")]
    server.store(*dicom)
    found = server.fhir("ImagingStudy?_elements=identifier,modality,subject&_count=50")
    return {
        entry["resource"]["modality"][0]["code"]: uid_of(entry["resource"]["identifier"])
        for entry in found["entry"]
        if "provisional" not in entry["resource"]["subject"]["reference"]
    }


def uid_of(identifiers: list[dict[str, str]]) -> str:
    [uid] = [one["value"] for one in identifiers if one.get("system") == "urn:dicom:uid"]
    return uid.removeprefix("urn:oid:")


@pytest.fixture
def asked() -> list[str]:
    """What the browser has asked for in a test."""
    return []


@pytest.fixture
def show(browser: Browser, server: Server, asked: list[str]) -> Iterator[Show]:
    contexts = []

    def note(request: Request) -> None:
        asked.append(request.url)

    def show_(path: str) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        page = contexts[-1].new_page()
        page.set_default_timeout(SECONDS)
        page.on("request", note)
        page.goto(server.address + path)
        return page

    yield show_
    for context in contexts:
        context.close()


def picture(page: Page) -> Picture:
    """What the first viewport shows, once it shows something."""
    page.locator(CANVAS).first.wait_for()
    page.wait_for_function(
        """(selector) => {
            const canvas = document.querySelector(selector);
            const copy = document.createElement("canvas");
            [copy.width, copy.height] = [canvas.width, canvas.height];
            const context = copy.getContext("2d");
            context.drawImage(canvas, 0, 0);
            const {data} = context.getImageData(0, 0, copy.width, copy.height);
            return data.some((value, at) => at % 4 < 3 && value > 60);
        }""",
        arg=CANVAS,
    )
    shot = page.locator(CANVAS).first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("L"))


@pytest.mark.parametrize("modality", ["CT", "US", "MG"])
def test_a_study_is_shown(
    show: Show, studies: dict[str, str], asked: list[str], server: Server, modality: str
) -> None:
    page = show(f"/viewer?StudyInstanceUIDs={studies[modality]}")
    shown = picture(page)
    if folder := os.environ.get("IMAGING_FHIR_TEST_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/viewer-{modality}.png")
    assert shown.std() > 10
    hosts = {urlsplit(url).netloc for url in asked if url.startswith("http")}
    assert hosts == {urlsplit(server.address).netloc}, "it works without another network"
    others = set(studies.values()) - {studies[modality]}
    assert not any(other in url for url in asked for other in others)


def differs_from(page: Page, first: Picture, within: int = 60) -> bool:
    """Whether the first viewport comes to show something else in so many half seconds."""
    for _ in range(within):
        page.wait_for_timeout(500)
        now = picture(page)
        if now.shape != first.shape or np.abs(now.astype(int) - first).max() > 60:
            return True
    return False


def test_the_wheel_leads_to_the_next_image(show: Show, studies: dict[str, str]) -> None:
    page = show(f"/viewer?StudyInstanceUIDs={studies['CT']}")
    first = picture(page)
    page.locator(CANVAS).first.hover()
    for _ in range(10):
        page.mouse.wheel(0, 100)
    assert differs_from(page, first)


def test_a_clip_plays(show: Show, studies: dict[str, str]) -> None:
    page = show(f"/viewer?StudyInstanceUIDs={studies['US']}")
    first = picture(page)
    page.locator("[data-cy=cine-player-play-pause]").click()
    assert differs_from(page, first)


def test_a_length_is_measured_in_millimetres(show: Show, studies: dict[str, str]) -> None:
    page = show(f"/viewer?StudyInstanceUIDs={studies['CT']}")
    picture(page)
    page.locator("[data-cy=confirm-and-hide-button]").click()
    page.locator("[data-cy=Length-btn]").click()
    box = page.locator(CANVAS).first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    for share in (0.4, 0.6):
        page.mouse.click(box["x"] + box["width"] * share, middle)
        page.wait_for_timeout(500)
    page.locator("svg.svg-layer text", has_text="mm").first.wait_for()


def test_a_prior_of_the_patient_is_offered_and_nobody_elses(
    show: Show, studies: dict[str, str]
) -> None:
    page = show(f"/viewer?StudyInstanceUIDs={studies['CT']}")
    picture(page)
    panel = page.locator("[data-cy=studyBrowser-panel]")
    panel.get_by_text("MR of the head").wait_for()
    text = panel.inner_text()
    assert "CT of the chest" in text
    assert "mammography" not in text
