"""The rows of what people corrected."""

from sqlalchemy import Connection, insert, select, update

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.correction import Correction
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import correction, resource


def add(transaction: Transaction, provenance_rid: int, body: Correction) -> None:
    values = {"provenance": provenance_rid, "body": encode(body), "undone": False}
    transaction.execute(insert(correction).values(values))


def of_provenance(
    connection: Connection, provenance_id: str
) -> tuple[int, Correction, bool] | None:
    """Key, content, and whether it was undone."""
    row = connection.execute(
        select(correction)
        .join(resource, resource.c.rid == correction.c.provenance)
        .where(resource.c.type == "Provenance", resource.c.id == provenance_id)
    ).first()
    return None if row is None else (row.pk, decode_as(Correction, row.body), bool(row.undone))


def mark_undone(transaction: Transaction, pk: int) -> None:
    transaction.execute(update(correction).where(correction.c.pk == pk).values(undone=True))
