"""A structured report as a page to read: its content tree, in its words (PS3.3 C.17.3).

All text of the report is escaped, and nothing else of it gets into the page: no address, no style.
"""

import re
from collections.abc import Callable
from html import escape
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.valuerep import PersonName

from imaging_fhir.errors import UnreadableImage, UnsupportedImage

DEEPEST = 40
MOST_ITEMS = 20_000
SECTION_LEVELS = (2, 6)  # <h2> for the first containers, <h6> for all deep ones
STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem;color:#1d2730}"
    "h1,h2,h3,h4,h5,h6{margin:1.2em 0 .3em;line-height:1.25}p{margin:.3em 0;white-space:pre-line}"
    "section section{border-left:2px solid #dfe4ea;padding-left:1rem}dl{margin:0}"
    "dt{color:#556270}dd{margin:0 0 .6em}"
)
PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    "<style>{style}</style></head><body><h1>{title}</h1>{facts}{content}</body></html>"
)
FACTS = (
    ("Patient", "PatientName"),
    ("Patient ID", "PatientID"),
    ("Study date", "StudyDate"),
    ("Content date", "ContentDate"),
    ("Completion", "CompletionFlag"),
    ("Verification", "VerificationFlag"),
)
OF_IDENTITY = ("PatientName", "PatientID")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def report_html(stream: BinaryIO, is_corrected: bool) -> bytes:
    """Run in a limited child. Raise UnsupportedImage for what is no structured report.

    One of a corrected study is shown without the person that its bytes name.
    """
    report = dcmread(stream, force=True, stop_before_pixels=True)
    if "ContentSequence" not in report:
        raise UnsupportedImage("The DICOM instance is no structured report.")
    hidden = OF_IDENTITY if is_corrected else ()
    facts = [
        f"<dt>{label}</dt><dd>{text(report[keyword].value)}</dd>"
        for label, keyword in FACTS
        if keyword not in hidden and report.get(keyword)
    ]
    title = concept(report.get("ConceptNameCodeSequence")) or "Structured report"
    content = Items().of(report, 0)
    page = PAGE.format(
        title=title, style=STYLE, facts=f"<dl>{''.join(facts)}</dl>", content=content
    )
    return page.encode()


class Items:
    """The content items of one report, counted."""

    def __init__(self) -> None:
        self.left = MOST_ITEMS

    def of(self, item: Dataset, depth: int) -> str:
        if depth > DEEPEST:
            raise UnreadableImage("The report is nested too deeply.")
        return "".join(self.one(child, depth) for child in item.get("ContentSequence") or ())

    def one(self, item: Dataset, depth: int) -> str:
        self.left -= 1
        if self.left < 0:
            raise UnreadableImage("The report has too many items.")
        name = concept(item.get("ConceptNameCodeSequence"))
        inner = self.of(item, depth + 1)
        if item.get("ValueType") == "CONTAINER":
            level = min(SECTION_LEVELS[0] + depth, SECTION_LEVELS[1])
            heading = f"<h{level}>{name}</h{level}>" if name else ""
            return f"<section>{heading}{inner}</section>"
        value = VALUES.get(str(item.get("ValueType")), nothing)(item)
        line = f"<p>{f'<b>{name}:</b> ' if name else ''}{value}</p>"
        return line + (f"<section>{inner}</section>" if inner else "")


def concept(codes: Any) -> str:
    for code in codes or ():
        return text(code.get("CodeMeaning") or code.get("CodeValue") or "")
    return ""


def text(value: Any) -> str:
    """As it is, but safe within HTML; a name in its usual order."""
    if isinstance(value, PersonName):
        written = str(value).partition("=")[0]
        value = " ".join(part for part in written.replace("^", " ").split() if part)
    return escape(CONTROL.sub("", str(value)))


def measured(item: Dataset) -> str:
    for one in item.get("MeasuredValueSequence") or ():
        unit = concept(one.get("MeasurementUnitsCodeSequence"))
        return f"{text(one.get('NumericValue', ''))} {unit}"
    return "not measured"


def referenced(item: Dataset) -> str:
    for one in item.get("ReferencedSOPSequence") or ():
        return text(one.get("ReferencedSOPInstanceUID", ""))
    return ""


def of(keyword: str) -> Callable[[Dataset], str]:
    return lambda item: text(item.get(keyword, ""))


def nothing(_item: Dataset) -> str:
    return ""


VALUES: dict[str, Callable[[Dataset], str]] = {
    "TEXT": of("TextValue"),
    "DATE": of("Date"),
    "TIME": of("Time"),
    "DATETIME": of("DateTime"),
    "PNAME": of("PersonName"),
    "UIDREF": of("UID"),
    "CODE": lambda item: concept(item.get("ConceptCodeSequence")),
    "NUM": measured,
    "IMAGE": referenced,
    "COMPOSITE": referenced,
    "WAVEFORM": referenced,
}
