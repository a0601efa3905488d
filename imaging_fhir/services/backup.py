"""A backup while serving, into a folder or a tar file, and back into an empty place.

First the database's snapshot, then the bytes of all blobs that were live; meanwhile a lease keeps
clean-up from removing any. What arrives during the copying is not in the snapshot.
"""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from imaging_fhir.errors import (
    InvalidRequest,
    InvalidSetting,
    ResourceNotFound,
    UploadTooLarge,
)
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.services.erase import Erase
from imaging_fhir.storage import blobs, leases, migrations, snapshot
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.folder import PLACED, FolderBlobStore, named, placed_in, sync_folder
from imaging_fhir.storage.ports import BlobStore

MANIFEST = "manifest.json"
BLOBS = "blobs"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Written last: a backup without one was broken off."""

    stamp: int  # the last commit in the snapshot, milliseconds since 1970 UTC
    database: str  # the snapshot's file
    blobs: int
    bytes: int
    missing: tuple[str, ...] = ()  # hashes of blobs whose bytes were not there or had changed


class DamagedBlob(Exception):
    """The bytes are not those that the hash names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    database: Database
    store: BlobStore

    def write(self, target: Path) -> Manifest:
        """To a new or empty folder, or to a new file whose name ends in .tar.

        Raise InvalidRequest where something is there already, StorageUnavailable, StorageFull.
        """
        if target.suffix == ".tar":
            return self.write_tar(target)
        if target.exists() and any(target.iterdir()):
            raise InvalidRequest("The folder of the backup is not empty.")
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.write_folder(target)

    def write_folder(self, target: Path) -> Manifest:
        copies = FolderBlobStore(target / BLOBS)

        def copy(blob: Blob) -> None:
            if not is_linked(self.store, blob, copies):
                with self.store.open(blob) as stream:
                    place(copies, blob, stream)

        with leases.held(self.database, blobs.BACKUP):
            stamp = snapshot.stamp(self.database)
            path = snapshot.take(self.database, target)
            manifest = self.copy_blobs(path.name, stamp, copy)
        for shard in (target / BLOBS).iterdir():
            sync_folder(shard)
        write_synced(target / MANIFEST, encode(asdict(manifest)))
        return manifest

    def write_tar(self, target: Path) -> Manifest:
        if target.exists():
            raise InvalidRequest("The file of the backup is there already.")
        unfinished = target.with_suffix(".tar.partial")
        with (
            leases.held(self.database, blobs.BACKUP),
            tempfile.TemporaryDirectory(dir=target.parent) as scratch,
            tarfile.open(unfinished, "w") as archive,
        ):
            stamp = snapshot.stamp(self.database)
            path = snapshot.take(self.database, Path(scratch))
            archive.add(path, path.name)
            manifest = self.copy_blobs(
                path.name, stamp, lambda blob: add(archive, self.store, blob)
            )
            write_synced(Path(scratch) / MANIFEST, encode(asdict(manifest)))
            archive.add(Path(scratch) / MANIFEST, MANIFEST)
        snapshot.sync(unfinished)
        unfinished.replace(target)
        sync_folder(target.parent)
        return manifest

    def copy_blobs(self, database: str, stamp: int, copy: Callable[[Blob], None]) -> Manifest:
        count, size, missing = 0, 0, []
        for blob in self.live():
            try:
                copy(blob)
            except (ResourceNotFound, DamagedBlob):
                missing.append(blob.sha256)
                continue
            count, size = count + 1, size + blob.size
        return Manifest(
            stamp=stamp, database=database, blobs=count, bytes=size, missing=tuple(missing)
        )

    def live(self) -> Iterator[Blob]:
        """All that is live now, a page at a time, so that no long read holds up the database."""
        after = 0
        while True:
            with self.database.read() as connection:
                page = blobs.live_rows(connection, after=after)
            if not page:
                return
            yield from (blob for _, blob in page)
            after = page[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    blobs: int
    bytes: int
    damaged: tuple[str, ...]  # hashes of blobs that the backup has, but not as they were
    erased_again: int  # resources that were erased after the backup


def restore(
    source: Path,
    database_url: str,
    store: BlobStore,
    *,
    tombstones: Mapping[str, int] | None = None,
) -> Restored:
    """Fill an empty database and store from a backup, whole or not at all useful before its end.

    `tombstones` are those of the database as it lives (digest and time, see
    storage.tombstones.everything): what was erased after the backup is erased again.
    Raise InvalidRequest for what is no whole backup, InvalidSetting where something is there.
    """
    if next(store.blobs(), None) is not None:
        raise InvalidSetting("The store of blobs is not empty: restore fills a new one.")
    with opened_backup(source) as backup:
        snapshot.put(backup.snapshot, database_url)
        migrations.upgrade(database_url)
        placed, damaged = place_all(store, backup.blobs)
    newer = {digest for digest, time in (tombstones or {}).items() if time > backup.manifest.stamp}
    return Restored(
        blobs=len(placed),
        bytes=sum(placed),
        damaged=tuple(damaged),
        erased_again=settle(database_url, store, newer),
    )


def place_all(store: BlobStore, found: "Found") -> tuple[list[int], list[str]]:
    """The sizes of the blobs that were placed, and the hashes of those that are damaged."""
    sizes, damaged = [], []
    for blob, opener in found:
        try:
            with opener() as stream:
                place(store, blob, stream)
            sizes.append(blob.size)
        except DamagedBlob:
            damaged.append(blob.sha256)
    return sizes, damaged


def settle(database_url: str, store: BlobStore, erased: Collection[str]) -> int:
    """Make the restored database one that serves; how many resources were erased again."""
    with closing(Database(database_url)) as database:
        database.write(leases.release_all)
        if not erased:
            return 0
        return Erase(database=database, store=store).again(erased).resources.total()


Found = Iterable[tuple[Blob, Callable[[], BinaryIO]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedBackup:
    manifest: Manifest
    snapshot: Path
    blobs: Found


@contextmanager
def opened_backup(source: Path) -> Iterator[OpenedBackup]:
    """The parts of a folder or tar file; no name in it is taken for a path."""
    if source.is_dir():
        manifest = manifest_of(
            (source / MANIFEST).open("rb") if (source / MANIFEST).exists() else None
        )
        yield OpenedBackup(
            manifest=manifest,
            snapshot=source / Path(manifest.database).name,
            blobs=((blob, partial(read_file, path)) for path, blob in placed_in(source / BLOBS)),
        )
    else:
        with tarfile.open(source) as archive, tempfile.TemporaryDirectory() as scratch:
            yield opened_tar(archive, Path(scratch))


def opened_tar(archive: tarfile.TarFile, scratch: Path) -> OpenedBackup:
    members = {member.name: member for member in archive if member.isfile()}
    manifest = manifest_of(archive.extractfile(members[MANIFEST]) if MANIFEST in members else None)
    path = scratch / Path(manifest.database).name
    with path.open("wb") as file, read_member(archive, members[manifest.database]) as stream:
        shutil.copyfileobj(stream, file, CHUNK)
    named_members = (
        (named(matched, member.size), partial(read_member, archive, member))
        for member in members.values()
        if (matched := PLACED.fullmatch(Path(member.name).name))
    )
    return OpenedBackup(manifest=manifest, snapshot=path, blobs=named_members)


def read_file(path: Path) -> BinaryIO:
    return path.open("rb")


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    return cast(BinaryIO, archive.extractfile(member))


def manifest_of(stream: IO[bytes] | None) -> Manifest:
    if stream is None:
        raise InvalidRequest("This is no backup, or one that was broken off: it has no manifest.")
    with stream:
        return decode_as(Manifest, stream.read())


def place(store: BlobStore, blob: Blob, stream: BinaryIO) -> None:
    """Copy the bytes to their place; raise DamagedBlob unless they are what the hash names."""
    try:
        with store.stage(iter(lambda: stream.read(CHUNK), b""), limit=blob.size) as staged:
            if staged.sha256 != blob.sha256:
                raise DamagedBlob(blob)
            staged.place(blob.generation)
    except UploadTooLarge as error:
        raise DamagedBlob(blob) from error


def is_linked(store: BlobStore, blob: Blob, copies: FolderBlobStore) -> bool:
    """Link instead of copying where both are on one file system: a blob never changes."""
    if not isinstance(store, FolderBlobStore):
        return False
    target = copies.path(blob)
    with store.local(blob) as path:
        if path.stat().st_size != blob.size:
            raise DamagedBlob(blob)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:  # another file system, or one without links
            return False
    return True


def add(archive: tarfile.TarFile, store: BlobStore, blob: Blob) -> None:
    member = tarfile.TarInfo(f"{BLOBS}/{blob.sha256[:2]}/{blob.sha256}.{blob.generation}")
    member.size, member.mode = blob.size, 0o600
    with store.open(blob) as stream:
        if stream.seek(0, os.SEEK_END) != blob.size:
            raise DamagedBlob(blob)
        stream.seek(0)
        archive.addfile(member, stream)


def write_synced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    snapshot.sync(path)
    sync_folder(path.parent)
