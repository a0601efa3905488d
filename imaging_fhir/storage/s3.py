"""Blobs in a bucket of S3, or of a server that speaks like it:

    PREFIX/ab/abcdef….GENERATION      by the first two digits of the hash, as in a folder

What arrives is staged in a local folder, hashed on the way, and uploaded when it is placed. Who
the service is and where the bucket is, the usual AWS variables say (docs/deployment.md).
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from imaging_fhir.errors import ResourceNotFound, StorageUnavailable
from imaging_fhir.model.blob import Blob
from imaging_fhir.storage.folder import PLACED, FolderBlobStore, StagedFile, named

LARGE = 16 * 1024**2  # from this size on in parts, which can be sent again one by one
PART_BYTES = 8 * 1024**2
PARTS_AT_ONCE = 4
READ_BYTES = 1024**2  # fetched at once
COPY_BYTES = 8 * 1024**2
SECONDS = 30  # for a request, and for all tries of it together
TRIES = 3


class S3BlobStore:
    """`address` is BUCKET or BUCKET/PREFIX; `staging` a local folder with room for uploads."""

    def __init__(self, address: str, staging: Path, *, min_free_bytes: int = 0) -> None:
        bucket, _, prefix = address.partition("/")
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.staging = FolderBlobStore(staging, min_free_bytes=min_free_bytes, durable=False)
        self.bucket = S3Store(
            bucket,
            client_options={
                "allow_http": True,
                "timeout": timedelta(seconds=SECONDS),
                "connect_timeout": timedelta(seconds=5),
            },
            retry_config={"max_retries": TRIES, "retry_timeout": timedelta(seconds=SECONDS)},
        )

    @contextmanager
    def stage(self, chunks: Iterable[bytes], *, limit: int) -> Iterator["StagedObject"]:
        with self.staging.stage(chunks, limit=limit) as staged:
            yield StagedObject(store=self, staged=staged)

    def require_space(self) -> None:
        """A bucket has no end, but uploads are staged here; raise StorageUnavailable without it."""
        self.staging.require_space()
        with translated():
            for _ in obstore.list(self.bucket, f"{self.prefix}00", chunk_size=1):
                break

    def probe(self) -> None:
        """Write and remove an object that is no blob; raise StorageUnavailable."""
        with translated():
            obstore.put(self.bucket, f"{self.prefix}probe", b"probe")
            obstore.delete(self.bucket, f"{self.prefix}probe")

    def key(self, blob: Blob) -> str:
        return f"{self.prefix}{blob.sha256[:2]}/{blob.sha256}.{blob.generation}"

    def open(self, blob: Blob, *, start: int = 0) -> BinaryIO:
        """Its first bytes are fetched at once, and show whether it is there."""
        content = ObjectBytes(self.bucket, self.key(blob), blob.size)
        content.seek(start)
        content.fetch()
        return cast(BinaryIO, io.BufferedReader(content, READ_BYTES))

    @contextmanager
    def local(self, blob: Blob) -> Iterator[Path]:
        with self.open(blob) as stream, self.copied(stream, blob.size) as staged:
            yield staged.path()

    def copied(self, stream: BinaryIO, size: int) -> AbstractContextManager[StagedFile]:
        return self.staging.stage(iter(lambda: stream.read(COPY_BYTES), b""), limit=size)

    def remove(self, blob: Blob) -> None:
        with translated():
            try:
                obstore.delete(self.bucket, self.key(blob))
            except FileNotFoundError:
                return

    def blobs(self) -> Iterator[Blob]:
        with translated():
            for page in obstore.list(self.bucket, self.prefix or None):
                for found in page:
                    matched = PLACED.fullmatch(found["path"].rpartition("/")[2])
                    if matched is not None:
                        blob = named(matched, found["size"])
                        if self.key(blob) == found["path"]:
                            yield blob

    def leftovers(self, *, older_than_seconds: float) -> Iterator[str]:
        yield from self.staging.leftovers(older_than_seconds=older_than_seconds)

    def remove_leftover(self, name: str) -> None:
        self.staging.remove_leftover(name)

    def size_of(self, key: str) -> int | None:
        """None where there is no such object."""
        with translated():
            try:
                return int(obstore.head(self.bucket, key)["size"])
            except FileNotFoundError:
                return None

    def upload(self, key: str, path: Path, size: int) -> None:
        """A small one is not put over what is there; a large one is, if that is of another size."""
        if size >= LARGE:
            if self.size_of(key) != size:
                self.put(key, path)
            return
        with translated():
            try:
                obstore.put(self.bucket, key, path.read_bytes(), mode="create", use_multipart=False)
                return
            except (AlreadyExistsError, PreconditionError):
                pass
        if self.size_of(key) != size:
            self.put(key, path)

    def put(self, key: str, path: Path) -> None:
        with translated():
            obstore.put(
                self.bucket, key, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedObject:
    """A local file that is uploaded when it is placed."""

    store: S3BlobStore
    staged: StagedFile

    @property
    def sha256(self) -> str:
        return self.staged.sha256

    @property
    def size(self) -> int:
        return self.staged.size

    def open(self) -> BinaryIO:
        return self.staged.open()

    def path(self) -> Path:
        return self.staged.path()

    def place(self, generation: int) -> Blob:
        blob = Blob(sha256=self.sha256, size=self.size, generation=generation)
        self.store.upload(self.store.key(blob), self.path(), self.size)
        return blob


class ObjectBytes(io.RawIOBase):
    """The bytes of an object, fetched by ranges."""

    def __init__(self, bucket: S3Store, key: str, size: int) -> None:
        self.bucket = bucket
        self.key = key
        self.size = size
        self.position = 0
        self.fetched = b""  # from `fetched_at` on
        self.fetched_at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(start + offset, 0)
        return self.position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        if self.position >= self.size:
            return 0
        if not 0 <= self.position - self.fetched_at < len(self.fetched):
            self.fetch(len(buffer))
        start = self.position - self.fetched_at
        found = self.fetched[start : start + len(buffer)]
        buffer[: len(found)] = found
        self.position += len(found)
        return len(found)

    def fetch(self, count: int = READ_BYTES) -> None:
        """Bytes from the position on; raise ResourceNotFound, StorageUnavailable."""
        length = min(max(count, READ_BYTES), self.size - self.position)
        with translated():
            try:
                self.fetched, self.fetched_at = b"", self.position
                if length <= 0:
                    self.size = obstore.head(self.bucket, self.key)["size"]
                    return
                end = self.position + length
                found = obstore.get(self.bucket, self.key, options={"range": (self.position, end)})
                self.size = found.meta["size"]  # that of the object, should it be another
                self.fetched = bytes(found.bytes())
            except FileNotFoundError as error:
                raise ResourceNotFound("The bytes are not kept here.") from error


@contextmanager
def translated() -> Iterator[None]:
    """The bucket's errors as the service's own; what its server said may name keys, so not it."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise StorageUnavailable(
            f"The bucket of the stored images: {type(error).__name__}."
        ) from error
