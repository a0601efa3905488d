"""What refers to a resource, by the search index."""

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.storage.schema import reference_index, resource

REFERRING = (
    select(resource.c.rid, resource.c.type, resource.c.id)
    .join(reference_index, reference_index.c.rid == resource.c.rid)
    .where(
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id == bindparam("id"),
        resource.c.deleted.is_(False),
    )
    .distinct()
    .order_by(resource.c.rid)
)


def to_patient(connection: Connection, patient_id: str) -> list[tuple[str, str]]:
    """Type and id of every resource with a reference to that Patient, oldest first."""
    rows = connection.execute(REFERRING, {"id": patient_id})
    return [(row.type, row.id) for row in rows]
