"""Many studies to another Patient at once: a fixed number of statements, each with many rows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.sql.expression import Delete

from imaging_fhir.model.change import Change
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.storage import dicom_index, outbox, resources, search_index
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.schema import resource, study

STUDIES = select(
    study,
    resource.c.id,
    resource.c.version,
    resource.c.last_updated,
    resource.c.deleted,
    resource.c.body,
).join(resource, resource.c.rid == study.c.rid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refiled:
    """A study row as it is to be; `body` is what was served of the version that ends."""

    row: AnyRow
    patient: str
    link: bytes
    head: bytes
    corrected: bool
    body: bytes | None
    before: Collection[IndexEntry]  # of the head alone
    after: Collection[IndexEntry]


def studies(connection: Connection, keys: Sequence[int]) -> list[AnyRow]:
    """Study rows with version, time and body of their resources."""
    return [
        row
        for some in chunks(keys)
        for row in connection.execute(STUDIES.where(study.c.pk.in_(some)).order_by(study.c.pk))
    ]


def fragments(connection: Connection, keys: Sequence[int]) -> dict[int, list[AnyRow]]:
    """The rows that each study's body is put together from, by its key."""
    found: dict[int, list[AnyRow]] = {}
    for some in chunks(keys):
        found |= dicom_index.fragments(connection, some)
    return found


def write(transaction: Transaction, refiled: Sequence[Refiled]) -> None:
    """Each gets its next version; the one that ends is kept."""
    if not refiled:
        return
    change_studies(transaction, refiled)
    shown = [one for one in refiled if not one.row.deleted]
    if shown:
        keep_versions(transaction, shown)
        change_index(transaction, shown)
        moved = Change.UPDATED | Change.MOVED
        outbox.note_all(transaction, [(one.row.rid, "ImagingStudy", moved) for one in shown])


def change_studies(transaction: Transaction, refiled: Sequence[Refiled]) -> None:
    statement = (
        update(study)
        .where(study.c.pk == bindparam("key"))
        .values(
            patient=bindparam("to"),
            link=bindparam("new_link"),
            head=bindparam("new_head"),
            corrected=bindparam("is_corrected"),
        )
    )
    transaction.execute(
        statement,
        [
            {
                "key": one.row.pk,
                "to": one.patient,
                "new_link": one.link,
                "new_head": one.head,
                "is_corrected": one.corrected,
            }
            for one in refiled
        ],
    )


def keep_versions(transaction: Transaction, refiled: Sequence[Refiled]) -> None:
    ended = [
        StoredResource(
            rid=one.row.rid,
            type="ImagingStudy",
            id=one.row.id,
            version=one.row.version,
            last_updated=one.row.last_updated,
            deleted=False,
            body=one.body or b"",
        )
        for one in refiled
    ]
    resources.keep_versions(transaction, ended)
    transaction.execute(
        update(resource)
        .where(resource.c.rid == bindparam("key"))
        .values(version=resource.c.version + 1, last_updated=transaction.now, body=None),
        [{"key": one.row.rid} for one in refiled],
    )


def change_index(transaction: Transaction, refiled: Sequence[Refiled]) -> None:
    """Take out and put in what the two heads are found by, and not both."""
    gone: dict[Any, list[dict[str, Any]]] = {}
    new: dict[Any, list[dict[str, Any]]] = {}
    for one in refiled:
        old, now = rows_of(one.before), rows_of(one.after)
        for found, into in ((old - now, gone), (now - old, new)):
            for table, row in found:
                values = dict(zip(search_index.COLUMNS[table], row, strict=True))
                into.setdefault(table, []).append({**values, "rid": one.row.rid})
    for table, rows in gone.items():
        transaction.execute(removal(table), [prefixed(one) for one in rows])
    for table, rows in new.items():
        transaction.execute(search_index.INSERTS[table], rows)


def removal(table: Table) -> Delete:
    """Deletes the row that is the same in all columns."""
    others = [
        table.c[name].is_not_distinct_from(bindparam(f"its_{name}", type_=table.c[name].type))
        for name in search_index.COLUMNS[table]
        if name != "parameter"
    ]
    return delete(table).where(
        table.c.rid == bindparam("its_rid"),
        table.c.parameter == bindparam("its_parameter"),
        *others,
    )


def prefixed(row: dict[str, Any]) -> dict[str, Any]:
    """Names that are no columns', as SQLAlchemy wants them beside a table's own."""
    return {f"its_{name}": value for name, value in row.items()}


def rows_of(entries: Iterable[IndexEntry]) -> set[tuple[Any, tuple[Any, ...]]]:
    return {search_index.row_of("ImagingStudy", entry) for entry in entries}
