"""A person closes a review Task: the image is right where it is, as far as is known now."""

from collections.abc import Iterable
from hashlib import sha256

from imaging_fhir.errors import ResourceConflict
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.task import REVIEW
from imaging_fhir.model.codec import Resource, encode
from imaging_fhir.storage import dicom_index, documents, resources
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.people import resolve_patient

CONFIRMED = {"text": "Confirmed by a person, on this evidence"}
DEMOGRAPHICS = ("name", "birthDate", "gender")


def confirm(transaction: Transaction, task_id: str) -> None:
    """Raise ResourceNotFound, ResourceDeleted, and ResourceConflict for any other Task."""
    stored = resources.read(transaction.connection, "Task", task_id)
    task = resources.content_of(transaction.connection, stored.rid)
    if task.get("code") != REVIEW or task["status"] != "requested":
        raise ResourceConflict(f"Task/{task_id} is no review that is open.")
    reason = task["reasonCode"]
    found = evidence(
        transaction, task["focus"]["reference"], reason["coding"][0]["code"], reason["text"]
    )
    task["status"] = "completed"
    task["output"] = [{"type": CONFIRMED, "valueString": found}]
    resources.put(transaction, "Task", task_id, task, index_entries("Task", task))


def is_confirmed(
    transaction: Transaction, reference: str, tasks: Iterable[Resource], rule: str, reason: str
) -> bool:
    """Has a person looked at just that, with the same demographics of the Patient?"""
    known = {
        output.get("valueString")
        for task in tasks
        for output in task.get("output", ())
        if output["type"] == CONFIRMED
    }
    return bool(known) and evidence(transaction, reference, rule, reason) in known


def evidence(transaction: Transaction, reference: str, rule: str, reason: str) -> str:
    """A digest of what was looked at, without telling it."""
    resource_type, _, resource_id = reference.partition("/")
    stored = resources.read(transaction.connection, resource_type, resource_id)
    rows = (
        dicom_index.study_of_resource if resource_type == "ImagingStudy" else documents.by_resource
    )
    row = rows(transaction.connection, stored.rid)
    patient = resolve_patient(transaction.connection, (row and row.patient) or "") or {}
    said = [rule, reason, *(patient.get(name) for name in ("id", *DEMOGRAPHICS))]
    return sha256(encode(said)).hexdigest()
