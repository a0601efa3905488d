"""Where a held part of a study goes once its Patient is known, and how it is taken in there."""

from typing import Literal

from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.model.merge import Merged
from imaging_fhir.services import decisions
from imaging_fhir.services.moved_parts import awaits_a_person
from imaging_fhir.services.rejected import stays_hidden
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.storage import dicom_index, jobs, study_parts
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import resolve_patient
from imaging_fhir.storage.study_parts import Clash

Fate = Literal["stays", "is-filed", "joins", "takes", "disputes"]
JOB = "held-part"


def fate(connection: Connection, row: AnyRow, link: Link) -> tuple[Fate, AnyRow | None]:
    """What becomes of a held study, and the filed part of it that there is.

    A known Patient takes the study from a provisional one; from a known one, nobody does.
    """
    is_kept_back = awaits_a_person(connection, row) or stays_hidden(connection, row)
    if link.state == "held" or link.patient is None or is_kept_back:
        return "stays", None
    filed = dicom_index.filed_study(connection, row.study_instance_uid)
    if filed is None or filed.pk == row.pk:
        return "is-filed", None
    holder = resolve_patient(connection, filed.patient)
    newcomer = resolve_patient(connection, id_of(link.patient) or "")
    if holder is None:
        return "stays", filed
    if id_of(link.patient) == holder["id"]:
        return "joins", filed
    if newcomer is None or is_provisional(newcomer):
        return "stays", filed
    return ("takes" if is_provisional(holder) else "disputes"), filed


def clashes(
    connection: Connection,
    row: AnyRow,
    fate: Fate,
    filed: AnyRow | None,
    *,
    limit: int | None = None,
) -> list[Clash]:
    """Its images whose UIDs are taken where it goes, or in another filed study."""
    besides = filed.pk if filed is not None and fate == "takes" else None
    return study_parts.clashes(connection, row.pk, besides=besides, limit=limit)


def must_be_compared(
    transaction: Transaction, row: AnyRow, fate: Fate, filed: AnyRow | None
) -> bool:
    """Some of its UIDs are taken: it stays until its images are compared in the background."""
    if fate == "disputes" or not clashes(transaction.connection, row, fate, filed, limit=1):
        return False
    jobs.enqueue(transaction, JOB, str(row.pk))
    return True


def join(transaction: Transaction, filing: StudyFiling, row: AnyRow, filed: AnyRow) -> Merged:
    """All series of one study row into another, which takes its place; what both say together.

    No instance of one may have the UID of one of the other.
    """
    for part in dicom_index.series_of_study(transaction.connection, row.pk):
        whole = dicom_index.find_series(transaction.connection, filed.pk, part.series_instance_uid)
        said = decode_as(Merged, part.attributes)
        if whole is not None:
            said = decode_as(Merged, whole.attributes)
            said.join(decode_as(Merged, part.attributes))
            study_parts.move_instances(transaction, part.pk, whole.pk)
        pk = part.pk if whole is None else whole.pk
        dicom_index.change_series(
            transaction, pk, study=filed.pk, **filing.series_values(filed, said)
        )
    give_up(transaction, row, filed)
    merged = decode_as(Merged, filed.attributes)
    merged.join(decode_as(Merged, row.attributes))
    dicom_index.change_study(transaction, filed.pk, attributes=encode(merged))
    return merged


def give_up(transaction: Transaction, row: AnyRow, filed: AnyRow) -> None:
    """Nothing is left in the row: whom it named belongs to the other one, as a person decided."""
    decisions.carry(transaction, row, filed)
    study_parts.give_up(transaction, row.pk, filed.pk)
