"""What is asked of the EHR about an image: by its numbers, its day, and what its sender named."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from imaging_fhir.fhir.patient import PROVISIONAL_PREFIX
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Given
from imaging_fhir.model.reference import local_target
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.linking import Linking

ONE_DAY = timedelta(days=1)  # on either side: a zone may be unknown


@dataclass(frozen=True, slots=True)
class Question:
    """`parts`: (system, value) of an identifier, an id, or a Patient's id and two days."""

    kind: Literal["identifier", "id", "visits"]
    resource_type: str
    parts: tuple[str, ...]


def questions(linking: Linking, evidence: Evidence) -> list[Question]:
    """The first ones: who, and at which visit, as far as it is said."""
    numbers = (
        ("Patient", linking.patient_numbers(evidence.person, evidence.source)),
        ("Encounter", linking.visit_numbers(evidence)),
        ("ServiceRequest", linking.accession_numbers(evidence)),
    )
    by_number = [
        Question("identifier", resource_type, number)
        for resource_type, found in numbers
        for number in found
    ]
    return [*by_id(evidence.given), *by_number]


def by_id(given: Given) -> Iterator[Question]:
    for resource_type, reference in (("Patient", given.patient), ("Encounter", given.encounter)):
        named, _, id_ = (reference or "").partition("/")
        if named == resource_type and id_ and not id_.startswith(PROVISIONAL_PREFIX):
            yield Question("id", resource_type, (id_,))


def visits_of(patients: list[str], evidence: Evidence) -> list[Question]:
    """The visits of these Patients about the day on which the image was made."""
    started = evidence.started
    if started is None or len(started.date) != 10:
        return []
    try:
        day = date.fromisoformat(started.date)
        first, end = str(day - ONE_DAY), str(day + 2 * ONE_DAY)
    except (ValueError, OverflowError):
        return []
    return [Question("visits", "Encounter", (patient, first, end)) for patient in patients]


def companions_of(resource: Resource, base: str) -> Iterator[Question]:
    """Who else is asked for, so that the resource can be understood: subjects, successors."""
    named = []
    match resource["resourceType"]:
        case "Patient":
            named = [
                link.get("other")
                for link in resource.get("link", ())
                if isinstance(link, dict) and link.get("type") == "replaced-by"
            ]
        case "Encounter":
            named = [resource.get("subject")]
        case "ServiceRequest":
            named = [resource.get("subject"), resource.get("encounter"), resource.get("requester")]
    for one in named:
        reference = one.get("reference") if isinstance(one, dict) else None
        type_, id_ = local_target(reference, base=base) or ("", "")
        if type_ in ("Patient", "Encounter", "Practitioner"):
            yield Question("id", type_, (id_,))
