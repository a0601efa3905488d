"""What news of an Encounter can change: not all images of its patient, only those it touches."""

from datetime import UTC

from imaging_fhir.model.codec import Resource, decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import Given
from imaging_fhir.services.document_filing import local
from imaging_fhir.services.moments import acquired, period, zone_of
from imaging_fhir.services.subject import subject_of
from imaging_fhir.services.visit_period import open_days
from imaging_fhir.storage import dicom_index, documents
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import orders_at, predecessors

SLACK = 2 * 86_400_000_000  # microseconds: where days are compared, whatever the zones
Window = tuple[int, int]  # microseconds since 1970 UTC


def touched(
    connection: Connection, encounter_id: str, states: list[Resource]
) -> tuple[set[int], set[int]]:
    """Studies and documents that are at the Encounter, have an order there, or were made in time.

    `states` are the Encounter before and after the news.
    """
    studies = dicom_index.studies_at(connection, [encounter_id])
    found = documents.at(connection, [encounter_id])
    for order in orders_at(connection, encounter_id):
        studies |= dicom_index.studies_of_order(connection, order)
    for state in states:
        patient, window = subject_of(connection, state), window_of(state)
        if patient is None or window is None:
            continue
        patients = [patient["id"], *predecessors(connection, patient["id"])]
        studies |= dicom_index.studies_made(connection, patients, *window)
        found |= documents_made(connection, patients, window)
    return studies, found


def window_of(encounter: Resource) -> Window | None:
    """When an image of it can have been made; a visit without a start has none by its time."""
    value = encounter.get("period", {})
    if "start" not in value:
        return None
    low, high = period(value, open_days=open_days(encounter))
    return low - SLACK, high + SLACK


def documents_made(connection: Connection, patients: list[str], window: Window) -> set[int]:
    return {
        row.pk
        for patient in patients
        for row in documents.filed_to(connection, patient)
        if was_made(decode_as(Document, row.facts), decode_as(Given, row.given), row.zone, window)
    }


def was_made(document: Document, given: Given, zone: str, window: Window) -> bool:
    moment = acquired(local(given.date) or document.taken, zone_of(zone) or UTC)
    return moment is not None and moment[0] <= window[1] and window[0] <= moment[1]
