"""C-STORE to the production server: its own process, which dies, fills its disk and is sent to."""

import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.dicom_samples import INSTANCE, ct_instance
from tests.dimse import TITLE, connected, split
from tests.e2e.processes import MEGABYTE, tree, watched_memory
from tests.e2e.server import Server, free_port

CT = ("1.2.840.10008.5.1.4.1.1.2", ["1.2.840.10008.1.2.1"])
STUDY = "1.2.826.0.1.3680043.10.1561.1"
SITE = f'[[sources]]\nid = "ct"\nae_titles = ["{TITLE}"]\naddresses = ["127.0.0.1"]\n'
SECONDS = 60


@contextmanager
def serving(tmp_path: Path, **settings: str) -> Iterator[tuple[Server, int]]:
    """With the port of its DIMSE door."""
    site, port = tmp_path / "site.toml", free_port()
    site.write_text(SITE)
    known = {"site_file": str(site), "dimse_port": str(port), "dimse_timeout": "20"}
    server = Server(tmp_path, {**known, **settings})
    try:
        server.start()
        yield server, port
    finally:
        server.stop()


def file(number: int, rows: int = 64) -> bytes:
    return ct_instance(rows=rows, columns=rows, SOPInstanceUID=f"{INSTANCE}.{number}")


def send(port: int, numbers: range, acknowledged: list[int], over: threading.Event) -> None:
    """Until all are acknowledged, over a new association whenever one breaks."""
    waiting = list(numbers)
    while waiting and not over.is_set():
        with suppress(OSError), connected(port) as peer:
            assert peer.associate(CT).type == 2
            while waiting and peer.store(file(waiting[0])) == 0:
                acknowledged.append(waiting.pop(0))


def has(acknowledged: list[int], count: int) -> bool:
    return len(acknowledged) >= count


def door_of(server: Server) -> int:
    """The process that serves associations."""
    assert server.process is not None
    for pid in tree(server.process.pid):
        with suppress(OSError):
            if b"serve_dimse" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    raise AssertionError("there is none")


def test_what_was_acknowledged_is_there_when_the_process_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, port):
        acknowledged: list[int] = []
        over = threading.Event()
        senders = [
            threading.Thread(target=send, args=(port, range(part, part + 60), acknowledged, over))
            for part in (0, 100)
        ]
        for sender in senders:
            sender.start()
        for wanted in (20, 50):
            wait_for(partial(has, acknowledged, wanted))
            os.kill(door_of(server), signal.SIGKILL)
        for sender in senders:
            sender.join(SECONDS)
        over.set()
        assert len(acknowledged) == 120
        assert server.get("/readyz").json()["dimse"] == "ok"
        study = server.fhir(f"ImagingStudy/{STUDY}")
        stored = {one["uid"] for series in study["series"] for one in series["instance"]}
        assert stored == {f"{INSTANCE}.{number}" for number in acknowledged}


def wait_for(condition: Callable[[], bool]) -> None:
    latest = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.02)


def test_the_door_ends_with_the_server_however_that_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, port):
        door = door_of(server)
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{door}").exists() or is_zombie(door))
        with pytest.raises(OSError, match="refused"), connected(port):
            pass


def is_zombie(pid: int) -> bool:
    return ") Z" in Path(f"/proc/{pid}/stat").read_text()


def test_a_large_image_takes_the_memory_of_one_pdu(tmp_path: Path) -> None:
    small = file(1)
    head, data = split(small)
    pixels = bytes(MEGABYTE)
    start = data.rindex(b"\xe0\x7f\x10\x00")
    large = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", 256 * MEGABYTE)
    with serving(tmp_path) as (server, port), connected(port, max_pdu=131072) as peer:
        assert peer.associate(CT).type == 2
        assert peer.store(file(0)) == 0
        with watched_memory(door_of(server)) as memory:
            peer.begin_store(head.SOPClassUID, head.SOPInstanceUID)
            peer.fragment(1, 0, data[:start] + large)
            for _ in range(256 * 9):
                peer.fragment(1, 0, pixels[: MEGABYTE // 9])
            peer.fragment(1, 2, pixels[: 256 * (MEGABYTE % 9)])
            assert peer.status() == 0
        assert memory.grown < 48 * MEGABYTE
        assert server.fhir(f"ImagingStudy/{STUDY}")["numberOfInstances"] == 2


@contextmanager
def orthanc(folder: Path, port: int) -> Iterator[str]:
    """An archive that knows the door as a modality; its address."""
    web = free_port()
    configuration = {
        "Name": "sender",
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "HttpPort": web,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomAet": TITLE,
        "DicomModalities": {"ours": ["IMAGING_FHIR", "127.0.0.1", port]},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    process = subprocess.Popen(
        ["Orthanc", str(folder / "orthanc.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{web}/system"))
        yield f"http://127.0.0.1:{web}"
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=5).ok)
    except requests.ConnectionError:
        return False


def test_an_archive_forwards_its_studies(tmp_path: Path) -> None:
    if not shutil.which("Orthanc"):
        pytest.skip("Orthanc is not installed: `make test` installs it")
    with serving(tmp_path) as (server, port), orthanc(tmp_path, port) as sender:
        for number in range(5):
            kept = requests.post(f"{sender}/instances", data=file(number), timeout=SECONDS)
            assert kept.ok, kept.text
        (study,) = requests.get(f"{sender}/studies", timeout=SECONDS).json()
        for _ in range(2):
            told = requests.post(f"{sender}/modalities/ours/store", data=study, timeout=SECONDS)
            assert told.json()["FailedInstancesCount"] == 0
            assert told.json()["InstancesCount"] == 5
        assert server.fhir(f"ImagingStudy/{STUDY}")["numberOfInstances"] == 5
        echo = requests.post(f"{sender}/modalities/ours/echo", data="{}", timeout=SECONDS)
        assert echo.ok
