"""The UIDs that a study which was split off has in place of those of its bytes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import minted_uid, study

Level = Literal["study", "series", "instance"]
Uids = Mapping[str, str]
FOUND = Prepared(
    select(minted_uid, study.c.study_instance_uid)
    .join(study, study.c.pk == minted_uid.c.study)
    .where(
        minted_uid.c.origin == bindparam("origin"),
        or_(
            minted_uid.c.original == bindparam("series"),
            minted_uid.c.original == bindparam("instance"),
        ),
    )
    .order_by(minted_uid.c.pk)
)
OF_STUDY = (
    select(minted_uid)
    .join(study, study.c.pk == minted_uid.c.study)
    .where(study.c.study_instance_uid == bindparam("study_instance_uid"))
    .order_by(minted_uid.c.pk)
)

OF_STUDIES = (
    select(minted_uid, study.c.study_instance_uid)
    .join(study, study.c.pk == minted_uid.c.study)
    .where(study.c.study_instance_uid.in_(bindparam("study_instance_uids", expanding=True)))
    .order_by(minted_uid.c.pk)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    level: Level
    original: str
    uid: str
    is_whole: bool = True


def found(connection: Connection, origin: str, series: str, instance: str) -> Sequence[AnyRow]:
    """What was split off that study of this series and this instance, named as in the bytes.

    Each with `study_instance_uid` of the study that it is in now.
    """
    return FOUND.all(connection, origin=origin, series=series, instance=instance)


def of_study(connection: Connection, study_instance_uid: str) -> Sequence[AnyRow]:
    """All that were minted for the study; none for one that was not split off."""
    return connection.execute(OF_STUDY, {"study_instance_uid": study_instance_uid}).all()


def of_studies(
    connection: Connection, study_instance_uids: Collection[str]
) -> dict[str, list[AnyRow]]:
    """The same of many; those that were not split off are not there."""
    found: dict[str, list[AnyRow]] = {}
    for row in connection.execute(OF_STUDIES, {"study_instance_uids": study_instance_uids}):
        found.setdefault(row.study_instance_uid, []).append(row)
    return found


def by_original(rows: Iterable[AnyRow]) -> dict[str, str]:
    return {row.original: row.uid for row in rows}


def is_split(connection: Connection, origin: str, series: str) -> bool:
    """Is a part of this series in another study, by a person's decision?"""
    rows = FOUND.all(connection, origin=origin, series=series, instance=series)
    return any(row.level == "series" for row in rows)


def add(transaction: Transaction, study_pk: int, origin: str, minted: Iterable[Minted]) -> None:
    rows = [
        {
            "study": study_pk,
            "origin": origin,
            "level": one.level,
            "original": one.original,
            "uid": one.uid,
            "is_whole": one.is_whole,
        }
        for one in minted
    ]
    if rows:
        transaction.execute(insert(minted_uid), rows)


def forget(transaction: Transaction, study_pk: int) -> None:
    transaction.execute(delete(minted_uid).where(minted_uid.c.study == study_pk))


def hand_over(transaction: Transaction, study_pk: int, into: int) -> None:
    """Another row has the study's images now."""
    transaction.execute(update(minted_uid).where(minted_uid.c.study == study_pk).values(study=into))


def part_of_series(transaction: Transaction, origin: str, series: str) -> None:
    """Of a series whose other images go elsewhere, none went as a whole."""
    transaction.execute(
        update(minted_uid)
        .where(
            minted_uid.c.origin == origin,
            minted_uid.c.level == "series",
            minted_uid.c.original == series,
        )
        .values(is_whole=False)
    )
