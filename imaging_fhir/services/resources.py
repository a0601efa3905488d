"""Reading and writing one resource (http.html): versions, conditions, and what is refused.

Whether references are required to resolve is a setting (see `integrity`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from imaging_fhir.errors import (
    AccessDenied,
    InvalidRequest,
    MultipleMatches,
    ResourceConflict,
    ResourceNotFound,
)
from imaging_fhir.fhir.profiles import require_conformance
from imaging_fhir.fhir.summary import subset
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.search import Condition
from imaging_fhir.services import audit_log
from imaging_fhir.services.addresses import Addresses
from imaging_fhir.services.attachment import Detached, Prepared, keep, prepare
from imaging_fhir.services.filed_document import BINARY, require_own_bytes
from imaging_fhir.services.guard import Guard
from imaging_fhir.services.integrity import Integrity
from imaging_fhir.services.preconditions import (
    require_id,
    require_match,
    require_type,
    require_whole,
)
from imaging_fhir.services.resource_ports import Assembler, Editor, Subscriber, Written
from imaging_fhir.services.rewriting import without_base
from imaging_fhir.services.study_authored import id_of_study
from imaging_fhir.services.superseding import DOCUMENT
from imaging_fhir.services.writing import (
    SUBSCRIPTION,
    AfterWrite,
    MayWrite,
    Update,
    Writing,
    anything,
    binaries_in,
)
from imaging_fhir.storage import filing, resources, search
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.point_read import PointReads
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.resources import StoredResource

LENIENT = Integrity()


class Resources:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        assembler: Assembler,
        editor: Editor,
        subscriber: Subscriber,
        *,
        addresses: Addresses,
        zone: ZoneInfo | None,
        new_id: Callable[[], str],
        after_write: AfterWrite,
        may_write: MayWrite = anything,
        integrity: Integrity = LENIENT,
        requires_declared: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self.database = database
        self.store = store
        self.current = PointReads(database)
        self.assembler = assembler
        self.subscriber = subscriber
        self.addresses = addresses
        self.base = addresses.base
        self.new_id = new_id
        self.zone = zone
        self.guard = guard or Guard()
        self.writing = Writing(
            guard=self.guard,
            editor=editor,
            subscriber=subscriber,
            zone=zone,
            after_write=after_write,
            may_write=may_write,
        )
        self.integrity = integrity
        self.requires_declared = requires_declared

    def read(self, resource_type: str, resource_id: str) -> tuple[StoredResource, bytes]:
        """The current version and its body; raise ResourceNotFound, ResourceDeleted."""
        if not self.guard.is_limited(resource_type, "r"):
            found = self.current.find(resource_type, resource_id)
            if found is not None and found.body is not None:
                return found, found.body
        with self.database.read() as connection:
            return self.fetch(connection, resource_type, resource_id)

    def fetch(
        self,
        connection: Connection,
        resource_type: str,
        resource_id: str,
        version_id: str | None = None,
        *,
        letters: str = "r",
    ) -> tuple[StoredResource, bytes]:
        """The same on a connection that is in use already, of what is open by the letters."""
        self.guard.require_seen(connection, resource_type, resource_id, letters)
        if resource_type == audit_log.AUDIT_EVENT:
            return self.audit_event(connection, resource_id, version_id)
        if version_id is None:
            stored = resources.read(connection, resource_type, resource_id)
        else:
            stored = resources.read_version(connection, resource_type, resource_id, version_id)
        return stored, self.body(connection, stored)

    def audit_event(
        self, connection: Connection, event_id: str, version_id: str | None
    ) -> tuple[StoredResource, bytes]:
        """It is never changed, so it has version 1 alone."""
        if version_id not in (None, "1"):
            raise ResourceNotFound(f"AuditEvent/{event_id} has no version {version_id}.")
        return audit_log.read(connection, event_id, base=self.base)

    def read_version(
        self, resource_type: str, resource_id: str, version_id: str
    ) -> tuple[StoredResource, bytes]:
        with self.database.read() as connection:
            return self.fetch(connection, resource_type, resource_id, version_id)

    def body(self, connection: Connection, stored: StoredResource) -> bytes:
        if stored.body is not None:
            return stored.body
        return self.assembler.body(connection, stored)

    def bodies(
        self,
        connection: Connection,
        found: Sequence[StoredResource],
        *,
        with_instances: bool = True,
    ) -> Iterator[bytes]:
        """Of each, by as many statements for many as for one; none of them is deleted."""
        kept_apart = [stored for stored in found if stored.body is None]
        assembled: Iterator[bytes] = iter(())
        if kept_apart:
            assembled = self.assembler.bodies(connection, kept_apart, with_instances=with_instances)
        for stored in found:
            yield next(assembled) if stored.body is None else stored.body

    def shown(
        self,
        connection: Connection,
        found: Sequence[StoredResource],
        summary: str | None,
        elements: Sequence[str],
    ) -> Iterator[bytes]:
        """The bodies, cut as `_summary` and `_elements` ask for."""
        if not is_cut(summary, elements):
            yield from self.bodies(connection, found)
            return
        with_instances = wants_instances(summary, elements)
        for body in self.bodies(connection, found, with_instances=with_instances):
            yield encode(subset(decode(body), summary=summary, elements=elements))

    def read_cut(
        self, resource_type: str, resource_id: str, summary: str | None, elements: Sequence[str]
    ) -> tuple[StoredResource, bytes]:
        with self.database.read() as connection:
            stored, _ = self.fetch(connection, resource_type, resource_id)
            return stored, next(self.shown(connection, [stored], summary, elements))

    def create(
        self, resource_type: str, content: Resource, *, if_none_exist: Condition | None = None
    ) -> Written:
        chosen = self.id_for(resource_type, content)
        prepared = replace(self.prepared(resource_type, chosen, content), posted=True)

        def unit(transaction: Transaction, kept: list[Detached]) -> Written:
            return self.create_in(transaction, prepared, kept, if_none_exist=if_none_exist)

        return self.write(prepared, unit)

    def update(
        self,
        resource_type: str,
        resource_id: str,
        content: Resource,
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Written:
        """The next version, or version 1 under the client's id; raise VersionConflict."""
        require_id(content, resource_type, resource_id)
        prepared = self.prepared(resource_type, resource_id, content)

        def unit(transaction: Transaction, kept: list[Detached]) -> Written:
            return self.update_in(
                transaction, prepared, kept, if_match=if_match, if_none_match=if_none_match
            )

        return self.write(prepared, unit)

    def update_where(
        self, condition: Condition, content: Resource, *, if_match: str | None = None
    ) -> Written:
        """http.html#cond-update; raise MultipleMatches, InvalidRequest, ResourceConflict."""
        prepared = self.prepared(condition.resource_type, content.get("id", ""), content)
        fresh_id = self.new_id()

        def unit(transaction: Transaction, kept: list[Detached]) -> Written:
            chosen = self.matched_or_new(transaction, condition, prepared.resource_id, fresh_id)
            target = replace(prepared, resource_id=chosen)
            return self.update_in(transaction, target, kept, if_match=if_match)

        return self.write(prepared, unit)

    def matched_or_new(
        self, transaction: Transaction, condition: Condition, given_id: str, fresh_id: str
    ) -> str:
        """The id that a conditional update writes to."""
        known = self.only_match(transaction.connection, condition)
        if known is None:
            if given_id and self.guard.is_limited(condition.resource_type, "u"):
                raise AccessDenied("The access token does not allow to choose an id.")
            taken = given_id and resources.find(
                transaction.connection, condition.resource_type, given_id
            )
            if taken:
                raise ResourceConflict(f"{taken.reference} exists and is not the one searched for.")
            return given_id or fresh_id
        if given_id and given_id != known:
            raise InvalidRequest("The resource's id is not that of the one found.")
        return known

    def delete(self, resource_type: str, resource_id: str, *, if_match: str | None = None) -> None:
        def unit(transaction: Transaction) -> None:
            deleted = self.delete_in(transaction, resource_type, resource_id, if_match=if_match)
            self.integrity.require_unreferenced(transaction.connection, deleted)

        self.database.write(unit)

    def delete_where(self, condition: Condition, *, if_match: str | None = None) -> None:
        """http.html#3.1.0.7.1, of one resource; raise MultipleMatches; none is fine."""

        def unit(transaction: Transaction) -> None:
            known = self.only_match(transaction.connection, condition)
            if known is not None:
                deleted = self.delete_in(
                    transaction, condition.resource_type, known, if_match=if_match
                )
                self.integrity.require_unreferenced(transaction.connection, deleted)

        self.database.write(unit)

    def write(
        self, prepared: Prepared, unit: Callable[[Transaction, list[Detached]], Written]
    ) -> Written:
        def checked(transaction: Transaction, kept: list[Detached]) -> Written:
            written = unit(transaction, kept)
            self.integrity.require_targets(transaction.connection, written.stored)
            return written

        return keep(self.database, self.store, prepared.detached, checked)

    def id_for(self, resource_type: str, content: object) -> str:
        """A new id; of an ImagingStudy the one that its images would give it."""
        if resource_type in resources.ASSEMBLED and isinstance(content, dict):
            return id_of_study(content) or self.new_id()
        return self.new_id()

    def prepared(self, resource_type: str, resource_id: str, content: Resource) -> Prepared:
        content = self.acceptable(resource_type, content)
        return prepare(resource_type, resource_id, content, self.new_id)

    def acceptable(self, resource_type: str, content: Resource) -> Resource:
        """What comes in, as it may be stored; raise InvalidRequest, InvalidResource."""
        require_type(resource_type, content)
        content = self.at_home(content)
        require_whole(content)
        require_valid(content)
        self.require_declared(content)
        return content

    def at_home(self, content: Resource) -> Resource:
        """References to what is here relative, all others as they came."""
        return without_base(content, self.base, ehr_base=self.addresses.ehr_base)

    def require_declared(self, content: Resource) -> None:
        """Where the site wants that, what claims a known profile conforms; InvalidResource."""
        if self.requires_declared:
            require_conformance(content)

    def create_in(
        self,
        transaction: Transaction,
        prepared: Prepared,
        kept: Sequence[Detached],
        *,
        if_none_exist: Condition | None = None,
    ) -> Written:
        """Writes are serial, so that nothing can be created between the search and the insert."""
        if if_none_exist is not None:
            known = self.only_match(transaction.connection, if_none_exist)
            if known is not None:
                found = resources.read(transaction.connection, prepared.resource_type, known)
                return Written(stored=found, created=False, changed=False)
        return self.update_in(transaction, prepared, kept)

    def update_in(
        self,
        transaction: Transaction,
        prepared: Prepared,
        kept: Sequence[Detached],
        *,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Written:
        update = Update(
            prepared=prepared, kept=kept, if_match=if_match, if_none_match=if_none_match
        )
        return self.writing.write(transaction, [update])[0]

    def delete_in(
        self,
        transaction: Transaction,
        resource_type: str,
        resource_id: str,
        *,
        if_match: str | None = None,
        along: bool = False,  # with a document that may be deleted
    ) -> StoredResource | None:
        """With it go the Binaries that its attachments are and no document refers to.

        Raise ResourceConflict.
        """
        connection = transaction.connection
        current = resources.find(connection, resource_type, resource_id)
        if not along and not self.guard.may_delete(connection, resource_type, resource_id):
            require_match(if_match, None)
            return None
        if current is not None:
            self.writing.may_write(connection, resource_type, resource_id)
        require_match(if_match, current)
        if filing.has_images(connection, resource_type, resource_id):
            raise ResourceConflict(f"Images are filed to {resource_type}/{resource_id}.")
        if current is not None and resource_type == BINARY:
            require_own_bytes(connection, current)
        self.keep_whole(transaction, current)
        deleted = resources.delete(transaction, resource_type, resource_id)
        if deleted is not None and resource_type == SUBSCRIPTION:
            self.subscriber.deleted(transaction, deleted.rid)
        if current is not None and deleted is not None:
            self.writing.after_write(transaction, [(resource_type, resource_id, None)])
            for binary_id in binaries_of(current):
                if goes_along(connection, binary_id, current):
                    self.delete_in(transaction, BINARY, binary_id, along=True)
        return deleted

    def keep_whole(self, transaction: Transaction, current: StoredResource | None) -> None:
        """The version that ends now stays readable in the history, if it was assembled."""
        if current is not None and current.body is None and not current.deleted:
            body = self.assembler.body(transaction.connection, current)
            resources.keep_assembled(transaction, current.rid, body)

    def only_match(self, connection: Connection, condition: Condition) -> str | None:
        """The id of the one resource that fulfils the condition; raise MultipleMatches."""
        found = search.find_ids(
            connection, condition.query, limit=2, restrictions=condition.restrictions
        )
        if len(found) > 1:
            raise MultipleMatches(f"More than one {condition.resource_type} fulfils the condition.")
        return found[0] if found else None


def binaries_of(stored: StoredResource) -> list[str]:
    if stored.body is None or b"Binary/" not in stored.body:
        return []
    return binaries_in(decode(stored.body))


def goes_along(connection: Connection, binary_id: str, owner: StoredResource) -> bool:
    """Is the Binary of no use without its owner? Another document may refer to it."""
    if filing.is_attached(connection, binary_id):
        return False
    binary = resources.find_content(connection, "Binary", binary_id) or {}
    context = binary.get("securityContext", {}).get("reference")
    return owner.type == DOCUMENT or context == owner.reference


def is_cut(summary: str | None, elements: Sequence[str]) -> bool:
    return bool(elements) or summary in ("true", "text", "data")


def wants_instances(summary: str | None, elements: Sequence[str]) -> bool:
    """Would the instances of an ImagingStudy be shown?"""
    if summary is not None:
        return summary == "data"
    return any(name.removeprefix("ImagingStudy.").startswith("series") for name in elements)
