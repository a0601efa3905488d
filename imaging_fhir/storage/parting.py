"""Some instances of a study row into a row of their own."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import dicom_json, instance, series, study, study_identity

SAID = (
    select(
        instance.c.pk,
        instance.c.series,
        instance.c.source,
        instance.c.instance_number,
        instance.c.sop_instance_uid,
        series.c.series_number,
        series.c.series_instance_uid,
        dicom_json.c.body,
    )
    .join(series, series.c.pk == instance.c.series)
    .join(dicom_json, dicom_json.c.instance == instance.c.pk)
    .where(series.c.study == bindparam("study"))
    .order_by(instance.c.pk)
)


def names_several(connection: Connection, study_pk: int) -> bool:
    """Did instances that name people in several ways come to this row?"""
    query = (
        select(func.count()).select_from(study_identity).where(study_identity.c.study == study_pk)
    )
    return bool(connection.execute(query).scalar_one() > 1)


def of_several(connection: Connection, patients: Collection[str]) -> list[int]:
    """Keys of the filed studies of these patients to which people named in several ways came."""
    query = (
        select(study.c.pk)
        .join(study_identity, study_identity.c.study == study.c.pk)
        .where(study.c.patient.in_(patients), study.c.state == "filed")
        .group_by(study.c.pk)
        .having(func.count() > 1)
    )
    return sorted(connection.execute(query).scalars())


def instances(connection: Connection, study_pk: int) -> Sequence[AnyRow]:
    """Each with its compressed DICOM JSON."""
    return connection.execute(SAID, {"study": study_pk}).all()


def move(transaction: Transaction, pks: Collection[int], into: int) -> None:
    """These instances to that series row."""
    ordered = sorted(pks)
    for start in range(0, len(ordered), 500):
        some = ordered[start : start + 500]
        transaction.execute(update(instance).where(instance.c.pk.in_(some)).values(series=into))


def drop_empty_series(transaction: Transaction, study_pk: int) -> None:
    transaction.execute(
        delete(series).where(
            series.c.study == study_pk, ~exists().where(instance.c.series == series.c.pk)
        )
    )


def forget_identities(transaction: Transaction, study_pk: int) -> None:
    """Whoever comes next for the study is judged anew."""
    transaction.execute(delete(study_identity).where(study_identity.c.study == study_pk))
