"""All studies of a Patient to another one, or some of them back: many at a cost of few statements.

Of each, only whose it is changes: the visit is matched again afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from imaging_fhir.fhir.patient import subject_reference
from imaging_fhir.fhir.search_index import study_entries
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.link import Link
from imaging_fhir.services.moments import zone_of
from imaging_fhir.services.studies import Studies
from imaging_fhir.storage import jobs, refiling
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.refiling import Refiled
from imaging_fhir.storage.resources import StoredResource


def refile(
    transaction: Transaction,
    assembler: Studies,
    rows: Sequence[AnyRow],
    patient: Resource,
    corrected: Mapping[int, bool],
    *,
    quiet_milliseconds: int,
) -> None:
    """The studies (rows of `refiling.studies`) to that Patient; `corrected` is by their key."""
    to = dict.fromkeys((row.pk for row in rows), str(patient["id"]))
    rewrite(transaction, assembler, rows, patient, to, corrected, quiet_milliseconds)


def show(
    transaction: Transaction,
    assembler: Studies,
    rows: Sequence[AnyRow],
    patient: Resource,
    *,
    quiet_milliseconds: int,
) -> None:
    """They stay with whom they are filed to, whom that Patient has replaced by a link."""
    to = {row.pk: str(row.patient) for row in rows}
    corrected = {row.pk: bool(row.corrected) for row in rows}
    rewrite(transaction, assembler, rows, patient, to, corrected, quiet_milliseconds)


def rewrite(
    transaction: Transaction,
    assembler: Studies,
    rows: Sequence[AnyRow],
    patient: Resource,
    to: Mapping[int, str],
    corrected: Mapping[int, bool],
    quiet_milliseconds: int,
) -> None:
    """`patient` is their subject, and `to` whom they are filed to."""
    keys = [row.pk for row in rows if row.body is None and not row.deleted]
    pieces = refiling.fragments(transaction.connection, keys)
    subject = subject_reference(patient["id"], patient)
    refiled = [
        changed(row, to[row.pk], subject, corrected[row.pk], body(assembler, row, pieces))
        for row in rows
    ]
    refiling.write(transaction, refiled)
    shown = [str(row.pk) for row in rows if not row.deleted]
    jobs.enqueue_many(transaction, "quiet-study", shown, after=quiet_milliseconds)


def body(assembler: Studies, row: AnyRow, pieces: Mapping[int, Sequence[AnyRow]]) -> bytes | None:
    """What was served of the version that ends now; None for a deleted one."""
    if row.deleted or row.body is not None:
        return None if row.deleted else bytes(row.body)
    stored = StoredResource(
        rid=row.rid,
        type="ImagingStudy",
        id=row.id,
        version=row.version,
        last_updated=row.last_updated,
        deleted=False,
        body=None,
    )
    return assembler.assembled(row, stored, pieces[row.pk])


def changed(
    row: AnyRow, patient_id: str, subject: Resource, corrected: bool, before: bytes | None
) -> Refiled:
    head = decode(row.head)
    new_head = {**head, "subject": subject}
    link = replace(decode_as(Link, row.link), patient=f"Patient/{patient_id}")
    zone = zone_of(row.zone)
    return Refiled(
        row=row,
        patient=patient_id,
        link=encode(link),
        head=encode(new_head),
        corrected=corrected,
        body=before,
        before=study_entries(head, (), zone=zone),
        after=study_entries(new_head, (), zone=zone),
    )
