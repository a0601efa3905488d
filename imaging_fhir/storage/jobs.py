"""Work that waits, a row each: a lost message or a killed worker loses nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import job


def insert_or_renew(insert: Any) -> Any:
    """What is being done at the moment is to be done once more: it may have seen no news yet."""
    statement = insert(job)
    return statement.on_conflict_do_update(
        index_elements=["kind", "subject"],
        set_={"due": statement.excluded.due, "attempts": 0},
        where=job.c.attempts > 0,
    )


INSERT = {
    "sqlite": insert_or_renew(sqlite.insert),
    "postgresql": insert_or_renew(postgresql.insert),
}
PAUSE = 30_000  # milliseconds until another may try what a worker took and never finished


def enqueue(transaction: Transaction, kind: str, subject: str, *, after: int = 0) -> None:
    """Have it done, `after` milliseconds from now at the earliest; once, however often asked.

    Who is doing it already may have looked before this transaction: then it is done again.
    """
    transaction.execute(
        INSERT[transaction.connection.dialect.name],
        {"kind": kind, "subject": subject, "due": transaction.now + after, "attempts": 0},
    )


def hasten(transaction: Transaction, kind: str, subject: str, *, after: int) -> None:
    """Have it done within so many milliseconds, where it waits for later and is not in hand."""
    soon = transaction.now + after
    HASTEN.run(transaction.connection, of_kind=kind, of_subject=subject, soon=soon)


HASTEN = Prepared(
    update(job)
    .where(
        job.c.kind == bindparam("of_kind"),
        job.c.subject == bindparam("of_subject"),
        job.c.attempts == 0,
        job.c.due > bindparam("soon"),
    )
    .values(due=bindparam("soon"))
)


def enqueue_many(
    transaction: Transaction, kind: str, subjects: Sequence[str], *, after: int = 0
) -> None:
    """The same of many."""
    due = transaction.now + after
    values = [{"kind": kind, "subject": one, "due": due, "attempts": 0} for one in subjects]
    if values:
        transaction.execute(INSERT[transaction.connection.dialect.name], values)


def next_due(connection: Connection, now: int) -> tuple[int, str, str, int] | None:
    """(key, kind, subject, attempts) of the work that is due longest."""
    row = connection.execute(
        select(job.c.pk, job.c.kind, job.c.subject, job.c.attempts)
        .where(job.c.due <= now)
        .order_by(job.c.due)
        .limit(1)
    ).first()
    return None if row is None else (row.pk, row.kind, row.subject, row.attempts)


def take(transaction: Transaction, pk: int, attempts: int) -> bool:
    """Say whether it is ours; if we die, it is due again after a growing pause."""
    taken = transaction.execute(
        update(job)
        .where(job.c.pk == pk, job.c.attempts == attempts)
        .values(attempts=attempts + 1, due=transaction.now + PAUSE * 2 ** min(attempts, 10))
    )
    return bool(taken.rowcount)


def postpone(transaction: Transaction, pk: int, attempts: int, milliseconds: int) -> None:
    """Not yet: the same again later, not counted as an attempt."""
    transaction.execute(
        update(job)
        .where(job.c.pk == pk, job.c.attempts == attempts)
        .values(due=transaction.now + milliseconds, attempts=0)
    )


def finish(transaction: Transaction, pk: int, attempts: int) -> None:
    """Unless it was asked for again since it was taken, `attempts` included that time."""
    transaction.execute(delete(job).where(job.c.pk == pk, job.c.attempts == attempts))
