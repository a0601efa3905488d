"""What comes later of images that a person has moved to a study of another Patient.

It is found by the UIDs of its bytes, and follows; where that cannot be told, it is held.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import Resource, decode_as, encode
from imaging_fhir.model.correction import SeriesKey
from imaging_fhir.model.link import Decision, Link, id_of
from imaging_fhir.model.study import DicomInstance
from imaging_fhir.services import minting
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.duplicates import kept, taken
from imaging_fhir.services.parting import rename_row
from imaging_fhir.services.study_evidence import evidence_of, held_link
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.services.uids import new_uid
from imaging_fhir.storage import dicom_index, minted_uids, parting
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.minted_uids import Minted, Uids
from imaging_fhir.storage.people import resolve_patient

IN_TWO = "series-in-two-studies"
IN_TWO_REASON = (
    "A person has moved other images of this series to another Patient's study: "
    "nobody has said to which of the two this one belongs."
)


def file(
    filing: StudyFiling, transaction: Transaction, arrival: DicomArrival, blob: int, sha: str
) -> Filed:
    """Raise ComparisonNeeded, InvalidRequest, as StudyFiling.file does."""
    image = arrival.image
    found = minted_uids.found(transaction.connection, *uids_of(image), arrival.identity)
    if not found:
        return filing.file(transaction, arrival, blob, sha)
    series = target(transaction, filing.new_id, found, image)
    if series is None:
        return hold(filing, transaction, arrival, blob, sha)
    uids = {image.series.series_instance_uid: series.uid, series.origin: series.study_instance_uid}
    uids[image.instance.sop_instance_uid] = uid_of_instance(
        filing, transaction, found, series, image
    )
    moved = replace(arrival, image=with_uids(image, uids))
    is_known = any(row.level == "instance" for row in found)
    into = filing.file if is_known else partial(file, filing)  # it may have been split in its turn
    filed = into(transaction, moved, blob, sha)
    return replace(filed, retrieved_as=filed.retrieved_as or uids_of(moved.image))


def uids_of(image: DicomInstance) -> tuple[str, str, str]:
    return (
        image.study.study_instance_uid,
        image.series.series_instance_uid,
        image.instance.sop_instance_uid,
    )


def target(
    transaction: Transaction,
    new_id: Callable[[], str],
    found: Sequence[AnyRow],
    image: DicomInstance,
) -> AnyRow | None:
    """The series that the instance is in now; None where that is not known."""
    of_series = [row for row in found if row.level == "series"]
    for row in found:
        if row.level == "instance":
            in_part = (one for one in of_series if one.study == row.study)
            return next(in_part, None) or minted_uids.series_of(transaction.connection, row)
    person = next((row for row in found if row.level == "patient"), None)
    if person is None:
        return next((row for row in of_series if row.is_whole), None)
    theirs = [row for row in of_series if row.of_person]
    if theirs:
        return next((row for row in theirs if row.is_whole), None)
    if of_series:
        return next((row for row in of_series if row.study == person.study), None)
    return new_series(transaction, new_id, person, image)


def new_series(
    transaction: Transaction, new_id: Callable[[], str], person: AnyRow, image: DicomInstance
) -> AnyRow:
    """A further one of a person whose images are in a study of their own."""
    uid = image.series.series_instance_uid
    minted = Minted(level="series", original=uid, uid=new_uid(new_id), of_person=True)
    minted_uids.add(transaction, person.study, person.origin, [minted])
    found = minted_uids.found(transaction.connection, person.origin, uid, uid, person.original)
    return next(row for row in found if row.level == "series" and row.uid == minted.uid)


def uid_of_instance(
    filing: StudyFiling,
    transaction: Transaction,
    found: Sequence[AnyRow],
    series: AnyRow,
    image: DicomInstance,
) -> str:
    """Minted when it is new."""
    for row in found:
        if row.level == "instance":
            return str(row.uid)
    minted = Minted(
        level="instance",
        original=image.instance.sop_instance_uid,
        uid=new_uid(filing.new_id),
        of_person=series.of_person,
    )
    minted_uids.add(transaction, series.study, series.origin, [minted])
    return minted.uid


def with_uids(image: DicomInstance, uids: Uids) -> DicomInstance:
    """As if it had come with these UIDs; what it is in itself stays, as does what has none."""
    study, series, instance = (uids.get(uid, uid) for uid in uids_of(image))
    return replace(
        image,
        study=replace(image.study, study_instance_uid=study),
        series=replace(image.series, series_instance_uid=series),
        instance=replace(image.instance, sop_instance_uid=instance),
    )


def hold(
    filing: StudyFiling, transaction: Transaction, arrival: DicomArrival, blob: int, sha: str
) -> Filed:
    """With those of its series that are held for the same reason."""
    study = held_already(transaction.connection, arrival)
    if study is None:
        link = filing.linking.link(transaction.connection, evidence_of(arrival))
        held = replace(held_link(link, IN_TWO, IN_TWO_REASON), ehr="", ehr_at=0)
        pk = filing.open(transaction, arrival, held, priority="urgent")
        study = dicom_index.study_by_pk(transaction.connection, pk)
    verdict = taken(transaction, study, arrival, sha)
    if verdict is not None:
        return kept(transaction, study, arrival, blob, verdict, filing.new_id)
    return filing.add(transaction, study, arrival, blob)


def held_already(connection: Connection, arrival: DicomArrival) -> AnyRow | None:
    image = arrival.image
    for row in parting.held_with_series(
        connection, image.study.study_instance_uid, image.series.series_instance_uid
    ):
        if is_undecided(row) and row.person == encode(image.person):
            return dicom_index.study_by_pk(connection, row.pk)
    return None


def is_undecided(row: AnyRow) -> bool:
    """Is it held since nobody has said to which of two studies it belongs?"""
    return row.decision is None and decode_as(Link, row.link).patient_rule == IN_TWO


def awaits_a_person(connection: Connection, row: AnyRow) -> bool:
    """The same of what is still so: the split may have been undone."""
    return is_undecided(row) and any(
        minted_uids.is_split(connection, row.study_instance_uid, one.series_instance_uid)
        for one in dicom_index.series_of_study(connection, row.pk)
    )


def place(transaction: Transaction, filing: StudyFiling, row: AnyRow, decision: Decision) -> bool:
    """Before a person's decision counts: must a held part become a study of its own?

    It must where the study is somebody else's, and will not pass to its Patient. Where images of
    the study have been moved to the Patient already, it gets UIDs of theirs, and goes with them.
    """
    connection, origin = transaction.connection, row.study_instance_uid
    filed = dicom_index.filed_study(connection, origin)
    patient = resolve_patient(connection, id_of(decision.patient) or "")
    if row.state != "held" or patient is None:
        return False
    holder = None if filed is None else resolve_patient(connection, filed.patient)
    part = part_of(connection, origin, patient)
    if part is not None and (holder != patient or is_undecided(row)):
        go_along(transaction, filing, row, part)
        return False
    if filed is None or holder == patient:
        return False
    return not gives_way(holder, patient)


def gives_way(holder: Resource | None, patient: Resource) -> bool:
    """A provisional Patient's study passes to a known one."""
    return holder is not None and is_provisional(holder) and not is_provisional(patient)


def part_of(connection: Connection, origin: str, patient: Resource) -> AnyRow | None:
    """The Patient's study that images of the study `origin` were moved to."""
    for study in minted_uids.parts_of(connection, origin):
        filed = dicom_index.filed_study(connection, study)
        if filed is not None and resolve_patient(connection, filed.patient) == patient:
            return filed
    return None


def go_along(transaction: Transaction, filing: StudyFiling, row: AnyRow, part: AnyRow) -> None:
    """The held part's images get UIDs of that study, those that they have there where they do."""
    connection, origin = transaction.connection, row.study_instance_uid
    images = parting.instances(connection, row.pk)
    rows = minted_uids.of_study(connection, part.study_instance_uid)
    uids = minted_uids.by_original(one for one in rows if one.origin == origin)
    new = minting.new_uids(filing.new_id, origin, images)
    fresh = {uid: new[uid] for uid in new if uid not in uids}
    minting.lead(
        transaction,
        part.pk,
        origin,
        fresh,
        images,
        stays=parting.series_beside(connection, row),
        identities=named_in(connection, row),
    )
    rename_row(transaction, filing, row, part.study_instance_uid, uids | fresh)


def part_off(transaction: Transaction, filing: StudyFiling, row: AnyRow) -> tuple[SeriesKey, ...]:
    """The held part gets UIDs of its own; of which series it has only a part."""
    connection, origin = transaction.connection, row.study_instance_uid
    images = parting.instances(connection, row.pk)
    uids = minting.new_uids(filing.new_id, origin, images)
    parted = minting.lead(
        transaction,
        row.pk,
        origin,
        uids,
        images,
        stays=parting.series_beside(connection, row),
        identities=named_in(connection, row),
    )
    rename_row(transaction, filing, row, uids[origin], uids)
    return parted


def named_in(connection: Connection, row: AnyRow) -> Sequence[str]:
    """Identities that go with the held part; nobody's where it names the same as the rest."""
    return () if is_undecided(row) else parting.identities_of(connection, row.pk)


def put_back(
    transaction: Transaction,
    filing: StudyFiling,
    row: AnyRow,
    origin: str,
    parted: Sequence[SeriesKey],
) -> None:
    """The opposite of it, of a row that is held again; raise ResourceConflict."""
    connection, part = transaction.connection, row.study_instance_uid
    held = parting.held_of(connection, part)
    images = [one for pk in held for one in parting.instances(connection, pk)]
    uids = minting.lead_back(transaction, part, origin, images, parted)
    for pk in held:
        rename_row(transaction, filing, dicom_index.study_by_pk(connection, pk), origin, uids)
