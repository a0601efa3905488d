"""Whose a visit or an order is today, and whether it counts."""

from collections.abc import Iterable

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import local_id
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import resolve_patient


def same_subject(connection: Connection, resource: Resource, patient: Resource | None) -> bool:
    subject = subject_of(connection, resource)
    return subject is not None and patient is not None and subject["id"] == patient["id"]


def subject_of(connection: Connection, resource: Resource) -> Resource | None:
    """The Patient here whom the subject stands for today."""
    patient = local_id(resource.get("subject"), "Patient")
    return None if patient is None else resolve_patient(connection, patient)


def in_force(found: Iterable[Resource]) -> list[Resource]:
    """Those that were not entered in error: such a visit or order is evidence of nothing."""
    return [one for one in found if one.get("status") != "entered-in-error"]
