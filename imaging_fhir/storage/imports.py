"""Imports that are answered later: their files as blobs, then what became of them."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from imaging_fhir.model.codec import encode
from imaging_fhir.model.link import Given
from imaging_fhir.storage import jobs
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import import_file, import_request


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    name: str
    blob: int


def begin(transaction: Transaction, request_id: str, source: str) -> int:
    """The key of a request whose files are arriving."""
    values = {
        "id": request_id,
        "state": "receiving",
        "source": source,
        "created": transaction.now,
    }
    statement = insert(import_request).values(**values).returning(import_request.c.pk)
    return int(transaction.execute(statement).scalar_one())


def add_file(transaction: Transaction, request: int, name: str, blob: int) -> None:
    transaction.execute(insert(import_file), {"request": request, "name": name, "blob": blob})


def submit(transaction: Transaction, request: int, given: Given) -> None:
    """All of it is there: from now on it will be done."""
    transaction.execute(
        update(import_request)
        .where(import_request.c.pk == request)
        .values(state="waiting", given=encode(given))
    )
    jobs.enqueue(transaction, "import", str(request))


def find(connection: Connection, request_id: str) -> AnyRow | None:
    return connection.execute(
        select(import_request).where(import_request.c.id == request_id)
    ).first()


def find_by_pk(connection: Connection, request: int) -> AnyRow | None:
    return connection.execute(select(import_request).where(import_request.c.pk == request)).first()


def files(connection: Connection, request: int) -> list[ImportFile]:
    """In the order in which they were sent."""
    rows = connection.execute(
        select(import_file.c.name, import_file.c.blob)
        .where(import_file.c.request == request)
        .order_by(import_file.c.pk)
    )
    return [ImportFile(name=row.name, blob=row.blob) for row in rows]


def complete(transaction: Transaction, request: int, result: bytes) -> None:
    """The files as they were sent are no longer needed."""
    transaction.execute(
        update(import_request)
        .where(import_request.c.pk == request)
        .values(state="done", result=result)
    )
    transaction.execute(delete(import_file).where(import_file.c.request == request))


def forget(transaction: Transaction, request: int) -> None:
    transaction.execute(delete(import_file).where(import_file.c.request == request))
    transaction.execute(delete(import_request).where(import_request.c.pk == request))


def outdated(connection: Connection, before: int) -> list[int]:
    """Keys of requests that were answered, or broken off, and are older than that."""
    rows = connection.execute(
        select(import_request.c.pk).where(
            import_request.c.state != "waiting", import_request.c.created < before
        )
    )
    return list(rows.scalars())
