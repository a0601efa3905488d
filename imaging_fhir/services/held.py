"""The Task of a held image: opened when it is held, completed when it is dealt with."""

from collections.abc import Mapping
from datetime import UTC, datetime

from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.task import HELD, WAIT, held_task
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Link
from imaging_fhir.storage import resources
from imaging_fhir.storage.database import Transaction


def open_task(
    transaction: Transaction,
    resource_id: str,
    link: Link,
    about: Mapping[str, str | int | None],
    *,
    priority: str = "routine",
    code: Resource = HELD,
    focus: Resource | None = None,
    status: str = "requested",
) -> int:
    """The row of the Task that says what is held, by which rule, and what its file says."""
    task = held_task(
        rule=link.patient_rule,
        reason=link.patient_reason,
        facts=about,
        authored_on=datetime.fromtimestamp(transaction.now // 1000, UTC),
        priority=priority,
        code=WAIT if link.ehr == "waiting" else code,
        focus=focus,
        status=status,
    )
    entries = index_entries("Task", task)
    return resources.put(transaction, "Task", resource_id, task, entries).rid


def complete_task(transaction: Transaction, rid: int) -> None:
    """The held item is dealt with; it may have been deleted meanwhile."""
    if resources.find_by_rid(transaction.connection, rid).deleted:
        return
    task = resources.content_of(transaction.connection, rid)
    task["status"] = "completed"
    resources.put(transaction, "Task", task["id"], task, index_entries("Task", task))


def hold_on(transaction: Transaction, rid: int, link: Link) -> None:
    """What waited for the EHR is for people to decide now: the Task says why."""
    task = resources.content_of(transaction.connection, rid)
    held = held_task(
        rule=link.patient_rule,
        reason=link.patient_reason,
        facts={},
        authored_on=datetime.fromtimestamp(transaction.now // 1000, UTC),
    )
    task.pop("businessStatus", None)
    task |= {name: held[name] for name in ("code", "reasonCode", "lastModified")}
    resources.put(transaction, "Task", task["id"], task, index_entries("Task", task))
