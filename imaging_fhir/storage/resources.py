"""FHIR resources as the bytes that are served, with every version (http.html#versioning)."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from imaging_fhir.errors import ResourceDeleted, ResourceNotFound
from imaging_fhir.model.change import Change
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.storage import outbox, registered_studies, report_studies, search_index
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import resource, version

VERSION_ID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
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
OF_SEVERAL = select(*COLUMNS).where(
    resource.c.type == bindparam("of_type"), resource.c.id.in_(bindparam("ids", expanding=True))
)
THERE = select(resource.c.type, resource.c.id).where(
    resource.c.type == bindparam("of_type"),
    resource.c.id.in_(bindparam("ids", expanding=True)),
    resource.c.deleted.is_(False),
)
FORMER = (
    select(resource.c.type, resource.c.id, version.c.body)
    .join(resource, resource.c.rid == version.c.rid)
    .where(
        resource.c.type == bindparam("of_type"),
        resource.c.id.in_(bindparam("ids", expanding=True)),
        version.c.version == resource.c.version - 1,
        version.c.body.is_not(None),
    )
)
EARLIER = (
    select(version, resource.c.id)
    .join(resource, resource.c.rid == version.c.rid)
    .where(version.c.rid == bindparam("rid"), version.c.version == bindparam("version"))
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


def find_all(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], StoredResource]:
    """The current versions of many, by type and id: a statement or two for each type."""
    return {
        (row.type, row.id): stored(row)
        for type_, some in by_type(keys)
        for row in connection.execute(OF_SEVERAL, {"of_type": type_, "ids": some})
    }


def that_are_there(connection: Connection, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the types and ids that are of a resource which was not deleted."""
    return {
        (row.type, row.id)
        for type_, some in by_type(keys)
        for row in connection.execute(THERE, {"of_type": type_, "ids": some})
    }


def by_type(keys: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Ids of each type, as many as one statement may have."""
    found: dict[str, set[str]] = {}
    for type_, id_ in keys:
        found.setdefault(type_, set()).add(id_)
    for type_, ids in found.items():
        for some in chunks(ids):
            yield type_, some


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
        raise deleted(connection, found)
    return found


def deleted(connection: Connection, found: StoredResource) -> ResourceDeleted:
    """One that stood for an order leads to the ImagingStudy that has the images of that."""
    successor = registered_studies.successor(connection, found.rid)
    if successor is None:
        return ResourceDeleted(f"{found.reference} was deleted.")
    text = f"{found.reference} stood for an order, whose images are in ImagingStudy/{successor}."
    return ResourceDeleted(text, successor=f"ImagingStudy/{successor}")


def read_version(
    connection: Connection, resource_type: str, resource_id: str, version_id: str
) -> StoredResource:
    """One version that was kept, by its own row; raise ResourceNotFound, ResourceDeleted."""
    found = find(connection, resource_type, resource_id)
    if found is None:
        raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")
    if str(found.version) != version_id:
        found = earlier_version(connection, found, version_id)
    if found is None:
        raise ResourceNotFound(f"{resource_type}/{resource_id} has no version {version_id[:20]}.")
    if found.deleted:
        raise ResourceDeleted(f"{found.reference} was deleted in that version.")
    return found


def earlier_version(
    connection: Connection, current: StoredResource, version_id: str
) -> StoredResource | None:
    number = int(version_id) if VERSION_ID.fullmatch(version_id) else current.version
    if number >= current.version:
        return None
    row = connection.execute(EARLIER, {"rid": current.rid, "version": number}).first()
    return None if row is None else stored(row, zlib.decompress)


def former_content(connection: Connection, resource_type: str, resource_id: str) -> Resource | None:
    """The version before the current one; None where there is none, or it was a deletion."""
    key = (resource_type, resource_id)
    return former_contents(connection, [key]).get(key)


def former_contents(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Resource]:
    """The same of many, by type and id."""
    return {
        (row.type, row.id): decode(zlib.decompress(row.body))
        for type_, some in by_type(keys)
        for row in connection.execute(FORMER, {"of_type": type_, "ids": some})
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A resource as it is to be, beside what is there; `rows` are what it is found by.

    One that is created was `posted` unless a client chose its id.
    """

    type: str
    id: str
    content: Resource
    rows: search_index.Rows
    current: StoredResource | None = None
    posted: bool = True
    moves: bool = False  # to another patient or visit

    def next(self, now: int) -> StoredResource:
        """Of one that is not there yet, the row is not known."""
        former = self.current
        number = 1 if former is None else former.version + 1
        return StoredResource(
            rid=0 if former is None else former.rid,
            type=self.type,
            id=self.id,
            version=number,
            last_updated=now,
            deleted=False,
            body=encode(with_meta(self.content, self.id, number, now)),
        )


def put(
    transaction: Transaction,
    resource_type: str,
    resource_id: str,
    content: Resource,
    entries: Iterable[IndexEntry],
    *,
    posted: bool = True,
) -> StoredResource:
    """Create the resource, or make its next version; `id` and `meta` are set here."""
    one = Put(
        type=resource_type,
        id=resource_id,
        content=content,
        rows=search_index.by_table(resource_type, entries),
        current=find(transaction.connection, resource_type, resource_id),
        posted=posted,
    )
    return put_all(transaction, [one])[0]


def put_all(transaction: Transaction, puts: Sequence[Put]) -> list[StoredResource]:
    """The same of many, none of them twice, by a number of statements that does not grow."""
    new = [(one, one.next(transaction.now)) for one in puts if one.current is None]
    known = [
        (one.current, one.next(transaction.now), one.moves)
        for one in puts
        if one.current is not None
    ]
    created = insert_resources(transaction, [(after, one.posted) for one, after in new])
    next_versions(transaction, known)
    rows = {(one.type, one.id): one.rows for one in puts}
    search_index.insert_all(transaction, {one.rid: rows[one.type, one.id] for one in created})
    changed = {after.rid: rows[after.type, after.id] for _, after, _ in known}
    reports = [after.rid for _, after, _ in known if after.type == report_studies.REPORT]
    for rid, ties in report_studies.entries(transaction.connection, reports).items():
        for table, more in search_index.by_table(report_studies.REPORT, ties).items():
            changed[rid] = {**changed[rid], table: [*changed[rid].get(table, ()), *more]}
    search_index.replace_all(transaction, changed)
    written = {(one.type, one.id): one for one in [*created, *(after for _, after, _ in known)]}
    return [written[one.type, one.id] for one in puts]


def insert_resources(
    transaction: Transaction, new: Sequence[tuple[StoredResource, bool]]
) -> list[StoredResource]:
    """Those that are not there yet, each with whether the server chose its id; with their rows."""
    if not new:
        return []
    values = [
        {
            "type": one.type,
            "id": one.id,
            "version": one.version,
            "last_updated": one.last_updated,
            "deleted": one.deleted,
            "posted": posted,
            "body": one.body,
        }
        for one, posted in new
    ]
    rows = transaction.execute(INSERT, values)
    rids = {(row.type, row.id): row.rid for row in rows}
    inserted = [replace(one, rid=rids[one.type, one.id]) for one, _ in new]
    outbox.note_all(transaction, [(one.rid, one.type, Change.CREATED) for one in inserted])
    return inserted


def insert_resource(
    transaction: Transaction, resource_type: str, resource_id: str, body: bytes | None
) -> StoredResource:
    """Version 1 of a resource that is not there yet."""
    new = StoredResource(
        rid=0,
        type=resource_type,
        id=resource_id,
        version=1,
        last_updated=transaction.now,
        deleted=False,
        body=body,
    )
    return insert_resources(transaction, [(new, True)])[0]


def next_versions(
    transaction: Transaction, known: Sequence[tuple[StoredResource, StoredResource, bool]]
) -> None:
    """Each as it is, as it is to be, and whether it moves: what is current is kept before."""
    if not known:
        return
    keep_versions(transaction, [current for current, _, _ in known])
    values = [
        {
            "row": after.rid,
            "number": after.version,
            "stamp": after.last_updated,
            "is_deleted": after.deleted,
            "content": after.body,
        }
        for _, after, _ in known
    ]
    transaction.execute(NEXT, values)
    outbox.note_all(
        transaction,
        [
            (after.rid, after.type, change_of(current) | (Change.MOVED if moves else 0))
            for current, after, moves in known
            if not after.deleted
        ],
    )
    outbox.note_deleted(
        transaction, [(after.rid, after.type) for _, after, _ in known if after.deleted]
    )


def change_of(current: StoredResource) -> Change:
    return Change.CREATED if current.deleted else Change.UPDATED


def next_version(
    transaction: Transaction, current: StoredResource, *, body: bytes | None, deleted: bool = False
) -> StoredResource:
    """Keep the current version, where it has a body or was a deletion, and put the next one."""
    after = replace(
        current,
        version=current.version + 1,
        last_updated=transaction.now,
        deleted=deleted,
        body=body,
    )
    next_versions(transaction, [(current, after, False)])
    return after


INSERT = insert(resource).returning(resource.c.rid, resource.c.type, resource.c.id)
NEXT = (
    update(resource)
    .where(resource.c.rid == bindparam("row"))
    .values(
        version=bindparam("number"),
        last_updated=bindparam("stamp"),
        deleted=bindparam("is_deleted"),
        body=bindparam("content"),
    )
)
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


def keep_versions(transaction: Transaction, ended: Iterable[StoredResource]) -> None:
    """But for those that are assembled, and were never kept as a version."""
    values = [
        {
            "rid": one.rid,
            "version": one.version,
            "type": one.type,
            "last_updated": one.last_updated,
            "deleted": one.deleted,
            "body": None if one.body is None else zlib.compress(one.body),
        }
        for one in ended
        if one.body is not None or one.deleted
    ]
    if values:
        transaction.execute(insert(version), values)


def delete(transaction: Transaction, resource_type: str, resource_id: str) -> StoredResource | None:
    """Mark as deleted and take it out of the index; None when there is nothing to delete."""
    current = find(transaction.connection, resource_type, resource_id)
    if current is None or current.deleted:
        return None
    search_index.remove(transaction, current.rid)
    if resource_type in ASSEMBLED:
        report_studies.untie(transaction, current.rid, resource_id)
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
