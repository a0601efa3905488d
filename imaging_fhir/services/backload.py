"""Files and folders taken in from the command line; an interrupted run goes on where it was."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from imaging_fhir.errors import ImagingError, UnreadableImage
from imaging_fhir.model.link import Given
from imaging_fhir.services.ingest import CHUNK, NOTHING_GIVEN, Ingest, Outcome
from imaging_fhir.settings import Site, Source
from imaging_fhir.storage import journal
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.local import LocalFile

T = TypeVar("T")
THREADS = 4
AHEAD = 64  # files on their way at once, so that the list of an archive is never held whole


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """One file, and what became of each image in it."""

    path: Path
    size: int
    outcomes: tuple[Outcome, ...]
    from_journal: bool = False  # dealt with in an earlier run, and not changed since


@dataclass(frozen=True, slots=True, kw_only=True)
class Backload:
    database: Database
    ingest: Ingest
    site: Site

    def run(
        self,
        paths: Iterable[Path],
        *,
        source: Source | None = None,
        given: Given = NOTHING_GIVEN,
        dry_run: bool = False,
        again: bool = False,
    ) -> Iterator[FileResult]:
        """The files in their order. The source is the given one, else that of the file's folder.

        `again` looks at files that the journal says are done; a dry run writes nothing.
        """

        def one(path: Path) -> FileResult:
            whence = source or self.site.source_of_path(path)
            try:
                if dry_run:
                    return self.rehearse(path, whence, given)
                return self.take(path, whence, given, again=again or given != NOTHING_GIVEN)
            except OSError as error:
                return unreadable(path, error)

        return in_order(one, paths)

    def rehearse(self, path: Path, source: Source, given: Given) -> FileResult:
        outcomes = tuple(self.ingest.look(LocalFile(path), source=source, given=given))
        return FileResult(path=path, size=path.stat().st_size, outcomes=outcomes)

    def take(self, path: Path, source: Source, given: Given, *, again: bool) -> FileResult:
        entry = journal_entry(path)
        if not again and (known := self.from_journal(path, entry)):
            return known
        outcomes = self.taken(path, source, given)
        if all(outcome.status < 500 for outcome in outcomes):
            results = [(outcome.status, outcome.message) for outcome in outcomes]
            self.database.write(lambda transaction: journal.put(transaction, entry, results))
        return FileResult(path=path, size=entry.size, outcomes=outcomes)

    def taken(self, path: Path, source: Source, given: Given) -> tuple[Outcome, ...]:
        with path.open("rb") as file:
            try:
                with self.ingest.store.stage(chunks(file), limit=self.ingest.max_bytes) as staged:
                    return tuple(self.ingest.ingest_staged(staged, source=source, given=given))
            except ImagingError as error:
                return (Outcome(status=error.status, error=error),)

    def from_journal(self, path: Path, entry: journal.Entry) -> FileResult | None:
        with self.database.read() as connection:
            results = journal.find(connection, entry)
        if results is None:
            return None
        outcomes = tuple(remembered(status, reason) for status, reason in results)
        return FileResult(path=path, size=entry.size, outcomes=outcomes, from_journal=True)


def journal_entry(path: Path) -> journal.Entry:
    state = path.stat()
    return journal.Entry(
        path_sha256=hashlib.sha256(os.fsencode(path.absolute())).hexdigest(),
        size=state.st_size,
        modified_ns=state.st_mtime_ns,
    )


def remembered(status: int, reason: str) -> Outcome:
    if status < 300:
        return Outcome(status=200 if status == 201 else status)
    return Outcome(status=status, error=ImagingError(reason))


def unreadable(path: Path, error: OSError) -> FileResult:
    fault = UnreadableImage(f"The file cannot be read: {error.strerror}.")
    return FileResult(path=path, size=0, outcomes=(Outcome(status=fault.status, error=fault),))


def chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def in_order(work: Callable[[Path], T], paths: Iterable[Path]) -> Iterator[T]:
    """What the work makes of each path, in their order, a few of them at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        running: deque[Future[T]] = deque()
        for path in paths:
            running.append(pool.submit(work, path))
            if len(running) >= AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
