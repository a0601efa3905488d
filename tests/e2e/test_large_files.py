"""An image of 1 GB and a Binary of 2 GB go through the server, and not through its memory."""

import hashlib
import http.client
import struct
import time
from collections.abc import Iterator
from typing import Any

from tests.dicom_samples import ct_instance
from tests.e2e.processes import MEGABYTE, watched_memory
from tests.e2e.server import Server, import_statuses

GIGABYTE = 1024**3
ALLOWED_GROWTH = 200 * MEGABYTE
BLOCK = bytes(range(256)) * 4096  # 1 MB
PICTURE_SECONDS = 6  # until the background has looked at a new series


def large_instance() -> tuple[bytes, int]:
    """The beginning of a CT of two frames of 16,384 x 16,384, and the length of its pixel data."""
    rows = columns = 16 * 1024
    head = ct_instance(Rows=rows, Columns=columns, NumberOfFrames="2", PixelData=None)
    length = 2 * 2 * rows * columns
    return head + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length), length


def blocks(head: bytes, length: int) -> Iterator[bytes]:
    yield head
    for _ in range(length // len(BLOCK)):
        yield BLOCK


def upload(server: Server, path: str, body: Iterator[bytes], size: int) -> Any:
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    return server.request("POST", path, body, headers)


def test_an_image_of_a_gigabyte_is_taken_in_and_given_back(server: Server) -> None:
    head, length = large_instance()
    assert length == GIGABYTE
    with watched_memory(server.pid) as memory:
        size = len(head) + length
        answer = upload(server, "/fhir/$import-image", blocks(head, length), size)
        assert import_statuses(answer) == [201]
        time.sleep(PICTURE_SECONDS)
        study = server.fhir("ImagingStudy")["entry"][0]["resource"]
        series = study["series"][0]
        path = (
            f"/dicomweb/studies/{study['id']}/series/{series['uid']}"
            f"/instances/{series['instance'][0]['uid']}"
        )
        assert digest(server, path, {"Accept": "application/dicom; transfer-syntax=*"}) == (
            digest_of(blocks(head, length))
        )
    assert memory.grown < ALLOWED_GROWTH, f"{memory.grown / MEGABYTE:.0f} MB"


def test_a_binary_of_two_gigabytes_is_taken_in_and_given_back(server: Server) -> None:
    length = 2 * GIGABYTE
    with watched_memory(server.pid) as memory:
        answer = upload(server, "/fhir/Binary", blocks(b"", length), length)
        assert answer.status == 201, answer.body
        path = answer.headers["location"].removeprefix(server.address).split("/_history")[0]
        accept = {"Accept": "application/octet-stream"}
        assert digest(server, path, accept) == digest_of(blocks(b"", length))
    assert memory.grown < ALLOWED_GROWTH, f"{memory.grown / MEGABYTE:.0f} MB"


def digest(server: Server, path: str, headers: dict[str, str]) -> str:
    connection: http.client.HTTPConnection = server.connection()
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return digest_of(iter(lambda: answer.read(len(BLOCK)), b""))
    finally:
        connection.close()


def digest_of(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()
