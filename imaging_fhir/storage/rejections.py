"""Which instances rejection notes name, themselves among them, and whose a note is if followed."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, and_, bindparam, delete, exists, insert, or_, select, update

from imaging_fhir.model.rejection import RejectionNote
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import instance, rejection, series, study

IS_FOLLOWED = and_(rejection.c.patient.is_not(None), rejection.c.overruled.is_(False))
OF_INSTANCE = Prepared(
    select(rejection.c.patient, rejection.c.code).where(
        rejection.c.study_instance_uid == bindparam("study_instance_uid"),
        rejection.c.sop_instance_uid == bindparam("sop_instance_uid"),
        IS_FOLLOWED,
    )
)
IS_NAMED = rejection.c.sop_instance_uid == instance.c.sop_instance_uid


def add(transaction: Transaction, note: RejectionNote) -> None:
    for some in chunks(note.named):
        rows = [
            {
                "note": note.sop_instance_uid,
                "code": note.code,
                "study_instance_uid": study_uid,
                "sop_instance_uid": uid,
                "overruled": False,
            }
            for study_uid, uid in some
        ]
        transaction.execute(insert(rejection), rows)


def of_note(connection: Connection, note: str) -> Sequence[AnyRow]:
    return connection.execute(
        select(rejection).where(rejection.c.note == note).order_by(rejection.c.pk)
    ).all()


def follow(transaction: Transaction, note: str, patient: str) -> None:
    """From now on what it names of that Patient is hidden."""
    transaction.execute(update(rejection).where(rejection.c.note == note).values(patient=patient))


def notes_named(connection: Connection, uids: Collection[str], patient: str) -> set[str]:
    """Those of these instances that are rejection notes of that Patient themselves."""
    found: set[str] = set()
    for some in chunks(uids):
        query = select(rejection.c.note).where(
            rejection.c.note.in_(some), rejection.c.patient == patient
        )
        found.update(connection.execute(query).scalars())
    return found


def revoke(transaction: Transaction, note: str) -> set[int]:
    """It rejects nothing any more; keys of the held study rows with instances that it named."""
    query = (
        select(series.c.study)
        .join(instance, instance.c.series == series.c.pk)
        .join(study, study.c.pk == series.c.study)
        .join(rejection, rejection.c.sop_instance_uid == instance.c.sop_instance_uid)
        .where(rejection.c.note == note, study.c.state == "held")
        .where(rejection.c.study_instance_uid == study.c.study_instance_uid)
    )
    found = set(transaction.execute(query).scalars())
    transaction.execute(delete(rejection).where(rejection.c.note == note))
    return found


def overrule(transaction: Transaction, study_pk: int, *, is_overruled: bool) -> None:
    """A person says that what is in that study row may be used, or takes that back."""
    uids = select(instance.c.sop_instance_uid).join(series, series.c.pk == instance.c.series)
    of_study = select(study.c.study_instance_uid).where(study.c.pk == study_pk)
    transaction.execute(
        update(rejection)
        .where(
            rejection.c.sop_instance_uid.in_(uids.where(series.c.study == study_pk)),
            rejection.c.study_instance_uid == of_study.scalar_subquery(),
        )
        .values(overruled=is_overruled)
    )


def forget(transaction: Transaction, uids: Collection[str]) -> None:
    """What was said of these studies and instances, and by these notes."""
    for some in chunks(uids):
        columns = rejection.c.note, rejection.c.study_instance_uid, rejection.c.sop_instance_uid
        named = or_(*(column.in_(some) for column in columns))
        transaction.execute(delete(rejection).where(named))


def of_instance(
    connection: Connection, study_instance_uid: str, sop_instance_uid: str
) -> Sequence[AnyRow]:
    """`patient` and `code` of the notes that are followed and reject that instance."""
    return OF_INSTANCE.all(
        connection, study_instance_uid=study_instance_uid, sop_instance_uid=sop_instance_uid
    )


def meant_in(connection: Connection, study_pk: int) -> set[int]:
    """Keys of the instances of a study row that notes name which are followed."""
    query = (
        select(instance.c.pk)
        .join(series, series.c.pk == instance.c.series)
        .where(series.c.study == study_pk, exists().where(IS_NAMED, IS_FOLLOWED))
    )
    return set(connection.execute(query).scalars())


def waiting_in(connection: Connection, study_pk: int) -> list[str]:
    """Notes in that study row that are not followed yet: whose they are was not known."""
    query = (
        select(rejection.c.note)
        .join(instance, instance.c.sop_instance_uid == rejection.c.note)
        .join(series, series.c.pk == instance.c.series)
        .where(series.c.study == study_pk, rejection.c.patient.is_(None))
        .distinct()
    )
    return list(connection.execute(query).scalars())


def held_rows(connection: Connection, study_instance_uid: str) -> Sequence[AnyRow]:
    """All held study rows of that UID."""
    return connection.execute(
        select(study.c.pk, study.c.link).where(
            study.c.study_instance_uid == study_instance_uid, study.c.state == "held"
        )
    ).all()
