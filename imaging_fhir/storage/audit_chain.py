"""Seals over the audit trail: each batch of rows is hashed together with the seal before it.

A batch keeps a digest of each of its rows, so that it can be told which row was changed, removed
or put in between. Who can rewrite the whole database can also rewrite all seals: the last hash,
kept elsewhere, is what shows that.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update

from imaging_fhir.storage import audit, leases
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import (
    audit_agent,
    audit_batch,
    audit_event,
    audit_mention,
    audit_name,
)

LEASE, LEASE_SECONDS = "audit-sealer", 60
AT_ONCE = 1_000
LEAF = 8 + 32  # the row's key, and its digest
BEGINNING = bytes(32)
RETENTION = "retention"
SEALED_COLUMNS = (
    "id",
    "recorded",
    "kind",
    "outcome",
    "status",
    "address",
    "request",
    "purposes",
    "activity",
    "agent",
    "patient",
    "entity",
    "mentions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    where: str  # a batch, or a row by its number
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    batches: int = 0
    rows: int = 0  # sealed, and still there
    unsealed: int = 0
    erased: int = 0  # rows whose meaning was destroyed
    removed: int = 0  # batches whose rows were removed when their time was over
    head: str = ""  # NUMBER:HASH of the last batch
    faults: tuple[Fault, ...] = ()


def leaf(row: AnyRow) -> bytes:
    said = [getattr(row, name) for name in SEALED_COLUMNS]
    text = json.dumps([*said, bytes(row.commitment).hex()], ensure_ascii=False)
    return sha256(text.encode(errors="surrogatepass")).digest()


def seal_of(number: int, sealed: int, previous: bytes, leaves: bytes) -> bytes:
    return sha256(f"{number} {sealed} ".encode() + previous + leaves).digest()


def take(transaction: Transaction, holder: str) -> bool:
    """Be the one sealer, or go on being it."""
    name, seconds = LEASE, LEASE_SECONDS
    return leases.renew(transaction, name, holder, seconds=seconds) or leases.take(
        transaction, name, holder, seconds=seconds
    )


def seal(transaction: Transaction, holder: str) -> int:
    """Seal the next rows; how many. Only one process at a time does, all others seal nothing."""
    if not take(transaction, holder):
        return 0
    last = last_batch(transaction.connection)
    after = 0 if last is None else last.last
    rows = transaction.execute(
        select(audit_event)
        .where(audit_event.c.pk > after)
        .order_by(audit_event.c.pk)
        .limit(AT_ONCE)
    ).all()
    if not rows:
        return 0
    number = 1 if last is None else last.number + 1
    previous = BEGINNING if last is None else bytes(last.hash)
    leaves = b"".join(row.pk.to_bytes(8) + leaf(row) for row in rows)
    batch = {
        "number": number,
        "first": rows[0].pk,
        "last": rows[-1].pk,
        "sealed": transaction.now,
        "previous": previous,
        "leaves": leaves,
        "hash": seal_of(number, transaction.now, previous, leaves),
    }
    transaction.execute(insert(audit_batch), batch)
    return len(rows)


def last_batch(connection: Connection) -> AnyRow | None:
    return connection.execute(
        select(audit_batch).order_by(audit_batch.c.number.desc()).limit(1)
    ).first()


def head_of(batch: AnyRow | None) -> str:
    return "" if batch is None else f"{batch.number}:{bytes(batch.hash).hex()}"


def verify(connection: Connection, *, head: str = "") -> Verified:
    """Every seal, every row, and every commitment of which the meaning is still there.

    `head` is one that was noted earlier.
    """
    faults: list[Fault] = []
    batches = rows = erased = removed = after = before = 0
    previous = BEGINNING
    heads: list[str] = []
    claimed = removed_by_retention(connection)
    numbers = connection.execute(
        select(audit_batch.c.number).order_by(audit_batch.c.number)
    ).scalars()
    for number in numbers.all():
        batch = connection.execute(select(audit_batch).where(audit_batch.c.number == number)).one()
        where = f"batch {number}"
        if number != before + 1:
            faults.append(Fault(where=where, what="the batch before it is missing"))
        if bytes(batch.previous) != previous:
            faults.append(Fault(where=where, what="it does not follow the batch before it"))
        if batch.first <= after:
            faults.append(Fault(where=where, what="its rows overlap those of the batch before it"))
        if batch.leaves is None:
            removed += 1
            if number > claimed:
                faults.append(Fault(where=where, what="its rows were removed before their time"))
        else:
            found, gone = look_at(connection, batch, after, faults)
            rows += found
            erased += gone
        batches += 1
        previous, after, before = bytes(batch.hash), batch.last, number
        heads.append(head_of(batch))
    if head and head not in heads:
        faults.append(Fault(where=f"batch {head.partition(':')[0]}", what="it is not as noted"))
    unsealed = connection.execute(
        select(func.count()).select_from(audit_event).where(audit_event.c.pk > after)
    ).scalar_one()
    return Verified(
        batches=batches,
        rows=rows,
        unsealed=unsealed,
        erased=erased,
        removed=removed,
        head=heads[-1] if heads else "",
        faults=tuple(faults),
    )


def look_at(
    connection: Connection, batch: AnyRow, after: int, faults: list[Fault]
) -> tuple[int, int]:
    """What is wrong with a batch and its rows; how many there are, and how many were erased."""
    where, leaves = f"batch {batch.number}", bytes(batch.leaves)
    if seal_of(batch.number, batch.sealed, bytes(batch.previous), leaves) != bytes(batch.hash):
        faults.append(Fault(where=where, what="its seal is not that of its rows"))
    expected = dict(leaves_of(leaves))
    rows = connection.execute(
        select(audit_event)
        .where(audit_event.c.pk > after, audit_event.c.pk <= batch.last)
        .order_by(audit_event.c.pk)
    ).all()
    meanings = Meanings.of(connection, rows)
    for row in rows:
        if row.pk not in expected:
            faults.append(Fault(where=f"row {row.pk}", what="it was put in after the seal"))
        elif leaf(row) != expected[row.pk]:
            faults.append(Fault(where=f"row {row.pk}", what="it was changed"))
        elif row.salt is not None and not meanings.are_kept(row):
            faults.append(Fault(where=f"row {row.pk}", what="who or what is meant was changed"))
    for pk in expected.keys() - {row.pk for row in rows}:
        faults.append(Fault(where=f"row {pk}", what="it was removed"))
    return len(rows), sum(row.salt is None for row in rows)


def leaves_of(leaves: bytes) -> Iterator[tuple[int, bytes]]:
    for start in range(0, len(leaves), LEAF):
        yield int.from_bytes(leaves[start : start + 8]), leaves[start + 8 : start + LEAF]


@dataclass(frozen=True, slots=True)
class Meanings:
    """What the numbers in some rows stand for."""

    names: dict[int, str]
    agents: dict[int, str]

    @classmethod
    def of(cls, connection: Connection, rows: Sequence[AnyRow]) -> "Meanings":
        numbers = {
            number
            for row in rows
            for number in (row.patient, row.entity, *map(int, row.mentions.split()))
            if number is not None
        }
        agents = {row.agent for row in rows}
        return cls(
            names={
                row.pk: row.name
                for some in chunks(numbers)
                for row in connection.execute(select(audit_name).where(audit_name.c.pk.in_(some)))
            },
            agents={
                row.pk: row.text
                for some in chunks(agents)
                for row in connection.execute(
                    select(audit_agent.c.pk, audit_agent.c.text).where(audit_agent.c.pk.in_(some))
                )
            },
        )

    def are_kept(self, row: AnyRow) -> bool:
        mentions = [int(number) for number in row.mentions.split()]
        numbers = {row.patient, row.entity, *mentions} - {None}
        if row.agent not in self.agents or not numbers <= self.names.keys():
            return False
        said = audit.commitment(
            bytes(row.salt),
            agent=self.agents[row.agent],
            patient=self.names.get(row.patient),
            entity=self.names.get(row.entity),
            mentions=[self.names[number] for number in mentions],
            query=row.query,
        )
        return said == bytes(row.commitment)


def removed_by_retention(connection: Connection) -> int:
    """The last batch whose removal is itself in the trail."""
    said = connection.execute(
        select(audit_event.c.query).where(audit_event.c.kind == RETENTION)
    ).scalars()
    return max((int(text.rpartition(" ")[2]) for text in said if text), default=0)


def outdated(connection: Connection, before: int) -> int:
    """The last batch that was sealed before that time and still has its rows; 0: there is none."""
    found = connection.execute(
        select(func.max(audit_batch.c.number)).where(
            audit_batch.c.sealed < before, audit_batch.c.leaves.is_not(None)
        )
    ).scalar()
    return found or 0


def remove(transaction: Transaction, until: int) -> int:
    """The rows of the batches up to that one; their seals stay, for those after them."""
    last = transaction.execute(
        select(audit_batch.c.last).where(audit_batch.c.number == until)
    ).scalar_one()
    transaction.execute(delete(audit_mention).where(audit_mention.c.event <= last))
    gone = transaction.execute(delete(audit_event).where(audit_event.c.pk <= last)).rowcount
    transaction.execute(
        update(audit_batch).where(audit_batch.c.number <= until).values(leaves=None)
    )
    in_use = exists().where(
        or_(audit_event.c.patient == audit_name.c.pk, audit_event.c.entity == audit_name.c.pk)
    )
    mentioned = exists().where(audit_mention.c.name == audit_name.c.pk)
    transaction.execute(delete(audit_name).where(~in_use, ~mentioned))
    acting = exists().where(audit_event.c.agent == audit_agent.c.pk)
    transaction.execute(delete(audit_agent).where(~acting))
    return int(gone)
