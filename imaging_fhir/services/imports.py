"""Imports that are answered later (FHIR R4 async.html): kept first, done in the background."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.link import Given
from imaging_fhir.services.import_answer import import_answer
from imaging_fhir.services.ingest import Ingest, Outcome, opened
from imaging_fhir.settings import Site, Source
from imaging_fhir.storage import blobs, imports, leases
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import BlobStore, StagedBlob

KEPT_MILLISECONDS = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    database: Database
    store: BlobStore
    ingest: Ingest
    site: Site
    new_id: Callable[[], str]

    def begin(self, source: Source) -> tuple[str, int]:
        """(id for the sender, key) of a request whose files are arriving."""
        request_id = self.new_id()
        pk = self.database.write(partial(imports.begin, request_id=request_id, source=source.id))
        return request_id, pk

    def add_file(self, request: int, staged: StagedBlob, name: str) -> None:
        def keep(transaction: Transaction, blob: int) -> None:
            imports.add_file(transaction, request, name, blob)

        blobs.keep(self.database, staged, keep)

    def submit(self, request: int, given: Given) -> None:
        """From now on it will be done, whatever happens to this process."""
        self.database.write(partial(imports.submit, request=request, given=given))

    def result(self, request_id: str) -> bytes | None:
        """The batch-response; None while it is not there. Raise ResourceNotFound."""
        with self.database.read() as connection:
            row = imports.find(connection, request_id)
        if row is None:
            raise ResourceNotFound("There is no import of this id, or no longer.")
        return None if row.state != "done" else bytes(row.result)

    def forget(self, request_id: str) -> None:
        """Give it up: what is not taken in by now is not; raise ResourceNotFound."""

        def remove(transaction: Transaction) -> None:
            row = imports.find(transaction.connection, request_id)
            if row is None:
                raise ResourceNotFound("There is no import of this id, or no longer.")
            imports.forget(transaction, row.pk)

        self.database.write(remove)

    def run(self, request: int) -> None:
        """Take in the files; raise StorageUnavailable where another process is at it."""
        with leases.held(self.database, f"import-{request}"):
            with self.database.read() as connection:
                row = imports.find_by_pk(connection, request)
                files = imports.files(connection, request)
            if row is None or row.state != "waiting":
                return
            source = self.site.source_or_default(row.source)
            given = decode_as(Given, row.given)
            outcomes = [
                outcome
                for file in files
                for outcome in self.outcomes(file, source=source, given=given)
            ]
            result = encode(import_answer(outcomes))
            self.database.write(partial(imports.complete, request=request, result=result))

    def outcomes(
        self, file: imports.ImportFile, *, source: Source, given: Given
    ) -> Iterator[Outcome]:
        """Of a run that was broken off, the second finds what the first took in already."""
        with self.database.read() as connection:
            blob = blobs.find(connection, file.blob)
        chunks = opened(partial(self.store.open, blob))
        with self.store.stage(chunks, limit=self.ingest.max_bytes) as staged:
            yield from self.ingest.ingest_staged(staged, source=source, given=given, name=file.name)

    def forget_outdated(self) -> None:
        before = self.database.clock() - KEPT_MILLISECONDS
        with self.database.read() as connection:
            outdated = imports.outdated(connection, before)
        for request in outdated:
            self.database.write(partial(imports.forget, request=request))
