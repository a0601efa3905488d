"""What was read, appended to a file of the process before the answer leaves.

One write(2) with O_APPEND a line: what it has taken outlives the process, though not the machine
unless it is synced. Another process knows by the lock on the file whether its owner still lives.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from imaging_fhir.errors import StorageUnavailable

ENDING = ".spool"
LARGEST = 8 * 1024**2  # from then on a new file is begun
AT_ONCE = 256 * 1024  # bytes that are moved in one transaction
NOT_WRITTEN = "The audit trail cannot be written, so nothing is answered; try again."
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """Whole lines of a file, between two positions."""

    name: str
    start: int
    end: int
    lines: list[bytes]


class Spool:
    def __init__(self, folder: Path, *, sync: bool) -> None:
        self.folder = folder
        self.sync = sync
        self.path: Path | None = None
        self.descriptor = -1
        self.is_torn = False  # the last line was not written whole
        self.writing = threading.Lock()

    def add(self, line: bytes) -> None:
        """Append a line, which ends so; raise StorageUnavailable."""
        with self.writing:
            try:
                if self.descriptor < 0:
                    self.begin()
                whole = b"\n" + line if self.is_torn else line
                written = os.write(self.descriptor, whole)
                self.is_torn = written < len(whole) and (written > 0 or self.is_torn)
                if self.sync and written == len(whole):
                    os.fdatasync(self.descriptor)
            except OSError as error:
                logger.error("the audit spool cannot be written: %s", error.strerror)
                raise StorageUnavailable(NOT_WRITTEN) from error
        if written != len(whole):
            logger.error("the audit spool took only a part of a line")
            raise StorageUnavailable(NOT_WRITTEN)

    def begin(self) -> None:
        """A new file, locked before it has the name by which others look for it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{os.getpid()}-{uuid4().hex}{ENDING}"
        hidden = path.with_suffix(".new")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        hidden.rename(path)
        self.path, self.descriptor, self.is_torn = path, descriptor, False

    def close(self) -> None:
        """What is in it is moved by whoever comes next."""
        with self.writing:
            if self.descriptor >= 0:
                os.close(self.descriptor)
            self.path, self.descriptor = None, -1

    def is_over(self, moved: int) -> bool:
        """Give up a large file of which everything is moved."""
        with self.writing:
            if self.path is None or moved < LARGEST or os.fstat(self.descriptor).st_size > moved:
                return False
            self.path.unlink()
            os.close(self.descriptor)
            self.path, self.descriptor = None, -1
            return True

    @contextmanager
    def orphans(self) -> Iterator[list[Path]]:
        """Files whose process has ended, which are nobody else's meanwhile."""
        with self.writing:
            own = self.path
        taken: dict[Path, int] = {}
        try:
            for path in sorted(self.folder.glob(f"*{ENDING}")):
                if path != own and (descriptor := locked(path)) is not None:
                    taken[path] = descriptor
            yield list(taken)
        finally:
            for descriptor in taken.values():
                os.close(descriptor)


def locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock; None while another has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    if not path.exists():  # whoever had it has moved it, and removed it
        os.close(descriptor)
        return None
    return descriptor


def part_after(path: Path, moved: int) -> Part | None:
    """The next whole lines; None where there are none. A line without its end is not one yet."""
    with path.open("rb") as file:
        file.seek(moved)
        read = file.read(AT_ONCE)
    end = read.rfind(b"\n") + 1
    if not end:
        return None
    lines = [line for line in read[:end].split(b"\n") if line]
    return Part(name=path.name, start=moved, end=moved + end, lines=lines)
