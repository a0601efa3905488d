"""Patients, visits and orders as linking looks them up: by identifier, by id, by patient."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import local_id
from imaging_fhir.model.text import folded, index_key
from imaging_fhir.storage.resources import find, find_content
from imaging_fhir.storage.schema import reference_index, resource, token_index

BY_IDENTIFIER = (
    select(resource.c.body, token_index.c.value)
    .join(token_index, token_index.c.rid == resource.c.rid)
    .where(
        token_index.c.parameter == bindparam("parameter"),
        token_index.c.folded == bindparam("folded"),
        token_index.c.system == bindparam("system"),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)
REFERRING = (
    select(resource.c.body)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id == bindparam("patient"),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)
OF_PATIENT = REFERRING.where(reference_index.c.parameter == "Encounter.subject")
LINKED_TO = REFERRING.where(reference_index.c.parameter == "Patient.link")

ORDERS_AT = (
    select(resource.c.id)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == "ServiceRequest.encounter",
        reference_index.c.target_type == "Encounter",
        reference_index.c.target_id == bindparam("encounter"),
        resource.c.deleted.is_(False),
    )
)
OF_FOCUS = (
    select(resource.c.rid, resource.c.body)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == "Task.focus",
        reference_index.c.target_type == bindparam("type"),
        reference_index.c.target_id == bindparam("id"),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)


def resources_with(
    connection: Connection, resource_type: str, numbers: Iterable[tuple[str, str]]
) -> list[Resource]:
    """Resources of that type with one of the identifiers (system, value), spelled exactly so."""
    found: dict[str, Resource] = {}
    for system, value in numbers:
        rows = connection.execute(
            BY_IDENTIFIER,
            {
                "parameter": f"{resource_type}.identifier",
                "folded": index_key(folded(value)),
                "system": index_key(system),
            },
        )
        for row in rows:
            if row.value == value:
                body = decode(row.body)
                found[body["id"]] = body
    return list(found.values())


def resolve_patient(connection: Connection, patient_id: str) -> Resource | None:
    """The Patient that this id stands for today: merges (link replaced-by) are followed.

    One whose successor is not here stands for themself; of a loop, the first by id for all.
    """
    return today(partial(find_content, connection, "Patient"), patient_id)


def today(find: Callable[[str], Resource | None], patient_id: str) -> Resource | None:
    chain: dict[str, Resource] = {}
    patient = find(patient_id)
    while patient is not None and patient["id"] not in chain:
        chain[patient["id"]] = patient
        patient = find(successor_of(patient))
    if patient is None:
        return next(reversed(chain.values()), None)
    ids = list(chain)
    return chain[min(ids[ids.index(patient["id"]) :])]


def resolve_patients(connection: Connection, ids: Iterable[str]) -> dict[str, Resource]:
    """The same of many by one statement, and one more for each merge in a row."""
    found: dict[str, Resource] = {}
    asked: set[str] = set()
    sought = fresh = set(ids)
    while fresh:
        patients = contents(connection, "Patient", fresh)
        found |= patients
        asked |= fresh
        fresh = {successor_of(patient) for patient in patients.values()} - {""} - asked
    resolved = {id_: today(found.get, id_) for id_ in sought}
    return {id_: patient for id_, patient in resolved.items() if patient is not None}


def contents(
    connection: Connection, resource_type: str, ids: Collection[str]
) -> dict[str, Resource]:
    """Of the resources that are here, by id."""
    wanted = select(resource.c.id, resource.c.body).where(
        resource.c.type == resource_type,
        resource.c.id.in_(ids),
        resource.c.deleted.is_(False),
        resource.c.body.is_not(None),
    )
    return {row.id: decode(row.body) for row in connection.execute(wanted)}


def successor_of(patient: Resource) -> str:
    """Id of the Patient here that this one was replaced by; empty for none."""
    for link in patient.get("link", ()):
        if link.get("type") == "replaced-by":
            return local_id(link.get("other"), "Patient") or ""
    return ""


def predecessors(connection: Connection, patient_id: str) -> dict[str, Resource]:
    """The Patients whose place this one has taken, by id."""
    found: dict[str, Resource] = {}
    successors = [patient_id]
    for successor in successors:
        for row in connection.execute(LINKED_TO, {"patient": successor}):
            patient = decode(row.body)
            if successor_of(patient) == successor and patient["id"] not in (patient_id, *found):
                found[patient["id"]] = patient
                successors.append(patient["id"])
    return found


def encounters_of(
    connection: Connection, *, patient: str | None = None, ids: Sequence[str] = ()
) -> list[Resource]:
    """The visits of a patient, old numbers of theirs included, or those with the ids known."""
    if patient is not None:
        return [
            decode(row.body)
            for one in (patient, *predecessors(connection, patient))
            for row in connection.execute(OF_PATIENT, {"patient": one})
        ]
    stored = [find(connection, "Encounter", encounter_id) for encounter_id in ids]
    return [decode(found.body) for found in stored if found is not None and found.body is not None]


def tasks_about(connection: Connection, reference: str) -> dict[int, Resource]:
    """The Tasks whose focus is that resource, by their row, whatever their status."""
    resource_type, _, resource_id = reference.partition("/")
    rows = connection.execute(OF_FOCUS, {"type": resource_type, "id": resource_id})
    return {row.rid: decode(row.body) for row in rows}


def orders_at(connection: Connection, encounter_id: str) -> list[str]:
    """Ids of the ServiceRequests that name this Encounter."""
    return [row.id for row in connection.execute(ORDERS_AT, {"encounter": encounter_id})]
