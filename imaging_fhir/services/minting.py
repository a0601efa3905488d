"""Images become a study of their own beside the one that they came in, or come back to it.

Their new UIDs are made here (PS3.5 B.2), with what leads to them from every UID that they had.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from imaging_fhir.errors import ResourceConflict
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.model.correction import SeriesKey
from imaging_fhir.services.uids import new_uid
from imaging_fhir.storage import minted_uids, parting
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.minted_uids import Minted, Uids

OWN_IMAGES = "Images that came with the UIDs of the part itself cannot go back."


def new_uids(
    new_id: Callable[[], str], study_instance_uid: str, images: Iterable[AnyRow]
) -> dict[str, str]:
    """For the study, and the series and instances of these images, by the UIDs of today."""
    uids = dict.fromkeys([study_instance_uid])
    for one in images:
        uids |= dict.fromkeys([one.series_instance_uid, one.sop_instance_uid])
    return {uid: new_uid(new_id) for uid in uids}


def lead(
    transaction: Transaction,
    study_pk: int,
    origin: str,
    uids: Uids,
    images: Sequence[AnyRow],
    *,
    stays: Collection[str],
    identities: Sequence[str] = (),
) -> tuple[SeriesKey, ...]:
    """Whatever had one of these UIDs in the study `origin` is found in the other one from now on.

    `stays` are the series that images stay in. With `identities`, only what names these people is
    meant, and so is all else that does. The answer: which series were elsewhere as a whole before.
    """
    parted = inherit(transaction, study_pk, origin, uids, stays, identities)
    connection, of_person = transaction.connection, bool(identities)
    minted = people(identities)
    if origin in uids:
        minted.append(Minted(level="study", original=origin, uid=uids[origin], of_person=of_person))
    for uid in dict.fromkeys(one.series_instance_uid for one in images):
        if uid not in uids:
            continue
        is_whole = of_person or uid not in stays
        if not of_person and has_series(connection, origin, uid):
            minted_uids.part_of_series(transaction, origin, uid)
            is_whole = False
        minted.append(
            Minted(
                level="series", original=uid, uid=uids[uid], is_whole=is_whole, of_person=of_person
            )
        )
    minted += [
        Minted(level="instance", original=uid, uid=uids[uid], of_person=of_person)
        for uid in (one.sop_instance_uid for one in images)
        if uid in uids
    ]
    minted_uids.add(transaction, study_pk, origin, minted)
    return parted


def people(identities: Iterable[str]) -> list[Minted]:
    return [Minted(level="patient", original=one, uid="", of_person=True) for one in identities]


def has_series(connection: Connection, origin: str, uid: str) -> bool:
    """Is a part of it in another study, whomever it names?"""
    return any(row.level == "series" for row in minted_uids.found(connection, origin, uid, uid))


def inherit(
    transaction: Transaction,
    study_pk: int,
    origin: str,
    uids: Uids,
    stays: Collection[str],
    identities: Sequence[str],
) -> tuple[SeriesKey, ...]:
    """What led to these UIDs leads to the new ones."""
    parted = []
    for row in minted_uids.of_study(transaction.connection, origin):
        too: list[Minted] = []
        match row.level:
            case "study" if origin in uids:
                too = [copied(row, uids), *people(identities)]
            case "patient" if origin in uids and not identities:
                too = people([row.original])
            case "series" if row.uid in uids and identities:
                too = [replace(copied(row, uids), of_person=True)]
            case "series" if row.uid in uids and row.uid in stays:
                too = [replace(copied(row, uids), is_whole=False)]
                parted += leave_part(transaction, row)
            case "series" | "instance" if row.uid in uids:
                of_person = bool(identities) or row.of_person
                minted_uids.hand_on(
                    transaction, row.pk, study_pk, uids[row.uid], of_person=of_person
                )
        minted_uids.add(transaction, study_pk, row.origin, too)
    return tuple(parted)


def copied(row: AnyRow, uids: Uids) -> Minted:
    return Minted(
        level=row.level, original=row.original, uid=uids[row.uid], of_person=row.of_person
    )


def leave_part(transaction: Transaction, row: AnyRow) -> list[SeriesKey]:
    """The series is in two places from now on; itself, if it was whole before."""
    if not row.is_whole:
        return []
    minted_uids.part_of_series(transaction, row.origin, row.original, of_person=row.of_person)
    return [SeriesKey(origin=row.origin, original=row.original, of_person=row.of_person)]


def lead_back(
    transaction: Transaction,
    part: str,
    origin: str,
    images: Iterable[AnyRow],
    parted: Iterable[SeriesKey],
) -> dict[str, str]:
    """The UIDs in `origin` of these images of the part, by those that they have in it.

    Whatever led to the part leads there again; raise ResourceConflict where it has images of
    its own.
    """
    rows = minted_uids.of_study(transaction.connection, part)
    uids = {
        row.uid: row.original for row in rows if row.origin == origin and row.level != "patient"
    }
    known = {row.uid for row in rows if row.level == "instance"}
    if any(one.sop_instance_uid not in known for one in images):
        raise ResourceConflict(OWN_IMAGES)
    there = minted_uids.of_study(transaction.connection, origin)
    kept = {(row.origin, row.level, row.original) for row in there}
    of_people = {row.origin for row in there if row.level == "patient"}
    for row in rows:
        is_older = row.origin != origin and row.level in ("series", "instance")
        if is_older and there and (row.origin, row.level, row.original) not in kept:
            uid, of_person = uids.get(row.uid, row.uid), row.origin in of_people
            minted_uids.hand_on(transaction, row.pk, there[0].study, uid, of_person=of_person)
        else:
            minted_uids.drop(transaction, row.pk)
    for key in parted:
        minted_uids.whole_again(transaction, key.origin, key.original, of_person=key.of_person)
    return uids


def rename(transaction: Transaction, images: Iterable[AnyRow], uids: Uids) -> None:
    """The images have these UIDs from now on; one that has none there keeps its own."""
    parting.rename(
        transaction,
        [
            (one.pk, uid, encode({**decode(one.fragment), "uid": uid}))
            for one in images
            if (uid := uids.get(one.sop_instance_uid))
        ],
    )
