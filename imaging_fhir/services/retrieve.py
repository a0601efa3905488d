"""What DICOMweb gives out: instances as stored, their DICOM JSON, and their bulk data."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from imaging_fhir.dicomweb.part10 import file_head, preamble
from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.images.bulk_data import BulkValue, bulk_value
from imaging_fhir.images.dicom import has_preamble
from imaging_fhir.images.dicom_identity import coerced
from imaging_fhir.images.dicom_stream import start_of_file
from imaging_fhir.images.pieces import Piece, chunks_of, size_of
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.dicom_attribute import is_of_identity
from imaging_fhir.model.search import Restrictions
from imaging_fhir.model.study import DicomJson
from imaging_fhir.services.coercion import Identity, identity_of
from imaging_fhir.storage.database import AnyRow, Connection, Database
from imaging_fhir.storage.dicom_retrieval import dicom_json_of, is_open, visible_instances
from imaging_fhir.storage.ports import BlobStore

NOT_HERE = "There is no such study, series or instance here."
OPEN: Restrictions = {}
INSTANCES_AT_ONCE = 100  # whose DICOM JSON is in memory together


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance that may be seen, and where its bytes are."""

    pk: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    number_of_frames: int | None
    has_warnings: bool  # of its reading: a file without a head of its own has one
    blob: Blob
    blob_pk: int
    identity: Identity | None = None  # of a corrected study: its bytes name somebody else


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Instances that may be seen, of one study, no more said of each than which it is."""

    study_instance_uid: str
    rows: Sequence[AnyRow]  # as storage.dicom_retrieval.KEYS
    identity: Identity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomFile:
    """A file of PS3.10, in pieces: new bytes, and ranges of the stored ones."""

    stream: BinaryIO
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        return size_of(self.pieces)

    def chunks(self) -> Iterator[bytes]:
        """All of it; the stream is closed at the end, however it comes."""
        with self.stream:
            yield from chunks_of(self.stream, self.pieces)


class Retrieve:
    """`restrictions` are what an ImagingStudy must fulfil for the caller to see its images."""

    def __init__(
        self, database: Database, store: BlobStore, restrictions: Restrictions = OPEN
    ) -> None:
        self.database = database
        self.store = store
        self.restrictions = restrictions

    def require_open(self, connection: Connection, study: str, text: str = NOT_HERE) -> None:
        """Raise ResourceNotFound, as for a study that is not here."""
        if self.restrictions and not is_open(connection, study, self.restrictions):
            raise ResourceNotFound(text)

    def instances(
        self,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
    ) -> list[StoredInstance]:
        """Those of a study, of a series of it, or the one, in order; raise ResourceNotFound.

        Those of a corrected study have the identity of its Patient, unless the original is wanted.
        """
        with self.database.read() as connection:
            self.require_open(connection, study)
            rows = visible_instances(connection, study, series, instance)
            if not rows:
                raise ResourceNotFound(NOT_HERE)
            identity = None if original else identity_of(connection, rows[0])
        return [
            StoredInstance(
                pk=row.pk,
                study_instance_uid=row.study_instance_uid,
                series_instance_uid=row.series_instance_uid,
                sop_instance_uid=row.sop_instance_uid,
                sop_class_uid=row.sop_class_uid,
                transfer_syntax_uid=row.transfer_syntax_uid,
                number_of_frames=row.number_of_frames,
                has_warnings=bool(row.has_warnings),
                blob=Blob(sha256=row.sha256, size=row.size, generation=row.generation),
                blob_pk=row.blob_pk,
                identity=identity,
            )
            for row in rows
        ]

    def described(
        self,
        study: str,
        series: str | None = None,
        instance: str | None = None,
        *,
        original: bool = False,
    ) -> Described:
        """The same, for who wants their metadata alone."""
        with self.database.read() as connection:
            self.require_open(connection, study)
            rows = visible_instances(connection, study, series, instance, keys_only=True)
            if not rows:
                raise ResourceNotFound(NOT_HERE)
            identity = None
            if not original:
                first = rows[0]
                uids = (first.series_instance_uid, first.sop_instance_uid)
                identity = identity_of(connection, *visible_instances(connection, study, *uids))
        return Described(study_instance_uid=study, rows=rows, identity=identity)

    def file(self, instance: StoredInstance) -> DicomFile:
        """The instance as it is served; raise ResourceNotFound, StorageUnavailable.

        One of a corrected study that cannot be given its new identity is an UnreadableImage.
        """
        stream = self.store.open(instance.blob)
        try:
            head, start = missing_head(stream, instance)
            size = instance.blob.size
            if instance.identity is None:
                return DicomFile(stream=stream, pieces=(head, (start, size)))
            elements = instance.identity.of_file(
                instance.study_instance_uid,
                instance.series_instance_uid,
                instance.sop_instance_uid,
            )
            return with_identity(stream, head, start, size, instance.identity, elements)
        except BaseException:
            stream.close()
            raise

    def size(self, instance: StoredInstance) -> int:
        """Of the file, which is opened only where it may be another than the stored one."""
        if not instance.has_warnings and instance.identity is None:
            return instance.blob.size
        file = self.file(instance)
        file.stream.close()
        return file.size

    def metadata(self, found: Described) -> Iterator[tuple[AnyRow, bytes]]:
        """Each with its DICOM JSON; one that was erased meanwhile is left out."""
        for first in range(0, len(found.rows), INSTANCES_AT_ONCE):
            some = found.rows[first : first + INSTANCES_AT_ONCE]
            with self.database.read() as connection:
                stored = dicom_json_of(connection, [one.pk for one in some])
            for one in some:
                if one.pk in stored:
                    yield one, served(stored[one.pk], found.identity)

    def metadata_of(self, instance: StoredInstance) -> bytes:
        """Its DICOM JSON; raise ResourceNotFound."""
        with self.database.read() as connection:
            stored = dicom_json_of(connection, [instance.pk])
        if not stored:
            raise ResourceNotFound(NOT_HERE)
        return served(stored[instance.pk], instance.identity)

    def bulk_data(self, instance: StoredInstance, path: str) -> tuple[BinaryIO, BulkValue]:
        """The value at a path of BulkDataURI, and the stream to close; raise ResourceNotFound.

        What the file said of whose it is, is not there in a corrected study.
        """
        if instance.identity is not None and is_of_identity(int(path[:8], 16)):
            raise ResourceNotFound("The corrected instance has no such value.")
        stream = self.store.open(instance.blob)
        try:
            return stream, bulk_value(stream, path)
        except BaseException:
            stream.close()
            raise


def served(compressed: bytes, identity: Identity | None) -> bytes:
    json = zlib.decompress(compressed)
    return identity.put_in(json) if identity else json


def with_identity(
    stream: BinaryIO,
    head: bytes,
    start: int,
    size: int,
    identity: Identity,
    elements: DicomJson,
) -> DicomFile:
    found = coerced(stream, size, elements, identity.minted)
    if found.stream is stream:
        before: Piece = (start, found.offset) if start < found.offset else b""
        return DicomFile(stream=stream, pieces=(head, before, *found.pieces))
    with stream:
        stream.seek(start)
        meta = stream.read(found.offset - start)
    return DicomFile(stream=found.stream, pieces=(head, meta, *found.pieces))


def missing_head(stream: BinaryIO, instance: StoredInstance) -> tuple[bytes, int]:
    """What has to be put before the stored bytes, and from where on those are served.

    The head names the instance: one that has another UID now gets another head.
    """
    start = start_of_file(stream)
    is_renamed = instance.identity is not None and instance.identity.minted is not None
    if not start.is_transfer_syntax_guessed and not is_renamed:
        return (b"" if has_preamble(stream) else preamble()), 0
    head = file_head(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
    )
    return head, start.offset
