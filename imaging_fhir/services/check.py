"""Compares blobs, index and resources; with `repair` mends what can be told from the rest."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.search import IndexEntry
from imaging_fhir.services.check_images import ImageCheck
from imaging_fhir.services.finding import Finding
from imaging_fhir.storage import blobs, consistency, search_index
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.resources import StoredResource

# What a resource is to be found by; None where that cannot be told.
Recompute = Callable[[Connection, StoredResource], Iterable[IndexEntry] | None]
BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    database: Database
    store: BlobStore
    recompute: Recompute

    def run(self, *, deep: bool = False, repair: bool = False) -> Iterator[Finding]:
        """All disagreements, as they are found; `deep` reads every byte and every header."""
        yield from self.blobs_that_are_not_as_their_row_says(deep=deep)
        yield from self.bytes_without_row(repair=repair)
        yield from self.wrong_counts(repair=repair)
        images = ImageCheck(database=self.database, store=self.store)
        yield from images.studies()
        if deep:
            yield from images.files(repair=repair)
        yield from self.rows("without-resource", consistency.without_resource)
        yield from self.index(repair=repair)
        yield from self.rows("dangling-reference", consistency.dangling_references)

    def blobs_that_are_not_as_their_row_says(self, *, deep: bool) -> Iterator[Finding]:
        after = 0
        while page := self.page_of_blobs(after):
            for pk, blob in page:
                after = pk
                fault = self.fault_of(blob, deep=deep)
                if fault:
                    yield Finding(kind=fault, subject=blob.sha256)

    def page_of_blobs(self, after: int) -> list[tuple[int, Blob]]:
        with self.database.read() as connection:
            return blobs.live_rows(connection, after=after, limit=BATCH)

    def fault_of(self, blob: Blob, *, deep: bool) -> str | None:
        try:
            with self.store.local(blob) as path:
                if path.stat().st_size != blob.size:
                    return "wrong-size"
                if not deep:
                    return None
                with path.open("rb") as stream:
                    actual = hashlib.file_digest(stream, "sha256").hexdigest()
        except ResourceNotFound:
            return "missing-bytes" if self.is_live(blob) else None  # it may have died just now
        return None if actual == blob.sha256 else "wrong-hash"

    def is_live(self, blob: Blob) -> bool:
        with self.database.read() as connection:
            return not blobs.without_live_row(connection, [blob])

    def bytes_without_row(self, *, repair: bool) -> Iterator[Finding]:
        """An upload between its placing and its commit looks the same, and survives the repair."""
        found = self.store.blobs()
        while batch := list(islice(found, BATCH)):
            with self.database.read() as connection:
                orphans = blobs.without_live_row(connection, batch)
            if orphans and repair:
                orphans = self.database.write(partial(blobs.bury, found=orphans))
            for blob in orphans:
                if repair:
                    self.store.remove(blob)
                yield Finding(kind="orphan-bytes", subject=blob.sha256, repaired=repair)

    def wrong_counts(self, *, repair: bool) -> Iterator[Finding]:
        with self.database.read() as connection:
            found = consistency.wrong_counts(connection)
        if found and repair:
            self.database.write(consistency.count_again)
        for subject in found:
            yield Finding(kind="wrong-count", subject=subject, repaired=repair)

    def rows(self, kind: str, query: Callable[[Connection], list[str]]) -> Iterator[Finding]:
        with self.database.read() as connection:
            found = query(connection)
        for subject in found:
            yield Finding(kind=kind, subject=subject)

    def index(self, *, repair: bool) -> Iterator[Finding]:
        after = 0
        while True:
            with self.database.read() as connection:
                page = consistency.living(connection, after=after)
                wrong = [stored for stored in page if self.index_differs(connection, stored)]
            if not page:
                return
            after = page[-1].rid
            for stored in wrong:
                if repair:
                    self.database.write(partial(self.index_again, stored=stored))
                yield Finding(kind="wrong-index", subject=stored.reference, repaired=repair)

    def index_differs(self, connection: Connection, stored: StoredResource) -> bool:
        entries = self.recompute(connection, stored)
        return entries is not None and consistency.index_differs(connection, stored, entries)

    def index_again(self, transaction: Transaction, stored: StoredResource) -> None:
        """By what the resource says now: it may have changed since it was looked at."""
        current = consistency.current(transaction.connection, stored)
        entries = None if current is None else self.recompute(transaction.connection, current)
        if current is not None and entries is not None:
            search_index.replace(transaction, current.rid, current.type, entries)
