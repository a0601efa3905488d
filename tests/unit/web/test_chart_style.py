"""Rules that hold for all of the chart's templates and its one style sheet."""

import re
from pathlib import Path

import pytest

from imaging_fhir import web

FOLDER = Path(web.__file__).parent
TEMPLATES = sorted((FOLDER / "templates" / "chart").glob("*.html"))
STYLE = (FOLDER / "static" / "chart.css").read_text()
COLOURS = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", STYLE))

READ_ON = [  # text, what it stands on
    ("text", "page"),
    ("text", "surface"),
    ("quiet", "page"),
    ("quiet", "surface"),
    ("quiet", "here"),
    ("link", "page"),
    ("link", "surface"),
    ("link-hover", "here"),
    ("bar-text", "bar"),
    ("surface", "link"),
    ("warn", "warn-back"),
    ("danger", "danger-back"),
]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_wcag_has_it() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("text", "ground"), READ_ON)
def test_text_can_be_read_by_weak_eyes(text: str, ground: str) -> None:
    assert contrast(COLOURS[text], COLOURS[ground]) >= 4.5  # WCAG 2.2 AA, 1.4.3


def test_the_outline_of_what_has_the_focus_stands_out() -> None:
    assert contrast(COLOURS["link"], COLOURS["page"]) >= 3  # 1.4.11
    assert "outline: 3px solid var(--link)" in STYLE


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_script_or_style_of_its_own(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|<script(?! src=)|\son\w+=|\sstyle=|javascript:", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_picture_has_words(template: Path) -> None:
    for picture in re.findall(r"<img.*?>(?=\n|<|$)", template.read_text(), re.DOTALL):
        assert re.search(r'\balt="[^"]', picture), picture


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in (*TEMPLATES, FOLDER / "static" / "chart.css", FOLDER / "static" / "chart.js"):
        assert not re.search(r"(https?:)?//[a-z]", path.read_text().replace("// ", "")), path.name
