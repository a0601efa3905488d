"""A held part of a study that may be filed now, but has images under UIDs that are taken.

They are compared outside of the transaction that files the part, as those of an upload are.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from imaging_fhir.images import read_image
from imaging_fhir.images.comparison import data_set_sha256
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Link
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.study import DicomInstance
from imaging_fhir.services import duplicates, study_parts
from imaging_fhir.services.arrival import Verdict
from imaging_fhir.services.held import complete_task
from imaging_fhir.services.moved_parts import with_uids
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.study_evidence import evidence_of_study, facts_of_row
from imaging_fhir.services.study_filing import rank_of
from imaging_fhir.services.study_parts import Fate
from imaging_fhir.storage import dicom_index, jobs, minted_uids
from imaging_fhir.storage import study_parts as rows
from imaging_fhir.storage.database import AnyRow, Connection, Database, Transaction
from imaging_fhir.storage.minted_uids import Uids, by_original
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.study_parts import Clash

SECONDS_AT_ONCE = 5  # of comparing, then other work has its turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is decided on: equal to one read later as long as nothing of it has changed."""

    fate: Fate
    filed: int | None
    is_corrected: bool  # that one
    clashes: Mapping[int, Clash]  # by key of `instance`
    instances: Mapping[int, tuple[int, Blob]]  # key of `instance` -> key of `series`, bytes
    uids: Uids  # in place of those of the bytes, where the study was split off

    def stays(self) -> dict[int, tuple[int, Blob]]:
        """The instances under no UID that is taken."""
        return {pk: one for pk, one in self.instances.items() if pk not in self.clashes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    verdict: Verdict
    data_set_sha256: str  # of the held one


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the instances that stay say together, of their study and of each series."""

    study: Merged
    series: Mapping[int, Merged]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldParts:
    database: Database
    store: BlobStore
    relinking: Relinking
    comparisons: dict[tuple[str, str], Compared] = field(default_factory=dict)  # by contents

    def settle(self, study_pk: int) -> int | None:
        """File the part: the same image again goes, another one is kept as a conflict.

        0 where it is to be looked at again at once; None where there is nothing more to do, for
        news of its Patient asks for it anew.
        """
        with self.database.read() as connection:
            part = self.part(connection, study_pk)
        if part is None:
            return None
        until = time.monotonic() + SECONDS_AT_ONCE
        for clash in part.clashes.values():
            if time.monotonic() > until:
                return 0
            self.compare(clash)
        verdicts = {pk: self.verdict(clash, part) for pk, clash in part.clashes.items()}
        said = self.read_again(part) if "other" in verdicts.values() else None
        again = self.database.write(partial(self.file, study_pk, part, verdicts, said))
        for clash in part.clashes.values():
            self.comparisons.pop(contents(clash), None)
        return again

    def part(self, connection: Connection, study_pk: int) -> Part | None:
        """None where it is not held any more, or still is for whose it is."""
        row = dicom_index.find_study(connection, study_pk)
        if row is None or row.state != "held":
            return None
        linking = self.relinking.studies.linking
        evidence = evidence_of_study(row, decode_as(Merged, row.attributes), linking)
        fate, filed = study_parts.fate(connection, row, linking.link_kept(connection, evidence))
        if fate in ("stays", "disputes"):
            return None
        clashes: dict[int, Clash] = {}
        for clash in study_parts.clashes(connection, row, fate, filed):
            if clash.instance not in clashes or (filed and clash.known_study == filed.pk):
                clashes[clash.instance] = clash
        return Part(
            fate=fate,
            filed=None if filed is None else filed.pk,
            is_corrected=filed is not None and bool(filed.corrected),
            clashes=clashes,
            instances=rows.instances(connection, study_pk),
            uids=by_original(minted_uids.of_study(connection, row.study_instance_uid)),
        )

    def compare(self, clash: Clash) -> None:
        if contents(clash) in self.comparisons:
            return
        with self.store.local(clash.content) as path:
            with path.open("rb") as stream:
                digest = data_set_sha256(stream)
            verdict = duplicates.compare(self.store, path, digest, clash.known)
        self.comparisons[contents(clash)] = Compared(verdict=verdict, data_set_sha256=digest)

    def verdict(self, clash: Clash, part: Part) -> Verdict:
        """As of an upload: in another study no image is the same one."""
        verdict = self.comparisons[contents(clash)].verdict
        if clash.known_study != part.filed:
            return verdict if verdict == "lossy" else "other"
        return duplicates.settled(verdict, is_corrected=part.is_corrected)

    def read_again(self, part: Part) -> Said:
        """What a conflict said counts no more."""
        study, series = Merged(), defaultdict[int, Merged](Merged)
        for of_series, content in part.stays().values():
            with self.store.open(content) as stream:
                image = read_image(stream)
            if isinstance(image, DicomInstance):
                image = with_uids(image, part.uids) if part.uids else image
                position = rank_of(image)
                study.add(image.study, position)
                study.add(image.visit, position)
                study.add_modality(image.series.modality, image.series.series_number)
                series[of_series].add(image.series, position)
        return Said(study=study, series=series)

    def file(
        self,
        study_pk: int,
        part: Part,
        verdicts: Mapping[int, Verdict],
        said: Said | None,
        transaction: Transaction,
    ) -> int | None:
        if self.part(transaction.connection, study_pk) != part:
            return 0
        row = dicom_index.study_by_pk(transaction.connection, study_pk)
        for pk, verdict in verdicts.items():
            if verdict in ("lossy", "other"):
                self.keep_beside(transaction, row, part.clashes[pk], lossy=verdict == "lossy")
        rows.remove_instances(transaction, study_pk, part.clashes)
        if not part.stays():
            self.end(transaction, row, part)
            return None
        for series in {series for series, _ in part.stays().values()}:
            jobs.enqueue(transaction, "series-picture", str(series))
        if said is not None:
            self.put(transaction, row, said)
        self.relinking.link_study(transaction, study_pk)
        return None

    def keep_beside(
        self, transaction: Transaction, row: AnyRow, clash: Clash, *, lossy: bool
    ) -> None:
        known = dicom_index.study_by_pk(transaction.connection, clash.known_study)
        said = decode_as(Merged, row.attributes)
        duplicates.keep_beside(
            transaction,
            self.relinking.studies.new_id,
            duplicates.conflict_link(decode_as(Link, known.link), lossy=lossy),
            facts_of_row(row, said),
            sop_instance_uid=clash.sop_instance_uid,
            data_set_sha256=self.comparisons[contents(clash)].data_set_sha256,
            blob=clash.blob,
            source=clash.source,
        )

    def end(self, transaction: Transaction, row: AnyRow, part: Part) -> None:
        """Nothing of the part is left: the study has all of it, or a Task for each image."""
        complete_task(transaction, row.rid)
        if part.fate == "joins" and part.filed is not None:
            filed = dicom_index.study_by_pk(transaction.connection, part.filed)
            study_parts.give_up(transaction, row, filed)
        else:
            rows.forget(transaction, row.pk)

    def put(self, transaction: Transaction, row: AnyRow, said: Said) -> None:
        dicom_index.change_study(transaction, row.pk, attributes=encode(said.study))
        for pk, merged in said.series.items():
            values = self.relinking.studies.series_values(row, merged)
            dicom_index.change_series(transaction, pk, **values)


def contents(clash: Clash) -> tuple[str, str]:
    return clash.content.sha256, clash.known.sha256
