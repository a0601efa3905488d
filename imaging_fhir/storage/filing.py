"""What hangs on a resource that is to be deleted."""

from sqlalchemy import Connection, select, union_all
from sqlalchemy.sql.expression import ColumnElement

from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.storage.schema import document, reference_index, resource, study, uri_index

COLUMNS: dict[str, tuple[ColumnElement[str], ColumnElement[str]]] = {
    "Patient": (study.c.patient, document.c.patient),
    "Encounter": (study.c.encounter, document.c.encounter),
}


def has_images(connection: Connection, resource_type: str, resource_id: str) -> bool:
    """Is an image filed to it that was not deleted?"""
    if resource_type not in COLUMNS:
        return False
    of_study, of_document = COLUMNS[resource_type]
    filed = [
        select(table.c.pk)
        .join(resource, resource.c.rid == table.c.rid)
        .where(column == resource_id, table.c.state == "filed", resource.c.deleted.is_(False))
        .limit(1)
        .subquery()
        for table, column in ((study, of_study), (document, of_document))
    ]
    either = union_all(*(select(part.c.pk) for part in filed))
    return connection.execute(either).first() is not None


def is_attached(connection: Connection, binary_id: str) -> bool:
    """Does a DocumentReference refer to this Binary of ours?"""
    referring = select(uri_index.c.rid).where(
        uri_index.c.parameter == "DocumentReference.location",
        uri_index.c.value == f"{BASE_PLACEHOLDER}/Binary/{binary_id}",
    )
    return connection.execute(referring).first() is not None


def a_referrer(connection: Connection, resource_type: str, resource_id: str) -> str | None:
    """One of the resources whose search index says that they refer to this one, as Type/id."""
    row = connection.execute(
        select(resource.c.type, resource.c.id)
        .join(reference_index, reference_index.c.rid == resource.c.rid)
        .where(
            reference_index.c.target_type == resource_type,
            reference_index.c.target_id == resource_id,
            resource.c.deleted.is_(False),
            (resource.c.type != resource_type) | (resource.c.id != resource_id),
        )
        .limit(1)
    ).first()
    return None if row is None else f"{row.type}/{row.id}"
