"""What is known of the EHR here: which resources are its copies, what waits for it, how far it was
followed.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import ehr_copy, ehr_cursor, ehr_pending, resource, secret

VERSION = Prepared(
    select(resource.c.version).where(
        resource.c.type == bindparam("type"),
        resource.c.id == bindparam("id"),
        resource.c.deleted.is_(False),
    )
)
REASON = {
    column: Prepared(
        select(ehr_pending.c.reason).where(ehr_pending.c[column] == bindparam("subject"))
    )
    for column in ("study", "document")
}
PEND = Prepared(
    insert(ehr_pending).values(
        {
            name: bindparam(name)
            for name in ("study", "document", "reason", "since", "due", "attempts")
        }
    )
)
CHECKED = Prepared(
    select(ehr_copy.c.checked).where(
        ehr_copy.c.type == bindparam("type"), ehr_copy.c.id == bindparam("id")
    )
)
MADE_HERE = select(resource.c.id).where(
    resource.c.type == bindparam("type"),
    resource.c.id.in_(bindparam("ids", expanding=True)),
    ~exists().where(ehr_copy.c.type == resource.c.type, ehr_copy.c.id == resource.c.id),
)
UPSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def checked_at(connection: Connection, resource_type: str, resource_id: str) -> int | None:
    """When the EHR last said that it is so; None where it is no copy."""
    row = CHECKED.first(connection, type=resource_type, id=resource_id)
    return None if row is None else int(row.checked)


def set_checked(transaction: Transaction, resource_type: str, resource_id: str, at: int) -> None:
    upsert = UPSERTS[transaction.connection.dialect.name](ehr_copy)
    transaction.execute(
        upsert.on_conflict_do_update(
            index_elements=["type", "id"], set_={"checked": upsert.excluded.checked}
        ),
        {"type": resource_type, "id": resource_id, "checked": at},
    )


def forget(transaction: Transaction, resource_type: str, resource_id: str) -> None:
    transaction.execute(
        delete(ehr_copy).where(ehr_copy.c.type == resource_type, ehr_copy.c.id == resource_id)
    )


def copies(connection: Connection, resource_type: str) -> int:
    """How many of them there are."""
    found = connection.execute(select(ehr_copy.c.id).where(ehr_copy.c.type == resource_type))
    return len(found.all())


def versions(
    connection: Connection, references: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """The current version of each (type, id) that is there."""
    found = {
        (type_, id_): VERSION.first(connection, type=type_, id=id_) for type_, id_ in references
    }
    return {reference: row.version for reference, row in found.items() if row is not None}


def made_here(connection: Connection, named: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those (type, id) of resources here, deleted ones too, that are no copies."""
    by_type: dict[str, set[str]] = {}
    for type_, id_ in named:
        by_type.setdefault(type_, set()).add(id_)
    return {
        (type_, id_)
        for type_, ids in by_type.items()
        for some in chunks(ids)
        for id_ in connection.execute(MADE_HERE, {"type": type_, "ids": some}).scalars()
    }


def follow(
    transaction: Transaction,
    reason: str | None,
    *,
    after: int,
    study: int | None = None,
    document: int | None = None,
) -> None:
    """Look at the study or document again; for another reason than before, `after` ms from now.

    With no reason, it is looked at no more.
    """
    column, subject = ("study", study) if document is None else ("document", document)
    row = REASON[column].first(transaction.connection, subject=subject)
    known = None if row is None else row.reason
    if reason == known:
        return
    if known is not None:
        of = ehr_pending.c[column] == subject
        transaction.execute(delete(ehr_pending).where(of))
    if reason is not None:
        PEND.run(
            transaction.connection,
            study=study,
            document=document,
            reason=reason,
            since=transaction.now,
            due=transaction.now + after,
            attempts=0,
        )


def due(connection: Connection, now: int, limit: int) -> Sequence[AnyRow]:
    """What is to be looked at, in the order in which it came."""
    return connection.execute(
        select(ehr_pending)
        .where(ehr_pending.c.due <= now)
        .order_by(ehr_pending.c.since, ehr_pending.c.pk)
        .limit(limit)
    ).all()


def next_due(connection: Connection) -> int | None:
    return connection.execute(
        select(ehr_pending.c.due).order_by(ehr_pending.c.due).limit(1)
    ).scalar()


def postpone(transaction: Transaction, pk: int, attempts: int, milliseconds: int) -> None:
    transaction.execute(
        update(ehr_pending)
        .where(ehr_pending.c.pk == pk)
        .values(due=transaction.now + milliseconds, attempts=attempts)
    )


def drop(transaction: Transaction, pk: int) -> None:
    transaction.execute(delete(ehr_pending).where(ehr_pending.c.pk == pk))


def pending(connection: Connection) -> dict[str, int]:
    """How many there are, by reason."""
    rows = connection.execute(select(ehr_pending.c.reason)).scalars().all()
    return {reason: rows.count(reason) for reason in set(rows)}


def cursor(connection: Connection, resource_type: str) -> int | None:
    return connection.execute(
        select(ehr_cursor.c.since).where(ehr_cursor.c.type == resource_type)
    ).scalar()


def set_cursor(transaction: Transaction, resource_type: str, since: int) -> None:
    upsert = UPSERTS[transaction.connection.dialect.name](ehr_cursor)
    transaction.execute(
        upsert.on_conflict_do_update(
            index_elements=["type"], set_={"since": upsert.excluded.since}
        ),
        {"type": resource_type, "since": since},
    )


def secret_of(transaction: Transaction, name: str) -> bytes:
    """Made when it is first asked for."""
    known = transaction.execute(select(secret.c.value).where(secret.c.name == name)).scalar()
    if known is None:
        known = secrets.token_bytes(32)
        transaction.execute(insert(secret).values(name=name, value=known))
    return bytes(known)
