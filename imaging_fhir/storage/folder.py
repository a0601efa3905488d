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

from imaging_fhir.errors import (
    ImagingError,
    ResourceNotFound,
    StorageFull,
    StorageUnavailable,
    UploadTooLarge,
)
from imaging_fhir.model.blob import Blob

INCOMING = "incoming"
PLACED = re.compile(r"([0-9a-f]{64})\.([0-9]{1,9})")
HEAD_BYTES = 32 * 1024  # read at a time: the header of most images
BYTES_BETWEEN_LOOKS = 64 * 1024**2  # at the free space of the disk


class FolderBlobStore:
    """The blobs of one folder, shared by any number of processes on a file system with links.

    What is not `durable` is only staged here, and not synced.
    """

    def __init__(self, root: Path, *, min_free_bytes: int = 0, durable: bool = True) -> None:
        self.root = root
        self.durable = durable
        self.incoming = root / INCOMING
        self.min_free_bytes = min_free_bytes
        with translated():
            self.incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(root.parent)
            sync_folder(root)

    @contextmanager
    def stage(self, chunks: Iterable[bytes], *, limit: int) -> Iterator["StagedFile"]:
        self.require_space()
        path = f"{self.incoming}/{os.urandom(16).hex()}"
        descriptor = opened(path)
        try:
            yield self.written(path, descriptor, chunks, limit)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
            os.close(descriptor)

    def written(
        self, path: str, descriptor: int, chunks: Iterable[bytes], limit: int
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
        if self.durable:
            sync(descriptor)
        return StagedFile(store=self, sha256=digest.hexdigest(), size=size, staged=path)

    def require_space(self) -> None:
        """Raise StorageFull while there is still room for the database to say so."""
        if self.free_bytes() < self.min_free_bytes:
            raise StorageFull("The disk of the stored images is nearly full.")

    def free_bytes(self) -> int:
        try:
            disk = os.statvfs(self.root)
        except OSError as error:
            raise told(error) from error
        return disk.f_bavail * disk.f_frsize

    def path(self, blob: Blob) -> Path:
        return Path(self.address(blob))

    def address(self, blob: Blob) -> str:
        return f"{self.root}/{blob.sha256[:2]}/{blob.sha256}.{blob.generation}"

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
    staged: str

    def open(self) -> BinaryIO:
        return open(self.staged, "rb", buffering=HEAD_BYTES)

    def path(self) -> Path:
        return Path(self.staged)

    def place(self, generation: int) -> Blob:
        blob = Blob(sha256=self.sha256, size=self.size, generation=generation)
        target = self.store.address(blob)
        folder = os.path.dirname(target)
        try:
            try:
                self.link(target, folder)
            except FileExistsError:
                self.mend(target)
            sync_folder(folder)  # even if it was there: whoever put it may not be so far
        except OSError as error:
            raise told(error) from error
        return blob

    def link(self, target: str, folder: str) -> None:
        try:
            os.link(self.staged, target)
        except FileNotFoundError:
            Path(folder).mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.store.root)
            os.link(self.staged, target)

    def mend(self, target: str) -> None:
        """Replace what a failing disk cut short; readers see the one or the other."""
        with suppress(FileNotFoundError):  # clean-up was faster: claiming will tell
            if os.stat(target).st_size == self.size:
                return
        whole = f"{self.staged}.whole"
        os.link(self.staged, whole)
        os.replace(whole, target)


def opened(path: str) -> int:
    """A new file, locked: who looks for what a crash left behind sees that it is in use."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise told(error) from error
    return descriptor


def write_all(descriptor: int, chunk: bytes) -> None:
    written = 0
    try:
        while written < len(chunk):
            written += os.write(descriptor, memoryview(chunk)[written:] if written else chunk)
    except OSError as error:
        raise told(error) from error


def sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise told(error) from error


def sync_folder(folder: Path | str) -> None:
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
        raise told(error) from error


def told(error: OSError) -> ImagingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The disk of the stored images is full.")
    return StorageUnavailable(f"The stored images: {error.strerror}.")
