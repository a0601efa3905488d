"""The parts of a study that came apart: what clashes between them, and one taken into another."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from imaging_fhir.model.blob import Blob
from imaging_fhir.storage import dicom_index, minted_uids
from imaging_fhir.storage.blobs import blob_of
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import (
    awaited,
    blob,
    dicom_json,
    instance,
    series,
    study,
    study_identity,
)

AT_ONCE = 500  # keys in one statement
KNOWN, KNOWN_SERIES, KNOWN_STUDY, KNOWN_BLOB = (
    table.alias(f"known_{table.name}") for table in (instance, series, study, blob)
)
CLASHES = (
    select(
        instance.c.pk,
        instance.c.sop_instance_uid,
        instance.c.source,
        instance.c.blob,
        blob.c.sha256,
        blob.c.size,
        blob.c.generation,
        KNOWN_STUDY.c.pk.label("known_study"),
        KNOWN_BLOB.c.sha256.label("known_sha256"),
        KNOWN_BLOB.c.size.label("known_size"),
        KNOWN_BLOB.c.generation.label("known_generation"),
    )
    .select_from(series)
    .join(instance, instance.c.series == series.c.pk)
    .join(blob, blob.c.pk == instance.c.blob)
    .join(KNOWN, KNOWN.c.sop_instance_uid == instance.c.sop_instance_uid)
    .join(KNOWN_SERIES, KNOWN_SERIES.c.pk == KNOWN.c.series)
    .join(KNOWN_STUDY, KNOWN_STUDY.c.pk == KNOWN_SERIES.c.study)
    .join(KNOWN_BLOB, KNOWN_BLOB.c.pk == KNOWN.c.blob)
    .where(
        series.c.study == bindparam("study"),
        KNOWN_STUDY.c.state == "filed",
        KNOWN_STUDY.c.pk != series.c.study,
        KNOWN_STUDY.c.pk != bindparam("besides"),
    )
    .order_by(instance.c.pk, KNOWN.c.pk)
)
INSTANCES = (
    select(instance.c.pk, instance.c.series, blob.c.sha256, blob.c.size, blob.c.generation)
    .join(series, series.c.pk == instance.c.series)
    .join(blob, blob.c.pk == instance.c.blob)
    .where(series.c.study == bindparam("study"))
    .order_by(instance.c.pk)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """An instance of a held study whose UID one in a filed study has too."""

    instance: int
    sop_instance_uid: str
    source: str
    blob: int
    content: Blob
    known_study: int
    known: Blob


def clashes(
    connection: Connection, study_pk: int, *, besides: int | None = None, limit: int | None = None
) -> list[Clash]:
    """`besides` is a filed study that gives way, so that nothing clashes with it."""
    found = connection.execute(
        CLASHES.limit(limit), {"study": study_pk, "besides": besides or study_pk}
    )
    return [
        Clash(
            instance=row.pk,
            sop_instance_uid=row.sop_instance_uid,
            source=row.source,
            blob=row.blob,
            content=blob_of(row),
            known_study=row.known_study,
            known=Blob(
                sha256=row.known_sha256, size=row.known_size, generation=row.known_generation
            ),
        )
        for row in found
    ]


def instances(connection: Connection, study_pk: int) -> dict[int, tuple[int, Blob]]:
    """The series and the bytes of each instance of a study row, by its key."""
    found = connection.execute(INSTANCES, {"study": study_pk})
    return {row.pk: (row.series, blob_of(row)) for row in found}


def remove_instances(transaction: Transaction, study_pk: int, pks: Collection[int]) -> None:
    """Take them out of the study row; a series that has none any more goes with them."""
    ordered = sorted(pks)
    for start in range(0, len(ordered), AT_ONCE):
        some = ordered[start : start + AT_ONCE]
        gone = select(instance.c.blob).where(
            instance.c.series == series.c.pk, instance.c.pk.in_(some)
        )
        transaction.execute(
            update(series)
            .where(series.c.study == study_pk, series.c.picture.in_(gone))
            .values(picture=None)
        )
        transaction.execute(delete(dicom_json).where(dicom_json.c.instance.in_(some)))
        transaction.execute(delete(instance).where(instance.c.pk.in_(some)))
    transaction.execute(
        delete(series).where(
            series.c.study == study_pk, ~exists().where(instance.c.series == series.c.pk)
        )
    )
    count(transaction, study_pk)


def move_instances(transaction: Transaction, series_pk: int, into: int) -> None:
    """All instances of one series row into another, which takes its place."""
    transaction.execute(update(instance).where(instance.c.series == series_pk).values(series=into))
    transaction.execute(delete(series).where(series.c.pk == series_pk))


def forget(transaction: Transaction, study_pk: int) -> None:
    """A study row without series goes, and with it whom it named."""
    transaction.execute(delete(study_identity).where(study_identity.c.study == study_pk))
    transaction.execute(delete(awaited).where(awaited.c.study == study_pk))
    minted_uids.forget(transaction, study_pk)
    transaction.execute(delete(study).where(study.c.pk == study_pk))


def give_up(transaction: Transaction, study_pk: int, into: int) -> None:
    """A study row without series goes; whoever it named belongs to the other one from now on."""
    transaction.execute(
        update(study_identity).where(study_identity.c.study == study_pk).values(study=into)
    )
    minted_uids.hand_over(transaction, study_pk, into)
    forget(transaction, study_pk)
    count(transaction, into)


def count(transaction: Transaction, study_pk: int) -> None:
    """Count the series and instances of a study row anew."""
    of_series = select(func.count()).where(instance.c.series == series.c.pk).scalar_subquery()
    transaction.execute(
        update(series).where(series.c.study == study_pk).values(number_of_instances=of_series)
    )
    totals = transaction.execute(
        select(func.count(), func.sum(series.c.number_of_instances)).where(
            series.c.study == study_pk
        )
    ).one()
    dicom_index.change_study(
        transaction,
        study_pk,
        number_of_series=totals[0],
        number_of_instances=totals[1] or 0,
        updated=transaction.now,
    )
