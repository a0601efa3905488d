"""What is needed to choose the image that stands for a series or a study."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.schema import dicom_json, instance, resource, series, study

SERIES = (
    select(
        series.c.pk,
        series.c.series_instance_uid,
        series.c.modality,
        series.c.series_number,
        series.c.number_of_instances,
        series.c.picture,
    )
    .join(study, study.c.pk == series.c.study)
    .join(resource, resource.c.rid == study.c.rid)
    .where(
        study.c.study_instance_uid == bindparam("study_instance_uid"),
        study.c.state == "filed",
        ~resource.c.deleted,
    )
    .order_by(series.c.series_number.is_(None), series.c.series_number, series.c.pk)
)
INSTANCES = (
    select(
        instance.c.pk,
        instance.c.blob,
        instance.c.sop_instance_uid,
        instance.c.number_of_frames,
    )
    .where(instance.c.series == bindparam("series"))
    .order_by(
        instance.c.instance_number.is_(None),
        instance.c.instance_number,
        instance.c.sop_instance_uid,
    )
)
WITH_PIXELS = INSTANCES.where(instance.c.has_pixel_data)
OF_BLOB = INSTANCES.where(instance.c.blob == bindparam("blob")).limit(1)
DESCRIBED = select(dicom_json.c.body).where(dicom_json.c.instance == bindparam("instance"))


def visible_series(connection: Connection, study_instance_uid: str) -> Sequence[AnyRow]:
    """Those of the filed study, in the order of their numbers."""
    return connection.execute(SERIES, {"study_instance_uid": study_instance_uid}).all()


def instances_to_choose(connection: Connection, series_pk: int) -> Sequence[AnyRow]:
    """Those with pixels, or all where none has any: in the order of their numbers."""
    with_pixels = connection.execute(WITH_PIXELS, {"series": series_pk}).all()
    return with_pixels or connection.execute(INSTANCES, {"series": series_pk}).all()


def instance_of_blob(connection: Connection, series_pk: int, blob: int) -> AnyRow | None:
    return connection.execute(OF_BLOB, {"series": series_pk, "blob": blob}).first()


def described(connection: Connection, instance_pk: int) -> bytes | None:
    """The zlib-compressed DICOM JSON of the instance."""
    body = connection.execute(DESCRIBED, {"instance": instance_pk}).scalar_one_or_none()
    return None if body is None else bytes(body)
