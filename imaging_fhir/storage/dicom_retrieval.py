"""The instances that DICOMweb serves: those of studies that are filed and not deleted."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.schema import blob, dicom_json, instance, resource, series, study

VISIBLE = (
    select(
        instance.c.pk,
        study.c.study_instance_uid,
        study.c.patient,
        study.c.encounter,
        study.c.corrected,
        study.c.created,
        series.c.series_instance_uid,
        instance.c.sop_instance_uid,
        instance.c.sop_class_uid,
        instance.c.transfer_syntax_uid,
        instance.c.number_of_frames,
        instance.c.warnings.is_not(None).label("has_warnings"),
        blob.c.pk.label("blob_pk"),
        blob.c.sha256,
        blob.c.size,
        blob.c.generation,
    )
    .join(series, series.c.pk == instance.c.series)
    .join(study, study.c.pk == series.c.study)
    .join(resource, resource.c.rid == study.c.rid)
    .join(blob, blob.c.pk == instance.c.blob)
    .where(study.c.state == "filed", ~resource.c.deleted)
    .order_by(
        series.c.series_number.is_(None),
        series.c.series_number,
        series.c.series_instance_uid,
        instance.c.instance_number.is_(None),
        instance.c.instance_number,
        instance.c.sop_instance_uid,
    )
)


def visible_instances(
    connection: Connection,
    study_instance_uid: str,
    series_instance_uid: str | None = None,
    sop_instance_uid: str | None = None,
) -> Sequence[AnyRow]:
    """Instances of the study, or of one series of it, or the one, in the order of their numbers."""
    query = VISIBLE.where(study.c.study_instance_uid == study_instance_uid)
    if series_instance_uid is not None:
        query = query.where(series.c.series_instance_uid == series_instance_uid)
    if sop_instance_uid is not None:
        query = query.where(instance.c.sop_instance_uid == sop_instance_uid)
    return connection.execute(query).all()


def dicom_json_of(connection: Connection, pks: Sequence[int]) -> dict[int, bytes]:
    """The zlib-compressed DICOM JSON of instances, by their key."""
    rows = connection.execute(select(dicom_json).where(dicom_json.c.instance.in_(pks)))
    return {row.instance: row.body for row in rows}
