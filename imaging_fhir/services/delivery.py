"""Events on their way to the subscriber: one subscription at a time by one process, in order.

What is due, how often it failed and who is at it are columns: a killed process leaves nothing
behind but a subscription that another takes up when its time is over. An event may so arrive
twice, and never out of order.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from imaging_fhir.channel.address import AddressRefused
from imaging_fhir.channel.rest_hook import DeliveryFailed, Message, RestHook
from imaging_fhir.errors import InvalidResource, ResourceDeleted, ResourceNotFound
from imaging_fhir.fhir.notification import NotedEvent, NotificationType, Status, notification
from imaging_fhir.fhir.subscription import Wanted, header
from imaging_fhir.fhir.xml import to_xml
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.search import Query
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.addresses import Addresses
from imaging_fhir.services.resources import Resources
from imaging_fhir.services.subscriptions import Subscriptions
from imaging_fhir.storage import search, subscriptions
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction
from imaging_fhir.storage.resources import instant
from imaging_fhir.storage.subscriptions import Event

FIRST_PAUSE, LONGEST_PAUSE = 2_000, 3_600_000  # milliseconds after a failure; doubled each time
SLACK = 20_000  # milliseconds beyond the time-out that a process may take before another does
MAX_BYTES = 16 * 1024**2  # of the resources in one notification
KEPT = 7 * 24 * 3_600_000  # milliseconds that events are kept
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was sent, and up to which event it told; no messages where there was nothing to say."""

    messages: tuple[Message, ...]
    delivered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    database: Database
    resources: Resources
    subscriptions: Subscriptions
    access: AccessPolicy
    hook: RestHook
    addresses: Addresses
    last_attempt: int

    def work(self) -> bool:
        """One notification, or one move of a subscription's status; False where none is due."""
        with self.database.read() as connection:
            row = subscriptions.next_due(connection, self.database.clock())
        if row is None:
            return False
        try:
            asked = self.subscriptions.wanted(decode(row.body))
        except InvalidResource as error:
            self.settle(row, row.held_until, status="error", error=str(error))
            return True
        hold = asked.timeout * 1000 + SLACK
        until = self.database.write(lambda transaction: subscriptions.take(transaction, row, hold))
        if until is not None:
            self.act(row, asked, until)
        return True

    def act(self, row: AnyRow, asked: Wanted, until: int) -> None:
        if asked.end is not None and asked.end <= datetime.now(UTC):
            self.settle(row, until, status="off")
        elif row.status == "requested":
            self.start(row, asked, until)
        elif row.status == "active":
            self.tell(row, asked, until)
        else:
            self.settle(row, until, due=end_of(asked))

    def start(self, row: AnyRow, asked: Wanted, until: int) -> None:
        """The handshake, or where R4 knows none, a look at the address; no second try."""
        try:
            if asked.topic is None:
                self.hook.check(asked.endpoint)
            else:
                self.hook.send(self.message(row, asked, "handshake", (), {}))
        except (AddressRefused, DeliveryFailed) as error:
            self.give_up(row, asked, until, str(error))
        else:
            now = self.database.clock()
            self.settle(row, until, asked=asked, status="active", attempts=0, sent=now)

    def tell(self, row: AnyRow, asked: Wanted, until: int) -> None:
        sent = self.pending(row, asked)
        try:
            for message in sent.messages:
                self.hook.send(message)
        except AddressRefused as error:
            self.give_up(row, asked, until, str(error))
        except DeliveryFailed as error:
            self.failed(row, asked, until, str(error))
        else:
            now = self.database.clock() if sent.messages else row.sent
            done = sent.delivered
            self.settle(row, until, asked=asked, delivered=done, attempts=0, sent=now)

    def failed(self, row: AnyRow, asked: Wanted, until: int, why: str) -> None:
        attempts = row.attempts + 1
        logger.info("Subscription/%s: attempt %d failed", row.id, attempts)
        if attempts >= self.last_attempt:
            self.give_up(row, asked, until, f"{why} After {attempts} attempts no more is sent.")
            return
        pause = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
        self.settle(row, until, attempts=attempts, due=self.database.clock() + pause)

    def give_up(self, row: AnyRow, asked: Wanted, until: int, why: str) -> None:
        """Nothing more is sent until its client asks for it; its events are counted on."""
        logger.warning("Subscription/%s is in error", row.id)
        self.settle(row, until, status="error", error=why, due=end_of(asked))

    def settle(
        self,
        row: AnyRow,
        until: int,
        *,
        asked: Wanted | None = None,
        status: str | None = None,
        error: str | None = None,
        **values: int | None,
    ) -> None:
        """Note how it went, unless it is not ours any more, or a client has written it anew."""

        def unit(transaction: Transaction) -> None:
            now = subscriptions.still_held(transaction, row.rid, until)
            if now is None:
                return
            if status is not None:
                self.subscriptions.move(transaction, row, status, error)
            if asked is not None:
                now_delivered = values.get("delivered") or now.delivered
                values["due"] = next_due(now, asked, now_delivered, transaction.now, values)
            elif "due" not in values:
                values["due"] = None
            subscriptions.change(transaction, row.rid, held_until=0, **values)

        self.database.write(unit)

    def pending(self, row: AnyRow, asked: Wanted) -> Sent:
        """What is to be sent now: the next events, or a sign of life."""
        most = asked.most if asked.topic else 1
        with self.database.read() as connection:
            events = subscriptions.events(connection, row.rid, above=row.delivered, limit=most)
            if not events:
                return self.sign_of_life(row, asked)
            seen = self.visible(connection, decode_as(Caller, row.caller), events)
            if asked.topic is None:
                return self.plain(connection, asked, events[0], seen, row)
            fitting, bodies = self.bodies(connection, asked.content, events, seen)
        told = [noted(event, seen, asked.content) for event in fitting]
        message = self.message(row, asked, "event-notification", told, bodies)
        return Sent(messages=(message,), delivered=fitting[-1].number)

    def sign_of_life(self, row: AnyRow, asked: Wanted) -> Sent:
        """A heartbeat, where one is due; events that were kept too long are passed over."""
        idle = self.database.clock() - row.sent
        if asked.topic is None or not asked.heartbeat or idle < asked.heartbeat * 1000:
            return Sent(messages=(), delivered=row.events)
        return Sent(messages=(self.message(row, asked, "heartbeat", (), {}),), delivered=row.events)

    def plain(
        self,
        connection: Connection,
        asked: Wanted,
        event: Event,
        seen: set[int],
        row: AnyRow,
    ) -> Sent:
        """R4's own: an empty POST to the endpoint, or a PUT of the resource below it."""
        fixed = headers_of(row)
        if asked.content == "empty":
            message = Message(url=asked.endpoint, headers=fixed, seconds=asked.timeout)
            return Sent(messages=(message,), delivered=event.number)
        body = self.body(connection, event) if event.focus in seen else None
        if body is None:
            return Sent(messages=(), delivered=event.number)
        message = Message(
            url=f"{asked.endpoint.rstrip('/')}/{event.reference}",
            method="PUT",
            headers=fixed | content_type(asked),
            body=self.octets(decode(body), asked),
            seconds=asked.timeout,
        )
        return Sent(messages=(message,), delivered=event.number)

    def visible(self, connection: Connection, caller: Caller, events: Sequence[Event]) -> set[int]:
        """Those of what the events are about that the caller may see now."""
        restrictions = self.access.restrictions(caller)
        found: set[int] = set()
        for resource_type in {event.type for event in events}:
            rids = sorted({event.focus for event in events if event.type == resource_type})
            query = Query(resource_type=resource_type)
            found |= search.matching(connection, query, rids, restrictions=restrictions)
        return found

    def bodies(
        self, connection: Connection, content: str, events: Sequence[Event], seen: set[int]
    ) -> tuple[Sequence[Event], dict[str, bytes]]:
        """The events that fit into one notification, and their resources by Type/id.

        One always fits.
        """
        found: dict[str, bytes] = {}
        if content != "full-resource":
            return events, found
        for index, event in enumerate(events):
            if event.focus not in seen or event.reference in found:
                continue
            body = self.body(connection, event)
            if found and sum(map(len, found.values())) + len(body or b"") > MAX_BYTES:
                return events[:index], found
            if body:
                found[event.reference] = body
        return events, found

    def body(self, connection: Connection, event: Event) -> bytes | None:
        try:
            return self.resources.fetch(connection, event.type, event.id)[1]
        except (ResourceDeleted, ResourceNotFound):
            return None

    def message(
        self,
        row: AnyRow,
        asked: Wanted,
        type_: NotificationType,
        events: Sequence[NotedEvent],
        bodies: dict[str, bytes],
    ) -> Message:
        topic = asked.topic
        content = notification(
            status_of(row, topic=topic.url if topic and asked.content != "empty" else None),
            type_,
            events,
            base=self.addresses.base,
            timestamp=instant(self.database.clock()),
            bodies={name: decode(body) for name, body in bodies.items()},
        )
        return Message(
            url=asked.endpoint,
            headers=headers_of(row) | content_type(asked),
            body=self.octets(content, asked),
            seconds=asked.timeout,
        )

    def octets(self, content: Resource, asked: Wanted) -> bytes:
        body = self.addresses.served(encode(content))
        return body if asked.media_type.endswith("json") else to_xml(decode(body))

    def forget_outdated(self) -> None:
        before = self.database.clock() - KEPT
        self.database.write(partial(subscriptions.forget_events, before=before))


def next_due(
    row: AnyRow, asked: Wanted, delivered: int, now: int, values: dict[str, int | None]
) -> int | None:
    """At once where more waits; else when the heartbeat or the end is."""
    if row.events > delivered:
        return now
    moments = [end_of(asked)]
    if asked.topic is not None and asked.heartbeat:
        moments.append((values.get("sent") or max(row.sent, now)) + asked.heartbeat * 1000)
    return min((one for one in moments if one is not None), default=None)


def end_of(asked: Wanted) -> int | None:
    return None if asked.end is None else int(asked.end.timestamp() * 1000) + 1


def status_of(row: AnyRow, *, topic: str | None) -> Status:
    return Status(
        subscription=f"Subscription/{row.id}",
        status=row.status,
        topic=topic,
        events=row.events,
        error=decode(row.body).get("error"),
    )


def noted(event: Event, seen: set[int], content: str) -> NotedEvent:
    tells = content != "empty" and event.focus in seen
    return NotedEvent(
        number=event.number,
        timestamp=instant(event.occurred),
        focus=event.reference if tells else None,
        is_new=event.is_new,
    )


def headers_of(row: AnyRow) -> dict[str, str]:
    return dict(header(line, "") for line in decode_as(list[str], row.headers))


def content_type(asked: Wanted) -> dict[str, str]:
    return {"Content-Type": f"{asked.media_type};charset=utf-8"}
