"""A study that holds two people's images is split: a part of it becomes another Patient's study.

The part gets UIDs of its own, for a series is in one study (PS3.3 A.1.2), and whoever has kept the
former study must never take one for the other. The bytes stay, and say where the images came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imaging_fhir.errors import InvalidResource, ResourceConflict
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.correction import (
    Corrected,
    Correction,
    SeriesKey,
    SplitOff,
    subject_of_study,
)
from imaging_fhir.model.link import Decision, Given, Link, id_of
from imaging_fhir.model.person import Person
from imaging_fhir.services import decisions, minting
from imaging_fhir.services.arrival import identity_of
from imaging_fhir.services.correction import (
    DONE,
    NO_IMAGE,
    NOT_OURS,
    SINCE,
    Corrections,
    require_together,
    undoable,
)
from imaging_fhir.services.correction_record import record
from imaging_fhir.services.parting import (
    SERIES_PICTURE,
    Spoken,
    merged_of,
    rename_row,
    say_again,
    spoken_in,
)
from imaging_fhir.services.study_evidence import decision_on, evidence_of_study
from imaging_fhir.services.study_resource import resource_of
from imaging_fhir.storage import (
    corrections,
    dicom_index,
    jobs,
    parting,
    resources,
    study_parts,
)
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction

ALL_OF_IT = "These are all its images: leave series and instance out, and the study moves."
NOT_THERE = "One of the two studies is not as the split left it: it was moved, joined or deleted."


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """UIDs of the series that go as a whole, and of single instances."""

    series: Sequence[str] = ()
    instances: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    corrections: Corrections

    @property
    def database(self) -> Database:
        return self.corrections.database

    def split(
        self,
        reference: str,
        part: Part,
        decision: Decision,
        *,
        reason: str | None,
        caller: Caller,
        if_match: str | None = None,
    ) -> Corrected:
        """Raise InvalidResource, ResourceConflict, VersionConflict."""

        def unit(transaction: Transaction) -> Corrected:
            found = self.corrections.find(transaction, reference, if_match)
            if found.kind != "study" or found.row.state != "filed":
                raise ResourceConflict(f"{reference} {NO_IMAGE['ImagingStudy']}")
            require_together(transaction.connection, decision)
            done = self.split_off(transaction, found.row, part, decision)
            row = dicom_index.study_by_pk(transaction.connection, done.part)
            result = resources.find_by_rid(transaction.connection, row.rid).reference
            told = record(
                transaction,
                self.corrections.new_id(),
                "split",
                targets=(result, reference),
                revised=(f"{reference}/_history/{found.stored.version}",),
                reason=reason,
                caller=caller,
                patient=decision.patient,
            )
            corrections.add(transaction, told.rid, Correction(split=done))
            return Corrected(text=DONE["split"], result=result, provenance=told.reference)

        return self.database.write(unit)

    def split_off(
        self, transaction: Transaction, row: AnyRow, part: Part, decision: Decision
    ) -> SplitOff:
        relinking = self.corrections.relinking
        spoken = spoken_in(transaction.connection, row)
        moves = chosen(spoken, part)
        gone = {one.pk for one, _ in moves}
        stay = [(one, says) for one, says in spoken if one.pk not in gone]
        relinking.keep_version(transaction, row)
        pk, parted = self.take_out(transaction, row, moves, stay, decision)
        left = {says.person for _, says in moves} - {says.person for _, says in stay}
        for identity in identities(left, row):
            parting.forget_identity(transaction, row.pk, identity)
        say_again(transaction, relinking.studies, row, stay)
        relinking.link_study(transaction, row.pk)
        return SplitOff(
            study=row.pk,
            part=pk,
            decided=decision,
            moved=len(moves),
            total=len(spoken),
            left=tuple(left),
            parted=parted,
        )

    def take_out(
        self,
        transaction: Transaction,
        row: AnyRow,
        moves: Sequence[Spoken],
        stay: Sequence[Spoken],
        decision: Decision,
    ) -> tuple[int, tuple[SeriesKey, ...]]:
        """The key of the study of their own, and of which series it has only a part."""
        filing = self.corrections.relinking.studies
        images = [one for one, _ in moves]
        uids = minting.new_uids(self.corrections.new_id, row.study_instance_uid, images)
        renamed = [named_anew(one, uids, row.study_instance_uid) for one in moves]
        merged, of_series = merged_of(renamed)
        person, *others = dict.fromkeys(says.person for _, says in moves)
        evidence = replace(
            evidence_of_study(row, merged, filing.linking),
            person=person,
            given=Given(),
            decision=decision,
        )
        link = filing.linking.link_kept(transaction.connection, evidence)
        pk = self.open(transaction, row, uids, moves, person, decision, link, encode(merged))
        decided = dict.fromkeys(others, decision)
        new_row = dicom_index.study_by_pk(transaction.connection, pk)
        decisions.put(transaction, new_row, decided)
        stays = {one.series_instance_uid for one, _ in stay}
        parted = minting.lead(transaction, pk, row.study_instance_uid, uids, images, stays=stays)
        parting.copy_identities(
            transaction, row.pk, pk, study_instance_uid=new_row.study_instance_uid
        )
        for series_pk, attributes in of_series.items():
            of_one = [one for one, _ in moves if one.series == series_pk]
            into = dicom_index.add_series(
                transaction,
                study=pk,
                series_instance_uid=uids[of_one[0].series_instance_uid],
                **filing.series_values(new_row, attributes),
            )
            parting.move(transaction, [one.pk for one in of_one], into)
            jobs.enqueue(transaction, SERIES_PICTURE, str(into))
        minting.rename(transaction, images, uids)
        study_parts.count(transaction, pk)
        filing.store_link(transaction, new_row, link)
        new_row = dicom_index.study_by_pk(transaction.connection, pk)
        filing.write_head(transaction, new_row, merged)
        filing.index(transaction, new_row)
        filing.watch(transaction, pk)
        return pk, parted

    def open(
        self,
        transaction: Transaction,
        row: AnyRow,
        uids: dict[str, str],
        moves: Sequence[Spoken],
        person: Person,
        decision: Decision,
        link: Link,
        attributes: bytes,
    ) -> int:
        """A row without series, and its ImagingStudy."""
        uid = uids[row.study_instance_uid]
        registering = self.corrections.relinking.studies.registering
        rid, _ = resource_of(transaction, registering, uid, link)
        return dicom_index.add_study(
            transaction,
            study_instance_uid=uid,
            state="filed",
            rid=rid,
            patient=id_of(link.patient),
            encounter=id_of(link.encounter),
            attributes=attributes,
            person=encode(person),
            given=encode(Given()),
            source=moves[0][0].source,
            zone=row.zone,
            link=encode(link),
            decision=encode(decision),
            corrected=True,
            head=b"",
        )

    def undo(
        self, transaction: Transaction, provenance_id: str, reason: str | None, caller: Caller
    ) -> Corrected:
        """The part is in its former study again, with what came for it since.

        Raise ResourceConflict where one of the two was corrected, or is not there any more.
        """
        pk, correction = undoable(transaction.connection, provenance_id)
        split = correction.split
        if split is None:
            raise ResourceConflict(NOT_OURS)
        part, rest = self.still(transaction.connection, split, pk)
        stored = resources.find_by_rid(transaction.connection, part.rid)
        self.put_back(transaction, part, rest, split)
        for identity in identities(set(split.left), rest):
            origin = rest.study_instance_uid
            if dicom_index.study_of_identity(transaction.connection, origin, identity) is None:
                dicom_index.name_identity(transaction, origin, identity, rest.pk)
        corrections.mark_undone(transaction, pk)
        relinking = self.corrections.relinking
        for held in [rest.pk, *parting.held_of(transaction.connection, rest.study_instance_uid)]:
            relinking.link_study(transaction, held)
        relinking.part(transaction, rest.pk)
        result = resources.find_by_rid(transaction.connection, rest.rid).reference
        told = record(
            transaction,
            self.corrections.new_id(),
            "undo",
            targets=(result, stored.reference),
            revised=(f"Provenance/{provenance_id}",),
            reason=reason,
            caller=caller,
            patient=f"Patient/{rest.patient}",
        )
        return Corrected(text=DONE["undo"], result=result, provenance=told.reference)

    def still(self, connection: Connection, split: SplitOff, pk: int) -> tuple[AnyRow, AnyRow]:
        """The part and the rest, as the split left them."""
        part = dicom_index.find_study(connection, split.part)
        rest = dicom_index.find_study(connection, split.study)
        for row in (part, rest):
            if row is None or row.state != "filed" or row.deleted:
                raise ResourceConflict(NOT_THERE)
        is_corrected = corrections.is_corrected(connection, subject_of_study(split.part), since=pk)
        if part is None or rest is None or is_corrected or decision_on(part) != split.decided:
            raise ResourceConflict(SINCE)
        return part, rest

    def put_back(
        self, transaction: Transaction, part: AnyRow, rest: AnyRow, split: SplitOff
    ) -> None:
        connection, relinking = transaction.connection, self.corrections.relinking
        held = parting.held_of(connection, part.study_instance_uid)
        images = [one for pk in (part.pk, *held) for one in parting.instances(connection, pk)]
        relinking.keep_version(transaction, rest)
        relinking.withdraw(transaction, part)
        uids = minting.lead_back(
            transaction,
            part.study_instance_uid,
            rest.study_instance_uid,
            images,
            split.parted,
        )
        minting.rename(transaction, parting.instances(connection, part.pk), uids)
        for pk in held:
            row = dicom_index.study_by_pk(connection, pk)
            rename_row(transaction, relinking.studies, row, rest.study_instance_uid, uids)
        for series in dicom_index.series_of_study(connection, part.pk):
            self.series_back(transaction, series, rest, uids[series.series_instance_uid])
        study_parts.forget(transaction, part.pk)
        say_again(transaction, relinking.studies, rest, spoken_in(connection, rest))

    def series_back(
        self, transaction: Transaction, series: AnyRow, rest: AnyRow, original: str
    ) -> None:
        whole = dicom_index.find_series(transaction.connection, rest.pk, original)
        if whole is not None:
            study_parts.move_instances(transaction, series.pk, whole.pk)
        else:
            dicom_index.change_series(
                transaction, series.pk, study=rest.pk, series_instance_uid=original
            )


def chosen(spoken: Sequence[Spoken], part: Part) -> list[Spoken]:
    """The instances that are meant; raise InvalidResource for what is not there, and for all."""
    series = {one.series_instance_uid for one, _ in spoken}
    instances = {one.sop_instance_uid for one, _ in spoken}
    for name, uids, known in (
        ("series", part.series, series),
        ("instance", part.instances, instances),
    ):
        if not set(uids) <= known:
            raise InvalidResource(f"The study has no such {name}.", expression=f"http.{name}")
    moves = [
        (one, says)
        for one, says in spoken
        if one.series_instance_uid in part.series or one.sop_instance_uid in part.instances
    ]
    if len(moves) == len(spoken):
        raise InvalidResource(ALL_OF_IT, expression="http.series")
    return moves


def named_anew(spoken: Spoken, uids: dict[str, str], origin: str) -> Spoken:
    """What it says under its new UIDs."""
    one, says = spoken
    return one, replace(
        says,
        study=replace(says.study, study_instance_uid=uids[origin]),
        series=replace(says.series, series_instance_uid=uids[one.series_instance_uid]),
    )


def identities(people: set[Person], row: AnyRow) -> list[str]:
    """As files that name them have it, be it with what was given for the study or without."""
    given = decode_as(Given, row.given)
    return [identity_of(person, one) for person in people for one in (Given(), given)]
