"""The database's side of blobs: which contents live, and who refers to them.

A blob lives while a row refers to it. Write transactions are serial, so a claim and a clean-up of
the same blob see one another: whoever comes second finds the row live and referred to, or dead. A
row that is dead stays dead and stays there, for an upload that placed its bytes under that
generation may claim it at any later time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.model.blob import Blob
from imaging_fhir.storage import leases
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import StagedBlob
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import blob, metadata

T = TypeVar("T")
BACKUP = "backup"  # the lease under which no blob dies

COLUMNS_OF_BLOB = tuple(
    column
    for table in metadata.sorted_tables
    for column in table.columns
    if column.references(blob.c.pk)
)
# What is made of a blob, such as a rendition, has the blob in its key and goes with it; all else
# that points to a blob keeps it alive. A new table is judged by the same rule.
REFERENCES = tuple(column for column in COLUMNS_OF_BLOB if not column.primary_key)
BELONGINGS = tuple(column for column in COLUMNS_OF_BLOB if column.primary_key)

FIND_TO_CLAIM = Prepared(
    select(blob.c.pk, blob.c.live)
    .where(blob.c.sha256 == bindparam("sha256"), blob.c.generation == bindparam("generation"))
    .with_for_update()
)
ADD = {  # where there is none of that content and generation
    dialect: Prepared(
        insert(blob).on_conflict_do_nothing().returning(blob.c.pk),
        columns=("sha256", "generation", "size", "live", "created"),
    )
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


class BlobIsDead(StorageUnavailable):
    """Clean-up took the content between its placing and its claim: place it anew."""

    def __init__(self) -> None:
        super().__init__("The bytes were removed meanwhile; try again.")


def keep(database: Database, staged: StagedBlob, unit: Callable[[Transaction, int], T]) -> T:
    """Place the bytes, then run the unit in the transaction that claims them.

    The unit gets the key of the blob's row and inserts what refers to it.
    """
    generation = 0  # of nearly every content; the claim tells where it is another
    while True:
        placed = staged.place(generation)
        try:
            return database.write(partial(claim_and_run, placed, unit))
        except BlobIsDead:
            with database.read() as connection:
                generation = generation_for(connection, staged.sha256)


def claim_and_run(
    placed: Blob, unit: Callable[[Transaction, int], T], transaction: Transaction
) -> T:
    return unit(transaction, claim(transaction, placed))


def generation_for(connection: Connection, sha256: str) -> int:
    """Under which generation the content is kept now, or is to be placed."""
    last = connection.execute(
        select(blob.c.generation, blob.c.live)
        .where(blob.c.sha256 == sha256)
        .order_by(blob.c.generation.desc())
        .limit(1)
    ).first()
    if last is None:
        return 0
    return int(last.generation) + (0 if last.live else 1)


def claim(transaction: Transaction, placed: Blob) -> int:
    """The key of the live row of bytes that are in their place; raise BlobIsDead."""
    added = insert_row(transaction, placed, live=True)
    if added is not None:
        return added
    row = FIND_TO_CLAIM.one(
        transaction.connection, sha256=placed.sha256, generation=placed.generation
    )
    if not row.live:
        raise BlobIsDead
    return int(row.pk)


def insert_row(transaction: Transaction, placed: Blob, *, live: bool) -> int | None:
    """The new row's key; None where there is a row already."""
    added = ADD[transaction.connection.dialect.name].first(
        transaction.connection,
        sha256=placed.sha256,
        generation=placed.generation,
        size=placed.size,
        live=live,
        created=transaction.now,
    )
    return None if added is None else int(added.pk)


def require_live(transaction: Transaction, pk: int) -> None:
    """Before something made of a blob is stored beside it; raise BlobIsDead."""
    if not is_live(transaction.connection, pk):
        raise BlobIsDead


def is_live(connection: Connection, pk: int) -> bool:
    """To be asked in the transaction that stores something made of the blob beside it."""
    return bool(connection.execute(select(blob.c.live).where(blob.c.pk == pk)).scalar())


def find(connection: Connection, pk: int) -> Blob:
    """The blob of a row that something refers to."""
    return blob_of(connection.execute(select(blob).where(blob.c.pk == pk)).one())


def blob_of(row: Any) -> Blob:
    return Blob(sha256=row.sha256, size=row.size, generation=row.generation)


def is_unreferenced() -> ColumnElement[bool]:
    return and_(*(~exists().where(column == blob.c.pk) for column in REFERENCES))


def unreferenced(connection: Connection, *, limit: int) -> list[int]:
    """Keys of live rows that nothing refers to."""
    found = connection.execute(
        select(blob.c.pk).where(blob.c.live, is_unreferenced()).order_by(blob.c.pk).limit(limit)
    )
    return list(found.scalars())


def mark_dead(transaction: Transaction, pks: Sequence[int]) -> list[Blob]:
    """Let those die that are live and that nothing refers to; their bytes may go after the commit.

    Raise StorageUnavailable while a backup copies what was live when it began.
    """
    if leases.is_held(transaction.connection, BACKUP, now=transaction.now):
        raise StorageUnavailable("A backup is running; nothing is removed until it has ended.")
    dying = transaction.execute(
        update(blob)
        .where(blob.c.pk.in_(pks), blob.c.live, is_unreferenced())
        .values(live=False)
        .returning(blob)
    ).all()
    remove_belongings(transaction, [row.pk for row in dying])
    return [blob_of(row) for row in dying]


def remove_belongings(transaction: Transaction, pks: Sequence[int]) -> None:
    for column in BELONGINGS:
        transaction.execute(delete(column.table).where(column.in_(pks)))


def without_live_row(connection: Connection, found: Sequence[Blob]) -> list[Blob]:
    """Those of the found bytes that are dead, or that no row knows of."""
    live = states(connection, found)
    return [one for one in found if not live.get((one.sha256, one.generation), False)]


def bury(transaction: Transaction, found: Sequence[Blob]) -> list[Blob]:
    """The same, all with a dead row now, so that no upload claims what is about to be removed."""
    live = states(transaction.connection, found)
    for one in found:
        if (one.sha256, one.generation) not in live:
            insert_row(transaction, one, live=False)
    return without_live_row(transaction.connection, found)


def states(connection: Connection, found: Sequence[Blob]) -> dict[tuple[str, int], bool]:
    """Whether the blob is live, by hash and generation, for those that have a row."""
    rows = connection.execute(
        select(blob.c.sha256, blob.c.generation, blob.c.live).where(
            blob.c.sha256.in_([one.sha256 for one in found])
        )
    )
    return {(row.sha256, row.generation): row.live for row in rows}


def live_rows(
    connection: Connection, *, after: int = 0, limit: int = 1000
) -> list[tuple[int, Blob]]:
    """A page of the live blobs with their keys, in the order of the keys."""
    rows = connection.execute(
        select(blob).where(blob.c.live, blob.c.pk > after).order_by(blob.c.pk).limit(limit)
    )
    return [(row.pk, blob_of(row)) for row in rows]
