"""Removes bytes that nothing refers to: first the row dies, with proof, then the bytes go.

A crash between leaves a dead row whose bytes are still there; the next sweep finds them, as it
finds bytes that were placed by an upload which never came to its commit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from imaging_fhir.model.blob import Blob
from imaging_fhir.storage import blobs
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.ports import BlobStore

BATCH = 200
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUpReport:
    unreferenced: int  # blobs that nothing referred to any more
    without_live_row: int  # bytes that a crash left in their place
    leftovers: int  # bytes that a crash left staged
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUp:
    database: Database
    store: BlobStore

    def run(self, *, leftovers_older_than_seconds: float = ABANDONED_SECONDS) -> CleanUpReport:
        """Remove all that may go; raise StorageUnavailable while a backup is running."""
        unreferenced = list(self.remove_unreferenced())
        without_live_row = list(self.sweep())
        return CleanUpReport(
            unreferenced=len(unreferenced),
            without_live_row=len(without_live_row),
            leftovers=self.remove_leftovers(older_than_seconds=leftovers_older_than_seconds),
            bytes=sum(blob.size for blob in (*unreferenced, *without_live_row)),
        )

    def remove_unreferenced(self) -> Iterator[Blob]:
        while pks := self.unreferenced():
            dead = self.database.write(partial(blobs.mark_dead, pks=pks))
            yield from self.remove(dead)

    def unreferenced(self) -> list[int]:
        with self.database.read() as connection:
            return blobs.unreferenced(connection, limit=BATCH)

    def sweep(self) -> Iterator[Blob]:
        """Remove the bytes that stand for no live row."""
        for found in batches(self.store.blobs()):
            with self.database.read() as connection:
                suspects = blobs.without_live_row(connection, found)
            if suspects:
                yield from self.remove(self.database.write(partial(blobs.bury, found=suspects)))

    def remove(self, dead: Iterable[Blob]) -> Iterator[Blob]:
        for blob in dead:
            self.store.remove(blob)
            yield blob

    def remove_leftovers(self, *, older_than_seconds: float) -> int:
        names = list(self.store.leftovers(older_than_seconds=older_than_seconds))
        for name in names:
            self.store.remove_leftover(name)
        return len(names)


def batches(found: Iterator[Blob]) -> Iterator[list[Blob]]:
    while batch := list(islice(found, BATCH)):
        yield batch
