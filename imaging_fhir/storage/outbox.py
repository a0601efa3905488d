"""What subscriptions may want to hear of: a row in the transaction that changes the resource.

Where there is no subscription nothing is written, and nothing is asked to know it: the commit
clock, which every transaction moves first, says so.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.model.change import Change
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import outbox, resource

UNWATCHED = frozenset({"Subscription", "AuditEvent"})  # telling of these would make more of them
ASSEMBLED = frozenset({"ImagingStudy"})  # put together from fragments
AT_ONCE = 200
COLUMNS = ("rid", "merged", "changes", "first", "last")
ADD = Prepared(insert(outbox), columns=COLUMNS)


def merging(dialect: "type[postgresql.Insert] | type[sqlite.Insert]") -> Prepared:
    added = dialect(outbox)
    known = added.on_conflict_do_update(
        index_elements=["merged"],
        set_={
            "changes": outbox.c.changes.op("|")(added.excluded.changes),
            "last": added.excluded.last,
        },
    )
    return Prepared(known, columns=COLUMNS)


MERGE = {"sqlite": merging(sqlite.Insert), "postgresql": merging(postgresql.Insert)}
ALSO_MOVED = Prepared(
    update(outbox)
    .where(outbox.c.rid == bindparam("row"), outbox.c.last == bindparam("now"))
    .values(changes=outbox.c.changes.op("|")(int(Change.MOVED)))
)


def note(transaction: Transaction, rid: int, resource_type: str, change: Change) -> None:
    """The resource was just changed so."""
    if transaction.changes is not None:
        transaction.changes.append((rid, resource_type, change))
    if not transaction.watching or resource_type in UNWATCHED:
        return
    now = transaction.now
    values = {"rid": rid, "merged": None, "changes": int(change), "first": now, "last": now}
    if resource_type in ASSEMBLED:
        dialect = transaction.connection.dialect.name
        MERGE[dialect].run(transaction.connection, **{**values, "merged": rid})
    else:
        ADD.run(transaction.connection, **values)


def note_all(transaction: Transaction, changes: Iterable[tuple[int, str, Change]]) -> None:
    """The same of many (rid, type, change), each resource once."""
    if transaction.changes is not None:
        changes = list(changes)
        transaction.changes.extend(changes)
    if not transaction.watching:
        return
    now = transaction.now
    added: dict[bool, list[dict[str, int | None]]] = {False: [], True: []}
    for rid, type_, change in changes:
        if type_ not in UNWATCHED:
            merges = type_ in ASSEMBLED
            values = {"rid": rid, "merged": rid if merges else None, "changes": int(change)}
            added[merges].append({**values, "first": now, "last": now})
    for merges, rows in added.items():
        if rows:
            known = MERGE[transaction.connection.dialect.name] if merges else ADD
            transaction.execute(known.statement, rows)


def note_deleted(transaction: Transaction, gone: Iterable[tuple[int, str]]) -> None:
    """Subscriptions do not hear of it; the audit trail does."""
    if transaction.changes is not None:
        transaction.changes.extend((rid, type_, Change.DELETED) for rid, type_ in gone)


def note_moved(transaction: Transaction, rid: int, resource_type: str) -> None:
    """What was changed in this transaction is now another's, or of another visit."""
    if transaction.changes is not None:
        transaction.changes.append((rid, resource_type, Change.MOVED))
    if transaction.watching and not ALSO_MOVED.run(
        transaction.connection, row=rid, now=transaction.now
    ):
        note(transaction, rid, resource_type, Change.MOVED)


def ripe(connection: Connection, *, now: int, settle: int, longest: int) -> list[AnyRow]:
    """Rows that are to be told of, the oldest first.

    What is merged waits until nothing came for `settle` milliseconds, and not longer than
    `longest`; a move waits for nothing.
    """
    is_ripe = or_(
        outbox.c.merged.is_(None),
        outbox.c.changes >= int(Change.MOVED),
        outbox.c.last <= now - settle,
        outbox.c.first <= now - longest,
    )
    found = connection.execute(
        select(outbox, resource.c.type, resource.c.id)
        .join(resource, resource.c.rid == outbox.c.rid)
        .where(is_ripe)
        .order_by(outbox.c.last, outbox.c.pk)
        .limit(AT_ONCE)
    )
    return list(found)


def take(transaction: Transaction, rows: Iterable[AnyRow]) -> set[int]:
    """Remove the rows that are still as they were; the keys of those."""
    return {
        row.pk
        for row in rows
        if transaction.execute(
            delete(outbox).where(outbox.c.pk == row.pk, outbox.c.last == row.last)
        ).rowcount
    }
