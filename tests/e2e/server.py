"""The production server in its own processes, and the little that tests ask of it."""

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.processes import COMMAND, environment, kill, memory_of

START_SECONDS = 60
STOP_SECONDS = 40
DICOM, FHIR_JSON = "application/dicom", "application/fhir+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # by their names in small letters
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """`imaging-fhir serve` on a free port; `log` is what it wrote."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    variables: dict[str, str] = field(default_factory=dict)  # of the environment, beside settings
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        return f"{self.address}/fhir"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return (self.data_dir / "server.log").read_text()

    def memory(self) -> int:
        return memory_of(self.pid)

    def start(self) -> None:
        self.port = self.port or free_port()
        settings = {"min_free_bytes": str(64 * 1024**2), **self.settings, "port": str(self.port)}
        with (self.data_dir / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve"],
                env=environment(self.data_dir, settings) | self.variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        latest = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self.process is not None
            assert self.process.poll() is None, self.log
            assert time.monotonic() < latest, self.log
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        finally:
            kill(self.process)
            self.process = None

    def kill(self) -> None:
        """As if the machine had lost its power, but for what the system still writes."""
        assert self.process is not None
        kill(self.process)
        self.process = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request over a connection of its own; raise OSError where it breaks."""
        connection = self.connection()
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, headers=headers)

    def fhir(self, query: str) -> Any:
        """The JSON of a read or search under the FHIR base, or of a link that it gave."""
        path = query if query.startswith("http") else f"{self.base}/{query}"
        parts = urlsplit(path)
        answer = self.get(parts.path + (f"?{parts.query}" if parts.query else ""))
        assert answer.status == 200, (query, answer.body)
        return answer.json()

    def post_fhir(self, content: Any, path: str = "/fhir") -> Answer:
        headers = {"Content-Type": FHIR_JSON}
        return self.request("POST", path, json.dumps(content).encode(), headers)

    def import_image(self, content: bytes, path: str = "/fhir/$import-image") -> Answer:
        return self.request("POST", path, content, {"Content-Type": "application/octet-stream"})

    def import_files(self, *contents: bytes, **fields: str) -> list[int]:
        """A form with files and fields; the status of each file."""
        parts = [form_part(f'name="{name}"', text.encode()) for name, text in fields.items()]
        parts += [form_part('name="file"; filename="image"', content) for content in contents]
        headers = {"Content-Type": "multipart/form-data; boundary=cut"}
        body = b"".join(parts) + b"--cut--\r\n"
        return import_statuses(self.request("POST", "/fhir/$import-image", body, headers))

    def store(self, *instances: bytes) -> Answer:
        """STOW-RS (PS3.18 10.5)."""
        parts = b"".join(
            b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + instance + b"\r\n"
            for instance in instances
        )
        headers = {
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary=cut',
            "Accept": "application/dicom+json",
        }
        return self.request("POST", "/dicomweb/studies", parts + b"--cut--\r\n", headers)

    def retrieve(self, study: str, series: str, instance: str) -> Answer:
        path = f"/dicomweb/studies/{study}/series/{series}/instances/{instance}"
        return self.get(path, Accept=f"{DICOM}; transfer-syntax=*")


def form_part(disposition: str, content: bytes) -> bytes:
    head = f"--cut\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def import_statuses(answer: Answer) -> list[int]:
    """The status of each file of a `$import-image`, of one that was refused alone too."""
    content = answer.json()
    if content["resourceType"] == "OperationOutcome":
        return [answer.status]
    return [int(entry["response"]["status"][:3]) for entry in content["entry"]]
