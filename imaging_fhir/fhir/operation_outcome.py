"""OperationOutcome (https://hl7.org/fhir/R4/operationoutcome.html)."""

from collections.abc import Iterable

from imaging_fhir.errors import ImagingError, InvalidResource
from imaging_fhir.fhir.datatypes import string, without_empty
from imaging_fhir.model.codec import Resource


def issue(
    issue_code: str,
    diagnostics: str,
    *,
    severity: str = "error",
    expression: str | None = None,
    details: str | None = None,
) -> Resource:
    """One issue; `expression` is FHIRPath, or `http.HEADER` and `http.PARAMETER` of a request."""
    text = string(details)
    return without_empty(
        {
            "severity": severity,
            "code": issue_code,
            "details": {"text": text} if text else None,
            "diagnostics": string(diagnostics),
            "expression": [expression] if expression else None,
        }
    )


def operation_outcome(
    issue_code: str,
    diagnostics: str,
    *,
    severity: str = "error",
    expression: str | None = None,
    details: str | None = None,
) -> Resource:
    one = issue(issue_code, diagnostics, severity=severity, expression=expression, details=details)
    return outcome_of([one])


def outcome_of(issues: Iterable[Resource]) -> Resource:
    """An OperationOutcome of several issues; of none, one that says all is well (R4: 1..*)."""
    found = list(issues)
    return {
        "resourceType": "OperationOutcome",
        "issue": found or [issue("informational", "All is well.", severity="information")],
    }


def outcome_of_error(error: ImagingError) -> Resource:
    """The OperationOutcome that says it, with every fault of an invalid resource."""
    if isinstance(error, InvalidResource) and error.issues:
        return outcome_of(
            issue(code, fault, expression=expression)
            for code, (expression, fault) in zip(error.codes, error.issues, strict=True)
        )
    return operation_outcome(error.issue_code, str(error), expression=error.expression)
