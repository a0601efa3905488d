"""Rendered pictures that were asked for lately; not more than `MOST` of them."""

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.storage import blobs
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import rendered

MOST = 2000
LARGEST = 512 * 1024  # bytes; larger ones are made each time

FIND = Prepared(
    select(rendered.c.media_type, rendered.c.body).where(
        rendered.c.blob == bindparam("blob"), rendered.c.key == bindparam("key")
    )
)
INSERT = {
    "sqlite": sqlite.insert(rendered).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(rendered).on_conflict_do_nothing(),
}
OLDEST_KEPT = Prepared(
    select(rendered.c.created).order_by(rendered.c.created.desc()).limit(1).offset(MOST)
)


def find(connection: Connection, blob: int, key: str) -> AnyRow | None:
    return FIND.first(connection, blob=blob, key=key)


def put(transaction: Transaction, blob: int, key: str, media_type: str, body: bytes) -> None:
    """Keep it, unless it is too large or its blob has died; the oldest make room."""
    if len(body) > LARGEST or not blobs.is_live(transaction.connection, blob):
        return
    transaction.execute(
        INSERT[transaction.connection.dialect.name],
        {
            "blob": blob,
            "key": key,
            "created": transaction.now,
            "media_type": media_type,
            "body": body,
        },
    )
    outdated = OLDEST_KEPT.first(transaction.connection)
    if outdated is not None:
        transaction.execute(delete(rendered).where(rendered.c.created <= outdated.created))
