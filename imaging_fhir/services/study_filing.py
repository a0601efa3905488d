"""One DICOM instance into the index: its study, its series, itself, in the caller's transaction.

Its cost does not depend on how many instances the study has.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from imaging_fhir.fhir.imaging_study import (
    imaging_study_head,
    imaging_study_instance,
    imaging_study_series_head,
)
from imaging_fhir.fhir.patient import is_provisional, subject_reference
from imaging_fhir.model.change import is_moved
from imaging_fhir.model.codec import Resource, decode, decode_as, encode
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.model.merge import Change, Merged, Rank, rank
from imaging_fhir.model.person import Person
from imaging_fhir.model.reference import local_id
from imaging_fhir.model.study import DicomInstance, SeriesAttributes, StudyAttributes
from imaging_fhir.services import demographics, review
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.duplicates import kept, taken
from imaging_fhir.services.ehr_word import follow, tagged
from imaging_fhir.services.held import open_task
from imaging_fhir.services.indexing import entries_of_series, entries_of_study
from imaging_fhir.services.linking import Linking, awaiting
from imaging_fhir.services.moments import zone_of
from imaging_fhir.services.own_orders import own_numbers
from imaging_fhir.services.provisional import make_provisional, retire_provisional
from imaging_fhir.services.registering import Registering
from imaging_fhir.services.rejected import begins_anew, place, rejecting
from imaging_fhir.services.report_ties import StudyKeys, follow_study
from imaging_fhir.services.said import said_of_series, said_of_study
from imaging_fhir.services.study_authored import ANOTHER_SUBJECT
from imaging_fhir.services.study_evidence import (
    ANOTHER_PERSONS,
    answer,
    decision_on,
    disagreements,
    encounter_reference,
    evidence_of,
    evidence_of_study,
    facts_of_arrival,
    facts_of_row,
    held_link,
    known_patient,
    own_endpoints,
)
from imaging_fhir.services.study_overlay import disputed, sound_overlay
from imaging_fhir.services.study_resource import may_file, resource_of
from imaging_fhir.storage import dicom_index, jobs, outbox, resources, search_index
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.people import resolve_patient

ANOTHER_PATIENT = "The study is filed to another Patient than the one this file names."
LINKING_ATTRIBUTES = frozenset(
    {"started", "accession_numbers", "admission_id", "service_episode_id"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFiling:
    linking: Linking
    archive_endpoint: str  # Endpoint/<id>
    quiet_milliseconds: int
    new_id: Callable[[], str]
    registers: bool = False  # orders without images

    @property
    def registering(self) -> Registering:
        return Registering(new_id=self.new_id, zone=self.linking.zone, is_on=self.registers)

    def file(self, transaction: Transaction, arrival: DicomArrival, blob: int, sha: str) -> Filed:
        """Index the instance whose bytes are that blob; raise ComparisonNeeded.

        What the caller gave may contradict what is known: InvalidRequest.
        """
        study = dicom_index.study_of_identity(
            transaction.connection, arrival.image.study.study_instance_uid, arrival.identity
        )
        uid = arrival.image.instance.sop_instance_uid
        if study is None or begins_anew(transaction.connection, study, uid):
            return self.file_newcomer(transaction, arrival, blob, sha, study)
        code = rejecting(transaction.connection, study, uid)
        if code is not None:
            study = place(transaction, self.new_id, study, arrival, code)
        verdict = taken(transaction, study, arrival, sha)
        if verdict is not None:
            return kept(transaction, study, arrival, blob, verdict, self.new_id)
        return self.add(transaction, study, arrival, blob)

    def file_newcomer(
        self,
        transaction: Transaction,
        arrival: DicomArrival,
        blob: int,
        sha: str,
        former: AnyRow | None,
    ) -> Filed:
        """An instance that is only a conflict opens no study: there would be nothing in it.

        `former` had the images that named the same before these were hidden.
        """
        with transaction.connection.begin_nested() as savepoint:
            study = self.newcomer(transaction, arrival, former)
            uid = arrival.image.instance.sop_instance_uid
            code = rejecting(transaction.connection, study, uid)
            verdict = taken(transaction, study, arrival, sha)
            if (verdict is not None or code) and not study.number_of_instances:
                savepoint.rollback()
        if code is not None:
            study = place(transaction, self.new_id, study, arrival, code)
            verdict = taken(transaction, study, arrival, sha)
        if verdict is not None:
            return kept(transaction, study, arrival, blob, verdict, self.new_id)
        return self.add(transaction, study, arrival, blob)

    def newcomer(
        self, transaction: Transaction, arrival: DicomArrival, former: AnyRow | None
    ) -> AnyRow:
        """The study row for a person not named so before in this study."""
        study_instance_uid = arrival.image.study.study_instance_uid
        decision = None if former is None else decision_on(former)
        evidence = replace(evidence_of(arrival), decision=decision)
        link = self.linking.link(transaction.connection, evidence)
        existing = dicom_index.filed_study(transaction.connection, study_instance_uid)
        if existing is None and not may_file(transaction.connection, study_instance_uid, link):
            link = held_link(link, ANOTHER_PERSONS, ANOTHER_SUBJECT)
        if existing is None or link.state == "held":
            pk = self.open(transaction, arrival, link)
        else:
            pk = self.beside(transaction, arrival, link, existing)
        if former is not None and former.decision is not None:
            dicom_index.change_study(
                transaction, pk, decision=former.decision, corrected=former.corrected
            )
        dicom_index.name_identity(transaction, study_instance_uid, arrival.identity, pk)
        return dicom_index.study_by_pk(transaction.connection, pk)

    def beside(
        self, transaction: Transaction, arrival: DicomArrival, link: Link, existing: AnyRow
    ) -> int:
        """Where an ImagingStudy is there: the same person joins it, another one is held.

        A study belongs to the first known Patient; a provisional one gives way.
        """
        holder = resolve_patient(transaction.connection, existing.patient)
        if holder is not None and self.same_person(link, arrival, existing, holder):
            self.name_better(transaction, existing, arrival, link)
            return int(existing.pk)
        newcomer = known_patient(transaction, link)
        if newcomer is not None and holder is not None and is_provisional(holder):
            if self.found_at_last(transaction, existing, arrival, newcomer):
                return int(existing.pk)
            self.give_way(transaction, existing)
            self.bump(transaction, existing)
            return self.open(transaction, arrival, link, rid=existing.rid)
        if newcomer is not None:
            self.dispute(transaction, existing)
        held = held_link(link, ANOTHER_PERSONS, ANOTHER_PATIENT)
        return self.open(
            transaction, arrival, held, priority="urgent" if newcomer is not None else "routine"
        )

    def same_person(
        self, link: Link, arrival: DicomArrival, existing: AnyRow, holder: Resource
    ) -> bool:
        """Decided on the resolved Patient; a number that resolves to none, on number and person."""
        if link.patient is not None:
            return bool(id_of(link.patient) == holder["id"])
        person, known = arrival.image.person, decode_as(Person, existing.person)
        alike = self.linking.share_a_number(person, known) or (
            is_provisional(holder) and not (person.identifiers and known.identifiers)
        )
        return alike and demographics.disagreement(person, holder) is None

    def name_better(
        self, transaction: Transaction, existing: AnyRow, arrival: DicomArrival, link: Link
    ) -> None:
        """A number that means something takes the place of one without issuer, or of none."""
        person = decode_as(Person, existing.person)
        source = self.linking.site.source_or_default(existing.source)
        named = self.linking.patient_numbers(person, source)
        if not named and self.linking.patient_numbers(arrival.image.person, arrival.source):
            dicom_index.change_study(
                transaction,
                existing.pk,
                person=encode(arrival.image.person),
                source=arrival.source.id,
            )
            dicom_index.await_identifiers(transaction, link.awaited, study_pk=existing.pk)

    def found_at_last(
        self, transaction: Transaction, existing: AnyRow, arrival: DicomArrival, newcomer: Resource
    ) -> bool:
        """The provisional Patient's number is the known one's: the study is theirs."""
        person = decode_as(Person, existing.person)
        if (
            not self.linking.share_a_number(arrival.image.person, person)
            or demographics.disagreement(person, newcomer) is not None
        ):
            return False
        merged = decode_as(Merged, existing.attributes)
        evidence = replace(
            evidence_of_study(existing, merged, self.linking),
            person=arrival.image.person,
            source=arrival.source,
        )
        link = self.linking.link_kept(transaction.connection, evidence)
        if id_of(link.patient) != newcomer["id"]:
            return False
        dicom_index.change_study(
            transaction,
            existing.pk,
            person=encode(arrival.image.person),
            source=arrival.source.id,
        )
        self.store_link(transaction, existing, link)
        study = dicom_index.study_by_pk(transaction.connection, existing.pk)
        self.write_head(transaction, study, merged)
        self.bump(transaction, study)
        self.index(transaction, study)
        retire_provisional(transaction, existing.patient, link.patient, zone=self.linking.zone)
        return True

    def open(
        self,
        transaction: Transaction,
        arrival: DicomArrival,
        link: Link,
        *,
        rid: int | None = None,
        priority: str = "routine",
    ) -> int:
        """A study row without series: an ImagingStudy when filed, a Task when held."""
        image, overlay = arrival.image, None
        if link.state == "held":
            about = facts_of_arrival(arrival)
            rid = open_task(transaction, self.new_id(), link, about, priority=priority)
        else:
            link = make_provisional(transaction, self.linking, link, image.person, arrival.source)
            if rid is None:
                uid = image.study.study_instance_uid
                rid, overlay = resource_of(transaction, self.registering, uid, link)
        pk = dicom_index.add_study(
            transaction,
            study_instance_uid=image.study.study_instance_uid,
            state=link.state,
            rid=rid,
            patient=id_of(link.patient),
            encounter=id_of(link.encounter),
            attributes=encode(Merged()),
            person=encode(image.person),
            given=encode(arrival.given),
            source=arrival.source.id,
            zone=image.timezone_offset or arrival.zone,
            link=encode(link),
            overlay=overlay_with_tag(overlay, link),
            head=b"",
        )
        dicom_index.await_identifiers(transaction, link.awaited, study_pk=pk)
        follow(transaction, link, study=pk)
        if link.state == "filed":
            self.watch(transaction, pk)
        return pk

    def give_way(self, transaction: Transaction, existing: AnyRow) -> None:
        """The images of a provisional Patient leave the study to a known one, and are held."""
        outbox.note_moved(transaction, existing.rid, "ImagingStudy")
        link = held_link(decode_as(Link, existing.link), ANOTHER_PERSONS, ANOTHER_PATIENT)
        merged = decode_as(Merged, existing.attributes)
        about = facts_of_row(existing, merged)
        dicom_index.change_study(
            transaction,
            existing.pk,
            state="held",
            rid=open_task(transaction, self.new_id(), link, about),
            patient=None,
            encounter=None,
            link=encode(link),
        )

    def dispute(self, transaction: Transaction, existing: AnyRow) -> None:
        """Mark the ImagingStudy: its study arrived again naming another known person."""
        overlay = disputed(existing)
        if overlay is None:
            return
        dicom_index.change_study(transaction, existing.pk, overlay=overlay)
        self.bump(transaction, existing)
        self.index(transaction, existing)

    def add(
        self, transaction: Transaction, study: AnyRow, arrival: DicomArrival, blob: int
    ) -> Filed:
        image = arrival.image
        position = rank_of(image)
        merged, change, of_visit, modality = said_of_study(study.attributes, image, position)
        series, of_series = self.series(transaction, study, image.series, position)
        warnings = image.warnings + disagreements(change, of_visit, of_series)
        if of_visit.changed or of_visit.disagreeing:
            about = {} if of_visit.changed else {review.INSTANCE: image.instance.sop_instance_uid}
            warnings += review.of_instance(
                transaction, self.new_id, self.linking, study, arrival, about
            )
        dicom_index.add_instance(
            transaction,
            study_pk=study.pk,
            new_series=of_series is None,
            json=image.dicom_json,
            series=series,
            sop_instance_uid=image.instance.sop_instance_uid,
            sop_class_uid=image.instance.sop_class_uid,
            transfer_syntax_uid=image.instance.transfer_syntax_uid,
            instance_number=image.instance.instance_number,
            number_of_frames=image.instance.number_of_frames,
            has_pixel_data=image.instance.has_pixel_data,
            blob=blob,
            source=arrival.source.id,
            received=transaction.now,
            fragment=encode(imaging_study_instance(image.instance)),
            warnings=encode(warnings) if warnings else None,
        )
        if change.stored or of_visit.stored or modality:
            dicom_index.change_study(transaction, study.pk, attributes=encode(merged))
        changed = change.changed | of_visit.changed
        decides = changed & LINKING_ATTRIBUTES or (modality and self.linking.policy.tolerance_of)
        if study.number_of_instances and decides:
            study = self.link_again(transaction, study, merged)
        if changed or modality:
            self.write_head(transaction, study, merged)
        if changed or modality or (of_series is not None and of_series.changed):
            self.index(transaction, study)
        elif of_series is None:
            self.index_series(transaction, study, series)
        if study.state == "filed" and study.number_of_instances:
            self.bump(transaction, study)
        return answer(study, 201, "", warnings)

    def series(
        self,
        transaction: Transaction,
        study: AnyRow,
        attributes: SeriesAttributes,
        position: Rank,
    ) -> tuple[int, Change | None]:
        """Key of the series, and what this instance changes of it; None for a new series."""
        known = dicom_index.find_series(
            transaction.connection, study.pk, attributes.series_instance_uid
        )
        merged, change = said_of_series(
            None if known is None else known.attributes, attributes, position
        )
        if known is not None and not change.stored:
            return int(known.pk), change
        values = self.series_values(study, merged)
        if known is not None:
            dicom_index.change_series(transaction, known.pk, **values)
            return int(known.pk), change
        pk = dicom_index.add_series(
            transaction,
            study=study.pk,
            series_instance_uid=attributes.series_instance_uid,
            **values,
        )
        jobs.enqueue(transaction, "series-picture", str(pk), after=PICTURE_DELAY)
        return pk, None

    def series_values(self, study: AnyRow, merged: Merged) -> dict[str, Any]:
        """The columns that follow from what all instances of a series together say."""
        agreed = merged.as_type(SeriesAttributes)
        head = imaging_study_series_head(
            agreed, zone=zone_of(study.zone), system_of=self.linking.system_of
        )
        return {
            "series_number": agreed.series_number,
            "modality": agreed.modality,
            "attributes": encode(merged),
            "head": encode(head),
        }

    def link_again(self, transaction: Transaction, study: AnyRow, merged: Merged) -> AnyRow:
        """A later instance brought a visit number, an order or a time: the visit may change."""
        if study.state == "held":
            return study
        link = self.linking.link_kept(
            transaction.connection, evidence_of_study(study, merged, self.linking)
        )
        agreed = decode_as(Link, study.link)
        follows = link.state == "filed" and link.patient == agreed.patient
        self.store_link(transaction, study, link if follows else awaiting(agreed, link))
        review.of_study(transaction, self.new_id, study.pk, decided=link, old=agreed)
        return dicom_index.study_by_pk(transaction.connection, study.pk)

    def store_link(self, transaction: Transaction, study: AnyRow, link: Link) -> None:
        dicom_index.change_study(
            transaction,
            study.pk,
            patient=id_of(link.patient),
            encounter=id_of(link.encounter),
            link=encode(link),
            overlay=overlay_with_tag(study.overlay, link),
        )
        dicom_index.await_identifiers(transaction, link.awaited, study_pk=study.pk)
        follow(transaction, link, study=study.pk)

    def write_head(self, transaction: Transaction, study: AnyRow, merged: Merged) -> bool:
        """Build the head anew; say whether it differs from the one that was there."""
        patient = resolve_patient(transaction.connection, study.patient or "")
        overlay = sound_overlay(transaction.connection, study, patient)
        content = self.head(transaction, study, overlay, merged=merged)
        head, visit = encode(content), local_id(content.get("encounter"), "Encounter")
        if head != study.head or visit != study.encounter:
            dicom_index.change_study(transaction, study.pk, head=head, encounter=visit)
        is_shown = study.state == "filed" and study.head
        if transaction.watching and is_shown and is_moved(decode(study.head), content):
            outbox.note_moved(transaction, study.rid, "ImagingStudy")
        return bool(head != study.head)

    def head(
        self,
        transaction: Transaction,
        study: AnyRow,
        overlay: Resource,
        *,
        merged: Merged | None = None,
    ) -> Resource:
        """The ImagingStudy's head: what the images say, under what users wrote."""
        merged = merged or decode_as(Merged, study.attributes)
        said = merged.as_type(StudyAttributes)
        link = decode_as(Link, study.link)
        patient = resolve_patient(transaction.connection, study.patient or "") or {}
        return imaging_study_head(
            own_numbers(transaction.connection, self.linking, study, said),
            subject=subject_reference(patient.get("id", study.patient), patient),
            encounter=encounter_reference(link),
            based_on=[{"reference": order} for order in link.based_on],
            modalities=merged.ordered_modalities(),
            zone=zone_of(study.zone),
            system_of=self.linking.system_of,
            archive_endpoint=self.archive_endpoint,
            own_endpoints=own_endpoints(study.study_instance_uid),
            overlay=overlay,
        )

    def index(self, transaction: Transaction, study: AnyRow) -> None:
        if study.state != "filed" or study.deleted:
            return
        study = dicom_index.study_by_pk(transaction.connection, study.pk)
        entries = entries_of_study(transaction.connection, study)
        before = StudyKeys.of(transaction.connection, study.rid)
        search_index.replace(transaction, study.rid, "ImagingStudy", entries)
        keys = StudyKeys.of(transaction.connection, study.rid)
        if keys != before:
            self.registering.orders_changed(transaction, keys.orders ^ before.orders)
            follow_study(transaction, study.rid, keys, zone=self.linking.zone)

    def index_series(self, transaction: Transaction, study: AnyRow, series: int) -> None:
        """One more series, at a cost that does not depend on how many there are."""
        if study.state == "filed" and not study.deleted:
            entries = entries_of_series(transaction.connection, study, series)
            search_index.add(transaction, study.rid, "ImagingStudy", entries)

    def bump(self, transaction: Transaction, study: AnyRow) -> None:
        """The ImagingStudy's next version, assembled when it is read."""
        if study.deleted or resources.next_assembled(transaction, study.rid):
            return
        current = resources.find_by_rid(transaction.connection, study.rid)
        resources.next_version(transaction, current, body=None)
        self.watch(transaction, study.pk)

    def watch(self, transaction: Transaction, study_pk: int) -> None:
        """Keep a version when the study has gone quiet."""
        jobs.enqueue(transaction, "quiet-study", str(study_pk), after=self.quiet_milliseconds)


def rank_of(image: DicomInstance) -> Rank:
    """Whose values count, where two instances disagree."""
    return rank(
        image.series.series_number,
        image.instance.instance_number,
        image.instance.sop_instance_uid,
    )


def overlay_with_tag(overlay: bytes | None, link: Link) -> bytes | None:
    """What users wrote, and whether the EHR has confirmed the link."""
    written: Resource = decode(overlay) if overlay else {}
    content = tagged(written, link)
    return overlay if content == written else encode(content)


PICTURE_DELAY = 2_000  # milliseconds; most of a series is there by then
