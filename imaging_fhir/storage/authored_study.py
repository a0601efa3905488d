"""ImagingStudy resources by the StudyInstanceUID that they say."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.model.text import folded, index_key
from imaging_fhir.storage.resources import COLUMNS, StoredResource, stored
from imaging_fhir.storage.schema import resource, study, token_index

SYSTEM = "urn:dicom:uid"
WITH_UID = (
    select(*COLUMNS)
    .join(token_index, token_index.c.rid == resource.c.rid)
    .where(
        token_index.c.parameter == "ImagingStudy.identifier",
        token_index.c.folded == bindparam("folded"),
        token_index.c.system == index_key(SYSTEM),
        resource.c.deleted.is_(False),
    )
    .order_by(resource.c.rid)
)


def with_uid(connection: Connection, study_instance_uid: str) -> list[StoredResource]:
    value = index_key(folded(f"urn:oid:{study_instance_uid}"))
    return [stored(row) for row in connection.execute(WITH_UID, {"folded": value})]


def held_studies(connection: Connection, study_instance_uids: Iterable[str]) -> list[int]:
    """Keys of the study rows whose images are held."""
    rows = select(study.c.pk).where(
        study.c.study_instance_uid.in_(list(study_instance_uids)), study.c.state == "held"
    )
    return sorted(connection.execute(rows).scalars())
