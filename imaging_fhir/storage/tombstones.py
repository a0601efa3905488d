"""What was erased for good: digests only, so that a resend is known without its data."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import zip_longest

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import tombstone

INSERT = {
    "sqlite": sqlite.insert(tombstone).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(tombstone).on_conflict_do_nothing(),
}
MARKS_AT_ONCE = ("digest_1", "digest_2", "digest_3", "digest_4")
FIND = Prepared(
    select(tombstone.c.digest).where(tombstone.c.digest.in_(map(bindparam, MARKS_AT_ONCE))).limit(1)
)
Mark = tuple[str, str]  # (study, series, instance or content; its UID or hash)


def digest(mark: Mark) -> str:
    return sha256("|".join(mark).encode()).hexdigest()


def any_of(connection: Connection, marks: Sequence[Mark]) -> bool:
    """Was one of them, of which there are four at most, erased, and not allowed again since?"""
    digests = [digest(mark) for mark in marks]
    asked = dict(zip_longest(MARKS_AT_ONCE, digests, fillvalue=digests[0]))
    return FIND.first(connection, **asked) is not None


def put(transaction: Transaction, marks: Sequence[Mark]) -> None:
    for mark in marks:
        transaction.execute(
            INSERT[transaction.connection.dialect.name],
            {"digest": digest(mark), "kind": mark[0], "erased": transaction.now},
        )


def remove(transaction: Transaction, marks: Sequence[Mark]) -> None:
    """Let them come in again."""
    digests = [digest(mark) for mark in marks]
    transaction.execute(delete(tombstone).where(tombstone.c.digest.in_(digests)))


def everything(connection: Connection) -> dict[str, int]:
    """All digests, and when each was erased."""
    rows = connection.execute(select(tombstone.c.digest, tombstone.c.erased))
    return {row.digest: row.erased for row in rows}
