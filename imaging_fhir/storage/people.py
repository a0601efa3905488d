"""Patients, visits and orders as linking looks them up: by identifier, by id, by patient."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.text import folded
from imaging_fhir.storage.resources import find
from imaging_fhir.storage.schema import reference_index, resource, token_index

LONGEST_CHAIN = 20  # of Patient.link; a longer one is a loop

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
OF_PATIENT = (
    select(resource.c.body)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.parameter == "Encounter.subject",
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id == bindparam("patient"),
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
                "folded": folded(value),
                "system": system,
            },
        )
        for row in rows:
            if row.value == value:
                body = decode(row.body)
                found[body["id"]] = body
    return list(found.values())


def resolve_patient(connection: Connection, patient_id: str) -> Resource | None:
    """The Patient that this id stands for today: merges (link replaced-by) are followed."""
    for _ in range(LONGEST_CHAIN):
        stored = find(connection, "Patient", patient_id)
        if stored is None or stored.body is None:
            return None
        patient: Resource = decode(stored.body)
        successor = next(
            (
                link.get("other", {}).get("reference", "")
                for link in patient.get("link", ())
                if link.get("type") == "replaced-by"
            ),
            "",
        )
        if not successor:
            return patient
        patient_id = successor.rpartition("/")[2]
    return None


def encounters_of(
    connection: Connection, *, patient: str | None = None, ids: Sequence[str] = ()
) -> list[Resource]:
    """The visits of a patient, or those with the ids that are known."""
    if patient is not None:
        return [decode(row.body) for row in connection.execute(OF_PATIENT, {"patient": patient})]
    stored = [find(connection, "Encounter", encounter_id) for encounter_id in ids]
    return [decode(found.body) for found in stored if found is not None and found.body is not None]
