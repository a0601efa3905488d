"""News of a patient, a visit or an order: what waits for it is matched again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging_fhir.errors import ResourceConflict
from imaging_fhir.fhir.dicom_identity import first_current
from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import Resource, decode_as, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import OWN_ID, EhrWord, Given, Link, id_of
from imaging_fhir.model.merge import Merged
from imaging_fhir.services import report_ties, review, study_parts
from imaging_fhir.services.arrival import DocumentArrival
from imaging_fhir.services.document_filing import DocumentFiling, evidence_of
from imaging_fhir.services.ehr_word import word_of
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.held import complete_task, open_task
from imaging_fhir.services.linking import BY_DECISION, Linking, awaiting
from imaging_fhir.services.news import concerning
from imaging_fhir.services.parting import part_strangers
from imaging_fhir.services.patient_rules import BY_NUMBER
from imaging_fhir.services.provisional import retire_provisional
from imaging_fhir.services.registering import orders_in
from imaging_fhir.services.studies import Studies
from imaging_fhir.services.study_authored import ANOTHER_SUBJECT, held_for
from imaging_fhir.services.study_evidence import decision_on, evidence_of_study, facts_of_row
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.services.study_resource import may_file, resource_of
from imaging_fhir.services.subject import same_subject
from imaging_fhir.services.visit_news import touched
from imaging_fhir.storage import (
    dicom_index,
    documents,
    jobs,
    parting,
    registered_studies,
    rejections,
    report_studies,
    resources,
)
from imaging_fhir.storage.database import AnyRow, Connection, Transaction
from imaging_fhir.storage.people import (
    encounters_of,
    orders_at,
    predecessors,
    resolve_patient,
    successor_of,
)

REJECTION_NOTE = "rejection-note"  # job: notes of that study row are followed, now that it is filed
LINKING_TYPES = frozenset({"Patient", "Encounter", "ServiceRequest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Relinking:
    assembler: Studies
    studies: StudyFiling
    documents: DocumentFiling

    def resources_written(
        self, transaction: Transaction, news: Sequence[tuple[str, str, Resource | None]]
    ) -> None:
        """The same of several (type, id, content), which all are as they are to be by now."""
        registers = self.studies.registering.is_on
        found = concerning(transaction.connection, news, registers=registers)
        for resource_type, resource_id, content in found:
            self.resource_written(transaction, resource_type, resource_id, content)

    def resource_written(
        self,
        transaction: Transaction,
        resource_type: str,
        resource_id: str,
        content: Resource | None,
    ) -> None:
        """Called within every write of a resource; `content` is None for a deletion."""
        connection = transaction.connection
        zone = self.studies.linking.zone
        report_ties.follow_resource(transaction, resource_type, resource_id, zone=zone)
        if resource_type == "ImagingStudy":
            for pk in held_for(connection, resource_id, content):
                self.link_study(transaction, pk)
            former = resources.former_content(connection, resource_type, resource_id)
            self.studies.registering.orders_changed(transaction, orders_in(content, former))
        if resource_type not in LINKING_TYPES:
            return
        for found in (
            waiting(transaction, resource_type, resource_id, content),
            concerned(transaction, resource_type, resource_id, content),
        ):
            for pk in sorted(found[0]):
                self.link_study(transaction, pk)
            for pk in sorted(found[1]):
                self.link_document(transaction, pk)
        if resource_type == "Patient":
            for pk in parting.of_several(connection, everyone(connection, resource_id)):
                self.part(transaction, pk)
            if is_someone_else(connection, resource_id, content):
                self.follow_reports(transaction, resource_id)
        self.follow_orders(transaction, resource_type, resource_id)

    def follow_orders(self, transaction: Transaction, resource_type: str, resource_id: str) -> None:
        """What is registered of orders without images, after news of whose or when they are."""
        connection = transaction.connection
        match resource_type:
            case "Patient":
                patients = everyone(connection, resource_id)
                orders = registered_studies.orders_of_patients(connection, patients)
            case "Encounter":
                orders = orders_at(connection, resource_id)
            case _:
                orders = [resource_id]
        self.studies.registering.orders_changed(transaction, orders)

    def follow_patient(self, transaction: Transaction, rid: int) -> None:
        """The same of whose row that is in `resource`."""
        patient = resources.find_by_rid(transaction.connection, rid)
        self.follow_orders(transaction, patient.type, patient.id)
        self.follow_reports(transaction, patient.id)

    def follow_reports(self, transaction: Transaction, patient_id: str) -> None:
        """Which studies the reports about a Patient are tied to, after a merge or its end."""
        patients = everyone(transaction.connection, patient_id)
        found = report_studies.reports_of_patients(transaction.connection, patients)
        report_ties.tie_reports(transaction, found, zone=self.studies.linking.zone)

    def link_study(self, transaction: Transaction, pk: int) -> None:
        row = dicom_index.find_study(transaction.connection, pk)
        if row is None:
            return  # it has just joined another part of its study
        merged = decode_as(Merged, row.attributes)
        evidence = evidence_of_study(row, merged, self.studies.linking)
        link = self.studies.linking.link_kept(transaction.connection, evidence)
        if row.state == "held":
            self.release_study(transaction, row, merged, link)
        else:
            self.move_study(transaction, row, merged, link)

    def release_study(
        self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link
    ) -> None:
        """A held study that is now filed: to the known Patient it matches, never to a new one."""
        fate, filed = study_parts.fate(transaction.connection, row, link)
        if fate == "stays" or study_parts.must_be_compared(transaction, row, fate, filed):
            return
        notes = rejections.waiting_in(transaction.connection, row.pk)
        if filed is None:
            self.file_study(transaction, row, merged, link)
        elif fate == "disputes":
            self.studies.dispute(transaction, filed)
        elif fate == "takes":
            self.take_study(transaction, row, filed, link)
        else:
            self.join_study(transaction, row, filed)
            self.part(transaction, filed.pk)
        self.part(transaction, row.pk)
        if notes:
            jobs.enqueue(transaction, REJECTION_NOTE, str(row.pk if filed is None else filed.pk))

    def file_study(self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link) -> None:
        """It stays held where a client wrote its ImagingStudy for somebody else."""
        if not may_file(transaction.connection, row.study_instance_uid, link):
            if row.decision is not None:
                raise ResourceConflict(ANOTHER_SUBJECT)
            return
        complete_task(transaction, row.rid)
        registering = self.studies.registering
        rid, overlay = resource_of(transaction, registering, row.study_instance_uid, link)
        dicom_index.change_study(
            transaction, row.pk, state="filed", rid=rid, head=b"", overlay=overlay or row.overlay
        )  # a head that is written anew is indexed anew, be it as it was before it was held
        self.studies.watch(transaction, row.pk)
        self.store(transaction, row.pk, merged, link)

    def join_study(self, transaction: Transaction, row: AnyRow, filed: AnyRow) -> None:
        """The held part of a study goes where the rest of it is: it is the same person."""
        merged = study_parts.join(transaction, self.studies, row, filed)
        complete_task(transaction, row.rid)
        self.link_study(transaction, filed.pk)
        self.show(transaction, filed.pk, merged)

    def take_study(self, transaction: Transaction, row: AnyRow, filed: AnyRow, link: Link) -> None:
        """The ImagingStudy passes to the held images of a known person; those in it are held."""
        self.keep_version(transaction, filed)
        self.studies.give_way(transaction, filed)
        complete_task(transaction, row.rid)
        dicom_index.change_study(transaction, row.pk, state="filed", rid=filed.rid)
        merged = decode_as(Merged, row.attributes)
        self.store(transaction, row.pk, merged, link)
        self.show(transaction, row.pk, merged)

    def show(self, transaction: Transaction, pk: int, merged: Merged) -> None:
        """The next version, whatever its head says: other images are in it now."""
        row = dicom_index.study_by_pk(transaction.connection, pk)
        self.studies.write_head(transaction, row, merged)
        row = dicom_index.study_by_pk(transaction.connection, pk)
        self.studies.bump(transaction, row)
        self.studies.index(transaction, row)

    def move_study(self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link) -> None:
        """Another Patient only by identifier or merge; the visit as the rules now say."""
        old, decided = decode_as(Link, row.link), link
        current = resolve_patient(transaction.connection, row.patient or "")
        if self.is_groundless(transaction.connection, row, merged, link, old):
            self.hold_study(transaction, row, merged, link)
            return
        if not may_move(current, link, old, decode_as(Given, row.given)):
            link = awaiting(without_broken_visit(transaction, current, old), decided)
            link = without_gone_orders(transaction.connection, link)
        elif review.lost_visit(transaction, current or {}, link, old):
            link = replace(link, encounter_rule=review.LOST, encounter_reason=review.LOST_REASON)
        self.store(transaction, row.pk, merged, link)
        if old.patient != link.patient and not is_provisional(current or {}):
            linking = self.studies.linking
            evidence = evidence_of_study(row, merged, linking)
            corrected = names_another(transaction.connection, link, evidence, linking)
            dicom_index.change_study(transaction, row.pk, corrected=corrected)
        review.of_study(transaction, self.studies.new_id, row.pk, decided=decided, old=old)
        if old.patient != link.patient and not is_provisional(current or {}):
            self.part(transaction, row.pk)
        if old.patient != link.patient and link.patient_rule not in BY_DECISION:
            self.retire(transaction, row.patient, link.patient)

    def is_groundless(
        self, connection: Connection, row: AnyRow, merged: Merged, link: Link, old: Link
    ) -> bool:
        """Was it filed by a number that is another Patient's now, whom the file contradicts?"""
        if link.state != "held" or old.patient_rule != BY_NUMBER or row.deleted:
            return False
        linking = self.studies.linking
        evidence = evidence_of_study(row, merged, linking)
        numbers = linking.patient_numbers(evidence.person, evidence.source)
        whose = {patient["id"] for patient in linking.candidates(connection, numbers)}
        current = resolve_patient(connection, row.patient or "")
        return bool(whose) and current is not None and current["id"] not in whose

    def hold_study(self, transaction: Transaction, row: AnyRow, merged: Merged, link: Link) -> None:
        """It leaves the chart, as after a DELETE, and a Task asks whose it is."""
        self.withdraw(transaction, row)
        about = facts_of_row(row, merged)
        dicom_index.change_study(
            transaction,
            row.pk,
            state="held",
            rid=open_task(transaction, self.studies.new_id(), link, about, priority="urgent"),
            patient=None,
            encounter=None,
            corrected=False,
            link=encode(link),
        )
        dicom_index.await_identifiers(transaction, link.awaited, study_pk=row.pk)

    def withdraw(self, transaction: Transaction, row: AnyRow) -> None:
        """Its ImagingStudy goes, and what follows from it; the last version stays readable."""
        review.reconcile(transaction, self.studies.new_id, row.rid, {})
        self.keep_version(transaction, row)
        stored = resources.find_by_rid(transaction.connection, row.rid)
        orders = registered_studies.orders_of_study(transaction.connection, row.rid)
        resources.delete(transaction, stored.type, stored.id)
        self.studies.registering.orders_changed(transaction, orders)

    def part(self, transaction: Transaction, pk: int) -> None:
        """Those of its images that name another known person are theirs, and held."""
        parts = part_strangers(
            transaction,
            self.studies,
            pk,
            before=lambda row: self.keep_version(transaction, row),
        )
        for part in parts:
            self.link_study(transaction, part)

    def retire(self, transaction: Transaction, provisional: str, successor: str | None) -> None:
        """Documents follow the studies of a provisional Patient.

        Not where a person decided of one study: that says nothing of its number.
        """
        zone = self.studies.linking.zone
        if retire_provisional(transaction, provisional, successor, zone=zone):
            for pk in sorted(documents.of_patient(transaction.connection, provisional)):
                self.link_document(transaction, pk)

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

    def document_link(
        self, connection: Connection, pk: int, word: EhrWord | None = None
    ) -> tuple[DocumentArrival, Link]:
        """The document as if it came in today, and what is decided of it.

        `word` is what the EHR says today, else what it said when the document was linked counts.
        """
        row = documents.by_pk(connection, pk)
        document, given = decode_as(Document, row.facts), decode_as(Given, row.given)
        source = self.documents.linking.site.source_or_default(row.source)
        arrival = DocumentArrival(
            document=document,
            given=given,
            source=source,
            zone=row.zone,
            sha1_base64=row.sha1,
            size=row.size,
        )
        ehr = word or word_of(decode_as(Link, row.link))
        evidence = evidence_of(document, given, source, row.zone, decision_on(row), ehr=ehr)
        return arrival, self.documents.linking.link_kept(connection, evidence)

    def link_document(self, transaction: Transaction, pk: int) -> None:
        row = documents.by_pk(transaction.connection, pk)
        if row.deleted:
            return  # what its sender said of it may not even hold any more
        self.place_document(transaction, row, *self.document_link(transaction.connection, pk))

    def place_document(
        self, transaction: Transaction, row: AnyRow, arrival: DocumentArrival, link: Link
    ) -> None:
        """A held one as far as it is now known whose it is; a filed one as far as it may move."""
        if row.state == "held" and (link.state == "held" or link.patient is None):
            return
        current = resolve_patient(transaction.connection, row.patient or "")
        old, decided = decode_as(Link, row.link), link
        if row.state == "filed" and not may_move(current, link, old, arrival.given):
            link = awaiting(without_broken_visit(transaction, current, old), decided)
        elif row.state == "filed" and review.lost_visit(transaction, current or {}, link, old):
            link = replace(link, encounter_rule=review.LOST, encounter_reason=review.LOST_REASON)
        if row.state == "held" or encode(link) != row.link:
            self.documents.link_again(transaction, row, arrival, link)
        if row.state == "filed":
            about = id_of(link.patient)
            found = review.concerns(transaction, about, link, decided=decided, old=old)
            review.reconcile(transaction, self.documents.new_id, row.rid, found)


def waiting(
    transaction: Transaction, resource_type: str, resource_id: str, content: Resource | None
) -> tuple[set[int], set[int]]:
    """What waits for a number that it has or had, or that who took its place has or who gave it."""
    former = resources.former_content(transaction.connection, resource_type, resource_id)
    named = [content or {}, former or {}]
    own = [(OWN_ID, resource_id)]
    if resource_type == "Patient":
        replaced = predecessors(transaction.connection, resource_id)
        today = resolve_patient(transaction.connection, resource_id) or {}
        named += [*replaced.values(), today]
        own += [(OWN_ID, one) for one in replaced]
    numbers = [
        (identifier["system"], identifier["value"])
        for one in named
        for identifier in one.get("identifier", ())
        if "system" in identifier and "value" in identifier
    ]
    return dicom_index.waiting_for(transaction.connection, resource_type, numbers + own)


def concerned(
    transaction: Transaction, resource_type: str, resource_id: str, content: Resource | None
) -> tuple[set[int], set[int]]:
    """What is filed to this Patient, in this Encounter, or might be: studies, and documents."""
    connection = transaction.connection
    if resource_type == "Patient":
        patients = everyone(connection, resource_id)
        visits = [one["id"] for one in encounters_of(connection, patient=resource_id)]
        return (
            dicom_index.studies_at(connection, visits).union(
                *(dicom_index.studies_of_patient(connection, one) for one in patients)
            ),
            documents.at(connection, visits).union(
                *(documents.of_patient(connection, one) for one in patients)
            ),
        )
    if resource_type == "ServiceRequest":
        return dicom_index.studies_of_order(connection, resource_id), set()
    if resource_type == "Encounter":
        former = resources.former_content(connection, resource_type, resource_id)
        return touched(connection, resource_id, [content or {}, former or {}])
    return set(), set()


def everyone(connection: Connection, patient_id: str) -> set[str]:
    """All who are the same person today, and those who were: a merge may have been taken back."""
    former = resources.former_content(connection, "Patient", patient_id)
    left = successor_of(former) if former is not None else ""
    return all_of(connection, patient_id) | (all_of(connection, left) if left else set())


def is_someone_else(connection: Connection, patient_id: str, content: Resource | None) -> bool:
    """Has the Patient come or gone, or another successor than before?"""
    former = resources.former_content(connection, "Patient", patient_id)
    if content is None or former is None:
        return True
    return successor_of(content) != successor_of(former)


def all_of(connection: Connection, patient_id: str) -> set[str]:
    """Ids of all Patients that are the same person as this one."""
    today = resolve_patient(connection, patient_id)
    if today is None:
        return {patient_id}
    return {patient_id, today["id"], *predecessors(connection, today["id"])}


def without_broken_visit(transaction: Transaction, patient: Resource | None, link: Link) -> Link:
    """The image stays with its Patient; a visit that is not theirs any more, it loses."""
    if link.encounter is None:
        return link
    visits = encounters_of(transaction.connection, ids=(id_of(link.encounter) or "",))
    if visits and same_subject(transaction.connection, visits[0], patient):
        return link
    return replace(
        link,
        encounter=None,
        encounter_rule=review.LOST,
        encounter_reason=review.LOST_REASON,
    )


def without_gone_orders(connection: Connection, link: Link) -> Link:
    """An order that was deleted is one no more."""
    there = tuple(
        order
        for order in link.based_on
        if resources.find_content(connection, "ServiceRequest", id_of(order) or "")
    )
    return link if there == link.based_on else replace(link, based_on=there)


def names_another(connection: Connection, link: Link, evidence: Evidence, linking: Linking) -> bool:
    """Do the files give another number than the one that is the Patient's today?"""
    patient = resolve_patient(connection, id_of(link.patient) or "") or {}
    number = first_current(patient.get("identifier", ()))
    numbers = linking.patient_numbers(evidence.person, evidence.source)
    return (number.get("system"), number.get("value")) not in numbers


def may_move(current: Resource | None, link: Link, old: Link, given: Given) -> bool:
    """Is the new Patient the old one, or may it take the old one's place?

    It may by a person's decision, from a provisional one, where the number that led to the old one
    is now the new one's, and where a merge of the one whom the sender named was taken back
    (design: by identifier, merge or move evidence alone).
    """
    if current is None or link.state == "held" or link.patient is None:
        return False
    if link.patient_rule in BY_DECISION or is_provisional(current):
        return True
    if current["id"] == id_of(link.patient):
        return True
    if old.patient_rule != link.patient_rule:
        return False
    return link.patient_rule == BY_NUMBER or link.patient == given.patient
