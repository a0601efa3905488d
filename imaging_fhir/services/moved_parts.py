"""What comes later of images that a person has moved to a study of another Patient.

It is found by the UIDs of its bytes, and follows; where that cannot be told, it is held.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from imaging_fhir.model.codec import decode, decode_as, encode
from imaging_fhir.model.link import Decision, Link, id_of
from imaging_fhir.model.study import DicomInstance
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.duplicates import kept, taken
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
    found = minted_uids.found(
        transaction.connection,
        image.study.study_instance_uid,
        image.series.series_instance_uid,
        image.instance.sop_instance_uid,
    )
    if not found:
        return filing.file(transaction, arrival, blob, sha)
    series = target(found)
    if series is None:
        return hold(filing, transaction, arrival, blob, sha)
    uids = {image.series.series_instance_uid: series.uid, series.origin: series.study_instance_uid}
    uids[image.instance.sop_instance_uid] = uid_of_instance(
        filing, transaction, found, series, image
    )
    moved = replace(arrival, image=with_uids(image, uids))
    filed = filing.file(transaction, moved, blob, sha)
    return replace(filed, retrieved_as=uids_of(moved.image))


def uids_of(image: DicomInstance) -> tuple[str, str, str]:
    return (
        image.study.study_instance_uid,
        image.series.series_instance_uid,
        image.instance.sop_instance_uid,
    )


def target(found: Sequence[AnyRow]) -> AnyRow | None:
    """The series that the instance is in now; None where that is not known."""
    of_series = [row for row in found if row.level == "series"]
    for row in found:
        if row.level == "instance":
            return next(one for one in of_series if one.study == row.study)
    return next((row for row in of_series if row.is_whole), None)


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
        level="instance", original=image.instance.sop_instance_uid, uid=new_uid(filing.new_id)
    )
    minted_uids.add(transaction, series.study, series.origin, [minted])
    return minted.uid


def with_uids(image: DicomInstance, uids: Uids) -> DicomInstance:
    """As if it had come with these UIDs; what it is in itself stays."""
    study, series, instance = image.study, image.series, image.instance
    return replace(
        image,
        study=replace(study, study_instance_uid=uids[study.study_instance_uid]),
        series=replace(series, series_instance_uid=uids[series.series_instance_uid]),
        instance=replace(instance, sop_instance_uid=uids[instance.sop_instance_uid]),
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


def follow(
    transaction: Transaction, new_id: Callable[[], str], row: AnyRow, decision: Decision
) -> None:
    """What is held for that reason, and is whose the images moved to: it goes with them."""
    if row.state != "held" or not is_undecided(row):
        return
    connection, origin = transaction.connection, row.study_instance_uid
    series = [one.series_instance_uid for one in dicom_index.series_of_study(connection, row.pk)]
    found = of_patient(connection, origin, series, id_of(decision.patient) or "")
    if found is None:
        return
    study, uids = found
    held = parting.instances(connection, row.pk)
    minted = [
        Minted(level="instance", original=one.sop_instance_uid, uid=new_uid(new_id)) for one in held
    ]
    minted_uids.add(transaction, study.pk, origin, minted)
    parting.rename(
        transaction,
        [
            (one.pk, new.uid, encode({**decode(one.fragment), "uid": new.uid}))
            for one, new in zip(held, minted, strict=True)
        ],
    )
    parting.rename_study(transaction, row.pk, uids[origin], uids)


def of_patient(
    connection: Connection, origin: str, series: Sequence[str], patient_id: str
) -> tuple[AnyRow, Uids] | None:
    """The Patient's study that parts of these series were moved to, and its UIDs."""
    meant = resolve_patient(connection, patient_id)
    for study in {
        row.study_instance_uid
        for uid in series
        for row in minted_uids.found(connection, origin, uid, uid)
    }:
        filed = dicom_index.filed_study(connection, study)
        uids = minted_uids.by_original(minted_uids.of_study(connection, study))
        if filed is None or meant is None or not set(series) <= set(uids):
            continue
        if resolve_patient(connection, filed.patient) == meant:
            return filed, uids
    return None
