"""Encounter as an image knows it: by a number alone, until the Encounter itself arrives."""

from imaging_fhir.fhir.datatypes import SystemOf, issued_identifier, reference
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.person import Visit


def visit_reference(visit: Visit, *, system_of: SystemOf) -> Resource | None:
    """A logical reference by the visit number; an Encounter is never made from one."""
    number = visit.admission_id or visit.service_episode_id
    return reference(
        type_="Encounter", identifier=issued_identifier(number, system_of, type_code="VN")
    )
