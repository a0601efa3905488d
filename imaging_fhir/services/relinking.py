"""News of a patient, a visit or an order: what waits for it is matched again."""

from dataclasses import dataclass
from datetime import tzinfo

from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource, decode_as, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import Given, Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.services.arrival import DocumentArrival
from imaging_fhir.services.document_filing import DocumentFiling, complete_task, evidence_of
from imaging_fhir.services.studies import Studies
from imaging_fhir.services.study_filing import StudyFiling, evidence_of_study, id_of
from imaging_fhir.storage import dicom_index, documents, resources
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.people import resolve_patient

LINKING_TYPES = frozenset({"Patient", "Encounter", "ServiceRequest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Relinking:
    assembler: Studies
    studies: StudyFiling
    documents: DocumentFiling

    def resource_written(
        self,
        transaction: Transaction,
        resource_type: str,
        resource_id: str,
        content: Resource | None,
    ) -> None:
        """Called within every write of a resource; `content` is None for a deletion."""
        if resource_type not in LINKING_TYPES:
            return
        for found in (
            waiting(transaction, resource_type, content),
            concerned(transaction, resource_type, resource_id, content),
        ):
            for pk in sorted(found[0]):
                self.link_study(transaction, pk)
            for pk in sorted(found[1]):
                self.link_document(transaction, pk)

    def link_study(self, transaction: Transaction, pk: int) -> None:
        row = dicom_index.find_study(transaction.connection, pk)
        if row is None:
            return  # it has just joined another part of its study
        merged = decode_as(Merged, row.attributes)
        evidence = evidence_of_study(row, merged, self.studies.linking)
        link = self.studies.linking.link(transaction.connection, evidence)
        if row.state == "held":
            self.release_study(transaction, row, merged, link)
        else:
            self.move_study(transaction, row, merged, link)

    def release_study(
        self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link
    ) -> None:
        """A held study that is now filed: to the known Patient it matches, never to a new one."""
        if link.state == "held" or link.patient is None:
            return
        filed = dicom_index.filed_study(transaction.connection, row.study_instance_uid)
        if filed is not None and filed.pk != row.pk:
            self.join_study(transaction, row, filed, link)
            return
        complete_task(transaction, row.rid)
        rid = self.studies.imaging_study(transaction, row.study_instance_uid)
        dicom_index.change_study(transaction, row.pk, state="filed", rid=rid)
        self.studies.watch(transaction, row.pk)
        self.store(transaction, row.pk, merged, link)

    def join_study(self, transaction: Transaction, row: AnyRow, filed: AnyRow, link: Link) -> None:
        """The held part of a study goes where the rest of it is, if that is the same person."""
        holder = resolve_patient(transaction.connection, filed.patient)
        if holder is None or id_of(link.patient) != holder["id"]:
            return
        if not dicom_index.move_series(transaction, row.pk, filed.pk):
            return
        complete_task(transaction, row.rid)
        merged = decode_as(Merged, filed.attributes)
        merged.join(decode_as(Merged, row.attributes))
        dicom_index.change_study(transaction, filed.pk, attributes=encode(merged))
        self.store(transaction, filed.pk, merged, link)

    def move_study(self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link) -> None:
        """Another Patient only by identifier or merge; the visit as the rules now say."""
        old = decode_as(Link, row.link)
        current = resolve_patient(transaction.connection, row.patient or "")
        if link.state == "held" or not may_move(current, link):
            link = self.without_broken_visit(transaction, old, link)
        self.store(transaction, row.pk, merged, link)
        if old.patient != link.patient:
            retire_provisional(
                transaction, old.patient, link.patient, zone=self.studies.linking.zone
            )

    def without_broken_visit(self, transaction: Transaction, old: Link, news: Link) -> Link:
        """The image stays with its Patient; a visit of somebody else, it loses."""
        if old.encounter is None or news.state == "filed":
            return old
        return Link(
            state="filed",
            patient=old.patient,
            patient_rule=old.patient_rule,
            patient_reason=old.patient_reason,
            encounter_rule=news.patient_rule,
            encounter_reason=news.patient_reason,
            awaited=old.awaited,
        )

    def store(self, transaction: Transaction, pk: int, merged: Merged, link: Link) -> None:
        row = dicom_index.study_by_pk(transaction.connection, pk)
        if encode(link) != row.link:
            if decode_as(Link, row.link).state == "filed":
                self.keep_version(transaction, row)
            self.studies.store_link(transaction, row, link)
            row = dicom_index.study_by_pk(transaction.connection, pk)
        if self.studies.write_head(transaction, row, merged):
            self.studies.bump(transaction, row)
            self.studies.index(transaction, row)

    def keep_version(self, transaction: Transaction, row: AnyRow) -> None:
        """As it was before it moved, it stays readable in the history."""
        stored = resources.find_by_rid(transaction.connection, row.rid)
        if stored.body is None and not stored.deleted:
            body = self.assembler.body(transaction.connection, stored)
            resources.keep_assembled(transaction, row.rid, body)

    def link_document(self, transaction: Transaction, pk: int) -> None:
        row = documents.by_pk(transaction.connection, pk)
        if row.deleted:
            return  # what its sender said of it may not even hold any more
        facts, given = decode_as(Document, row.facts), decode_as(Given, row.given)
        source = self.documents.linking.site.source_or_default(row.source)
        arrival = DocumentArrival(
            document=facts,
            given=given,
            source=source,
            zone=row.zone,
            sha1_base64=row.sha1,
            size=row.size,
        )
        link = self.documents.linking.link(
            transaction.connection, evidence_of(facts, given, source, row.zone)
        )
        current = resolve_patient(transaction.connection, row.patient or "")
        if link.state == "held" or not may_move(current, link):
            return
        if row.state == "held" or encode(link) != row.link:
            self.documents.link_again(transaction, row, arrival, link)


def waiting(
    transaction: Transaction, resource_type: str, content: Resource | None
) -> tuple[set[int], set[int]]:
    numbers = [
        (identifier["system"], identifier["value"])
        for identifier in (content or {}).get("identifier", ())
        if "system" in identifier and "value" in identifier
    ]
    return dicom_index.waiting_for(transaction.connection, resource_type, numbers)


def concerned(
    transaction: Transaction, resource_type: str, resource_id: str, content: Resource | None
) -> tuple[set[int], set[int]]:
    """What is filed to this Patient, in this Encounter, or might be: studies, and documents."""
    connection = transaction.connection
    if resource_type == "Patient":
        return (
            dicom_index.studies_of_patient(connection, resource_id),
            documents.of_patient(connection, resource_id),
        )
    if resource_type == "Encounter":
        patient = subject_of(content)
        return (
            dicom_index.studies_of_visit(connection, resource_id, patient),
            documents.of_visit(connection, resource_id, patient),
        )
    return set(), set()


def subject_of(content: Resource | None) -> str | None:
    return id_of((content or {}).get("subject", {}).get("reference"))


def may_move(current: Resource | None, link: Link) -> bool:
    """Is the new Patient the old one, or may it take the old one's place?"""
    if link.patient is None:
        return False
    return current is None or is_provisional(current) or current["id"] == id_of(link.patient)


def retire_provisional(
    transaction: Transaction, old: str | None, successor: str | None, *, zone: tzinfo | None
) -> None:
    """A provisional Patient whose images have all moved on is replaced by the real one."""
    patient_id = id_of(old) or ""
    patient = resources.find_content(transaction.connection, "Patient", patient_id)
    if patient is None or not is_provisional(patient) or successor is None:
        return
    if dicom_index.studies_of_patient(transaction.connection, patient_id):
        return
    patient["active"] = False
    patient["link"] = [{"other": {"reference": successor}, "type": "replaced-by"}]
    entries = index_entries("Patient", patient, zone=zone)
    resources.put(transaction, "Patient", patient_id, patient, entries)
