"""What the service of resources asks of others: whoever assembles, edits, and subscribes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import StoredResource


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    stored: StoredResource
    created: bool
    changed: bool = True


class Assembler(Protocol):
    """Makes the body of a resource that is kept in fragments."""

    def body(
        self, connection: Connection, stored: StoredResource, *, with_instances: bool = True
    ) -> bytes: ...

    def bodies(
        self,
        connection: Connection,
        found: Sequence[StoredResource],
        *,
        with_instances: bool = True,
    ) -> Iterator[bytes]: ...


class Editor(Protocol):
    """Takes what users may write of such a resource, and keeps it."""

    def is_derived(self, connection: Connection, current: StoredResource | None) -> bool: ...

    def require_authored(
        self, connection: Connection, resource_id: str, content: Resource
    ) -> None: ...

    def edit(
        self, transaction: Transaction, current: StoredResource, content: Resource
    ) -> Written: ...


class Subscriber(Protocol):
    """Takes a Subscription, and lets it go."""

    def put(
        self,
        transaction: Transaction,
        resource_id: str,
        content: Resource,
        caller: Caller,
        *,
        posted: bool,
    ) -> StoredResource: ...

    def deleted(self, transaction: Transaction, rid: int) -> None: ...
