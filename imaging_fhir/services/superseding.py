"""A document that replaces another (DocumentReference.relatesTo.code `replaces`)."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.reference import local_id
from imaging_fhir.storage import resources
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.people import resolve_patient

DOCUMENT = "DocumentReference"


def supersede(transaction: Transaction, document: Resource, *, zone: ZoneInfo | None) -> None:
    """Give what the document replaces the status `superseded`, in the same transaction.

    Raise InvalidResource where that is another patient's: nothing of one chart replaces anything
    in another.
    """
    connection = transaction.connection
    for expression, replaced_id in replaced(document):
        known = resources.find_content(connection, DOCUMENT, replaced_id)
        if known is None:
            continue
        if person(connection, known) != person(connection, document):
            raise InvalidResource(
                "A document cannot replace one of another patient.", expression=expression
            )
        if known["status"] == "current":
            superseded = {**known, "status": "superseded"}
            entries = index_entries(DOCUMENT, superseded, zone=zone)
            resources.put(transaction, DOCUMENT, replaced_id, superseded, entries)


def replaced(document: Resource) -> Iterator[tuple[str, str]]:
    """FHIRPath expression and id of each DocumentReference here that is replaced."""
    for index, relation in enumerate(document.get("relatesTo", ())):
        id_ = local_id(relation["target"], DOCUMENT)
        if relation["code"] == "replaces" and id_ not in (None, document.get("id")):
            yield f"{DOCUMENT}.relatesTo[{index}].target", id_


def person(connection: Connection, document: Resource) -> str | None:
    """Whose document it is, by who they are today: a merged Patient is the one it was merged to."""
    subject = document.get("subject", {})
    patient = resolve_patient(connection, local_id(subject, "Patient") or "")
    whose: str | None = patient["id"] if patient else subject.get("reference")
    return whose
