"""The answer of the operation `$import-image`: a batch-response with an entry per file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.operation_outcome import issue, outcome_of
from imaging_fhir.model.codec import Resource

NO_VISIT_SOUGHT = "No visit is looked for until it is certain whose image it is."
PHRASES = {507: "Insufficient Storage"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedImage:
    """What became of one file; `links` lead to its Patient, Encounter and chart."""

    status: int
    location: str | None = None  # absolute, or under the placeholder of our base
    rule: str = ""
    reason: str = ""
    encounter_rule: str = ""
    encounter_reason: str = ""
    name: str = ""
    links: Mapping[str, str] = field(default_factory=dict)  # relation -> address
    error: Resource | None = None  # an issue, where nothing was kept
    warnings: Iterable[tuple[str, str]] = ()  # keyword or property, what is wrong with it


def import_result(images: Iterable[ImportedImage]) -> Resource:
    return without_empty(
        {
            "resourceType": "Bundle",
            "type": "batch-response",
            "entry": [entry(image) for image in images],
        }
    )


def entry(image: ImportedImage) -> Resource:
    return without_empty(
        {
            "link": [{"relation": name, "url": url} for name, url in image.links.items()],
            "response": without_empty(
                {
                    "status": f"{image.status} {phrase(image.status)}",
                    "location": image.location,
                    "outcome": outcome_of(issues(image)),
                }
            ),
        }
    )


def phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return PHRASES.get(status, "")


def issues(image: ImportedImage) -> Iterable[Resource]:
    """The file's name and the decision first, then the visit, then what was wrong in the file."""
    if image.error is not None:
        yield without_empty({**image.error, "details": named(image.name, None)})
        return
    held = image.status == HTTPStatus.ACCEPTED
    yield without_empty(
        {
            "severity": "warning" if held else "information",
            "code": "business-rule" if held else "informational",
            "details": named(image.name, image.rule),
            "diagnostics": image.reason or image.rule,
        }
    )
    if image.encounter_rule:
        yield without_empty(
            {
                "severity": "information",
                "code": "informational",
                "details": named("", image.encounter_rule),
                "diagnostics": image.encounter_reason or NO_VISIT_SOUGHT,
            }
        )
    for keyword, message in image.warnings:
        yield issue("value", f"{keyword}: {message}", severity="warning")


def named(name: str, rule: str | None) -> Resource:
    coding = [{"system": canonical.LINK_RULE, "code": rule}] if rule else []
    return without_empty({"coding": coding, "text": name})
