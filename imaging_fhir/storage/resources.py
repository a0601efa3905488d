"""FHIR resources as the bytes that are served, with every version (http.html#versioning)."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from imaging_fhir.errors import ResourceDeleted, ResourceNotFound
from imaging_fhir.model.change import Change
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.storage import outbox, search_index
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import resource, version

ASSEMBLED = outbox.ASSEMBLED  # their current body is put together from fragments


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResource:
    rid: int
    type: str
    id: str
    version: int
    last_updated: int  # milliseconds since 1970 UTC
    deleted: bool
    body: bytes | None  # None: deleted, or assembled from fragments

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


COLUMNS = (
    resource.c.rid,
    resource.c.type,
    resource.c.id,
    resource.c.version,
    resource.c.last_updated,
    resource.c.deleted,
    resource.c.body,
)
BY_ID = select(*COLUMNS).where(
    resource.c.type == bindparam("type"), resource.c.id == bindparam("id")
)
FIND = Prepared(BY_ID)
FIND_BY_RID = Prepared(select(*COLUMNS).where(resource.c.rid == bindparam("rid")))


def stored(row: AnyRow, unpacked: Callable[[bytes], bytes] = bytes) -> StoredResource:
    """Of a row with these columns: of `resource`, or of `version`, whose bodies are packed."""
    return StoredResource(
        rid=row.rid,
        type=row.type,
        id=row.id,
        version=row.version,
        last_updated=row.last_updated,
        deleted=row.deleted,
        body=None if row.body is None else unpacked(row.body),
    )


def find(connection: Connection, resource_type: str, resource_id: str) -> StoredResource | None:
    """The current version, deleted or not."""
    row = FIND.first(connection, type=resource_type, id=resource_id)
    return None if row is None else stored(row)


def find_by_rid(connection: Connection, rid: int) -> StoredResource:
    return stored(FIND_BY_RID.one(connection, rid=rid))


def find_content(connection: Connection, resource_type: str, resource_id: str) -> Resource | None:
    """The current version parsed; None when it is not there, or was deleted."""
    found = find(connection, resource_type, resource_id)
    if found is None or found.body is None:
        return None
    content: Resource = decode(found.body)
    return content


def content_of(connection: Connection, rid: int) -> Resource:
    """The resource of that row, which has a body."""
    content: Resource = decode(find_by_rid(connection, rid).body or b"{}")
    return content


def read(connection: Connection, resource_type: str, resource_id: str) -> StoredResource:
    """The current version; raise ResourceNotFound, ResourceDeleted."""
    found = find(connection, resource_type, resource_id)
    if found is None:
        raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")
    if found.deleted:
        raise ResourceDeleted(f"{resource_type}/{resource_id} was deleted.")
    return found


def read_version(
    connection: Connection, resource_type: str, resource_id: str, version_id: str
) -> StoredResource:
    """One version that was kept; raise ResourceNotFound, ResourceDeleted."""
    for candidate in history(connection, resource_type, resource_id):
        if str(candidate.version) == version_id:
            if candidate.deleted:
                raise ResourceDeleted(f"{candidate.reference} was deleted in that version.")
            return candidate
    raise ResourceNotFound(f"{resource_type}/{resource_id} has no version {version_id[:20]}.")


def history(
    connection: Connection, resource_type: str, resource_id: str
) -> Iterator[StoredResource]:
    """The versions that were kept, newest first; raise ResourceNotFound."""
    current = find(connection, resource_type, resource_id)
    if current is None:
        raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")
    yield current
    rows = connection.execute(
        select(version, resource.c.id)
        .join(resource, resource.c.rid == version.c.rid)
        .where(version.c.rid == current.rid)
        .order_by(version.c.version.desc())
    )
    for row in rows:
        if row.version != current.version:
            yield stored(row, zlib.decompress)


def former_content(connection: Connection, resource_type: str, resource_id: str) -> Resource | None:
    """The version before the current one; None where there is none, or it was a deletion."""
    rows = connection.execute(
        select(version.c.body)
        .join(resource, resource.c.rid == version.c.rid)
        .where(
            resource.c.type == resource_type,
            resource.c.id == resource_id,
            version.c.version == resource.c.version - 1,
        )
    )
    body = rows.scalar()
    return None if body is None else dict(decode(zlib.decompress(body)))


def put(
    transaction: Transaction,
    resource_type: str,
    resource_id: str,
    content: Resource,
    entries: Iterable[IndexEntry],
    *,
    posted: bool = True,
) -> StoredResource:
    """Create the resource, or make its next version; `id` and `meta` are set here.

    One that is created was `posted` unless a client chose its id.
    """
    current = find(transaction.connection, resource_type, resource_id)
    number = 1 if current is None else current.version + 1
    body = encode(with_meta(content, resource_id, number, transaction.now))
    if current is None:
        written = insert_resource(transaction, resource_type, resource_id, body, posted=posted)
    else:
        written = next_version(transaction, current, body=body)
    search_index.replace(transaction, written.rid, resource_type, entries)
    return written


def insert_resource(
    transaction: Transaction,
    resource_type: str,
    resource_id: str,
    body: bytes | None,
    *,
    posted: bool = True,
) -> StoredResource:
    """Version 1 of a resource that is not there yet."""
    row = transaction.execute(
        insert(resource)
        .values(
            type=resource_type,
            id=resource_id,
            version=1,
            last_updated=transaction.now,
            deleted=False,
            posted=posted,
            body=body,
        )
        .returning(*COLUMNS)
    ).one()
    outbox.note(transaction, row.rid, resource_type, Change.CREATED)
    return stored(row)


def next_version(
    transaction: Transaction, current: StoredResource, *, body: bytes | None, deleted: bool = False
) -> StoredResource:
    """Keep the current version, where it has a body or was a deletion, and put the next one."""
    keep_version(transaction, current)
    row = transaction.execute(
        update(resource)
        .where(resource.c.rid == current.rid)
        .values(
            version=current.version + 1,
            last_updated=transaction.now,
            deleted=deleted,
            body=body,
        )
        .returning(*COLUMNS)
    ).one()
    if not deleted:
        change = Change.CREATED if current.deleted else Change.UPDATED
        outbox.note(transaction, current.rid, current.type, change)
    return stored(row)


NEXT_ASSEMBLED = Prepared(
    update(resource)
    .where(
        resource.c.rid == bindparam("row"),
        resource.c.body.is_(None),
        resource.c.deleted.is_(False),
    )
    .values(version=resource.c.version + 1, last_updated=bindparam("now"))
)


def next_assembled(transaction: Transaction, rid: int) -> bool:
    """The next version of an assembled resource; False where the current one is kept whole."""
    found = bool(NEXT_ASSEMBLED.run(transaction.connection, row=rid, now=transaction.now))
    if found:
        outbox.note(transaction, rid, "ImagingStudy", Change.UPDATED)
    return found


def keep_assembled(transaction: Transaction, rid: int, body: bytes) -> None:
    """The body of the current version, so that it is kept when the next one comes."""
    transaction.execute(update(resource).where(resource.c.rid == rid).values(body=body))


def keep_version(transaction: Transaction, current: StoredResource) -> None:
    if current.body is None and not current.deleted:
        return  # assembled, and never kept as a version
    transaction.execute(
        insert(version).values(
            rid=current.rid,
            version=current.version,
            type=current.type,
            last_updated=current.last_updated,
            deleted=current.deleted,
            body=None if current.body is None else zlib.compress(current.body),
        )
    )


def delete(transaction: Transaction, resource_type: str, resource_id: str) -> StoredResource | None:
    """Mark as deleted and take it out of the index; None when there is nothing to delete."""
    current = find(transaction.connection, resource_type, resource_id)
    if current is None or current.deleted:
        return None
    search_index.remove(transaction, current.rid)
    return next_version(transaction, current, body=None, deleted=True)


def with_meta(content: Resource, resource_id: str, number: int, stamp: int) -> Resource:
    """The resource with id and meta in front, where a reader of raw JSON looks for them."""
    given = {
        key: value
        for key, value in content.get("meta", {}).items()
        if key not in ("versionId", "lastUpdated")
    }
    meta = {"versionId": str(number), "lastUpdated": instant(stamp), **given}
    rest = {key: value for key, value in content.items() if key not in ("id", "meta")}
    return {
        "resourceType": rest.pop("resourceType"),
        "id": resource_id,
        "meta": meta,
        **rest,
    }


def instant(stamp: int) -> str:
    """Milliseconds since 1970 UTC as a FHIR instant."""
    moment = datetime.fromtimestamp(stamp // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp % 1000:03d}Z"
