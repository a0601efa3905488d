"""The one way in for every door: keep the bytes, read them, link and index them, answer.

The bytes are placed first and the commit comes last: a crash between leaves a blob that nothing
refers to, never an acknowledged image without its bytes.
"""

import base64
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from imaging_fhir.errors import ImagingError, InvalidRequest, ResourceConflict
from imaging_fhir.images import HEAD_LENGTH, read_image
from imaging_fhir.images.archive import Member, is_archive, members
from imaging_fhir.images.comparison import data_set_sha256
from imaging_fhir.images.folder import is_dicomdir
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import Given
from imaging_fhir.model.study import DicomInstance, InstanceAttributes, ReadWarning
from imaging_fhir.services import moved_parts
from imaging_fhir.services.arrival import (
    ComparisonNeeded,
    DicomArrival,
    DocumentArrival,
    Filed,
)
from imaging_fhir.services.document_filing import DocumentFiling
from imaging_fhir.services.document_filing import evidence_of as evidence_of_document
from imaging_fhir.services.duplicates import compare
from imaging_fhir.services.ehr_look_up import LookUp
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.study_evidence import evidence_of
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.settings import Source
from imaging_fhir.storage import blobs, tombstones
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import BlobStore, StagedBlob

CHUNK = 256 * 1024
NOTHING_GIVEN = Given()
AnyArrival = DicomArrival | DocumentArrival
Comparing = Callable[[StagedBlob, AnyArrival, ComparisonNeeded], AnyArrival]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one image, for whoever sent it.

    `status` is an HTTP status: 201 new, 200 known already, 202 kept but held; else nothing is
    kept, and `error` says why. `name` is the file's own, and goes nowhere but to its sender.
    """

    status: int
    name: str = ""
    filed: Filed | None = None
    error: ImagingError | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    instance: InstanceAttributes | None = None  # None of what is no DICOM
    warnings: tuple[ReadWarning, ...] = ()

    @property
    def location(self) -> str | None:
        return None if self.filed is None else self.filed.location

    @property
    def message(self) -> str:
        if self.filed is not None:
            return self.filed.reason or self.filed.rule
        if self.error is not None:
            return str(self.error)
        return "Dealt with in an earlier run." if self.status < 300 else "Nothing was kept."


class Follower(Protocol):
    """What follows from an image, within its transaction; it may change what becomes of it."""

    def follow(self, transaction: Transaction, arrival: DicomArrival, filed: Filed) -> Filed: ...


class Ingest:
    def __init__(
        self,
        database: Database,
        store: BlobStore,
        studies: StudyFiling,
        documents: DocumentFiling,
        *,
        max_bytes: int,
        time_zone: str,
        look_up: LookUp | None = None,
        followers: Sequence[Follower] = (),
        counted: Callable[[Outcome], object] = lambda outcome: None,
    ) -> None:
        self.database = database
        self.store = store
        self.studies = studies
        self.documents = documents
        self.max_bytes = max_bytes
        self.time_zone = time_zone
        self.look_up = look_up
        self.followers = followers
        self.counted = counted

    def ingest(
        self,
        chunks: Iterable[bytes],
        *,
        source: Source,
        given: Given = NOTHING_GIVEN,
        expected_study: str | None = None,
        name: str = "",
    ) -> Outcome:
        """Take in one image; an archive is refused here (see `ingest_staged`)."""
        try:
            with self.store.stage(chunks, limit=self.max_bytes) as staged:
                outcome = self.keep(staged, source, given, expected_study)
        except ImagingError as error:
            outcome = Outcome(status=error.status, error=error)
        outcome = named(outcome, name)
        self.counted(outcome)
        return outcome

    def ingest_staged(
        self, staged: StagedBlob, *, source: Source, given: Given = NOTHING_GIVEN, name: str = ""
    ) -> Iterator[Outcome]:
        """The same for what may be a ZIP archive: an outcome for every image in it, in order."""
        with staged.open() as stream:
            if is_archive(stream.read(HEAD_LENGTH)):
                yield from self.unpack(stream, source, given, name)
                return
        try:
            outcome = self.keep(staged, source, given, None)
        except ImagingError as error:
            outcome = Outcome(status=error.status, error=error)
        outcome = named(outcome, name)
        self.counted(outcome)
        yield outcome

    def unpack(
        self, stream: BinaryIO, source: Source, given: Given, name: str
    ) -> Iterator[Outcome]:
        stream.seek(0)
        try:
            for member in members(stream):
                yield self.ingest(opened(member.open), source=source, given=given, name=member.name)
        except ImagingError as error:
            yield Outcome(status=error.status, error=error, name=name)

    def look(
        self, staged: StagedBlob, *, source: Source, given: Given = NOTHING_GIVEN, name: str = ""
    ) -> Iterator[Outcome]:
        """What `ingest_staged` would answer to each image, with nothing written.

        Each image of an archive is staged, and removed again.
        """
        with staged.open() as stream:
            if not is_archive(stream.read(HEAD_LENGTH)):
                yield self.look_at(staged, source, given, name)
                return
            yield from self.look_into(stream, source, given, name)

    def look_into(
        self, stream: BinaryIO, source: Source, given: Given, name: str
    ) -> Iterator[Outcome]:
        stream.seek(0)
        try:
            for member in members(stream):
                yield self.look_at_member(member, source, given)
        except ImagingError as error:
            yield Outcome(status=error.status, error=error, name=name)

    def look_at_member(self, member: Member, source: Source, given: Given) -> Outcome:
        try:
            with self.store.stage(opened(member.open), limit=self.max_bytes) as staged:
                return self.look_at(staged, source, given, member.name)
        except ImagingError as error:
            return Outcome(status=error.status, error=error, name=member.name)

    def look_at(self, staged: StagedBlob, source: Source, given: Given, name: str) -> Outcome:
        try:
            image = read(staged)
            arrival = self.arrival(staged, image, source, given)
            outcome = outcome_of(image, self.rehearsed(staged, arrival))
        except ImagingError as error:
            outcome = Outcome(status=error.status, error=error)
        return replace(outcome, name=name)

    def keep(
        self, staged: StagedBlob, source: Source, given: Given, expected_study: str | None
    ) -> Outcome:
        image = read(staged)
        try:
            require_study(image, expected_study)
            return outcome_of(image, self.file(staged, self.arrival(staged, image, source, given)))
        except ImagingError as error:
            return refused(image, error)

    def file(self, staged: StagedBlob, arrival: AnyArrival) -> Filed:
        while True:
            try:
                return blobs.keep(self.database, staged, self.unit(staged, arrival))
            except ComparisonNeeded as needed:
                arrival = self.with_comparison(staged, arrival, needed)

    def arrival(
        self, staged: StagedBlob, image: DicomInstance | Document, source: Source, given: Given
    ) -> AnyArrival:
        """What is known of it when its transaction begins; the EHR is asked before that."""
        arrival = self.unasked(staged, image, source, given)
        if self.look_up is None:
            return arrival
        return replace(arrival, ehr=self.look_up.word(evidence_of_arrival(arrival)))

    def unasked(
        self, staged: StagedBlob, image: DicomInstance | Document, source: Source, given: Given
    ) -> AnyArrival:
        zone = source.time_zone or self.time_zone
        if isinstance(image, DicomInstance):
            return DicomArrival(image=image, source=source, given=given, zone=zone)
        return DocumentArrival(
            document=image,
            source=source,
            given=given,
            zone=zone,
            sha1_base64=sha1_base64(staged),
            size=staged.size,
        )

    def unit(self, staged: StagedBlob, arrival: AnyArrival) -> Callable[[Transaction, int], Filed]:
        def file(transaction: Transaction, blob: int) -> Filed:
            require_not_erased(transaction, staged.sha256, arrival)
            if isinstance(arrival, DocumentArrival):
                return self.documents.file(transaction, arrival, blob)
            filed = moved_parts.file(self.studies, transaction, arrival, blob, staged.sha256)
            for one in self.followers:
                filed = one.follow(transaction, arrival, filed)
            return filed

        return file

    def rehearsed(
        self, staged: StagedBlob, arrival: AnyArrival, compared: Comparing | None = None
    ) -> Filed:
        """What filing it would answer: it is filed in a transaction that is rolled back."""
        compared = compared or self.with_comparison

        def rehearse(transaction: Transaction) -> None:
            generation = blobs.generation_for(transaction.connection, staged.sha256)
            blob = blobs.claim(
                transaction, Blob(sha256=staged.sha256, size=staged.size, generation=generation)
            )
            raise Rehearsed(self.unit(staged, arrival)(transaction, blob))

        while True:
            try:
                self.database.write(rehearse)
            except ComparisonNeeded as needed:
                arrival = compared(staged, arrival, needed)
            except Rehearsed as rehearsed:
                return rehearsed.filed

    def with_comparison(
        self, staged: StagedBlob, arrival: AnyArrival, needed: ComparisonNeeded
    ) -> AnyArrival:
        with staged.open() as stream:
            digest = data_set_sha256(stream)
        known = Blob(sha256=needed.sha256, size=needed.size, generation=needed.generation)
        verdict = compare(self.store, staged.path(), digest, known)
        return replace(
            arrival,
            comparisons={**arrival.comparisons, needed.instance: verdict},
            data_set_sha256=digest,
        )


class Rehearsed(Exception):
    """Ends a transaction that must leave nothing behind."""

    def __init__(self, filed: Filed) -> None:
        super().__init__("Rehearsed.")
        self.filed = filed


def read(staged: StagedBlob) -> DicomInstance | Document:
    with staged.open() as stream:
        if is_dicomdir(stream.read(HEAD_LENGTH)):
            raise InvalidRequest("A DICOMDIR is the directory of a disc, not an image.")
        return read_image(stream)


def evidence_of_arrival(arrival: AnyArrival) -> Evidence:
    if isinstance(arrival, DicomArrival):
        return evidence_of(arrival)
    return evidence_of_document(
        arrival.document, arrival.given, arrival.source, arrival.zone, ehr=arrival.ehr
    )


def named(outcome: Outcome, name: str) -> Outcome:
    return replace(outcome, name=name) if name else outcome


def require_study(image: DicomInstance | Document, expected: str | None) -> None:
    if expected is None:
        return
    if not isinstance(image, DicomInstance) or image.study.study_instance_uid != expected:
        raise ResourceConflict("StudyInstanceUID is not the one of the address.")


def require_not_erased(transaction: Transaction, sha256: str, arrival: AnyArrival) -> None:
    """What was erased for good is refused when it is sent again."""
    marks = [("content", sha256)]
    if isinstance(arrival, DicomArrival):
        marks.append(("study", arrival.image.study.study_instance_uid))
        marks.append(("series", arrival.image.series.series_instance_uid))
        marks.append(("instance", arrival.image.instance.sop_instance_uid))
    if tombstones.any_of(transaction.connection, marks):
        raise ResourceConflict("It was erased here, and is refused until it is allowed again.")


def outcome_of(image: DicomInstance | Document, filed: Filed) -> Outcome:
    if not isinstance(image, DicomInstance):
        return Outcome(status=filed.status, filed=filed, warnings=filed.warnings)
    return Outcome(
        status=filed.status,
        filed=filed,
        study_instance_uid=image.study.study_instance_uid,
        series_instance_uid=image.series.series_instance_uid,
        instance=image.instance,
        warnings=filed.warnings,
    )


def refused(image: DicomInstance | Document, error: ImagingError) -> Outcome:
    """Nothing is kept, but its sender hears of which instance."""
    outcome = Outcome(status=error.status, error=error)
    if not isinstance(image, DicomInstance):
        return outcome
    return replace(
        outcome,
        study_instance_uid=image.study.study_instance_uid,
        series_instance_uid=image.series.series_instance_uid,
        instance=image.instance,
    )


def sha1_base64(staged: StagedBlob) -> str:
    """Attachment.hash (R4 datatypes.html#Attachment)."""
    digest = hashlib.sha1(usedforsecurity=False)
    with staged.open() as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def opened(opener: Callable[[], BinaryIO]) -> Iterator[bytes]:
    with opener() as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
