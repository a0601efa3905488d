"""What a transaction changed, as events of its own: nothing is written without one."""

import re
import zlib
from collections.abc import Sequence
from os import urandom

from sqlalchemy import Connection, bindparam, or_, select

from imaging_fhir.model.audit import Event, Origin, agent_text
from imaging_fhir.model.change import Change
from imaging_fhir.storage import audit
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import reference_index, resource, version

PATIENT = "Patient"
REFERENCE = re.compile(rb'"Patient/([A-Za-z0-9\-.]{1,64})"')
OWNED_BY = tuple(f"%.{name}" for name in ("patient", "subject"))
RESOURCES = select(
    resource.c.rid, resource.c.type, resource.c.id, resource.c.version, resource.c.last_updated
).where(resource.c.rid.in_(bindparam("rids", expanding=True)))
OWNERS = select(reference_index.c.rid, reference_index.c.target_id).where(
    reference_index.c.rid.in_(bindparam("rids", expanding=True)),
    reference_index.c.target_type == PATIENT,
    or_(*(reference_index.c.parameter.like(ending) for ending in OWNED_BY)),
)
FORMER = (
    select(version.c.rid, version.c.body)
    .join(resource, resource.c.rid == version.c.rid)
    .where(
        version.c.rid.in_(bindparam("rids", expanding=True)),
        version.c.version == resource.c.version - 1,
        version.c.body.is_not(None),
    )
)


def write(transaction: Transaction, origin: Origin) -> None:
    """An event for each resource that the unit at hand has changed."""
    changed: dict[int, Change] = {}
    for rid, _, change in transaction.changes or ():
        changed[rid] = changed.get(rid, Change(0)) | change
    events = [
        event_of(transaction, origin, row, changed[row.rid], owner)
        for row, owner in owned(transaction.connection, changed)
    ]
    audit.append(transaction, events)
    if events:
        transaction.after_commit.append(origin.note)


def event_of(
    transaction: Transaction, origin: Origin, row: AnyRow, change: Change, patient: str | None
) -> Event:
    caller = origin.caller
    return Event(
        id=new_id(),
        recorded=transaction.now,
        kind=kind_of(change),
        agent=agent_text(caller),
        address="" if caller.internal else caller.address,
        request=origin.request,
        purposes=tuple(sorted(caller.purposes)),
        patient=patient,
        entity=f"{row.type}/{row.id}",
    )


def kind_of(change: Change) -> str:
    if change & Change.DELETED:
        return "delete"
    if change & Change.CREATED:
        return "create"
    return "move" if change & Change.MOVED else "update"


def owned(connection: Connection, changed: dict[int, Change]) -> list[tuple[AnyRow, str | None]]:
    """The resources, each with the id of the Patient whose it is, or was until it was deleted."""
    found: list[tuple[AnyRow, str | None]] = []
    for some in chunks(changed):
        owners = {row.rid: row.target_id for row in connection.execute(OWNERS, {"rids": some})}
        gone = [rid for rid in some if changed[rid] & Change.DELETED]
        owners |= former_owners(connection, gone)
        found += [
            (row, row.id if row.type == PATIENT else owners.get(row.rid))
            for row in connection.execute(RESOURCES, {"rids": some})
        ]
    return found


def former_owners(connection: Connection, rids: Sequence[int]) -> dict[int, str]:
    if not rids:
        return {}
    owners: dict[int, str] = {}
    for row in connection.execute(FORMER, {"rids": rids}):
        named = REFERENCE.search(zlib.decompress(row.body))
        if named:
            owners[row.rid] = named[1].decode()
    return owners


def new_id() -> str:
    return urandom(16).hex()
