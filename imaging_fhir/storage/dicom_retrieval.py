"""The instances that DICOMweb serves: those of studies that are filed and not deleted."""

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.model.search import Restrictions
from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import blob, dicom_json, instance, resource, series, study
from imaging_fhir.storage.search_conditions import Conditions

KEYS = (instance.c.pk, series.c.series_instance_uid, instance.c.sop_instance_uid)
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
    *,
    keys_only: bool = False,
) -> Sequence[AnyRow]:
    """Instances of the study, or of one series of it, or the one, in the order of their numbers.

    `keys_only`: no more than which they are, as KEYS.
    """
    found = statement(
        series_instance_uid is not None, sop_instance_uid is not None, keys_only=keys_only
    )
    return found.all(
        connection, study=study_instance_uid, series=series_instance_uid, sop=sop_instance_uid
    )


@lru_cache(maxsize=8)
def statement(of_series: bool, of_instance: bool, *, keys_only: bool) -> Prepared:
    query = VISIBLE.with_only_columns(*KEYS) if keys_only else VISIBLE
    query = query.where(study.c.study_instance_uid == bindparam("study"))
    if of_series:
        query = query.where(series.c.series_instance_uid == bindparam("series"))
    if of_instance:
        query = query.where(instance.c.sop_instance_uid == bindparam("sop"))
    return Prepared(query)


def is_open(connection: Connection, study_instance_uid: str, restrictions: Restrictions) -> bool:
    """Is the study here, and its ImagingStudy open to whom the restrictions are for?"""
    conditions = Conditions(connection.dialect.name, restrictions)
    found = select(study.c.pk).join(resource, resource.c.rid == study.c.rid)
    wanted = found.where(
        study.c.study_instance_uid == study_instance_uid,
        conditions.of(resource, "ImagingStudy", (), driven=False),
    )
    return connection.execute(wanted).first() is not None


def dicom_json_of(connection: Connection, pks: Sequence[int]) -> dict[int, bytes]:
    """The zlib-compressed DICOM JSON of instances, by their key."""
    rows = connection.execute(select(dicom_json).where(dicom_json.c.instance.in_(pks)))
    return {row.instance: row.body for row in rows}
