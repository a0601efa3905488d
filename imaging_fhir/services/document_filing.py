"""A photo, scan or PDF into the chart: a DocumentReference with its Binary, or a held Task."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.document_reference import document_reference
from imaging_fhir.fhir.patient import subject_reference
from imaging_fhir.fhir.profiles import claimed
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, decode_as, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import Decision, EhrWord, Given, Link, id_of
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.services.arrival import DocumentArrival, Filed
from imaging_fhir.services.ehr_word import follow, tagged
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.held import complete_task, open_task
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.moments import zone_of
from imaging_fhir.services.study_evidence import encounter_reference
from imaging_fhir.settings import Source
from imaging_fhir.storage import binaries, dicom_index, documents, jobs, outbox, resources
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.people import resolve_patient

ALREADY_KEPT = "The same file is kept already for this patient and visit."
DELETED = "The document was deleted here: the file is kept, but not shown."
SENT_ANEW = "The same file was deleted here as {}; it is sent otherwise now, and filed anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFiling:
    linking: Linking
    new_id: Callable[[], str]

    def file(self, transaction: Transaction, arrival: DocumentArrival, blob: int) -> Filed:
        """Index the document whose bytes are that blob; InvalidRequest for a wrong `given`."""
        evidence = evidence_of(
            arrival.document, arrival.given, arrival.source, arrival.zone, ehr=arrival.ehr
        )
        link = self.linking.link(transaction.connection, evidence)
        known = self.known(transaction, link, arrival, blob)
        if known is not None:
            return answer(transaction, known, 200, ALREADY_KEPT)
        deleted = self.deleted(transaction, link, arrival, blob)
        if deleted is not None and is_resent(deleted, arrival):
            return answer(transaction, deleted, 202, DELETED)
        pk = self.add(transaction, link, arrival, blob)
        text = "" if deleted is None else SENT_ANEW.format(reference_of(transaction, deleted))
        return answer(transaction, documents.by_pk(transaction.connection, pk), 201, text)

    def known(
        self, transaction: Transaction, link: Link, arrival: DocumentArrival, blob: int
    ) -> AnyRow | None:
        """The same bytes for the same patient and encounter, or held for the same reason.

        Where a person decided otherwise than its sender said, the sender says it again in vain.
        """
        for row in documents.by_content(transaction.connection, blob):
            again = row.given == encode(arrival.given)
            decided = again and row.decision is not None
            if row.state == "held":
                same = decided or (again and link.state == "held")
            else:
                filed = (row.patient, row.encounter)
                same = decided or filed == (id_of(link.patient), id_of(link.encounter))
            if same and not row.deleted:
                return row
        return None

    def deleted(
        self, transaction: Transaction, link: Link, arrival: DocumentArrival, blob: int
    ) -> AnyRow | None:
        """The same bytes in the same chart, hidden there; first of all the one sent like this."""
        if link.state == "held":
            return None
        found = [
            row
            for row in documents.by_content(transaction.connection, blob)
            if row.deleted and row.state == "filed" and row.patient == id_of(link.patient)
        ]
        return max(found, key=lambda row: (is_resent(row, arrival), row.pk), default=None)

    def add(self, transaction: Transaction, link: Link, arrival: DocumentArrival, blob: int) -> int:
        if link.state == "held":
            rid = self.hold(transaction, link, arrival)
        else:
            rid = self.publish(transaction, link, arrival, blob)
        pk = documents.add(
            transaction,
            rid=rid,
            state=link.state,
            blob=blob,
            patient=id_of(link.patient),
            encounter=id_of(link.encounter),
            facts=encode(arrival.document),
            given=encode(arrival.given),
            link=encode(link),
            source=arrival.source.id,
            zone=arrival.zone,
            sha1=arrival.sha1_base64,
        )
        dicom_index.await_identifiers(transaction, link.awaited, document_pk=pk)
        follow(transaction, link, document=pk)
        jobs.enqueue(transaction, "document-picture", str(pk))
        return pk

    def link_again(
        self, transaction: Transaction, row: AnyRow, arrival: DocumentArrival, link: Link
    ) -> None:
        """The same image under a new decision: published if it was held, else moved."""
        if row.state == "held":
            complete_task(transaction, row.rid)
            rid = self.publish(transaction, link, arrival, row.blob)
        else:
            rid = row.rid
            self.move(transaction, rid, link)
        documents.change(
            transaction,
            row.pk,
            rid=rid,
            state="filed",
            patient=id_of(link.patient),
            encounter=id_of(link.encounter),
            link=encode(link),
        )
        dicom_index.await_identifiers(transaction, link.awaited, document_pk=row.pk)
        follow(transaction, link, document=row.pk)

    def move(self, transaction: Transaction, rid: int, link: Link) -> None:
        content = resources.content_of(transaction.connection, rid)
        encounter = encounter_reference(link)
        context = dict(content.get("context", {}))
        context["encounter"] = [encounter] if encounter else None
        moved = without_empty(
            {
                **content,
                "subject": self.subject(transaction, link),
                "context": without_empty(context),
            }
        )
        moved = tagged(moved, link)
        moved = claimed(moved, self.linking.profiles)
        if moved != content:
            entries = index_entries("DocumentReference", moved, zone=self.linking.zone)
            resources.put(transaction, "DocumentReference", content["id"], moved, entries)
            outbox.note_moved(transaction, rid, "DocumentReference")

    def subject(self, transaction: Transaction, link: Link) -> Resource:
        patient = resolve_patient(transaction.connection, id_of(link.patient) or "")
        return subject_reference(patient["id"], patient) if patient else {}

    def hold(self, transaction: Transaction, link: Link, arrival: DocumentArrival) -> int:
        document = arrival.document
        about = {
            "ContentType": document.media_type,
            "Taken": document.taken.date if document.taken else None,
            "Source": arrival.source.id,
        }
        return open_task(transaction, self.new_id(), link, about)

    def publish(
        self, transaction: Transaction, link: Link, arrival: DocumentArrival, blob: int
    ) -> int:
        """The Binary first, then the DocumentReference that points at it."""
        subject = self.subject(transaction, link)
        binary_id, resource_id = self.new_id(), self.new_id()
        content = {
            "resourceType": "Binary",
            "contentType": arrival.document.media_type,
            "securityContext": {"reference": f"DocumentReference/{resource_id}"},
        }
        binary = resources.put(transaction, "Binary", binary_id, content, ())
        binaries.put_content(transaction, binary.rid, blob, arrival.document.media_type)
        reference = self.reference(transaction, link, arrival, binary_id, subject)
        entries = index_entries("DocumentReference", reference, zone=self.linking.zone)
        return resources.put(transaction, "DocumentReference", resource_id, reference, entries).rid

    def reference(
        self,
        transaction: Transaction,
        link: Link,
        arrival: DocumentArrival,
        binary_id: str,
        subject: Resource,
    ) -> Resource:
        given = arrival.given
        built = document_reference(
            arrival.document,
            identifier={
                "system": "urn:ietf:rfc:3986",
                "value": f"urn:uuid:{self.new_id()}",
            },
            subject=subject,
            encounter=encounter_reference(link),
            date=datetime.fromtimestamp(transaction.now / 1000, UTC),
            zone=zone_of(arrival.zone),
            binary_url=f"{BASE_PLACEHOLDER}/Binary/{binary_id}",
            size=arrival.size,
            sha1_base64=arrival.sha1_base64,
            type_=concept(given.type),
            body_site=concept(given.body_site),
            laterality=given.laterality,
            description=given.description,
            taken=given.date,
            thumbnail_url=f"{BASE_PLACEHOLDER}/Binary/{binary_id}/$thumbnail",
        )
        return claimed(tagged(built, link), self.linking.profiles)


def evidence_of(
    document: Document,
    given: Given,
    source: Source,
    zone: str,
    decision: Decision | None = None,
    *,
    ehr: EhrWord | None = None,
) -> Evidence:
    return Evidence(
        given=given,
        ehr=ehr,
        decision=decision,
        source=source,
        started=local(given.date) or document.taken,
        zone=zone_of(zone),
        is_study=False,
    )


def local(text: str | None) -> LocalDateTime | None:
    """A FHIR dateTime in its parts."""
    if not text:
        return None
    date, _, rest = text.partition("T")
    if not rest:
        return LocalDateTime(date=date)
    time, offset = (rest[:-1], "Z") if rest.endswith("Z") else (rest[:-6], rest[-6:])
    return LocalDateTime(date=date, time=time, offset=offset)


def concept(text: str | None) -> Resource | None:
    """`system|code` as a coding, anything else as its text."""
    if not text:
        return None
    system, separator, code = text.partition("|")
    if not separator:
        return {"text": text}
    return {"coding": [{"system": system, "code": code}]}


def is_resent(row: AnyRow, arrival: DocumentArrival) -> bool:
    """Sent by the same source with the same words: nobody says anything new."""
    return bool(row.source == arrival.source.id and row.given == encode(arrival.given))


def reference_of(transaction: Transaction, row: AnyRow) -> str:
    return resources.find_by_rid(transaction.connection, row.rid).reference


def answer(transaction: Transaction, row: AnyRow, status: int, text: str) -> Filed:
    link = decode_as(Link, row.link)
    stored = resources.find_by_rid(transaction.connection, row.rid)
    return Filed(
        status=202 if row.state == "held" or stored.deleted else 201 if status == 201 else 200,
        location=stored.reference,
        patient=link.patient,
        encounter=link.encounter,
        rule=link.patient_rule,
        reason=text or link.patient_reason,
        encounter_rule=link.encounter_rule,
        encounter_reason=link.encounter_reason,
        warnings=decode_as(Document, row.facts).warnings,
    )
