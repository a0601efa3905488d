"""How far the notifications of each Subscription have come, and whose turn it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.sql import func

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import (
    commit_clock,
    outbox,
    resource,
    subscription,
    subscription_event,
)

OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    number: int
    occurred: int
    is_new: bool
    type: str  # of the resource in focus
    id: str
    focus: int

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


COLUMNS = (
    *subscription.c,
    resource.c.id,
    resource.c.version,
    resource.c.body,
)


def find(connection: Connection, rid: int) -> AnyRow | None:
    return connection.execute(select(subscription).where(subscription.c.rid == rid)).first()


def listed(connection: Connection, *, ids: Sequence[str] = (), watching: bool) -> list[AnyRow]:
    """With their resources; of those ids, where some are given, or those that hear of changes."""
    found = (
        select(*COLUMNS)
        .join(resource, resource.c.rid == subscription.c.rid)
        .where(resource.c.deleted.is_(False))
        .order_by(resource.c.rid)
    )
    if ids:
        found = found.where(resource.c.id.in_(ids))
    if watching:
        found = found.where(subscription.c.status != OFF)
    return list(connection.execute(found))


def put(
    transaction: Transaction,
    rid: int,
    *,
    known: AnyRow | None,
    status: str,
    caller: bytes,
    headers: bytes,
) -> None:
    """As a client has just written it: due at once, and the numbers of its events go on.

    What was off hears of nothing that came before.
    """
    now = transaction.now
    values: dict[str, Any] = {
        "status": status,
        "caller": caller,
        "headers": headers,
        "attempts": 0,
        "due": None if status == OFF else now,
        "held_until": 0,
    }
    if known is None:
        counts = {"events": 0, "delivered": 0, "sent": 0, "since": now}
        transaction.execute(insert(subscription).values(rid=rid, **values, **counts))
    else:
        if known.status == OFF:
            values |= {"since": now, "delivered": known.events}
        transaction.execute(update(subscription).where(subscription.c.rid == rid).values(**values))
    watch(transaction)


def forget(transaction: Transaction, rid: int) -> None:
    """Of a Subscription that was deleted."""
    transaction.execute(delete(subscription_event).where(subscription_event.c.subscription == rid))
    transaction.execute(delete(subscription).where(subscription.c.rid == rid))
    watch(transaction)


def change(transaction: Transaction, rid: int, **values: Any) -> None:
    transaction.execute(update(subscription).where(subscription.c.rid == rid).values(**values))
    if "status" in values:
        watch(transaction)


def watch(transaction: Transaction) -> None:
    """Tell every later transaction whether there is anybody to be told of changes.

    Where there is nobody, what waits in the outbox is of no use.
    """
    found = exists(select(subscription.c.rid).where(subscription.c.status != OFF))
    watching = bool(transaction.execute(select(found)).scalar_one())
    if watching != transaction.watching:
        transaction.execute(update(commit_clock).values(watching=watching))
        transaction.watching = watching
    if not watching:
        transaction.execute(delete(outbox))


def next_due(connection: Connection, now: int) -> AnyRow | None:
    """The one that is due longest and that nobody works on."""
    return connection.execute(
        select(*COLUMNS)
        .join(resource, resource.c.rid == subscription.c.rid)
        .where(subscription.c.due <= now, subscription.c.held_until <= now)
        .order_by(subscription.c.due)
        .limit(1)
    ).first()


def take(transaction: Transaction, row: AnyRow, milliseconds: int) -> int | None:
    """Have it for ourselves for so long; None where another was quicker.

    The answer is what says that it is still ours.
    """
    until = transaction.now + milliseconds
    taken = transaction.execute(
        update(subscription)
        .where(subscription.c.rid == row.rid, subscription.c.held_until == row.held_until)
        .where(subscription.c.due.is_not(None))
        .values(held_until=until)
    )
    return until if taken.rowcount else None


def still_held(transaction: Transaction, rid: int, until: int) -> AnyRow | None:
    """The row as it is now; None where it is not ours any more, or a client has written it."""
    row = find(transaction.connection, rid)
    return row if row is not None and row.held_until == until else None


def add_event(transaction: Transaction, rid: int, change: AnyRow, *, is_new: bool) -> None:
    """The next number; where nothing has failed, it is due at once."""
    row = transaction.execute(
        update(subscription)
        .where(subscription.c.rid == rid)
        .values(events=subscription.c.events + 1)
        .returning(subscription.c.events, subscription.c.attempts, subscription.c.status)
    ).one()
    transaction.execute(
        insert(subscription_event).values(
            subscription=rid,
            number=row.events,
            focus=change.rid,
            is_new=is_new,
            occurred=change.last,
        )
    )
    if row.status == "active" and not row.attempts:
        change_due(transaction, rid, transaction.now)


def change_due(transaction: Transaction, rid: int, due: int) -> None:
    transaction.execute(update(subscription).where(subscription.c.rid == rid).values(due=due))


def events(
    connection: Connection, rid: int, *, above: int, until: int | None = None, limit: int
) -> list[Event]:
    """With a number higher than `above`, in their order."""
    found = (
        select(subscription_event, resource.c.type, resource.c.id)
        .join(resource, resource.c.rid == subscription_event.c.focus)
        .where(subscription_event.c.subscription == rid, subscription_event.c.number > above)
        .order_by(subscription_event.c.number)
        .limit(limit)
    )
    if until is not None:
        found = found.where(subscription_event.c.number <= until)
    return [
        Event(
            number=row.number,
            occurred=row.occurred,
            is_new=row.is_new,
            type=row.type,
            id=row.id,
            focus=row.focus,
        )
        for row in connection.execute(found)
    ]


def forget_events(transaction: Transaction, *, before: int) -> None:
    transaction.execute(delete(subscription_event).where(subscription_event.c.occurred < before))


def count(connection: Connection) -> int:
    """Of those that hear of changes."""
    found = select(func.count()).select_from(subscription).where(subscription.c.status != OFF)
    return int(connection.execute(found).scalar_one())
