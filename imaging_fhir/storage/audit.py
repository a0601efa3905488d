"""The audit trail's rows: appended in a transaction, never changed but by erasure and retention.

A row says who and what is meant by numbers only. What these stand for, and what was searched for,
is kept apart and committed to by a salted digest: erasing a person destroys it, and the row with
its digest stays as it is, so that the chain of seals (audit_chain) holds.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import sha256
from os import urandom

from sqlalchemy import Connection, Table, delete, insert, or_, select, update

from imaging_fhir.model.audit import Agent, Event
from imaging_fhir.model.text import folded
from imaging_fhir.storage import tombstones
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import (
    audit_agent,
    audit_event,
    audit_mention,
    audit_name,
    audit_spool,
    tombstone,
)

SALT_BYTES = 16
UNNAMED = 0  # of an agent who was erased before the event came


def append(transaction: Transaction, events: Sequence[Event]) -> None:
    """In the order given; what is in it of who was erased meanwhile is left out."""
    if not events:
        return
    names = surrogates(transaction, {name for event in events for name in event.names})
    agents = agent_surrogates(transaction, {event.agent for event in events})
    transaction.execute(insert(audit_event), [row_of(one, names, agents) for one in events])
    mentioning = {one.id: one.mentions for one in events if one.mentions}
    for some in chunks(mentioning):
        found = transaction.execute(
            select(audit_event.c.pk, audit_event.c.id).where(audit_event.c.id.in_(some))
        ).all()
        values = [
            {"event": row.pk, "name": names[name]}
            for row in found
            for name in dict.fromkeys(mentioning[row.id])
            if name in names
        ]
        if values:
            transaction.execute(insert(audit_mention), values)


def row_of(
    event: Event, names: dict[str, int], agents: dict[str, int]
) -> dict[str, str | int | bytes | None]:
    is_whole = event.agent in agents and all(name in names for name in event.names)
    salt = urandom(SALT_BYTES)
    mentions = tuple(name for name in event.mentions if name in names)
    return {
        "id": event.id,
        "recorded": event.recorded,
        "kind": event.kind,
        "outcome": event.outcome,
        "status": event.status,
        "address": event.address,
        "request": event.request,
        "purposes": " ".join(event.purposes),
        "activity": event.activity,
        "agent": agents.get(event.agent, UNNAMED),
        "patient": names.get(f"Patient/{event.patient}") if event.patient else None,
        "entity": names.get(event.entity) if event.entity else None,
        "mentions": " ".join(str(names[name]) for name in mentions),
        "query": event.query if is_whole else None,
        "salt": salt if is_whole else None,
        "commitment": commitment(
            salt,
            agent=event.agent,
            patient=f"Patient/{event.patient}" if event.patient else None,
            entity=event.entity,
            mentions=mentions,
            query=event.query,
        ),
    }


def commitment(
    salt: bytes,
    *,
    agent: str,
    patient: str | None,
    entity: str | None,
    mentions: Sequence[str],
    query: str | None,
) -> bytes:
    said = json.dumps([agent, patient, entity, list(mentions), query], ensure_ascii=False)
    return sha256(salt + said.encode(errors="surrogatepass")).digest()


def surrogates(transaction: Transaction, names: Collection[str]) -> dict[str, int]:
    """The number of each name, made where there is none; none of those who were erased."""
    if not names:
        return {}
    known = numbers(transaction.connection, names)
    fresh = sorted(set(names) - known.keys())
    erased = erased_among(transaction.connection, fresh)
    values = [{"name": name} for name in fresh if name not in erased]
    return known | inserted(transaction, audit_name, values, "name")


def numbers(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    return {
        row.name: row.pk
        for some in chunks(set(names))
        for row in connection.execute(select(audit_name).where(audit_name.c.name.in_(some)))
    }


def agent_surrogates(transaction: Transaction, texts: Collection[str]) -> dict[str, int]:
    known = {
        row.text: row.pk
        for some in chunks(set(texts))
        for row in transaction.execute(
            select(audit_agent.c.pk, audit_agent.c.text).where(audit_agent.c.text.in_(some))
        )
    }
    fresh = {text: Agent.of_text(text) for text in sorted(set(texts) - known.keys())}
    users = [agent.fhir_user for agent in fresh.values() if agent.fhir_user]
    erased = erased_among(transaction.connection, users)
    values = [
        {
            "text": text,
            "name": agent.name,
            "folded": folded(agent.name),
            "fhir_user": agent.fhir_user,
            "subject": agent.subject,
            "roles": f" {' '.join(agent.roles)} ",
        }
        for text, agent in fresh.items()
        if agent.fhir_user not in erased
    ]
    return known | inserted(transaction, audit_agent, values, "text")


def inserted(
    transaction: Transaction, table: Table, values: Sequence[dict[str, str]], column: str
) -> dict[str, int]:
    """Writes are serial: nobody has inserted the same meanwhile."""
    if not values:
        return {}
    rows = transaction.execute(insert(table).returning(table.c.pk, table.c[column]), values)
    return {text: pk for pk, text in rows}


def erased_among(connection: Connection, names: Sequence[str]) -> set[str]:
    by_digest = {tombstones.digest(("resource", name)): name for name in names}
    return {
        by_digest[digest]
        for some in chunks(by_digest)
        for digest in connection.execute(
            select(tombstone.c.digest).where(tombstone.c.digest.in_(some))
        ).scalars()
    }


def erase(transaction: Transaction, names: Collection[str], mentions: Callable[[str], bool]) -> int:
    """Destroy who is meant by rows about one of these; the number of rows.

    `mentions` tells the queries that name one of them.
    """
    connection = transaction.connection
    pks = set(numbers(connection, names).values())
    agents = [
        row.pk
        for some in chunks(set(names))
        for row in connection.execute(
            select(audit_agent.c.pk).where(audit_agent.c.fhir_user.in_(some))
        )
    ]
    events = of_names(connection, pks) | of_agents(connection, agents)
    asked = select(audit_event.c.pk, audit_event.c.query).where(audit_event.c.query.is_not(None))
    events |= {row.pk for row in connection.execute(asked) if mentions(row.query)}
    for some in chunks(events):
        transaction.execute(
            update(audit_event).where(audit_event.c.pk.in_(some)).values(query=None, salt=None)
        )
    for some in chunks(pks):
        transaction.execute(delete(audit_mention).where(audit_mention.c.name.in_(some)))
        transaction.execute(delete(audit_name).where(audit_name.c.pk.in_(some)))
    for some in chunks(agents):
        transaction.execute(delete(audit_agent).where(audit_agent.c.pk.in_(some)))
    return len(events)


def of_names(connection: Connection, pks: Collection[int]) -> set[int]:
    """The rows that are about one of them."""
    return {
        pk
        for some in chunks(pks)
        for found in (
            select(audit_event.c.pk).where(
                or_(audit_event.c.patient.in_(some), audit_event.c.entity.in_(some))
            ),
            select(audit_mention.c.event).where(audit_mention.c.name.in_(some)),
        )
        for pk in connection.execute(found).scalars()
    }


def of_agents(connection: Connection, agents: Collection[int]) -> set[int]:
    return {
        pk
        for some in chunks(agents)
        for pk in connection.execute(
            select(audit_event.c.pk).where(audit_event.c.agent.in_(some))
        ).scalars()
    }


def moved(connection: Connection, spool: str) -> int:
    """How many bytes of the spool file are in the rows already."""
    found = select(audit_spool.c.moved).where(audit_spool.c.name == spool)
    return int(connection.execute(found).scalar() or 0)


def note_moved(transaction: Transaction, spool: str, until: int) -> None:
    """Writes are serial: nobody has put the row there meanwhile."""
    of_spool = audit_spool.c.name == spool
    if not transaction.execute(update(audit_spool).where(of_spool).values(moved=until)).rowcount:
        transaction.execute(insert(audit_spool).values(name=spool, moved=until))


def forget_spool(transaction: Transaction, spool: str) -> None:
    transaction.execute(delete(audit_spool).where(audit_spool.c.name == spool))
