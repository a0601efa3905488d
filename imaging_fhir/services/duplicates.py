"""A SOP Instance UID that is taken: the same image again, or another one under its UID."""

from collections.abc import Callable, Mapping
from pathlib import Path

from imaging_fhir.images.comparison import compared, data_set_sha256
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.codec import decode_as
from imaging_fhir.model.link import Link
from imaging_fhir.services.arrival import ComparisonNeeded, DicomArrival, Filed, Verdict
from imaging_fhir.services.held import open_task
from imaging_fhir.services.study_evidence import answer, facts_of_arrival, held_link
from imaging_fhir.storage import dicom_index, resources
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.ports import BlobStore

ALREADY_KEPT = "The same data set is kept already."
LOSSLESS = "The same image is kept already in another transfer syntax without loss."
RENAMED = "The same image is kept already, and is served with the identity of its Patient."
KNOWN: Mapping[Verdict, str] = {
    "same": ALREADY_KEPT,
    "lossless": LOSSLESS,
    "renamed": RENAMED,
}
CONFLICT = "Other bytes are kept under this SOP Instance UID: these are kept beside, and held."
LOSSY = "The image is kept already; this lossy copy is kept beside it, and held."


def taken(
    transaction: Transaction, study: AnyRow, arrival: DicomArrival, sha: str
) -> Verdict | None:
    """How the instance compares with the one kept under its UID, in this study or a filed one.

    None where the UID is free; raise ComparisonNeeded.
    """
    uid = arrival.image.instance.sop_instance_uid
    for known in dicom_index.same_instances(transaction.connection, uid):
        if known.study != study.pk and (known.state, study.state) != ("filed", "filed"):
            continue
        if known.study == study.pk and known.sha256 == sha:
            return "same"
        verdict = arrival.comparisons.get(known.pk)
        if verdict is None:
            raise ComparisonNeeded(known.pk, known.sha256, known.size, known.generation)
        if known.study != study.pk:
            return verdict if verdict == "lossy" else "other"
        return settled(verdict, is_corrected=study.corrected)
    return None


def settled(verdict: Verdict, *, is_corrected: bool) -> Verdict:
    """An image of which another copy says whose it is, in a study of theirs.

    In a corrected one the copy says nothing new: it is served with its Patient's identity anyway.
    """
    return "other" if verdict == "renamed" and not is_corrected else verdict


def kept(
    transaction: Transaction,
    study: AnyRow,
    arrival: DicomArrival,
    blob: int,
    verdict: Verdict,
    new_id: Callable[[], str],
) -> Filed:
    """The answer to an instance whose UID is taken; other bytes are kept, and held."""
    if verdict in KNOWN:
        return answer(study, 200, KNOWN[verdict], arrival.image.warnings)
    return conflict(transaction, study, arrival, blob, new_id, lossy=verdict == "lossy")


def conflict(
    transaction: Transaction,
    study: AnyRow,
    arrival: DicomArrival,
    blob: int,
    new_id: Callable[[], str],
    *,
    lossy: bool,
) -> Filed:
    uid = arrival.image.instance.sop_instance_uid
    link = conflict_link(decode_as(Link, study.link), lossy=lossy)
    rid = keep_beside(
        transaction,
        new_id,
        link,
        facts_of_arrival(arrival),
        sop_instance_uid=uid,
        data_set_sha256=arrival.data_set_sha256,
        blob=blob,
        source=arrival.source.id,
    )
    task = resources.find_by_rid(transaction.connection, rid)
    return Filed(
        status=202,
        location=task.reference,
        rule=link.patient_rule,
        reason=link.patient_reason,
        warnings=arrival.image.warnings,
    )


def keep_beside(
    transaction: Transaction,
    new_id: Callable[[], str],
    link: Link,
    about: Mapping[str, str | None],
    *,
    sop_instance_uid: str,
    data_set_sha256: str,
    blob: int,
    source: str,
) -> int:
    """Other bytes under a UID that is taken, once; the row of the Task about them."""
    known = dicom_index.known_conflict(transaction.connection, sop_instance_uid, data_set_sha256)
    if known is not None:
        return int(known.task)
    rid = open_task(transaction, new_id(), link, {"SOPInstanceUID": sop_instance_uid, **about})
    dicom_index.add_conflict(
        transaction,
        sop_instance_uid=sop_instance_uid,
        data_set_sha256=data_set_sha256,
        blob=blob,
        task=rid,
        source=source,
    )
    return rid


def compare(store: BlobStore, newcomer: Path, digest: str, known: Blob) -> Verdict:
    """How a file whose data set has that digest compares with what is kept under its UID."""
    with store.open(known) as stream:
        if data_set_sha256(stream) == digest:
            return "same"
    with store.local(known) as path:
        return compared(newcomer, path)


def conflict_link(link: Link, *, lossy: bool) -> Link:
    return held_link(link, "sop-instance-uid-conflict", LOSSY if lossy else CONFLICT)
