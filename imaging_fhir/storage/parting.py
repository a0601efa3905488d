"""Some instances of a study row into a row of their own."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.schema import dicom_json, instance, series, study, study_identity

SAID = (
    select(
        instance.c.pk,
        instance.c.series,
        instance.c.source,
        instance.c.instance_number,
        instance.c.sop_instance_uid,
        instance.c.fragment,
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


def rename(transaction: Transaction, renamed: Collection[tuple[int, str, bytes]]) -> None:
    """Key of an instance, its new SOP Instance UID, and its fragment with it."""
    if renamed:
        transaction.execute(
            update(instance)
            .where(instance.c.pk == bindparam("key"))
            .values(sop_instance_uid=bindparam("uid"), fragment=bindparam("with_uid")),
            [{"key": pk, "uid": uid, "with_uid": fragment} for pk, uid, fragment in renamed],
        )


def held_with_series(
    connection: Connection, study_instance_uid: str, series_instance_uid: str
) -> Sequence[AnyRow]:
    """The held rows of the study in which that series is."""
    return connection.execute(
        select(study)
        .join(series, series.c.study == study.c.pk)
        .where(
            study.c.study_instance_uid == study_instance_uid,
            study.c.state == "held",
            series.c.series_instance_uid == series_instance_uid,
        )
        .order_by(study.c.pk)
    ).all()


def held_of(connection: Connection, study_instance_uid: str) -> list[int]:
    """Keys of the held rows of the study."""
    return sorted(
        connection.execute(
            select(study.c.pk).where(
                study.c.study_instance_uid == study_instance_uid, study.c.state == "held"
            )
        ).scalars()
    )


def copy_identities(
    transaction: Transaction, study_pk: int, into: int, study_instance_uid: str
) -> None:
    """Whoever is named so belongs to that other study, too."""
    for identity in identities_of(transaction.connection, study_pk):
        transaction.execute(
            insert(study_identity),
            {"study_instance_uid": study_instance_uid, "identity": identity, "study": into},
        )


def identities_of(connection: Connection, study_pk: int) -> list[str]:
    """Whom its images name, as `study_identity` has it."""
    known = select(study_identity.c.identity).where(study_identity.c.study == study_pk)
    return sorted(connection.execute(known).scalars())


def series_beside(connection: Connection, row: AnyRow) -> set[str]:
    """UIDs of the series in other rows of the same study."""
    others = (
        select(series.c.series_instance_uid)
        .join(study, study.c.pk == series.c.study)
        .where(study.c.study_instance_uid == row.study_instance_uid, study.c.pk != row.pk)
    )
    return set(connection.execute(others).scalars())


def rename_study(
    transaction: Transaction, study_pk: int, study_instance_uid: str, uids: Mapping[str, str]
) -> None:
    """Another study UID for that row, and other UIDs for its series; whom it names stays so."""
    transaction.execute(
        update(study).where(study.c.pk == study_pk).values(study_instance_uid=study_instance_uid)
    )
    of_study = select(series.c.pk, series.c.series_instance_uid).where(series.c.study == study_pk)
    for row in transaction.execute(of_study).all():
        transaction.execute(
            update(series)
            .where(series.c.pk == row.pk)
            .values(series_instance_uid=uids.get(row.series_instance_uid, row.series_instance_uid))
        )
    taken = study_identity.alias()
    transaction.execute(
        delete(study_identity).where(
            study_identity.c.study == study_pk,
            exists().where(
                taken.c.study_instance_uid == study_instance_uid,
                taken.c.identity == study_identity.c.identity,
            ),
        )
    )
    transaction.execute(
        update(study_identity)
        .where(study_identity.c.study == study_pk)
        .values(study_instance_uid=study_instance_uid)
    )


def forget_identity(transaction: Transaction, study_pk: int, identity: str) -> None:
    transaction.execute(
        delete(study_identity).where(
            study_identity.c.study == study_pk, study_identity.c.identity == identity
        )
    )


def drop_empty_series(transaction: Transaction, study_pk: int) -> None:
    transaction.execute(
        delete(series).where(
            series.c.study == study_pk, ~exists().where(instance.c.series == series.c.pk)
        )
    )


def forget_identities(transaction: Transaction, study_pk: int) -> None:
    """Whoever comes next for the study is judged anew."""
    transaction.execute(delete(study_identity).where(study_identity.c.study == study_pk))
