"""Files that a command-line ingest has dealt with, so that an interrupted one goes on."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import journal

Results = list[tuple[int, str]]  # status and reason of each image in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file as it was; its path only as a hash, since paths name patients."""

    path_sha256: str
    size: int
    modified_ns: int


def find(connection: Connection, entry: Entry) -> Results | None:
    """What became of the file, if it has not changed since."""
    row = connection.execute(
        select(journal.c.outcome).where(
            journal.c.path_sha256 == entry.path_sha256,
            journal.c.size == entry.size,
            journal.c.modified_ns == entry.modified_ns,
        )
    ).first()
    return None if row is None else decode_as(Results, row.outcome)


def put(transaction: Transaction, entry: Entry, results: Results) -> None:
    transaction.execute(delete(journal).where(journal.c.path_sha256 == entry.path_sha256))
    transaction.execute(
        insert(journal),
        {
            "path_sha256": entry.path_sha256,
            "size": entry.size,
            "modified_ns": entry.modified_ns,
            "outcome": encode(results),
        },
    )
