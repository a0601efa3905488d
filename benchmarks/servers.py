"""Our server and Orthanc, each on a free port with an empty folder of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instances import study_uid
from benchmarks.sender import Connection, Door

HOST = "127.0.0.1"
START_SECONDS = 180
ORTHANC_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    name: str
    port: int
    pid: int
    folder: Path
    stow: Door
    upload: Door

    def get(self, path: str) -> bytes:
        connection = Connection(HOST, self.port)
        try:
            return connection.get(path, f"{HOST}:{self.port}")
        finally:
            connection.close()

    def post(self, path: str, content_type: str, body: bytes) -> bytes:
        connection = Connection(HOST, self.port)
        try:
            return connection.post(path, f"{HOST}:{self.port}", content_type, body)
        finally:
            connection.close()

    def cpu_seconds(self) -> float:
        """Of the server's processes since their start, which says more than the clock where other
        work shares the machine."""
        return sum(cpu_seconds(pid) for pid in family(self.pid))

    def instances_in(self, studies: list[int]) -> int:
        """How many instances can be read now in those studies, in full."""
        if self.name == "orthanc":
            return int(json.loads(self.get("/statistics"))["CountInstances"])
        count = 0
        for study in studies:
            found = json.loads(self.get(f"/fhir/ImagingStudy/{study_uid(study)}"))
            listed = sum(len(series["instance"]) for series in found["series"])
            assert listed == found["numberOfInstances"], found["id"]
            count += listed
        return count


@contextmanager
def ours(root: Path, *, workers: int = 2, database_url: str = "", **more: str) -> Iterator[Server]:
    """`more` are further settings, by their names in the environment."""
    root.mkdir(exist_ok=True)
    folder, port = root / "ours", free_port()
    environment = os.environ | {
        "IMAGING_FHIR_DATA_DIR": str(folder),
        "IMAGING_FHIR_PORT": str(port),
        "IMAGING_FHIR_WORKERS": str(workers),
        "IMAGING_FHIR_DATABASE_URL": database_url,
        "IMAGING_FHIR_LOG_LEVEL": "WARNING",
        **more,
    }
    command = [str(Path(sys.executable).with_name("imaging-fhir")), "serve"]
    with running(command, environment, root / "ours.log", port) as pid:
        yield Server(
            name="ours",
            pid=pid,
            port=port,
            folder=folder,
            stow=door("STOW-RS", port, "/dicomweb/studies", multipart=True),
            upload=door("$import-image", port, "/fhir/$import-image", multipart=False),
        )


def has_orthanc() -> bool:
    return shutil.which("Orthanc") is not None and ORTHANC_PLUGIN.exists()


@contextmanager
def orthanc(
    root: Path, *, dicom_port: int = 0, peers: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """With its defaults: synced writes, SQLite index; no authentication, and DIMSE if asked.

    `peers` are DICOMweb servers that it knows, by name.
    """
    folder, port = root / "orthanc", free_port()
    folder.mkdir()
    configuration = {
        "Name": "benchmark",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "StorageCompression": False,
        "SyncStorageArea": True,
        "Plugins": [str(ORTHANC_PLUGIN)],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": bool(dicom_port),
        "DicomPort": dicom_port or 4242,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "Servers": {name: [address] for name, address in (peers or {}).items()},
        },
    }
    file = root / "orthanc.json"
    file.write_text(json.dumps(configuration))
    with running(["Orthanc", str(file)], dict(os.environ), root / "orthanc.log", port) as pid:
        yield Server(
            name="orthanc",
            pid=pid,
            port=port,
            folder=folder,
            stow=door("STOW-RS", port, "/dicom-web/studies", multipart=True),
            upload=door("POST /instances", port, "/instances", multipart=False),
        )


def door(name: str, port: int, path: str, *, multipart: bool) -> Door:
    return Door(name=name, host=HOST, port=port, path=path, is_multipart=multipart)


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path, port: int) -> Iterator[int]:
    """The process, from when it listens to its end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    latest = time.monotonic() + START_SECONDS
    while time.monotonic() < latest and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"The server did not start: {log.read_text()[-2000:]}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])
