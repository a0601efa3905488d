"""What is written of each correction, in its own transaction: a Provenance and an AuditEvent."""

from collections.abc import Sequence
from datetime import UTC, datetime

from imaging_fhir.fhir.audit_event import correction_event
from imaging_fhir.fhir.provenance import provenance
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.caller import LOCAL, Caller
from imaging_fhir.storage import resources
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
    agent = agent or f"Caller at {caller.address}"
    event = correction_event(
        activity,
        what=tuple(dict.fromkeys((*targets, patient) if patient else targets)),
        recorded=recorded,
        agent=agent,
        address=None if caller == LOCAL else caller.address,
    )
    resources.put(transaction, "AuditEvent", resource_id, event, index_entries("AuditEvent", event))
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
