"""The rows of images that are not DICOM."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import blob, document, resource

SELECT = (
    select(document, resource.c.deleted, blob.c.sha256, blob.c.size, blob.c.generation)
    .join(resource, resource.c.rid == document.c.rid)
    .join(blob, blob.c.pk == document.c.blob)
)


def by_content(connection: Connection, blob_pk: int) -> Sequence[AnyRow]:
    """Every document with these bytes, whosever it is."""
    return connection.execute(SELECT.where(document.c.blob == blob_pk)).all()


def by_pk(connection: Connection, pk: int) -> AnyRow:
    return connection.execute(SELECT.where(document.c.pk == pk)).one()


def by_resource(connection: Connection, rid: int) -> AnyRow | None:
    return connection.execute(SELECT.where(document.c.rid == rid)).first()


def of_patient(connection: Connection, patient: str) -> set[int]:
    """Keys of the filed documents."""
    return keys(connection, document.c.patient == patient)


def filed_since(connection: Connection, patient: str, stamp: int) -> set[int]:
    """Keys of the filed documents that came to the patient, or changed, after that time."""
    since = select(resource.c.rid).where(
        resource.c.rid == document.c.rid, resource.c.last_updated > stamp
    )
    return keys(connection, (document.c.patient == patient) & since.exists())


def filed_to(connection: Connection, patient: str) -> Sequence[AnyRow]:
    """Rows of the filed documents (pk, facts, given, zone)."""
    columns = (document.c.pk, document.c.facts, document.c.given, document.c.zone)
    of_patient = (document.c.patient == patient, document.c.state == "filed")
    return connection.execute(select(*columns).where(*of_patient)).all()


def at(connection: Connection, encounters: Sequence[str]) -> set[int]:
    """Keys of the filed documents that are linked to one of these Encounters."""
    return keys(connection, document.c.encounter.in_(encounters)) if encounters else set()


def keys(connection: Connection, where: ColumnElement[bool]) -> set[int]:
    rows = connection.execute(select(document.c.pk).where(where, document.c.state == "filed"))
    return {row.pk for row in rows}


def find(connection: Connection, pk: int) -> AnyRow | None:
    return connection.execute(SELECT.where(document.c.pk == pk)).first()


def add(transaction: Transaction, **values: Any) -> int:
    statement = insert(document).returning(document.c.pk)
    return int(transaction.execute(statement, {"received": transaction.now, **values}).scalar_one())


def change(transaction: Transaction, pk: int, **values: Any) -> None:
    transaction.execute(update(document).where(document.c.pk == pk).values(**values))
