"""Takes rows out of the database for good, with all that hangs on them."""

import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, select, text

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import (
    Database,
    Transaction,
    sqlite_cursor,
    translated,
    write_lock,
)
from imaging_fhir.storage.schema import metadata

PATIENCE_SECONDS = 30


def remove_rows(
    transaction: Transaction, column: Column[Any], keys: Collection[Any]
) -> Counter[str]:
    """Delete the rows with one of the keys in the column, first whatever refers to them.

    What refers is found from the foreign keys, so that a new table is covered. How many rows of
    each table went.
    """
    removed: Counter[str] = Counter()
    for some in chunks(keys):
        for own, referring in references_to(column.table):
            found = transaction.execute(select(own).where(column.in_(some))).scalars()
            removed += remove_rows(transaction, referring, list(found))
        done = transaction.execute(delete(column.table).where(column.in_(some)))
        removed[column.table.name] += done.rowcount
    return removed


def references_to(table: Table) -> Iterator[tuple[Column[Any], Column[Any]]]:
    """Each key of the table with a column elsewhere that refers to it."""
    for other in metadata.sorted_tables:
        for foreign_key in other.foreign_keys:
            if foreign_key.column.table is table:
                yield foreign_key.column, foreign_key.parent


def scrub(database: Database, tables: Collection[str]) -> None:
    """Rewrite what the rows were in, so that no free page and no log keeps what they said.

    Raise StorageUnavailable where readers did not let go in time: the rows are gone, and it may be
    called again.
    """
    if database.is_sqlite:
        with write_lock(database.url), sqlite_cursor(database) as cursor:
            scrub_sqlite(cursor)
        return
    with translated(), database.engine.connect() as connection:
        vacuum_full(connection.execution_options(isolation_level="AUTOCOMMIT"), tables)


def vacuum_full(connection: Connection, tables: Collection[str]) -> None:
    for name in sorted(set(tables) & set(metadata.tables)):
        connection.execute(text(f'VACUUM (FULL) "{name}"'))


def scrub_sqlite(cursor: sqlite3.Cursor) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    # what a full-text index forgets stays in it until it is merged: this writes it anew
    cursor.execute("INSERT INTO text_match (text_match) VALUES ('rebuild')")
    cursor.execute("VACUUM")
    while cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise StorageUnavailable("Readers hold the database's log; try again.")
        time.sleep(0.1)
