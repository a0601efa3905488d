"""Outcomes of ingest as the answer of `$import-image`."""

from collections.abc import Iterable

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.import_result import ImportedImage, import_result
from imaging_fhir.fhir.operation_outcome import issue
from imaging_fhir.model.chart_address import chart_address
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource
from imaging_fhir.services.arrival import Filed
from imaging_fhir.services.ingest import Outcome


def import_answer(outcomes: Iterable[Outcome]) -> Resource:
    """A Bundle with an entry per file, in their order; addresses under the placeholder."""
    return import_result(imported(outcome) for outcome in outcomes)


def imported(outcome: Outcome) -> ImportedImage:
    if outcome.filed is None:
        error = outcome.error or ImagingError("Nothing was kept.")
        return ImportedImage(
            status=outcome.status,
            name=outcome.name,
            error=issue(error.issue_code, str(error), expression=error.expression),
        )
    filed = outcome.filed
    return ImportedImage(
        status=outcome.status,
        location=f"{BASE_PLACEHOLDER}/{filed.location}",
        rule=filed.rule,
        reason=filed.reason,
        encounter_rule=filed.encounter_rule,
        encounter_reason=filed.encounter_reason,
        name=outcome.name,
        links=links(filed),
        warnings=[(warning.keyword, warning.message) for warning in outcome.warnings],
    )


def links(filed: Filed) -> dict[str, str]:
    found = {"chart": chart_address(filed.location)}
    if filed.patient:
        found["subject"] = f"{BASE_PLACEHOLDER}/{filed.patient}"
    if filed.encounter:
        found["encounter"] = f"{BASE_PLACEHOLDER}/{filed.encounter}"
    return found
