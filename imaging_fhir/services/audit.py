"""The audit trail: what was asked for is spooled before the answer leaves, and moved later.

Writes are in it already, in their own transaction (storage.audit_writes).
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.audit import MINOR_FAILURE, SERIOUS_FAILURE, SUCCESS, Event, agent_text
from imaging_fhir.model.caller import LOCAL, Caller
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.storage import audit, audit_chain, audit_owners
from imaging_fhir.storage.audit_spool import Part, Spool, part_after
from imaging_fhir.storage.audit_writes import new_id
from imaging_fhir.storage.database import Database, Transaction

DAY = 86_400_000  # milliseconds
SEAL_SECONDS = 10.0
RETENTION_SECONDS = 3600.0
LONGEST_QUERY = 8_192
MOST_PATIENTS = 1_000
logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Asked:
    """What a request was about. `studies` are StudyInstanceUIDs, whose owners are looked up later;
    so are those of the entity where no Patient is named."""

    kind: str
    status: int = 200
    entity: str = ""
    patients: Sequence[str] = ()  # ids
    studies: Sequence[str] = ()
    query: str = ""


@dataclass(slots=True, kw_only=True)
class Audit:
    """`spool` is there where reads are audited."""

    database: Database
    spool: Spool | None
    retention_days: int = 0
    clock: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)
    holder: str = field(default_factory=lambda: uuid4().hex)
    next_seal: float = 0.0
    next_removal: float = 0.0

    @property
    def is_on(self) -> bool:
        return self.spool is not None

    def note(self, caller: Caller, asked: Asked, *, request: str) -> None:
        """Where reads are audited; raise StorageUnavailable, upon which nothing may be answered."""
        if self.spool is None:
            return
        self.spool.add(
            encode(
                (
                    new_id(),
                    self.clock(),
                    asked.kind,
                    asked.status,
                    caller.address,
                    request,
                    " ".join(sorted(caller.purposes)) if caller.purposes else "",
                    agent_text(caller),
                    asked.entity,
                    asked.patients[:MOST_PATIENTS],
                    asked.studies[:MOST_PATIENTS],
                    asked.query[:LONGEST_QUERY],
                )
            )
            + b"\n"
        )

    def record(self, event: Event) -> None:
        """One event by itself, such as an erasure by the command line."""
        self.database.write(lambda transaction: audit.append(transaction, [event]))

    def work(self) -> bool:
        """Move, seal and remove what is due; whether there was something."""
        busy = self.move()
        now = time.monotonic()
        if now >= self.next_seal:
            self.next_seal = now + SEAL_SECONDS
            busy = self.seal() or busy
        if now >= self.next_removal:
            self.next_removal = now + RETENTION_SECONDS
            self.remove_outdated()
        return busy

    def move(self) -> bool:
        """All spooled by this process and by those that ended, into the database."""
        if self.spool is None:
            return False
        found = False
        path = self.spool.path
        if path is not None:
            found = self.move_file(path)
            with self.database.read() as connection:
                moved = audit.moved(connection, path.name)
            if self.spool.is_over(moved):
                self.database.write(lambda transaction: audit.forget_spool(transaction, path.name))
        with self.spool.orphans() as orphans:
            for orphan in orphans:
                found = self.move_file(orphan) or found
                self.remove_file(orphan)
        return found

    def move_file(self, path: Path) -> bool:
        found = False
        while self.move_next(path):
            found = True
        return found

    def move_next(self, path: Path) -> bool:
        with self.database.read() as connection:
            part = part_after(path, audit.moved(connection, path.name))
        if part is None:
            return False
        return self.database.write(lambda transaction: move_part(transaction, part))

    def remove_file(self, path: Path) -> None:
        """What is left in it is no whole line, and was not answered."""
        path.unlink(missing_ok=True)
        self.database.write(lambda transaction: audit.forget_spool(transaction, path.name))

    def seal(self) -> bool:
        """All rows so far; whether there were any."""
        found = False
        while self.database.write(lambda transaction: audit_chain.seal(transaction, self.holder)):
            found = True
        return found

    def remove_outdated(self) -> int:
        """Sealed batches older than the setting; their seals stay. The rows removed."""
        if not self.retention_days:
            return 0

        def unit(transaction: Transaction) -> int:
            before = transaction.now - self.retention_days * DAY
            until = audit_chain.outdated(transaction.connection, before)
            if not until:
                return 0
            removal = Event(
                id=new_id(),
                recorded=transaction.now,
                kind="retention",
                agent=agent_text(LOCAL),
                query=f"batches up to {until}",
            )
            audit.append(transaction, [removal])
            return audit_chain.remove(transaction, until)

        return self.database.write(unit)

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()


def move_part(transaction: Transaction, part: Part) -> bool:
    """Once: another process may have moved it meanwhile."""
    if audit.moved(transaction.connection, part.name) != part.start:
        return True
    lines = [line for line in map(parsed, part.lines) if line is not None]
    audit.append(transaction, list(events_of(transaction, lines)))
    audit.note_moved(transaction, part.name, part.end)
    return True


@dataclass(frozen=True, slots=True)
class Line:
    """As `note` writes it."""

    id: str
    recorded: int
    kind: str
    status: int
    address: str
    request: str
    purposes: str
    agent: str
    entity: str
    patients: list[str]
    studies: list[str]
    query: str


def parsed(line: bytes) -> Line | None:
    """None of a line that was cut off: its request was answered 503."""
    try:
        return Line(*decode(line))
    except (InvalidRequest, TypeError):
        logger.warning("a line of the audit spool is incomplete")
        return None


def events_of(transaction: Transaction, lines: Sequence[Line]) -> Iterator[Event]:
    """One for each Patient; one for what is nobody's."""
    owners = audit_owners.of(
        transaction.connection,
        studies={uid for line in lines for uid in line.studies},
        entities={line.entity for line in lines if line.entity and not line.patients},
    )
    for line in lines:
        known = [owners.studies[uid] for uid in line.studies if uid in owners.studies]
        entity = line.entity or (known[0].reference if len(known) == 1 else "")
        if not entity and len(line.studies) == 1:
            entity = f"urn:oid:{line.studies[0]}"
        patients = dict.fromkeys(
            (
                *line.patients,
                *(study.patient for study in known if study.patient),
                *owners.entities.get(line.entity, ()),
            )
        )
        for number, patient in enumerate(patients or {"": None}):
            yield Event(
                id=line.id if not number else f"{line.id}-{number}",
                recorded=line.recorded,
                kind=line.kind,
                agent=line.agent,
                outcome=outcome_of(line.status),
                status=line.status,
                address=line.address,
                request=line.request,
                purposes=tuple(line.purposes.split()),
                patient=patient or None,
                entity=entity or None,
                query=line.query or None,
            )


def outcome_of(status: int) -> str:
    if status < 400:
        return SUCCESS
    return MINOR_FAILURE if status < 500 else SERIOUS_FAILURE
