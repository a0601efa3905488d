"""Rejection notes (IHE RAD TF-3 4.66, IOCM): the images that one names are hidden, and kept.

A note counts for images of the Patient whom it is of, whichever comes first, and is hidden with
them. It is taken back by another note that names it, or by a person ($link of the Task).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from imaging_fhir.images.rejection_note import rejection_note
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.rejection import TITLES
from imaging_fhir.services.arrival import DicomArrival, Filed
from imaging_fhir.services.correction_record import record
from imaging_fhir.services.held import open_task
from imaging_fhir.services.parting import Spoken, merged_of, say_again, spoken_in
from imaging_fhir.services.rejected import hidden_link, hidden_row, is_hidden, is_of, open_hidden
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.study_evidence import answer, facts_of_row
from imaging_fhir.storage import dicom_index, parting, rejections, resources, study_parts
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction
from imaging_fhir.storage.resources import StoredResource


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejecting:
    database: Database
    relinking: Relinking

    def follow(self, transaction: Transaction, arrival: DicomArrival, filed: Filed) -> Filed:
        """After an instance was filed: a note hides what it names, once it is known whose it is."""
        note = rejection_note(arrival.image)
        connection = transaction.connection
        policy = self.relinking.studies.linking.policy
        if note is None or rejections.of_note(connection, note.sop_instance_uid):
            return filed
        row = row_of(connection, note.sop_instance_uid)
        if row is None or not policy.trusts_source(arrival.source.id):
            return filed
        own = (row.study_instance_uid, note.sop_instance_uid)
        rejections.add(transaction, replace(note, named=(own, *note.named)))
        if row.state != "filed" or row.deleted:
            return filed
        self.hide_named(transaction, row, note.sop_instance_uid)
        row = row_of(connection, note.sop_instance_uid)
        return filed if row is None else answer(row, 201, "", arrival.image.warnings)

    def late(self, study_pk: int) -> None:
        """The same of notes of whom it was not known, and is now."""

        def unit(transaction: Transaction) -> None:
            for note in rejections.waiting_in(transaction.connection, study_pk):
                row = row_of(transaction.connection, note)
                if row is not None and row.state == "filed" and not row.deleted:
                    self.hide_named(transaction, row, note)

        self.database.write(unit)

    def hide_named(self, transaction: Transaction, own: AnyRow, note: str) -> None:
        """`own` is the filed study that the note is in."""
        connection = transaction.connection
        rows = rejections.of_note(connection, note)
        rejections.follow(transaction, note, own.patient)
        named: dict[str, set[str]] = defaultdict(set)
        for one in rows:
            named[one.study_instance_uid].add(one.sop_instance_uid)
        uids = {one.sop_instance_uid for one in rows} - {note}
        taken_back = rejections.notes_named(connection, uids, own.patient)
        for uid, instances in named.items():
            study = dicom_index.filed_study(connection, uid)
            if study is not None and not study.deleted and is_of([own.patient], connection, study):
                self.hide(transaction, study.pk, instances, TITLES[rows[0].code])
        for other in taken_back:
            for pk in rejections.revoke(transaction, other):
                self.show(transaction, pk)

    def hide(
        self, transaction: Transaction, study_pk: int, instances: Collection[str], title: str
    ) -> None:
        """Those of a filed study that are named; the rest stays, in its next version."""
        row = dicom_index.study_by_pk(transaction.connection, study_pk)
        spoken = spoken_in(transaction.connection, row)
        gone = [one for one in spoken if one[0].sop_instance_uid in instances]
        if not gone:
            return
        stored = resources.find_by_rid(transaction.connection, row.rid)
        link = hidden_link(row, title)
        if len(gone) == len(spoken):
            task = self.hide_whole(transaction, row, link)
        else:
            self.relinking.keep_version(transaction, row)
            task = self.hide_part(transaction, row, link, gone)
            stay = [one for one in spoken if one[0].sop_instance_uid not in instances]
            say_again(transaction, self.relinking.studies, row, stay)
        self.tell(transaction, row, task, stored, title, gone)

    def hide_whole(self, transaction: Transaction, row: AnyRow, link: Link) -> int:
        """The row itself is held; what comes later of its study and is not named begins anew."""
        self.relinking.withdraw(transaction, row)
        about = facts_of_row(row, decode_as(Merged, row.attributes))
        new_id = self.relinking.studies.new_id()
        rid = open_task(transaction, new_id, link, about, status="rejected")
        dicom_index.change_study(
            transaction,
            row.pk,
            state="held",
            rid=rid,
            patient=None,
            encounter=None,
            link=encode(link),
        )
        dicom_index.await_identifiers(transaction, link.awaited, study_pk=row.pk)
        return rid

    def hide_part(
        self, transaction: Transaction, row: AnyRow, link: Link, gone: Sequence[Spoken]
    ) -> int:
        """Into the hidden row of the study; the row of its Task."""
        known = hidden_row(transaction.connection, row)
        pk = self.open(transaction, row, link, gone) if known is None else int(known.pk)
        self.move(transaction, pk, gone)
        return int(dicom_index.study_by_pk(transaction.connection, pk).rid)

    def open(
        self, transaction: Transaction, row: AnyRow, link: Link, gone: Sequence[Spoken]
    ) -> int:
        merged, _ = merged_of(gone)
        new_id = self.relinking.studies.new_id
        about = facts_of_row(row, merged)
        return open_hidden(transaction, new_id, row, link, attributes=merged, about=about)

    def move(self, transaction: Transaction, into: int, gone: Sequence[Spoken]) -> None:
        """These instances to that row, which then says what they say too."""
        connection, filing = transaction.connection, self.relinking.studies
        row = dicom_index.study_by_pk(connection, into)
        merged, of_series = merged_of(gone)
        together = decode_as(Merged, row.attributes)
        together.join(merged)
        dicom_index.change_study(transaction, into, attributes=encode(together))
        uids = {one.series: one.series_instance_uid for one, _ in gone}
        for series_pk, said in of_series.items():
            known = dicom_index.find_series(connection, into, uids[series_pk])
            if known is None:
                values = {
                    "series_instance_uid": uids[series_pk],
                    **filing.series_values(row, said),
                }
                series = dicom_index.add_series(transaction, study=into, **values)
            else:
                series = int(known.pk)
                said.join(decode_as(Merged, known.attributes))
                dicom_index.change_series(transaction, series, **filing.series_values(row, said))
            moved = [one.pk for one, _ in gone if one.series == series_pk]
            parting.move(transaction, moved, series)
        study_parts.count(transaction, into)

    def show(self, transaction: Transaction, study_pk: int) -> None:
        """What of a hidden row no note names any more is back in its study."""
        connection = transaction.connection
        row = dicom_index.find_study(connection, study_pk)
        if row is None or not is_hidden(row):
            return
        meant = rejections.meant_in(connection, row.pk)
        back = [one for one in spoken_in(connection, row) if one[0].pk not in meant]
        if back and meant:
            part = self.open(transaction, row, decode_as(Link, row.link), back)
            self.move(transaction, part, back)
            parting.drop_empty_series(transaction, row.pk)
            study_parts.count(transaction, row.pk)
            self.relinking.link_study(transaction, part)
        elif back:
            self.relinking.link_study(transaction, row.pk)

    def tell(
        self,
        transaction: Transaction,
        row: AnyRow,
        task: int,
        stored: StoredResource,
        title: str,
        gone: Sequence[Spoken],
    ) -> None:
        held = resources.find_by_rid(transaction.connection, task)
        record(
            transaction,
            self.relinking.studies.new_id(),
            "reject-by-note",
            targets=(stored.reference, held.reference),
            revised=(f"{stored.reference}/_history/{stored.version}",),
            reason=title,
            caller=LOCAL,
            patient=f"Patient/{row.patient}",
            agent=f"Source {gone[-1][0].source}",
        )


def row_of(connection: Connection, sop_instance_uid: str) -> AnyRow | None:
    """The study row that the note is in."""
    found = dicom_index.same_instances(connection, sop_instance_uid)
    return dicom_index.study_by_pk(connection, found[0].study) if found else None
