"""What the checker finds."""

from dataclasses import dataclass
from typing import NamedTuple

MAX_ISSUES = 100  # more help nobody, and hostile input could make millions


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    expression: str  # FHIRPath
    message: str
    severity: str = "error"  # or warning
    code: str = "invalid"  # http://hl7.org/fhir/R4/valueset-issue-type.html


class Fault(NamedTuple):
    """A broken rule of one type: at an element below it, or at itself."""

    message: str
    element: str = ""
    severity: str = "error"


class TooManyFaults(Exception):
    """The list is full."""


class Faults:
    def __init__(self) -> None:
        self.issues: list[Issue] = []

    def error(self, expression: str, message: str, code: str) -> None:
        self.add(expression, message, code, "error")

    def add(self, expression: str, message: str, code: str, severity: str) -> None:
        """Note an issue; raise TooManyFaults when there are enough."""
        self.issues.append(
            Issue(expression=expression, message=message, severity=severity, code=code)
        )
        if len(self.issues) >= MAX_ISSUES:
            raise TooManyFaults
