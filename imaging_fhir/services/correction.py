"""A person says whose image it is: held images are filed or rejected, filed ones are moved.

Each correction is one transaction, is told by a Provenance, and can be undone by its id.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from imaging_fhir.errors import InvalidResource, ResourceConflict, ResourceNotFound
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.correction import Corrected, Correction, Relinked, SeriesKey
from imaging_fhir.model.link import Decision, Link, id_of
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.reference import local_target
from imaging_fhir.services import decisions, moved_parts, parting, study_parts
from imaging_fhir.services.correction_record import record
from imaging_fhir.services.preconditions import require_match
from imaging_fhir.services.rejected import REJECTED, is_hidden
from imaging_fhir.services.relinking import Relinking, without_broken_visit
from imaging_fhir.services.resources import binaries_of
from imaging_fhir.services.study_evidence import decision_on, evidence_of_study
from imaging_fhir.services.study_overlay import DISPUTED
from imaging_fhir.services.subject import same_subject, subject_of
from imaging_fhir.storage import corrections, dicom_index, documents, rejections, resources
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction
from imaging_fhir.storage.people import encounters_of, resolve_patient
from imaging_fhir.storage.resources import StoredResource


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An image as a person names it: by its resource, or by the Task that holds it."""

    kind: str  # study, document
    row: AnyRow
    stored: StoredResource


class Corrections:
    def __init__(
        self, database: Database, relinking: Relinking, *, new_id: Callable[[], str]
    ) -> None:
        self.database = database
        self.relinking = relinking
        self.new_id = new_id

    def link(
        self,
        reference: str,
        decision: Decision,
        *,
        reason: str | None,
        caller: Caller,
        if_match: str | None = None,
    ) -> Corrected:
        """File a held image, or move a filed one, to that Patient and visit.

        Raise InvalidResource where they do not belong together, VersionConflict where somebody
        else was faster, ResourceConflict where the image cannot go there.
        """

        def unit(transaction: Transaction) -> Corrected:
            return self.link_in(
                transaction, reference, decision, reason=reason, caller=caller, if_match=if_match
            )

        return self.database.write(unit)

    def link_in(
        self,
        transaction: Transaction,
        reference: str,
        decision: Decision,
        *,
        reason: str | None,
        caller: Caller,
        if_match: str | None,
    ) -> Corrected:
        """A decision with a source is told as that one's."""
        found = self.find(transaction, reference, if_match)
        require_together(transaction.connection, decision)
        origin, filing = None, self.relinking.studies
        parted: tuple[SeriesKey, ...] = ()
        if found.kind == "study":
            if is_hidden(found.row):
                rejections.overrule(transaction, found.row.pk, is_overruled=True)
            if moved_parts.place(transaction, filing, found.row, decision):
                origin = found.row.study_instance_uid
                parted = moved_parts.part_off(transaction, filing, found.row)
            row = dicom_index.study_by_pk(transaction.connection, found.row.pk)
            found = replace(found, row=row)
        before = self.decide(transaction, found, decision)
        before = replace(before, origin=origin, parted=parted)
        result = self.settled(transaction, found, before, decision)
        activity = "correct-by-source" if decision.source else "link"
        done = self.tell(transaction, activity, found, before, result, reason, caller)
        is_held = result.startswith("Task/")
        return replace(done, text=COMPARED) if is_held else done

    def reject(
        self, task_id: str, *, reason: str | None, caller: Caller, if_match: str | None = None
    ) -> Corrected:
        """The held image belongs in no chart here; it is kept, and stays held."""

        def unit(transaction: Transaction) -> Corrected:
            found = self.find(transaction, f"Task/{task_id}", if_match)
            before = self.remember(found, Decision(patient=None))
            self.change(transaction, found, decision=encode(before.decided))
            set_status(transaction, found.stored.rid, "rejected")
            result = found.stored.reference
            return self.tell(transaction, "reject", found, before, result, reason, caller)

        return self.database.write(unit)

    def find(self, transaction: Transaction, reference: str, if_match: str | None) -> Found:
        resource_type, _, resource_id = reference.partition("/")
        stored = resources.read(transaction.connection, resource_type, resource_id)
        require_match(if_match, stored)
        found = image_of(transaction.connection, stored)
        if found is None:
            raise ResourceConflict(f"{reference} {NO_IMAGE[resource_type]}")
        return found

    def decide(self, transaction: Transaction, found: Found, decision: Decision) -> Relinked:
        """Let the decision count, and the image go where it says."""
        before = self.remember(found, decision)
        self.change(transaction, found, decision=encode(decision))
        if found.kind == "document":
            self.relinking.link_document(transaction, found.row.pk)
            return replace(before, overlay=self.clear_document(transaction, found, decision))
        cleared = self.clear(transaction, found, decision)
        self.change(transaction, found, corrected=True)
        parting.decide_on_all(transaction, found.row, decision)
        self.relinking.link_study(transaction, found.row.pk)
        row = dicom_index.find_study(transaction.connection, found.row.pk)
        if row is None:
            return replace(before, joined=True)
        if cleared and row.state == "filed":
            self.relinking.show(transaction, row.pk, decode_as(Merged, row.attributes))
        return before

    def remember(self, found: Found, decision: Decision) -> Relinked:
        row, held = found.row, found.row.state == "held"
        return Relinked(
            kind="study" if found.kind == "study" else "document",
            pk=row.pk,
            state=row.state,
            link=decode_as(Link, row.link),
            decision=decision_on(row),
            task=row.rid if held else None,
            overlay=row.overlay if found.kind == "study" else None,
            corrected=bool(row.corrected) if found.kind == "study" else False,
            decisions=decisions.listed(decisions.of_others(row)) if found.kind == "study" else (),
            decided=decision,
        )

    def change(self, transaction: Transaction, found: Found, **values: object) -> None:
        table = dicom_index.change_study if found.kind == "study" else documents.change
        table(transaction, found.row.pk, **values)

    def clear(self, transaction: Transaction, found: Found, decision: Decision) -> bool:
        """Nothing of a former patient stays in what users wrote, nor the mark of a dispute.

        Say whether something was taken away.
        """
        if not found.row.overlay:
            return False
        patient = resolve_patient(transaction.connection, id_of(decision.patient) or "")
        kept = encode(overlay_for(transaction.connection, decode(found.row.overlay), patient))
        if kept == found.row.overlay:
            return False
        self.change(transaction, found, overlay=None if kept == b"{}" else kept)
        return True

    def clear_document(
        self, transaction: Transaction, found: Found, decision: Decision
    ) -> bytes | None:
        """What users wrote of a former patient goes from the document; the elements as they were.

        None where there is nothing of that kind.
        """
        connection = transaction.connection
        patient = resolve_patient(connection, id_of(decision.patient) or "")
        row = documents.by_pk(connection, found.row.pk)
        content = resources.content_of(connection, row.rid)
        context = content.get("context", {})
        kept = {
            "related": [
                one
                for one in context.get("related", ())
                if not of_another(connection, one, patient)
            ],
            "sourcePatientInfo": context.get("sourcePatientInfo"),
        }
        if of_another(connection, kept["sourcePatientInfo"] or {}, patient):
            kept["sourcePatientInfo"] = None
        former = {name: context.get(name) for name in kept}
        if all((former[name] or None) == (kept[name] or None) for name in kept):
            return None
        self.put_context(transaction, content, kept)
        return encode(former)

    def put_context(self, transaction: Transaction, document: Resource, elements: Resource) -> None:
        context = without_empty({**document.get("context", {}), **elements})
        content = without_empty({**document, "context": context})
        zone = self.relinking.documents.linking.zone
        entries = index_entries("DocumentReference", content, zone=zone)
        resources.put(transaction, "DocumentReference", content["id"], content, entries)

    def settled(
        self, transaction: Transaction, found: Found, before: Relinked, decision: Decision
    ) -> str:
        """The resource that the image is in now; raise ResourceConflict where it did not go."""
        connection = transaction.connection
        if before.joined:
            filed = dicom_index.filed_study(connection, found.row.study_instance_uid)
            row = cast(AnyRow, filed)
        elif found.kind == "study":
            row = dicom_index.study_by_pk(connection, found.row.pk)
        else:
            row = documents.by_pk(connection, found.row.pk)
        filed_to = resolve_patient(connection, row.patient or "")
        meant = resolve_patient(connection, id_of(decision.patient) or "")
        is_compared = found.kind == "study" and self.is_compared(connection, row)
        if not is_compared and (row.state != "filed" or filed_to is None or filed_to != meant):
            raise ResourceConflict(TAKEN)
        return resources.find_by_rid(connection, row.rid).reference

    def is_compared(self, connection: Connection, row: AnyRow) -> bool:
        """Is the held part filed as soon as its images have been compared with those there?"""
        if row.state != "held":
            return False
        merged = decode_as(Merged, row.attributes)
        linking = self.relinking.studies.linking
        link = linking.link_kept(connection, evidence_of_study(row, merged, linking))
        fate, filed = study_parts.fate(connection, row, link)
        return fate in ("is-filed", "joins", "takes") and bool(
            study_parts.clashes(connection, row, fate, filed, limit=1)
        )

    def tell(
        self,
        transaction: Transaction,
        activity: str,
        found: Found,
        before: Relinked,
        result: str,
        reason: str | None,
        caller: Caller,
    ) -> Corrected:
        targets = list(dict.fromkeys((result, found.stored.reference)))
        told = record(
            transaction,
            self.new_id(),
            activity,
            targets=targets,
            revised=(f"{found.stored.reference}/_history/{found.stored.version}",),
            reason=reason,
            caller=caller,
            patient=before.decided.patient if before.decided else None,
            agent=f"Source {before.decided.source}" if before.decided.source else None,
        )
        corrections.add(transaction, told.rid, Correction(relinked=before))
        return Corrected(text=DONE[activity], result=result, provenance=told.reference)

    def undo(
        self, transaction: Transaction, provenance_id: str, reason: str | None, caller: Caller
    ) -> Corrected:
        """As it was before; raise ResourceConflict where it was corrected again since."""
        pk, correction = undoable(transaction.connection, provenance_id)
        before = correction.relinked
        if before is None:
            raise ResourceConflict(NOT_OURS)
        if before.joined:
            raise ResourceConflict(JOINED)
        found = self.still(transaction.connection, before)
        self.restore(transaction, found, before)
        corrections.mark_undone(transaction, pk)
        table = dicom_index.study_by_pk if found.kind == "study" else documents.by_pk
        row = table(transaction.connection, found.row.pk)
        result = resources.find_by_rid(transaction.connection, row.rid).reference
        told = record(
            transaction,
            self.new_id(),
            "undo",
            targets=tuple(dict.fromkeys((result, found.stored.reference))),
            revised=(f"Provenance/{provenance_id}",),
            reason=reason,
            caller=caller,
            patient=f"Patient/{row.patient}" if row.patient else None,
        )
        return Corrected(text=DONE["undo"], result=result, provenance=told.reference)

    def still(self, connection: Connection, before: Relinked) -> Found:
        """The image where the correction put it; raise ResourceConflict."""
        of_study = before.kind == "study"
        row = (dicom_index.find_study if of_study else documents.find)(connection, before.pk)
        if row is None:
            raise ResourceConflict("The image is not there any more.")
        if row.deleted and row.state == "filed":
            raise ResourceConflict("The image was deleted.")
        if decision_on(row) != before.decided:
            raise ResourceConflict(SINCE)
        stored = resources.find_by_rid(connection, row.rid)
        return Found(kind=before.kind, row=row, stored=stored)

    def restore(self, transaction: Transaction, found: Found, before: Relinked) -> None:
        decision = encode(before.decision) if before.decision else None
        self.change(transaction, found, decision=decision)
        if found.kind == "study":
            others = decisions.column(before.decisions)
            self.change(transaction, found, corrected=before.corrected, decisions=others)
        if before.state == "held":
            self.hold_again(transaction, found, before)
        elif found.kind == "study":
            self.change(transaction, found, overlay=before.overlay)
            self.put_back_study(transaction, found, before)
        else:
            self.put_back_document(transaction, found, before)

    def put_back_study(self, transaction: Transaction, found: Found, before: Relinked) -> None:
        row = dicom_index.study_by_pk(transaction.connection, found.row.pk)
        merged = decode_as(Merged, row.attributes)
        evidence = evidence_of_study(row, merged, self.relinking.studies.linking)
        decided = self.relinking.studies.linking.link_kept(transaction.connection, evidence)
        link = former(transaction, before.link, decided)
        self.relinking.store(transaction, row.pk, merged, link)
        self.relinking.show(transaction, row.pk, merged)
        self.relinking.link_study(transaction, row.pk)  # its Patient may be two by now
        self.relinking.part(transaction, row.pk)
        parting.name_those_in(transaction, row.pk)

    def put_back_document(self, transaction: Transaction, found: Found, before: Relinked) -> None:
        arrival, decided = self.relinking.document_link(transaction.connection, found.row.pk)
        row = documents.by_pk(transaction.connection, found.row.pk)
        link = former(transaction, before.link, decided)
        self.relinking.documents.link_again(transaction, row, arrival, link)
        if before.overlay:
            content = resources.content_of(transaction.connection, row.rid)
            self.put_context(transaction, content, decode(before.overlay))
        self.relinking.link_document(transaction, row.pk)

    def hold_again(self, transaction: Transaction, found: Found, before: Relinked) -> None:
        """Its resource is gone, as after a DELETE, and its Task asks again."""
        if before.task is None:
            raise ResourceConflict(SINCE)
        if found.row.state == "filed":
            if found.kind == "study":
                self.relinking.withdraw(transaction, found.row)
            for reference in with_binaries(found.stored):
                resources.delete(transaction, *reference)
        self.change(
            transaction,
            found,
            state="held",
            rid=before.task,
            patient=None,
            encounter=None,
            link=encode(before.link),
        )
        if before.origin is not None:
            filing = self.relinking.studies
            row = dicom_index.study_by_pk(transaction.connection, found.row.pk)
            moved_parts.put_back(transaction, filing, row, before.origin, before.parted)
        if before.link.patient_rule == REJECTED:
            rejections.overrule(transaction, found.row.pk, is_overruled=False)
        status = "rejected" if before.link.patient_rule == REJECTED else "requested"
        set_status(transaction, before.task, status)
        key = {f"{found.kind}_pk": found.row.pk}
        dicom_index.await_identifiers(transaction, before.link.awaited, **key)


def image_of(connection: Connection, stored: StoredResource) -> Found | None:
    """The study or document whose resource, or whose Task while it is held, this is."""
    study = dicom_index.study_at(connection, stored.rid)
    if study is not None:
        return Found(kind="study", row=study, stored=stored)
    document = documents.by_resource(connection, stored.rid)
    return None if document is None else Found(kind="document", row=document, stored=stored)


def require_together(connection: Connection, decision: Decision) -> None:
    """The Patient is known, and the visit theirs; raise InvalidResource.

    The decision stays as it was said: of a merged Patient, it is theirs when that is taken back.
    """
    patient = resolve_patient(connection, id_of(decision.patient) or "")
    if patient is None:
        raise InvalidResource("The patient is not known here.", expression="http.patient")
    if decision.encounter is not None:
        visits = encounters_of(connection, ids=(id_of(decision.encounter) or "",))
        if not visits:
            raise InvalidResource("The encounter is not known here.", expression="http.encounter")
        if not same_subject(connection, visits[0], patient):
            raise InvalidResource(
                "The encounter is of another patient.", expression="http.encounter"
            )


def of_another(connection: Connection, reference: Resource, patient: Resource | None) -> bool:
    """Does it lead to somebody else here, or to a resource whose subject is somebody else?"""
    type_, id_ = local_target(reference.get("reference")) or ("", "")
    if type_ == "Patient":
        meant = resolve_patient(connection, id_)
        return meant is None or patient is None or meant["id"] != patient["id"]
    found = resources.find_content(connection, type_, id_)
    subject = subject_of(connection, found) if found else None
    return subject is not None and (patient is None or subject["id"] != patient["id"])


def overlay_for(connection: Connection, overlay: Resource, patient: Resource | None) -> Resource:
    """The overlay without what is another patient's, and without the mark of a dispute."""
    kept: Resource = {}
    for name, value in overlay.items():
        if name == "meta":
            tags = [tag for tag in value.get("tag", ()) if tag != DISPUTED]
            value = {**{key: one for key, one in value.items() if key != "tag"}}
            kept[name] = {**value, "tag": tags} if tags else value
        elif isinstance(value, list):
            kept[name] = [one for one in value if not of_another(connection, one, patient)]
        elif not (isinstance(value, dict) and of_another(connection, value, patient)):
            kept[name] = value
    return {name: value for name, value in kept.items() if value not in ({}, [])}


def former(transaction: Transaction, link: Link, decided: Link) -> Link:
    """The link that the image had, as far as it holds today."""
    patient = resolve_patient(transaction.connection, id_of(link.patient) or "")
    if patient is None:
        raise ResourceConflict("The Patient that it was filed to is not there any more.")
    if decided.state == "filed" and id_of(decided.patient) == patient["id"]:
        return decided
    return without_broken_visit(
        transaction, patient, replace(link, patient=f"Patient/{patient['id']}")
    )


def with_binaries(stored: StoredResource) -> list[tuple[str, str]]:
    """What goes when the image is held again, as (type, id)."""
    return [
        (stored.type, stored.id),
        *(("Binary", binary_id) for binary_id in binaries_of(stored)),
    ]


def set_status(transaction: Transaction, task_rid: int, status: str) -> None:
    if resources.find_by_rid(transaction.connection, task_rid).deleted:
        raise ResourceConflict("Its Task was deleted.")
    task = resources.content_of(transaction.connection, task_rid)
    task["status"] = status
    resources.put(transaction, "Task", task["id"], task, index_entries("Task", task))


def undoable(connection: Connection, provenance_id: str) -> tuple[int, Correction]:
    """Raise ResourceNotFound, ResourceConflict."""
    resources.read(connection, "Provenance", provenance_id)
    known = corrections.of_provenance(connection, provenance_id)
    if known is None:
        raise ResourceNotFound(f"Provenance/{provenance_id} is of no correction.")
    pk, correction, undone = known
    if undone:
        raise ResourceConflict("The correction was undone already.")
    if not corrections.is_latest(connection, pk, correction):
        raise ResourceConflict(SINCE)
    return pk, correction


DONE = {
    "link": "The image is filed as you said.",
    "correct-by-source": "The study is moved as its source says.",
    "reject": "The image stays held, and is in no chart.",
    "split": "These images are a study of their own now, of whom you said.",
    "undo": "The correction was undone.",
}
NO_IMAGE = {
    "ImagingStudy": "has no images of this server.",
    "DocumentReference": "was written by a client: update its subject.",
    "Task": "holds no image any more, or one that is kept only beside another.",
}
TAKEN = "The image could not be filed there: images of its study are filed to somebody else."
COMPARED = "It is filed as you said once its images have been compared with those that are there."
SINCE = "It was corrected again since: undo that first."
JOINED = "Its images are one with those of the study that was there: they cannot be held again."
NOT_OURS = "It is no correction of an image."
