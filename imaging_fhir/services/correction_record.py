"""What is written of each correction, in its own transaction: a Provenance and an AuditEvent."""

from collections.abc import Sequence
from datetime import UTC, datetime

from imaging_fhir.fhir.provenance import provenance
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.audit import Agent, Event, agent_text
from imaging_fhir.model.caller import Caller
from imaging_fhir.storage import audit, resources
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.resources import StoredResource


def record(
    transaction: Transaction,
    resource_id: str,
    activity: str,
    *,
    targets: Sequence[str],
    revised: Sequence[str],
    reason: str | None,
    caller: Caller,
    patient: str | None = None,
    agent: str | None = None,
) -> StoredResource:
    """The Provenance; the AuditEvent has the same id. `patient` is whose the targets are now.

    `agent` is who did it, where that is not the caller.
    """
    recorded = datetime.fromtimestamp(transaction.now / 1000, UTC)
    is_caller = agent is None
    agent = agent or named(caller)
    about = tuple(dict.fromkeys((*targets, patient) if patient else targets))
    owners = [name for name in about if name.startswith("Patient/")]
    event = Event(
        id=resource_id,
        recorded=transaction.now,
        kind="correct",
        activity=activity,
        agent=agent_text(caller) if is_caller else Agent(name=agent).text,
        address="" if caller.internal else caller.address,
        purposes=tuple(sorted(caller.purposes)),
        patient=owners[0].partition("/")[2] if owners else None,
        entity=targets[0] if targets else None,
        mentions=about[1:] if targets else about,
    )
    audit.append(transaction, [event])
    content = provenance(
        activity,
        targets=targets,
        recorded=recorded,
        agent=agent,
        reason=reason,
        revised=revised,
    )
    entries = index_entries("Provenance", content)
    return resources.put(transaction, "Provenance", resource_id, content, entries)


def named(caller: Caller) -> str:
    """Who it is as their token says, and by which client; without one, where they are."""
    if not caller.issuer:
        return f"Caller at {caller.address}"
    who = caller.fhir_user or caller.subject
    return f"{who} by {caller.client_id}" if caller.client_id not in ("", who) else who
