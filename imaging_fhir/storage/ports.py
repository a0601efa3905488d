"""The ports that storage offers and that have more than one home."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from imaging_fhir.model.blob import Blob


class StagedBlob(Protocol):
    """Bytes that arrived whole and are synced, but have no place in the store yet."""

    @property
    def sha256(self) -> str: ...

    @property
    def size(self) -> int: ...

    def open(self) -> BinaryIO:
        """The bytes, seekable."""
        ...

    def path(self) -> Path:
        """A local file with the bytes, as long as this is staged."""
        ...

    def place(self, generation: int) -> Blob:
        """Give the bytes their place, durable on return; the same content there already is fine.

        May be called again with a higher generation; raise StorageFull, StorageUnavailable.
        """
        ...


class BlobStore(Protocol):
    """Keeps bytes by content; today a folder, built so that a bucket can share the port."""

    def stage(self, chunks: Iterable[bytes], *, limit: int) -> AbstractContextManager[StagedBlob]:
        """Take a stream in, hashed on the way, never held whole in memory.

        What has not been placed is removed at the end of the `with`. Raise UploadTooLarge beyond
        `limit` bytes, StorageFull before the disk is full.
        """
        ...

    def require_space(self) -> None:
        """Raise StorageFull where the next upload would be refused, StorageUnavailable."""
        ...

    def open(self, blob: Blob, *, start: int = 0) -> BinaryIO:
        """The bytes from `start` on, seekable; raise ResourceNotFound."""
        ...

    def local(self, blob: Blob) -> AbstractContextManager[Path]:
        """A local file with the bytes, for decoders; raise ResourceNotFound."""
        ...

    def remove(self, blob: Blob) -> None:
        """Forget the bytes; that they are gone already is fine."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """Every blob that has bytes, in no order."""
        ...

    def leftovers(self, *, older_than_seconds: float) -> Iterator[str]:
        """Names of staged bytes that a crash left behind."""
        ...

    def remove_leftover(self, name: str) -> None: ...
