"""Filed studies and instances as they are compared with their resources and their bytes."""

import zlib

from sqlalchemy import Connection, delete, insert, select

from imaging_fhir.storage import resources
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.schema import blob, dicom_json, instance, resource, series, study

PAGE = 100
FILED = (
    select(study.c.pk, resource.c.id)
    .join(resource, resource.c.rid == study.c.rid)
    .where(study.c.state == "filed", ~resource.c.deleted)
)
OF_FILED = (
    select(*resources.COLUMNS)
    .join(study, study.c.rid == resource.c.rid)
    .where(study.c.state == "filed", ~resource.c.deleted)
)
UIDS = select(series.c.series_instance_uid, instance.c.sop_instance_uid).join(
    instance, instance.c.series == series.c.pk
)
INSTANCES = (
    select(
        instance.c.pk,
        instance.c.sop_instance_uid,
        series.c.series_instance_uid,
        study.c.study_instance_uid,
        blob.c.sha256,
        blob.c.size,
        blob.c.generation,
        dicom_json.c.body,
    )
    .join(series, series.c.pk == instance.c.series)
    .join(study, study.c.pk == series.c.study)
    .join(blob, blob.c.pk == instance.c.blob)
    .join(dicom_json, dicom_json.c.instance == instance.c.pk, isouter=True)
)


def filed_studies(connection: Connection, *, after: int) -> list[AnyRow]:
    """A page of (pk, id of the ImagingStudy), in the order of their rows."""
    rows = FILED.where(study.c.pk > after).order_by(study.c.pk).limit(PAGE)
    return list(connection.execute(rows))


def resource_of(connection: Connection, study_pk: int) -> StoredResource | None:
    """None where it is filed no more."""
    row = connection.execute(OF_FILED.where(study.c.pk == study_pk)).first()
    return None if row is None else resources.stored(row)


def uids_of(connection: Connection, study_pk: int) -> dict[str, set[str]]:
    """Of each series its instances."""
    found: dict[str, set[str]] = {}
    for row in connection.execute(UIDS.where(series.c.study == study_pk)):
        found.setdefault(row.series_instance_uid, set()).add(row.sop_instance_uid)
    return found


def instances(connection: Connection, *, after: int) -> list[AnyRow]:
    """A page of all instances, the held ones too, with what is served of each as metadata."""
    rows = INSTANCES.where(instance.c.pk > after).order_by(instance.c.pk).limit(PAGE)
    return list(connection.execute(rows))


def metadata_of(row: AnyRow) -> bytes | None:
    """The DICOM JSON of one of those rows; None where there is none, or it is damaged."""
    try:
        return None if row.body is None else zlib.decompress(row.body)
    except zlib.error:
        return None


def replace_metadata(transaction: Transaction, *, instance_pk: int, json: bytes) -> None:
    transaction.execute(delete(dicom_json).where(dicom_json.c.instance == instance_pk))
    transaction.execute(
        insert(dicom_json).values(instance=instance_pk, body=zlib.compress(json, 1))
    )
