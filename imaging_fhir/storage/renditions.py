"""Pictures made of a blob, or why none could be made."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from imaging_fhir.storage import blobs
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import rendition

INSERT = {
    "sqlite": sqlite.insert(rendition).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(rendition).on_conflict_do_nothing(),
}
FIND = select(rendition).where(
    rendition.c.blob == bindparam("blob"),
    rendition.c.kind == bindparam("kind"),
    rendition.c.frame == bindparam("frame"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRendition:
    media_type: str
    body: bytes | None  # None: it cannot be made, and `error` says why
    error: str | None


def find(connection: Connection, blob: int, kind: str, frame: int) -> StoredRendition | None:
    row = connection.execute(FIND, {"blob": blob, "kind": kind, "frame": frame}).first()
    if row is None:
        return None
    return StoredRendition(media_type=row.media_type, body=row.body, error=row.error)


def failed(connection: Connection, blob: int, kind: str) -> list[int]:
    """The frames of which no picture could be made."""
    rows = select(rendition.c.frame).where(
        rendition.c.blob == blob, rendition.c.kind == kind, rendition.c.body.is_(None)
    )
    return list(connection.execute(rows.order_by(rendition.c.frame)).scalars())


def forget(transaction: Transaction, blob: int, kind: str, frame: int) -> None:
    transaction.execute(
        delete(rendition).where(
            rendition.c.blob == blob, rendition.c.kind == kind, rendition.c.frame == frame
        )
    )


def put(transaction: Transaction, blob: int, kind: str, frame: int, made: StoredRendition) -> None:
    """Keep the picture, unless its blob has died while it was made."""
    if not blobs.is_live(transaction.connection, blob):
        return
    transaction.execute(
        INSERT[transaction.connection.dialect.name],
        {
            "blob": blob,
            "kind": kind,
            "frame": frame,
            "media_type": made.media_type,
            "body": made.body,
            "error": made.error,
            "created": transaction.now,
        },
    )
