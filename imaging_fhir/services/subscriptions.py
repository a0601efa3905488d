"""A Subscription as its client writes it, and as the server moves it on (subscription.html)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from imaging_fhir.channel.address import AddressRefused, Guard
from imaging_fhir.channel.rest_hook import FORBIDDEN
from imaging_fhir.errors import InvalidRequest, InvalidResource
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.subscription import Criterion, Wanted, headers, wanted, with_masked_headers
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.search import Query
from imaging_fhir.services.addresses import Addresses
from imaging_fhir.storage import outbox, resources, subscriptions
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.resources import StoredResource

SUBSCRIPTION = "Subscription"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriptions:
    guard: Guard
    addresses: Addresses
    zone: tzinfo | None = None

    def put(
        self,
        transaction: Transaction,
        resource_id: str,
        content: Resource,
        caller: Caller,
        *,
        posted: bool,
    ) -> StoredResource:
        """Keep what is asked for, if it is offered; raise InvalidResource.

        The values of its headers are kept apart from the resource: no reader is shown them.
        """
        known = self.known(transaction.connection, resource_id)
        former = resources.find_content(transaction.connection, SUBSCRIPTION, resource_id) or {}
        sent = headers(content["channel"], secrets_of(known), FORBIDDEN)
        content = with_masked_headers(content, [name for name, _ in sent])
        status = next_status(former.get("status"), content["status"])
        if status != subscriptions.OFF:
            self.require_offered(content)
        content = with_status(content, status, former.get("error"))
        stored = self.store(transaction, resource_id, content, posted=posted)
        subscriptions.put(
            transaction,
            stored.rid,
            known=known,
            status=status,
            caller=encode(caller),
            headers=encode([f"{name}: {value}" for name, value in sent]),
        )
        return stored

    def known(self, connection: Connection, resource_id: str) -> AnyRow | None:
        found = resources.find(connection, SUBSCRIPTION, resource_id)
        return None if found is None else subscriptions.find(connection, found.rid)

    def store(
        self,
        transaction: Transaction,
        resource_id: str,
        content: Resource,
        *,
        posted: bool = False,
    ) -> StoredResource:
        entries = index_entries(SUBSCRIPTION, {**content, "id": resource_id}, zone=self.zone)
        return resources.put(
            transaction, SUBSCRIPTION, resource_id, content, entries, posted=posted
        )

    def wanted(self, content: Resource) -> Wanted:
        """Raise InvalidResource."""
        return wanted(content, unwatched=outbox.UNWATCHED)

    def require_offered(self, content: Resource) -> None:
        """Raise InvalidResource, naming the element that cannot be honoured."""
        asked = self.wanted(content)
        self.whole_query(asked)
        try:
            self.guard.target(asked.endpoint)
        except AddressRefused as refused:
            where = "Subscription.channel.endpoint"
            raise InvalidResource(f"{where}: {refused}", expression=where) from refused
        if asked.end is not None and asked.end <= datetime.now(UTC):
            where = "Subscription.end"
            raise InvalidResource(f"{where} is over already.", expression=where)

    def query(self, criterion: Criterion) -> Query:
        """As a search understands it, where nothing may be left out; raise InvalidResource."""
        try:
            return parse_query(
                criterion.resource_type,
                criterion.parameters,
                base=self.addresses.base,
                ehr_base=self.addresses.ehr_base,
                zone=self.zone,
                strict=True,
            )
        except InvalidRequest as error:
            raise InvalidResource(
                f"{criterion.where} cannot be searched by: {error}", expression=criterion.where
            ) from error

    def whole_query(self, asked: Wanted) -> Query:
        """All criteria together; raise InvalidResource."""
        queries = [self.query(one) for one in asked.criteria]
        criteria = tuple(found for query in queries for found in query.criteria)
        return Query(resource_type=asked.resource_type, criteria=criteria)

    def move(
        self, transaction: Transaction, row: AnyRow, status: str, error: str | None = None
    ) -> None:
        """The server's own change of the status, and why."""
        content = decode(row.body)
        self.store(transaction, row.id, with_status(content, status, error))
        subscriptions.change(transaction, row.rid, status=status)

    def deleted(self, transaction: Transaction, rid: int) -> None:
        subscriptions.forget(transaction, rid)


def next_status(former: str | None, asked: str) -> str:
    """A client asks for a start, or ends it; only the server says that it runs, or failed."""
    if asked == "off" or (asked == "error" and former == "error"):
        return asked
    return "requested"


def with_status(content: Resource, status: str, error: str | None) -> Resource:
    found = {name: value for name, value in content.items() if name != "error"}
    found["status"] = status
    return {**found, "error": error} if status == "error" and error else found


def secrets_of(known: AnyRow | None) -> Sequence[str]:
    return [] if known is None else decode_as(list[str], known.headers)
