"""The UIDs that a study which was split off has in place of those that its images came with.

An image that was split off twice has a row for each UID that it ever had here: it may be sent again
under any of them. Of several rows with one `uid`, the first has the UID of the bytes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, or_, select, update

from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import instance, minted_uid, series, study

Level = Literal["patient", "study", "series", "instance"]
Uids = Mapping[str, str]
FOUND = Prepared(
    select(minted_uid, study.c.study_instance_uid)
    .join(study, study.c.pk == minted_uid.c.study)
    .where(
        minted_uid.c.origin == bindparam("origin"),
        or_(
            minted_uid.c.original == bindparam("series"),
            minted_uid.c.original == bindparam("instance"),
            minted_uid.c.original == bindparam("identity"),
        ),
    )
    .order_by(minted_uid.c.pk)
)
OF_STUDY = Prepared(
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
    of_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What the UIDs of a study were when its images came."""

    instances: Mapping[str, tuple[str, str]]  # by UID: that of the study, and their own
    series: Mapping[tuple[str, str], str]  # by UID of that study, and their own of today

    @classmethod
    def of(cls, rows: Iterable[AnyRow]) -> Self:
        instances: dict[str, tuple[str, str]] = {}
        series: dict[tuple[str, str], str] = {}
        for row in rows:
            if row.level == "instance":
                instances.setdefault(row.uid, (row.origin, row.original))
            elif row.level == "series":
                series[row.origin, row.uid] = row.original
        return cls(instances=instances, series=series)

    def uids(self, study: str, series: str, instance: str) -> tuple[str, str, str]:
        """Those that the instance with these UIDs came with."""
        origin, original = self.instances.get(instance, (study, instance))
        return origin, self.series.get((origin, series), series), original


def found(
    connection: Connection, origin: str, series: str, instance: str, identity: str = ""
) -> Sequence[AnyRow]:
    """What was split off that study of this series and this instance, named as in the bytes.

    `identity` is of whom the instance names: of what went with its person alone, nothing is meant
    for others, and what is meant for that person comes first. Each with `study_instance_uid` of
    the study that it is in now.
    """
    rows = FOUND.all(connection, origin=origin, series=series, instance=instance, identity=identity)
    theirs = {row.study for row in rows if row.level == "patient"}
    meant = [row for row in rows if not row.of_person or row.study in theirs]
    return sorted(meant, key=lambda row: not row.of_person)


def series_of(connection: Connection, row: AnyRow) -> AnyRow | None:
    """Of a row of an instance: that of the series which it is in, whatever it was sent in."""
    in_part = (
        select(minted_uid, study.c.study_instance_uid)
        .join(study, study.c.pk == minted_uid.c.study)
        .join(series, series.c.series_instance_uid == minted_uid.c.uid)
        .join(instance, instance.c.series == series.c.pk)
        .where(
            minted_uid.c.origin == row.origin,
            minted_uid.c.level == "series",
            minted_uid.c.study == row.study,
            instance.c.sop_instance_uid == row.uid,
        )
    )
    return connection.execute(in_part).first()


def parts_of(connection: Connection, origin: str) -> list[str]:
    """UIDs of the studies that images of that one were moved to, in the order of that."""
    rows = connection.execute(
        select(minted_uid.c.uid)
        .where(
            minted_uid.c.origin == origin,
            minted_uid.c.level == "study",
            minted_uid.c.original == origin,
        )
        .order_by(minted_uid.c.pk)
    )
    return list(rows.scalars())


def of_study(connection: Connection, study_instance_uid: str) -> Sequence[AnyRow]:
    """All that were minted for the study; none for one that was not split off."""
    return OF_STUDY.all(connection, study_instance_uid=study_instance_uid)


def of_studies(
    connection: Connection, study_instance_uids: Collection[str]
) -> dict[str, list[AnyRow]]:
    """The same of many; those that were not split off are not there."""
    found: dict[str, list[AnyRow]] = {}
    for row in connection.execute(OF_STUDIES, {"study_instance_uids": study_instance_uids}):
        found.setdefault(row.study_instance_uid, []).append(row)
    return found


def by_original(rows: Iterable[AnyRow]) -> dict[str, str]:
    return {row.original: row.uid for row in rows if row.level != "patient"}


def is_split(connection: Connection, origin: str, series: str) -> bool:
    """Is a part of this series in another study, by a person's decision?"""
    rows = FOUND.all(connection, origin=origin, series=series, instance=series, identity=series)
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
            "of_person": one.of_person,
        }
        for one in minted
    ]
    if rows:
        transaction.execute(insert(minted_uid), rows)


def drop(transaction: Transaction, pk: int) -> None:
    transaction.execute(delete(minted_uid).where(minted_uid.c.pk == pk))


def forget(transaction: Transaction, study_pk: int) -> None:
    transaction.execute(delete(minted_uid).where(minted_uid.c.study == study_pk))


def hand_over(transaction: Transaction, study_pk: int, into: int) -> None:
    """Another row has the study's images now."""
    transaction.execute(update(minted_uid).where(minted_uid.c.study == study_pk).values(study=into))


def hand_on(transaction: Transaction, pk: int, study_pk: int, uid: str, *, of_person: bool) -> None:
    """Of one row: the image is in that study now, under that UID."""
    transaction.execute(
        update(minted_uid)
        .where(minted_uid.c.pk == pk)
        .values(study=study_pk, uid=uid, of_person=of_person)
    )


def part_of_series(
    transaction: Transaction, origin: str, series: str, *, of_person: bool = False
) -> None:
    """Of a series whose other images go elsewhere, none went as a whole."""
    transaction.execute(
        update(minted_uid)
        .where(*is_of_series(origin, series, of_person=of_person))
        .values(is_whole=False)
    )


def whole_again(transaction: Transaction, origin: str, series: str, *, of_person: bool) -> None:
    """Of a series that is in one place again; not where it is in several still."""
    of_series = is_of_series(origin, series, of_person=of_person)
    places = transaction.execute(select(minted_uid.c.pk).where(*of_series)).all()
    if len(places) == 1:
        transaction.execute(update(minted_uid).where(*of_series).values(is_whole=True))


def is_of_series(origin: str, series: str, *, of_person: bool) -> tuple[ColumnElement[bool], ...]:
    return (
        minted_uid.c.origin == origin,
        minted_uid.c.level == "series",
        minted_uid.c.original == series,
        minted_uid.c.of_person.is_(of_person),
    )
