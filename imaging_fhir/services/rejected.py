"""Where an image goes that a rejection note names: to those of its study that are hidden.

They are a held study row of their own, in no chart and in no answer of DICOMweb; staff have a Task.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import OWN_ID, Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.rejection import TITLES
from imaging_fhir.services.arrival import DicomArrival
from imaging_fhir.services.held import open_task
from imaging_fhir.services.study_evidence import facts_of_arrival, held_link
from imaging_fhir.storage import dicom_index, rejections
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import resolve_patient

REJECTED = "rejected-by-note"
REASON = "A rejection note names these images: {title}."
Facts = Mapping[str, str | int | None]


def is_hidden(row: AnyRow) -> bool:
    """Is it the part of a study that is held since a rejection note names it?"""
    return row.state == "held" and decode_as(Link, row.link).patient_rule == REJECTED


def stays_hidden(connection: Connection, row: AnyRow) -> bool:
    """The same as long as a note is followed that names it."""
    return is_hidden(row) and bool(rejections.meant_in(connection, row.pk))


def rejecting(connection: Connection, study: AnyRow, sop_instance_uid: str) -> str | None:
    """The code of a note that rejects the instance, if it is of the Patient who has the study."""
    if not study.has_rejections or study.state != "filed":
        return None
    named = rejections.of_instance(connection, study.study_instance_uid, sop_instance_uid)
    return next((one.code for one in named if is_of([one.patient], connection, study)), None)


def begins_anew(connection: Connection, study: AnyRow, sop_instance_uid: str) -> bool:
    """Is the study row hidden, and the instance not rejected?"""
    uid = study.study_instance_uid
    return is_hidden(study) and not rejections.of_instance(connection, uid, sop_instance_uid)


def place(
    transaction: Transaction,
    new_id: Callable[[], str],
    study: AnyRow,
    arrival: DicomArrival,
    code: str,
) -> AnyRow:
    """The hidden row of that filed study; it is made if there is none."""
    known = hidden_row(transaction.connection, study)
    if known is not None:
        return known
    link = hidden_link(study, TITLES[code])
    pk = open_hidden(
        transaction, new_id, study, link, attributes=Merged(), about=facts_of_arrival(arrival)
    )
    return dicom_index.study_by_pk(transaction.connection, pk)


def hidden_row(connection: Connection, study: AnyRow) -> AnyRow | None:
    """The hidden part of that filed study, of the same Patient."""
    for one in rejections.held_rows(connection, study.study_instance_uid):
        link = decode_as(Link, one.link)
        whose = [id_ for _, system, id_ in link.awaited if system == OWN_ID]
        if link.patient_rule == REJECTED and is_of(whose, connection, study):
            return dicom_index.study_by_pk(connection, one.pk)
    return None


def open_hidden(
    transaction: Transaction,
    new_id: Callable[[], str],
    study: AnyRow,
    link: Link,
    *,
    attributes: Merged,
    about: Facts,
) -> int:
    """A row beside the filed study: what comes later and is not rejected still belongs to that."""
    pk = dicom_index.add_study(
        transaction,
        study_instance_uid=study.study_instance_uid,
        state="held",
        rid=open_task(transaction, new_id(), link, about, status="rejected"),
        attributes=encode(attributes),
        person=study.person,
        given=study.given,
        source=study.source,
        zone=study.zone,
        link=encode(link),
        decision=study.decision,
        decisions=study.decisions,
        corrected=study.corrected,
        head=b"",
    )
    dicom_index.await_identifiers(transaction, link.awaited, study_pk=pk)
    return pk


def hidden_link(study: AnyRow, title: str) -> Link:
    """It waits for news of whose it is alone."""
    link = held_link(decode_as(Link, study.link), REJECTED, REASON.format(title=title))
    whose = ("Patient", OWN_ID, study.patient)
    return replace(link, awaited=(whose,), based_on=(), ehr="", ehr_at=0)


def is_of(patients: Iterable[str], connection: Connection, study: AnyRow) -> bool:
    """Is one of them today the Patient who has the study?"""
    holder = resolve_patient(connection, study.patient or "")
    found = (resolve_patient(connection, one) for one in patients)
    return holder is not None and any(
        one is not None and one["id"] == holder["id"] for one in found
    )
