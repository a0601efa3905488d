"""Resources as clients write them, in a transaction that has begun: many cost as many statements
as one (see `resources.put_all`), but for what their news is to images.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from imaging_fhir.errors import ResourceConflict, ResourceDeleted
from imaging_fhir.fhir.attachment import attachments
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.change import is_moved
from imaging_fhir.model.codec import Resource, decode, encode_sorted
from imaging_fhir.model.reference import id_in
from imaging_fhir.services.attachment import Detached, Prepared
from imaging_fhir.services.filed_document import BINARY, require_own_bytes, require_right_chart
from imaging_fhir.services.guard import Guard
from imaging_fhir.services.integrity import Named, unnamed
from imaging_fhir.services.kept_merge import require_merge_kept
from imaging_fhir.services.preconditions import require_match, require_none, require_own_id
from imaging_fhir.services.resource_ports import Editor, Subscriber, Written
from imaging_fhir.services.superseding import DOCUMENT, supersede
from imaging_fhir.storage import binaries, resources, search_index
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import Put, StoredResource, with_meta

SUBSCRIPTION = "Subscription"
ALONE = resources.ASSEMBLED | {SUBSCRIPTION}  # kept in tables of their own too
News = tuple[str, str, Resource | None]  # type and id of what was written; None: it was deleted
AfterWrite = Callable[[Transaction, Sequence[News]], None]
MayWrite = Callable[[Connection, str, str], None]


def anything(connection: Connection, resource_type: str, resource_id: str) -> None:
    """With no EHR as master, all that is here may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is to be written, and on which conditions (http.html#concurrency).

    `rows` are what it is to be found by, where that was worked out before.
    """

    prepared: Prepared
    kept: Sequence[Detached] = ()
    if_match: str | None = None
    if_none_match: str | None = None
    rows: search_index.Rows | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.prepared.resource_type, self.prepared.resource_id

    @property
    def joins(self) -> bool:
        """Can it be written together with others, whatever these are?"""
        return self.prepared.resource_type not in ALONE and not leads_to_bytes(self.prepared)


@dataclass(frozen=True, slots=True)
class Accepted:
    position: int
    update: Update
    current: StoredResource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    editor: Editor
    subscriber: Subscriber
    zone: ZoneInfo | None
    after_write: AfterWrite
    may_write: MayWrite = anything
    guard: Guard = field(default_factory=Guard)

    def write(
        self, transaction: Transaction, updates: Sequence[Update], named: Named = unnamed
    ) -> list[Written]:
        """The next version of each, none of them twice; several only where all `joins`.

        Raise VersionConflict, ResourceConflict, ResourceDeleted, InvalidResource.
        """
        current = resources.find_all(transaction.connection, (one.key for one in updates))
        written: dict[int, Written] = {}
        accepted = []
        for position, update in enumerate(updates):
            with named(position):
                found = current.get(update.key)
                done = self.done(transaction, update, found)
            if done is None:
                accepted.append(Accepted(position, update, found))
            else:
                written[position] = done
        stored = self.put(transaction, accepted, named) if accepted else []
        for one, row in zip(accepted, stored, strict=True):
            is_new = one.current is None or one.current.deleted
            written[one.position] = Written(stored=row, created=is_new)
        return [written[position] for position in range(len(updates))]

    def done(
        self, transaction: Transaction, update: Update, current: StoredResource | None
    ) -> Written | None:
        """What there is nothing more to do for; None: it may be put."""
        connection, prepared = transaction.connection, update.prepared
        self.guard.before_write(
            connection,
            update.key,
            prepared.content,
            current,
            posted=prepared.posted,
            brought={one.resource_id for one in prepared.detached},
        )
        self.may_write(connection, *update.key)
        require_match(update.if_match, current)
        require_none(update.if_none_match, current)
        if prepared.resource_type in resources.ASSEMBLED:
            if self.editor.is_derived(connection, current):
                return self.edit(transaction, current, prepared)
            self.editor.require_authored(connection, prepared.resource_id, prepared.content)
            if prepared.posted and current is not None and not current.deleted:
                raise ResourceConflict(f"{current.reference} is of the same StudyInstanceUID.")
        if current is not None and is_same(connection, current, prepared, update.kept):
            return Written(stored=current, created=False, changed=False)
        require_writable(connection, current, prepared)
        require_own_id(current, prepared)
        require_merge_kept(connection, current, prepared, knows=update.if_match is not None)
        return None

    def edit(
        self, transaction: Transaction, current: StoredResource | None, prepared: Prepared
    ) -> Written:
        """Of what is put together from images, users write parts; raise NotSupported."""
        type_, id_ = prepared.resource_type, prepared.resource_id
        if current is None or prepared.posted:
            raise ResourceConflict(f"{type_}/{id_} is of the same StudyInstanceUID.")
        if current.deleted:
            raise ResourceDeleted(f"{current.reference} was deleted.")
        written = self.editor.edit(transaction, current, prepared.content)
        self.guard.after_write(transaction.connection, written.stored, posted=False)
        if written.changed:
            self.after_write(transaction, [(type_, id_, prepared.content)])
        return written

    def put(
        self, transaction: Transaction, accepted: Sequence[Accepted], named: Named
    ) -> list[StoredResource]:
        first = accepted[0].update.prepared
        if first.resource_type == SUBSCRIPTION:
            subscribed = self.subscribe(transaction, first)
            self.guard.after_write(transaction.connection, subscribed, posted=first.posted)
            return [subscribed]
        puts = [self.as_put(one.update, one.current, transaction.watching) for one in accepted]
        stored = resources.put_all(transaction, puts)
        for one, row in zip(accepted, stored, strict=True):
            with named(one.position):
                posted = one.update.prepared.posted
                self.guard.after_write(transaction.connection, row, posted=posted)
        self.put_binaries(transaction, zip(accepted, stored, strict=True))
        for one in accepted:
            if one.update.prepared.resource_type == DOCUMENT:
                with named(one.position):
                    document = {**one.update.prepared.content, "id": one.update.key[1]}
                    supersede(transaction, document, zone=self.zone)
        news = [(*one.update.key, one.update.prepared.content) for one in accepted]
        self.after_write(transaction, news)
        return stored

    def subscribe(self, transaction: Transaction, prepared: Prepared) -> StoredResource:
        return self.subscriber.put(
            transaction,
            prepared.resource_id,
            prepared.content,
            prepared.caller,
            posted=prepared.posted,
        )

    def as_put(self, update: Update, current: StoredResource | None, watching: bool) -> Put:
        prepared = update.prepared
        former = decode(current.body) if watching and current and current.body else None
        return Put(
            type=prepared.resource_type,
            id=prepared.resource_id,
            content=prepared.content,
            rows=self.rows(prepared) if update.rows is None else update.rows,
            current=current,
            posted=prepared.posted,
            moves=former is not None and is_moved(former, prepared.content),
        )

    def rows(self, prepared: Prepared) -> search_index.Rows:
        """What it is to be found by."""
        type_, content = prepared.resource_type, {**prepared.content, "id": prepared.resource_id}
        return search_index.by_table(type_, index_entries(type_, content, zone=self.zone))

    def put_binaries(
        self, transaction: Transaction, written: Iterator[tuple[Accepted, StoredResource]]
    ) -> None:
        """Bind the bytes that came inside a resource: to itself if it is the Binary.

        Else to a Binary that is to be read by whoever may read the resource.
        """
        bound, puts, new = [], [], []
        for accepted, owner in written:
            for one in accepted.update.kept:
                if owner.type == BINARY:
                    bound.append((owner.rid, one))
                    continue
                content = {**one.content, "securityContext": {"reference": owner.reference}}
                binary = Update(prepared=Prepared(BINARY, one.resource_id, content, posted=True))
                puts.append(self.as_put(binary, None, transaction.watching))
                new.append(one)
        stored = resources.put_all(transaction, puts)
        bound += [(row.rid, one) for row, one in zip(stored, new, strict=True)]
        binaries.put_contents(
            transaction, [(rid, one.blob, one.content["contentType"]) for rid, one in bound]
        )


def require_writable(
    connection: Connection, current: StoredResource | None, prepared: Prepared
) -> None:
    """Raise InvalidResource, ResourceConflict, ResourceDeleted: see `filed_document`."""
    if prepared.resource_type == DOCUMENT:
        content = {**prepared.content, "id": prepared.resource_id}
        brought = {one.resource_id for one in prepared.detached}
        require_right_chart(connection, current, content, brought=brought)
    elif prepared.resource_type == BINARY and current is not None:
        require_own_bytes(connection, current)


def is_same(
    connection: Connection,
    current: StoredResource,
    prepared: Prepared,
    kept: Sequence[Detached],
) -> bool:
    """Would the next version say the same as this one, and stand for the same bytes?"""
    if current.body is None:
        return False
    same = with_meta(prepared.content, current.id, current.version, current.last_updated)
    return encode_sorted(same) == encode_sorted(decode(current.body)) and all(
        binaries.is_bound(connection, current.rid, one.blob) for one in kept
    )


def leads_to_bytes(prepared: Prepared) -> bool:
    """Is it a document of bytes that did not come inside it? Whose these are is looked up."""
    if prepared.resource_type != DOCUMENT:
        return False
    brought = {one.resource_id for one in prepared.detached}
    return any(one not in brought for one in binaries_in(prepared.content))


def binaries_in(content: Resource) -> list[str]:
    """Ids of the Binaries of ours that a resource's attachments are."""
    urls = (one.get("url") for one in attachments(content))
    return [found for url in urls if (found := id_in(url, BINARY))]
