"""What a Bundle `searchset` of some EHR holds, whatever else it holds."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from imaging_fhir.ehr.capability import objects, text
from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import id_in

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
BAD = frozenset({"error", "fatal"})


def matches(content: Any, resource_type: str) -> Iterator[Resource]:
    """The resources of that type; raise EhrUnavailable where it is no searchset, or an error.

    Some EHRs answer 200 with an OperationOutcome, or put one among the entries.
    """
    if not isinstance(content, dict) or content.get("resourceType") not in (
        "Bundle",
        "OperationOutcome",
    ):
        raise EhrUnavailable("The EHR answered a search with what is no Bundle.")
    require_no_error(content)
    for entry in objects(content.get("entry")):
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            continue
        require_no_error(resource)
        if resource.get("resourceType") == resource_type and is_id(resource.get("id")):
            yield resource


def require_no_error(resource: dict[str, Any]) -> None:
    if resource.get("resourceType") != "OperationOutcome":
        return
    if any(text(issue.get("severity")) in BAD for issue in objects(resource.get("issue"))):
        raise EhrUnavailable("The EHR answered with an OperationOutcome that tells of an error.")


def next_query(content: Any) -> tuple[str, list[tuple[str, str]]] | None:
    """Path and parameters of the next page; where its host is another, ours is asked."""
    for link in objects(content.get("link")):
        if link.get("relation") == "next" and (url := text(link.get("url"))):
            try:
                parts = urlsplit(url)
            except ValueError:
                raise EhrUnavailable("The EHR's link to the next page is none.") from None
            return parts.path, parse_qsl(parts.query, keep_blank_values=True)
    return None


def is_id(value: Any) -> bool:
    """R4 datatypes.html#id"""
    return isinstance(value, str) and ID.fullmatch(value) is not None


def has_identifier(resource: Resource, system: str, value: str) -> bool:
    """Exactly: an EHR that ignores a parameter answers with everybody."""
    return any(
        one.get("system") == system and one.get("value") == value
        for one in objects(resource.get("identifier"))
    )


def is_of_patient(resource: Resource, patient_id: str, base: str) -> bool:
    """Is that Patient of the EHR its subject?"""
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return id_in(reference, "Patient", base=base) == patient_id
