"""Blobs in a folder:

    incoming/NAME                     bytes that arrive; locked as long as their process lives
    ab/abcdef….GENERATION             bytes in their place, by the first two digits of the hash

A power cut at any moment leaves either the whole content in its place or none: the file is synced
before it is linked there, and the folder before anyone hears of it.
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from imaging_fhir.errors import ResourceNotFound, StorageFull, StorageUnavailable, UploadTooLarge
from imaging_fhir.model.blob import Blob

INCOMING = "incoming"
PLACED = re.compile(r"([0-9a-f]{64})\.([0-9]{1,9})")
BYTES_BETWEEN_LOOKS = 64 * 1024**2  # at the free space of the disk


class FolderBlobStore:
    """The blobs of one folder, shared by any number of processes on a file system with links."""

    def __init__(self, root: Path, *, min_free_bytes: int = 0) -> None:
        self.root = root
        self.incoming = root / INCOMING
        self.min_free_bytes = min_free_bytes
        with translated():
            self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(root.parent)
            sync_folder(root)

    @contextmanager
    def stage(self, chunks: Iterable[bytes], *, limit: int) -> Iterator["StagedFile"]:
        self.require_space()
        path = self.incoming / uuid4().hex
        with translated():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with translated():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield self.written(path, descriptor, chunks, limit)
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def written(
        self, path: Path, descriptor: int, chunks: Iterable[bytes], limit: int
    ) -> "StagedFile":
        digest, size, next_look = hashlib.sha256(), 0, BYTES_BETWEEN_LOOKS
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise UploadTooLarge(f"An upload may have at most {limit} bytes.")
            if size > next_look:
                self.require_space()
                next_look = size + BYTES_BETWEEN_LOOKS
            digest.update(chunk)
            write_all(descriptor, chunk)
        with translated():
            os.fsync(descriptor)
        return StagedFile(store=self, sha256=digest.hexdigest(), size=size, staged=path)

    def require_space(self) -> None:
        """Raise StorageFull while there is still room for the database to say so."""
        if self.free_bytes() < self.min_free_bytes:
            raise StorageFull("The disk of the stored images is nearly full.")

    def free_bytes(self) -> int:
        with translated():
            disk = os.statvfs(self.root)
        return disk.f_bavail * disk.f_frsize

    def path(self, blob: Blob) -> Path:
        return self.root / blob.sha256[:2] / f"{blob.sha256}.{blob.generation}"

    def open(self, blob: Blob, *, start: int = 0) -> BinaryIO:
        with translated(), known():
            stream = self.path(blob).open("rb")
            stream.seek(start)
        return stream

    @contextmanager
    def local(self, blob: Blob) -> Iterator[Path]:
        path = self.path(blob)
        with translated(), known():
            path.stat()
        yield path

    def remove(self, blob: Blob) -> None:
        path = self.path(blob)
        with translated(), suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)

    def blobs(self) -> Iterator[Blob]:
        for _, blob in placed_in(self.root):
            yield blob

    def leftovers(self, *, older_than_seconds: float) -> Iterator[str]:
        latest = time.time() - older_than_seconds
        for path in self.incoming.iterdir():
            if is_abandoned(path, latest):
                yield path.name

    def remove_leftover(self, name: str) -> None:
        (self.incoming / Path(name).name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A synced file in `incoming`."""

    store: FolderBlobStore
    sha256: str
    size: int
    staged: Path

    def open(self) -> BinaryIO:
        return self.staged.open("rb")

    def path(self) -> Path:
        return self.staged

    def place(self, generation: int) -> Blob:
        blob = Blob(sha256=self.sha256, size=self.size, generation=generation)
        target = self.store.path(blob)
        with translated():
            try:
                self.link(target)
            except FileExistsError:
                self.mend(target)
            sync_folder(target.parent)  # even if it was there: whoever put it may not be so far
        return blob

    def link(self, target: Path) -> None:
        try:
            target.hardlink_to(self.staged)
        except FileNotFoundError:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.store.root)
            target.hardlink_to(self.staged)

    def mend(self, target: Path) -> None:
        """Replace what a failing disk cut short; readers see the one or the other."""
        with suppress(FileNotFoundError):  # clean-up was faster: claiming will tell
            if target.stat().st_size == self.size:
                return
        whole = self.staged.with_suffix(".whole")
        whole.hardlink_to(self.staged)
        whole.replace(target)


def write_all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    with translated():
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def placed_in(root: Path) -> Iterator[tuple[Path, Blob]]:
    """The files of a store's folder; strangers are passed over, and what is removed meanwhile."""
    for shard in sorted(root.glob("[0-9a-f][0-9a-f]")):
        with os.scandir(shard) as entries:
            for entry in entries:
                if matched := PLACED.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        size = entry.stat(follow_symlinks=False).st_size
                        yield Path(entry), named(matched, size)


def named(matched: re.Match[str], size: int) -> Blob:
    return Blob(sha256=matched[1], size=size, generation=int(matched[2]))


def is_abandoned(path: Path, latest: float) -> bool:
    """Whether a staged file is that old, and no process writes or reads it any more."""
    try:
        with path.open("rb+") as file:
            if os.fstat(file.fileno()).st_mtime > latest:
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


@contextmanager
def known() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ResourceNotFound("The bytes are not kept here.") from error


@contextmanager
def translated() -> Iterator[None]:
    """The operating system's errors as the service's own."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The disk of the stored images is full.") from error
        raise StorageUnavailable(f"The stored images: {error.strerror}.") from error
