"""The rows of the search index: what one resource is found by."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select
from sqlalchemy.sql.expression import Delete, Insert, Select

from imaging_fhir.model.search import (
    CompositeEntry,
    DateEntry,
    IndexEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TextEntry,
    TokenEntry,
    UriEntry,
)
from imaging_fhir.model.text import folded, index_beginning, index_key
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import (
    INDEX_TABLES,
    composite_index,
    date_index,
    quantity_index,
    reference_index,
    string_index,
    text_index,
    token_index,
    uri_index,
)
from imaging_fhir.storage.search_composites import composite_row

Row = tuple[Any, ...]  # the columns of an index table, but for rid
Rows = dict[Table, list[Row]]  # of one resource; a table that is not there has none


def text_or_none(text: str | None) -> str | None:
    return None if text is None else folded(text)


def row_of(resource_type: str, entry: IndexEntry) -> tuple[Table, Row]:
    """The entry's table and row; what only `:text` compares is kept folded."""
    parameter = f"{resource_type}.{entry.parameter}"
    match entry:
        case TokenEntry():
            value, text = entry.value, text_or_none(entry.text)
            types = (entry.type_system, entry.type_code)
            system = None if entry.system is None else index_key(entry.system)
            key = index_key(folded(value))
            return token_index, (parameter, system, value, key, text, *types)
        case ReferenceEntry():
            number = entry.identifier_value
            identifier = (entry.identifier_system, None if number is None else index_key(number))
            target = (entry.target_type, entry.target_id, entry.url)
            return reference_index, (parameter, *target, *identifier, text_or_none(entry.display))
        case DateEntry():
            return date_index, (parameter, entry.low, entry.high)
        case StringEntry():
            return string_index, (parameter, entry.value, index_beginning(entry.folded))
        case UriEntry():
            return uri_index, (parameter, index_key(entry.value))
        case QuantityEntry():
            bounds, unit = (entry.low, entry.high), (entry.system, entry.code, entry.unit)
            base = (entry.base_unit, entry.base_low, entry.base_high)
            return quantity_index, (parameter, *bounds, *unit, *base)
        case CompositeEntry():
            return composite_index, (parameter, *composite_row(entry))
        case TextEntry():
            return text_index, (parameter, entry.words)


def columns_of(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name not in ("rid", "pk"))


COLUMNS: dict[Table, tuple[str, ...]] = {table: columns_of(table) for table in INDEX_TABLES}
ROWS: dict[Table, Select[Any]] = {
    table: select(*(table.c[name] for name in COLUMNS[table])).where(
        table.c.rid == bindparam("row")
    )
    for table in INDEX_TABLES
}
INSERTS: dict[Table, Insert] = {table: insert(table) for table in INDEX_TABLES}
OF_SEVERAL: dict[Table, Select[Any]] = {
    table: select(table.c.rid, *(table.c[name] for name in COLUMNS[table])).where(
        table.c.rid.in_(bindparam("rows", expanding=True))
    )
    for table in INDEX_TABLES
}
REMOVALS: dict[Table, Delete] = {
    table: delete(table).where(table.c.rid.in_(bindparam("rows", expanding=True)))
    for table in INDEX_TABLES
}


def replace(
    transaction: Transaction, rid: int, resource_type: str, entries: Iterable[IndexEntry]
) -> None:
    """Let the resource be found by these entries alone; a table that has them is left as it is."""
    replace_all(transaction, {rid: by_table(resource_type, entries)})


def add(
    transaction: Transaction, rid: int, resource_type: str, entries: Iterable[IndexEntry]
) -> None:
    """Let the resource be found by these entries too."""
    for table, rows in by_table(resource_type, entries).items():
        present = {tuple(row) for row in transaction.execute(ROWS[table], {"row": rid})}
        insert_rows(transaction, table, {rid: [row for row in rows if row not in present]})


def replace_texts(
    transaction: Transaction, rid: int, resource_type: str, entries: Iterable[IndexEntry]
) -> None:
    """Of its words alone, as `replace` does of everything."""
    wanted = by_table(resource_type, entries).get(text_index, [])
    replace_rows(transaction, text_index, {rid: wanted})


def by_table(resource_type: str, entries: Iterable[IndexEntry]) -> Rows:
    found: Rows = {}
    for entry in entries:
        table, row = row_of(resource_type, entry)
        found.setdefault(table, []).append(row)
    return found


def insert_all(transaction: Transaction, found: Mapping[int, Rows]) -> None:
    """Of resources that are found by nothing yet, by their rid."""
    for table in INDEX_TABLES:
        insert_rows(
            transaction, table, {rid: rows[table] for rid, rows in found.items() if table in rows}
        )


def replace_all(transaction: Transaction, wanted: Mapping[int, Rows]) -> None:
    """Let each resource be found by these rows alone."""
    if wanted:
        for table in INDEX_TABLES:
            of_table = {rid: rows.get(table, []) for rid, rows in wanted.items()}
            replace_rows(transaction, table, of_table)


def replace_rows(transaction: Transaction, table: Table, wanted: Mapping[int, list[Row]]) -> None:
    """Most changes only add: then nothing is deleted."""
    present = rows_of(transaction, table, wanted)
    outdated, added = [], {}
    for rid, rows in wanted.items():
        known = present.get(rid, [])
        if known != rows:
            old, new = Counter(known), Counter(rows)
            if old - new:
                outdated.append(rid)
                added[rid] = rows
            else:
                added[rid] = list((new - old).elements())
    for some in chunks(outdated):
        transaction.execute(REMOVALS[table], {"rows": some})
    insert_rows(transaction, table, added)


def rows_of(transaction: Transaction, table: Table, rids: Collection[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for some in chunks(rids):
        for rid, *row in transaction.execute(OF_SEVERAL[table], {"rows": some}):
            found.setdefault(rid, []).append(tuple(row))
    return found


def insert_rows(transaction: Transaction, table: Table, added: Mapping[int, list[Row]]) -> None:
    columns = ("rid", *COLUMNS[table])
    values = [
        dict(zip(columns, (rid, *row), strict=True)) for rid, rows in added.items() for row in rows
    ]
    if values:
        transaction.execute(INSERTS[table], values)


def remove(transaction: Transaction, rid: int) -> None:
    """The resource is found by nothing any more."""
    for statement in REMOVALS.values():
        transaction.execute(statement, {"rows": [rid]})
