"""What a bucket does beside what every home of blobs does."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import BinaryIO

import obstore
import pytest

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.model.blob import Blob
from imaging_fhir.storage import s3
from imaging_fhir.storage.s3 import S3BlobStore

MEGABYTE = 1024**2
LARGE = Random(5).randbytes(20 * MEGABYTE + 17)


@pytest.fixture
def store(bucket: str, tmp_path: Path) -> S3BlobStore:
    return S3BlobStore(f"{bucket}/images", tmp_path / "staging")


def put(store: S3BlobStore, content: bytes) -> Blob:
    with store.stage([content], limit=len(content)) as staged:
        return staged.place(0)


def test_what_is_large_goes_in_parts_and_is_read_by_ranges(store: S3BlobStore) -> None:
    blob = put(store, LARGE)
    assert obstore.head(store.bucket, store.key(blob))["e_tag"].count("-") == 1  # type: ignore[union-attr]
    assert put(store, LARGE) == blob
    with store.open(blob) as stream:
        assert reads(stream) == [LARGE[at : at + 70_000] for at in PLACES]
        stream.seek(0)
        assert stream.read() == LARGE
    with store.local(blob) as path:
        assert path.read_bytes() == LARGE
    assert not path.exists()


PLACES = (15 * MEGABYTE, 3, MEGABYTE - 5, len(LARGE) - 10, 0)


def reads(stream: BinaryIO) -> list[bytes]:
    found = []
    for place in PLACES:
        stream.seek(place)
        found.append(stream.read(70_000))
    return found


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_an_object_of_another_size_is_mended_by_the_next_upload(
    store: S3BlobStore, content: bytes
) -> None:
    blob = put(store, content)
    obstore.put(store.bucket, store.key(blob), b"cut")
    with store.open(blob) as stream:
        assert stream.seek(0, os.SEEK_END) == 3
    put(store, content)
    with store.open(blob) as stream:
        assert stream.read() == content


def test_what_is_there_is_not_written_again(store: S3BlobStore) -> None:
    blob = put(store, b"content")
    obstore.put(store.bucket, store.key(blob), b"CONTENT")  # of the same size
    put(store, b"content")
    with store.open(blob) as stream:
        assert stream.read() == b"CONTENT"


def test_strangers_in_the_bucket_are_no_blobs(store: S3BlobStore) -> None:
    blob = put(store, b"content")
    for key in ("README", "images/README", f"images/zz/{blob.sha256}.0", f"{blob.sha256}.0"):
        obstore.put(store.bucket, key, b"not ours")
    assert list(store.blobs()) == [blob]


def test_many_objects_are_listed_page_by_page(store: S3BlobStore) -> None:
    key = f"images/00/{'0' * 64}"
    for number in range(1100):
        obstore.put(store.bucket, f"{key}.{number}", b"")
    assert len(list(store.blobs())) == 1100


def test_a_bucket_that_is_not_there_is_unavailable(store: S3BlobStore, tmp_path: Path) -> None:
    store.require_space()
    store.probe()
    other = S3BlobStore("no-such-bucket-here", tmp_path / "other")
    for action in (other.require_space, other.probe, lambda: put(other, b"content")):
        with pytest.raises(StorageUnavailable):
            action()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that takes connections and says nothing; how many it had."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield 0


@pytest.mark.usefixtures("silent")
def test_a_server_that_does_not_answer_is_unavailable_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{variable}", "test")
    monkeypatch.setattr(s3, "SECONDS", 1)
    monkeypatch.setattr(s3, "TRIES", 1)
    store = S3BlobStore("bucket", tmp_path / "staging")
    ended = threading.Event()
    threading.Thread(target=ask, args=(store, ended)).start()
    assert ended.wait(60)


def ask(store: S3BlobStore, ended: threading.Event) -> None:
    with pytest.raises(StorageUnavailable):
        store.open(Blob(sha256="0" * 64, size=5))
    ended.set()
