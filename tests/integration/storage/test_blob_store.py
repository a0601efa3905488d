"""What every home of blobs does."""

import errno
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from imaging_fhir.errors import ResourceNotFound, StorageFull, StorageUnavailable, UploadTooLarge
from imaging_fhir.model.blob import Blob
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.ports import BlobStore
from imaging_fhir.storage.s3 import S3BlobStore

CHUNKS = [b"one ", b"", b"two ", b"three"]
CONTENT = b"".join(CHUNKS)


@pytest.fixture(params=["folder", "bucket", "bucket with prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "folder":
        return FolderBlobStore(tmp_path / "blobs")
    name: str = request.getfixturevalue("bucket")
    address = name if request.param == "bucket" else f"{name}/images/of/ward"
    return S3BlobStore(address, tmp_path / "staging")


def put(store: BlobStore, content: bytes = CONTENT, generation: int = 0) -> Blob:
    with store.stage([content], limit=len(content)) as staged:
        return staged.place(generation)


def read(store: BlobStore, blob: Blob, start: int = 0) -> bytes:
    with store.open(blob, start=start) as stream:
        return stream.read()


def test_a_staged_content_is_hashed_and_can_be_read_before_it_is_placed(store: BlobStore) -> None:
    with store.stage(CHUNKS, limit=100) as staged:
        assert staged.sha256 == sha256(CONTENT).hexdigest()
        assert staged.size == len(CONTENT)
        assert staged.path().read_bytes() == CONTENT
        with staged.open() as stream:
            assert stream.seek(4) == 4
            assert stream.read() == CONTENT[4:]
        assert list(store.blobs()) == []


def test_a_placed_content_is_read_from_any_byte_on(store: BlobStore) -> None:
    blob = put(store)
    assert blob == Blob(sha256=sha256(CONTENT).hexdigest(), size=len(CONTENT), generation=0)
    assert read(store, blob) == CONTENT
    assert read(store, blob, start=8) == CONTENT[8:]
    with store.local(blob) as path:
        assert path.read_bytes() == CONTENT
    assert list(store.blobs()) == [blob]


def test_an_empty_content_is_a_content(store: BlobStore) -> None:
    assert read(store, put(store, b"")) == b""


def test_the_same_content_may_be_placed_twice(store: BlobStore) -> None:
    assert put(store) == put(store)
    assert len(list(store.blobs())) == 1


def test_a_content_can_be_placed_again_under_the_next_generation(store: BlobStore) -> None:
    with store.stage(CHUNKS, limit=100) as staged:
        first = staged.place(0)
        store.remove(first)
        second = staged.place(1)
    assert list(store.blobs()) == [second]
    assert read(store, second) == CONTENT


def test_a_content_cut_short_by_the_disk_is_mended_by_its_next_upload(store: BlobStore) -> None:
    blob = put(store)
    with store.local(blob) as path:
        os.truncate(path, 3)
    put(store)
    assert read(store, blob) == CONTENT


def test_removed_bytes_are_not_found_and_may_be_removed_again(store: BlobStore) -> None:
    blob = put(store)
    store.remove(blob)
    store.remove(blob)
    with pytest.raises(ResourceNotFound):
        store.open(blob)
    with pytest.raises(ResourceNotFound), store.local(blob):
        pass


def test_a_removed_content_can_still_be_read_by_who_opened_it_before(store: BlobStore) -> None:
    blob = put(store)
    with store.open(blob) as stream:
        store.remove(blob)
        assert stream.read() == CONTENT


def test_an_upload_beyond_the_limit_is_too_large_and_leaves_nothing(
    store: BlobStore, tmp_path: Path
) -> None:
    with pytest.raises(UploadTooLarge), store.stage(CHUNKS, limit=len(CONTENT) - 1):
        pass
    assert files(tmp_path) == []


def test_a_sender_that_breaks_off_is_reported_as_it_is_and_leaves_nothing(
    store: BlobStore, tmp_path: Path
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError(errno.ECONNRESET, "reset")

    with pytest.raises(ConnectionResetError), store.stage(broken(), limit=100):
        pass
    assert files(tmp_path) == []


def test_what_was_not_placed_is_gone_after_the_block(store: BlobStore, tmp_path: Path) -> None:
    with store.stage(CHUNKS, limit=100):
        assert len(files(tmp_path)) == 1
    assert files(tmp_path) == []


def test_nothing_is_taken_in_when_the_disk_is_nearly_full(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path, min_free_bytes=1 << 60)

    def untouched() -> Iterator[bytes]:
        raise AssertionError("the stream was read")
        yield b""

    with pytest.raises(StorageFull), store.stage(untouched(), limit=100):
        pass
    assert files(tmp_path) == []


def test_the_free_space_is_looked_at_again_during_a_long_upload(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)

    def long() -> Iterator[bytes]:
        yield bytes(1 << 20)
        store.min_free_bytes = 1 << 60
        for _ in range(70):
            yield bytes(1 << 20)

    with pytest.raises(StorageFull), store.stage(long(), limit=1 << 30):
        pass
    assert files(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount = tmp_path / "small"
    mount.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m tmpfs {mount} 2>/dev/null"):  # noqa: S605
        pytest.skip("only root may mount a small disk")
    yield mount
    os.system(f"umount {mount}")  # noqa: S605


def test_a_full_disk_is_storage_full_and_leaves_nothing(small_disk: Path) -> None:
    store = FolderBlobStore(small_disk)
    with pytest.raises(StorageFull), store.stage([bytes(1 << 19)] * 4, limit=1 << 30):
        pass
    assert files(small_disk) == []
    assert read(store, put(store, b"a small one still fits")) == b"a small one still fits"


def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(StorageUnavailable):
        FolderBlobStore(tmp_path / "blobs")


def test_staged_bytes_of_a_dead_process_are_leftovers_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    store = FolderBlobStore(tmp_path)
    child = os.fork()
    if child == 0:
        with store.stage([b"never placed"], limit=100):
            os._exit(0)  # as a crash does
    os.waitpid(child, 0)
    with store.stage([b"still arriving"], limit=100) as staged:
        (abandoned,) = store.leftovers(older_than_seconds=-1)
        assert list(store.leftovers(older_than_seconds=60)) == []
        store.remove_leftover(abandoned)
        assert files(tmp_path) == [staged.path()]


def test_strangers_in_the_folder_are_no_blobs(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    blob = put(store)
    (store.path(blob).parent / "README").write_text("not ours")
    assert list(store.blobs()) == [blob]


def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path / "blobs")
    path = store.path(put(store))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
