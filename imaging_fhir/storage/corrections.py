"""The rows of what people corrected."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.correction import Correction, subject_of_patient
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import correction, reference_index, resource


def add(transaction: Transaction, provenance_rid: int, body: Correction) -> None:
    values = {
        "provenance": provenance_rid,
        "subject": body.subject,
        "body": encode(body),
        "undone": False,
    }
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


def about(connection: Connection, reference: str) -> Sequence[AnyRow]:
    """The corrections of that resource, the newest first.

    `id` and `body` are those of the Provenance, `correction` is its content.
    """
    resource_type, _, resource_id = reference.partition("/")
    return connection.execute(
        select(
            resource.c.id,
            resource.c.body,
            correction.c.undone,
            correction.c.body.label("correction"),
        )
        .join(correction, correction.c.provenance == resource.c.rid)
        .join(reference_index, reference_index.c.rid == resource.c.rid)
        .where(
            reference_index.c.parameter == "Provenance.target",
            reference_index.c.target_type == resource_type,
            reference_index.c.target_id == resource_id,
            ~resource.c.deleted,
        )
        .order_by(resource.c.rid.desc())
    ).all()


def merge_of(connection: Connection, patient_id: str) -> str | None:
    """Id of the Provenance of the merge of that Patient into another that was not undone."""
    latest = (
        select(resource.c.id)
        .join(correction, correction.c.provenance == resource.c.rid)
        .where(correction.c.subject == subject_of_patient(patient_id), ~correction.c.undone)
        .order_by(correction.c.pk.desc())
    )
    return connection.execute(latest.limit(1)).scalar()


def is_latest(connection: Connection, pk: int, body: Correction) -> bool:
    """Was the same not corrected again since?"""
    return not is_corrected(connection, body.subject, since=pk)


def of_subject(connection: Connection, subject: str) -> list[tuple[Correction, bool]]:
    """All corrections of it, each with whether it was undone."""
    rows = connection.execute(
        select(correction.c.body, correction.c.undone).where(correction.c.subject == subject)
    )
    return [(decode_as(Correction, row.body), bool(row.undone)) for row in rows]


def is_corrected(connection: Connection, subject: str, *, since: int) -> bool:
    """Is there a correction of it, later than that one and not undone?"""
    later = select(correction.c.pk).where(
        correction.c.subject == subject, correction.c.pk > since, ~correction.c.undone
    )
    return connection.execute(later.limit(1)).first() is not None


def mark_undone(transaction: Transaction, pk: int) -> None:
    transaction.execute(update(correction).where(correction.c.pk == pk).values(undone=True))
