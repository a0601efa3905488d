"""What refers to a resource, by the search index."""

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.storage.schema import reference_index, resource

REFERRING = (
    select(resource.c.rid, resource.c.type, resource.c.id)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.target_type == bindparam("type"),
        reference_index.c.target_id == bindparam("id"),
        resource.c.deleted.is_(False),
    )
    .distinct()
    .order_by(resource.c.rid)
)


def to_patient(connection: Connection, patient_id: str) -> list[tuple[str, str]]:
    """Type and id of every resource with a reference to that Patient, oldest first."""
    return to(connection, "Patient", patient_id)


def to(connection: Connection, resource_type: str, resource_id: str) -> list[tuple[str, str]]:
    """The same of any resource."""
    rows = connection.execute(REFERRING, {"type": resource_type, "id": resource_id})
    return [(row.type, row.id) for row in rows]
