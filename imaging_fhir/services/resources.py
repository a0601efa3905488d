"""Reading and writing one resource (http.html): versions, conditions, and what is refused.

References are not required to resolve: an EHR's feeds arrive out of order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from zoneinfo import ZoneInfo

from imaging_fhir.errors import (
    InvalidRequest,
    InvalidResource,
    MultipleMatches,
    ResourceConflict,
    VersionConflict,
)
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.codec import Resource, decode, encode_sorted
from imaging_fhir.model.search import Query
from imaging_fhir.services.rewriting import without_base
from imaging_fhir.storage import filing, resources, search
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.point_read import PointReads
from imaging_fhir.storage.resources import StoredResource, with_meta

AfterWrite = Callable[[Transaction, str, str, Resource | None], None]
SUBSETTED = "SUBSETTED"


class Assembler(Protocol):
    """Makes the body of a resource that is kept in fragments."""

    def body(self, connection: Connection, stored: StoredResource) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    stored: StoredResource
    created: bool
    changed: bool = True


class Resources:
    def __init__(
        self,
        database: Database,
        assembler: Assembler,
        *,
        base: str,
        zone: ZoneInfo | None,
        new_id: Callable[[], str],
        after_write: AfterWrite,
    ) -> None:
        self.database = database
        self.current = PointReads(database)
        self.assembler = assembler
        self.base = base
        self.zone = zone
        self.new_id = new_id
        self.after_write = after_write

    def read(self, resource_type: str, resource_id: str) -> tuple[StoredResource, bytes]:
        """The current version and its body; raise ResourceNotFound, ResourceDeleted."""
        found = self.current.find(resource_type, resource_id)
        if found is not None and found.body is not None:
            return found, found.body
        with self.database.read() as connection:
            stored = resources.read(connection, resource_type, resource_id)
            return stored, self.body(connection, stored)

    def read_version(
        self, resource_type: str, resource_id: str, version_id: str
    ) -> tuple[StoredResource, bytes]:
        with self.database.read() as connection:
            stored = resources.read_version(connection, resource_type, resource_id, version_id)
            return stored, self.body(connection, stored)

    def history(
        self, resource_type: str, resource_id: str
    ) -> Iterator[tuple[StoredResource, bytes | None]]:
        """Every version that was kept, newest first; a deletion has no body."""
        with self.database.read() as connection:
            for stored in resources.history(connection, resource_type, resource_id):
                yield stored, None if stored.deleted else self.body(connection, stored)

    def body(self, connection: Connection, stored: StoredResource) -> bytes:
        if stored.body is not None:
            return stored.body
        return self.assembler.body(connection, stored)

    def create(
        self, resource_type: str, content: Resource, *, if_none_exist: Query | None = None
    ) -> Written:
        content = self.acceptable(resource_type, content)
        return self.database.write(
            partial(
                self.create_in,
                resource_type=resource_type,
                resource_id=self.new_id(),
                content=content,
                if_none_exist=if_none_exist,
            )
        )

    def update(
        self, resource_type: str, resource_id: str, content: Resource, *, if_match: str | None
    ) -> Written:
        """The next version, or version 1 under the client's id; raise VersionConflict."""
        if content.get("id") != resource_id:
            raise InvalidRequest(
                "The resource must have the id of the address.", expression=f"{resource_type}.id"
            )
        content = self.acceptable(resource_type, content)
        return self.database.write(
            partial(
                self.update_in,
                resource_type=resource_type,
                resource_id=resource_id,
                content=content,
                if_match=if_match,
            )
        )

    def delete(self, resource_type: str, resource_id: str, *, if_match: str | None = None) -> None:
        self.database.write(
            partial(
                self.delete_in,
                resource_type=resource_type,
                resource_id=resource_id,
                if_match=if_match,
            )
        )

    def acceptable(self, resource_type: str, content: Resource) -> Resource:
        """What comes in, as it may be stored; raise InvalidRequest, InvalidResource."""
        require_type(resource_type, content)
        content = without_base(content, self.base)
        require_whole(content)
        require_valid(content)
        return content

    def create_in(
        self,
        transaction: Transaction,
        *,
        resource_type: str,
        resource_id: str,
        content: Resource,
        if_none_exist: Query | None = None,
    ) -> Written:
        """Writes are serial, so that nothing can be created between the search and the insert."""
        if if_none_exist is not None:
            known = self.only_match(transaction.connection, if_none_exist)
            if known is not None:
                found = resources.read(transaction.connection, resource_type, known)
                return Written(stored=found, created=False, changed=False)
        return Written(
            stored=self.put(transaction, resource_type, resource_id, content), created=True
        )

    def update_in(
        self,
        transaction: Transaction,
        *,
        resource_type: str,
        resource_id: str,
        content: Resource,
        if_match: str | None = None,
    ) -> Written:
        current = resources.find(transaction.connection, resource_type, resource_id)
        require_match(if_match, current)
        if current is not None and is_same(current, content):
            return Written(stored=current, created=False, changed=False)
        stored = self.put(transaction, resource_type, resource_id, content)
        return Written(stored=stored, created=current is None or current.deleted)

    def put(
        self, transaction: Transaction, resource_type: str, resource_id: str, content: Resource
    ) -> StoredResource:
        entries = index_entries(resource_type, content, zone=self.zone)
        stored = resources.put(transaction, resource_type, resource_id, content, entries)
        self.after_write(transaction, resource_type, resource_id, content)
        return stored

    def delete_in(
        self,
        transaction: Transaction,
        *,
        resource_type: str,
        resource_id: str,
        if_match: str | None = None,
    ) -> StoredResource | None:
        current = resources.find(transaction.connection, resource_type, resource_id)
        require_match(if_match, current)
        if filing.has_images(transaction.connection, resource_type, resource_id):
            raise ResourceConflict(f"Images are filed to {resource_type}/{resource_id}.")
        deleted = resources.delete(transaction, resource_type, resource_id)
        if deleted is not None:
            self.after_write(transaction, resource_type, resource_id, None)
        return deleted

    def only_match(self, connection: Connection, condition: Query) -> str | None:
        """The id of the one resource that fulfils the condition; raise MultipleMatches."""
        found = search.find_ids(connection, condition, limit=2)
        if len(found) > 1:
            raise MultipleMatches(f"More than one {condition.resource_type} fulfils the condition.")
        return found[0] if found else None


def require_type(resource_type: str, content: object) -> None:
    if not isinstance(content, dict) or "resourceType" not in content:
        raise InvalidRequest("The body is no FHIR resource: it has no resourceType.")
    if content["resourceType"] != resource_type:
        raise InvalidRequest(f"The body is no {resource_type}.", expression="resourceType")


def require_whole(content: Resource) -> None:
    """A cut resource that is sent back would destroy what was left out."""
    meta = content.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and tag.get("code") == SUBSETTED:
            raise InvalidResource(
                "The resource is a summary (SUBSETTED) and must not be stored.",
                expression=f"{content['resourceType']}.meta.tag",
            )


def require_match(if_match: str | None, current: StoredResource | None) -> None:
    """http.html#concurrency; `W/"3"`, and `"3"` as some clients write it."""
    if if_match is None:
        return
    if current is None or if_match.strip().removeprefix("W/").strip('"') != str(current.version):
        raise VersionConflict("The current version is another than that of If-Match.")


def is_same(current: StoredResource, content: Resource) -> bool:
    """Would the next version say the same as this one?"""
    if current.body is None:
        return False
    same = with_meta(content, current.id, current.version, current.last_updated)
    return encode_sorted(same) == encode_sorted(decode(current.body))
