"""What viewers and archives ask of DICOMweb, beside Orthanc, and what it costs in memory.

Both servers run at once and take turns, so that what else the machine does weighs on both.
"""

import http.client
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ingest import STUDY_NUMBERS
from benchmarks.instances import SAME_PATIENT, patient_id, study_uid, uid
from benchmarks.report import Measured, ratio
from benchmarks.sender import TIMEOUT_SECONDS, send_all
from benchmarks.servers import HOST, Server, family, has_orthanc, orthanc, ours

ROOTS = {"ours": "/dicomweb", "orthanc": "/dicom-web"}
JSON = {"Accept": "application/dicom+json"}
FRAME = {"Accept": 'multipart/related; type="application/octet-stream"'}
FILES = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
STUDIES = 20  # of a patient
PULLING = 8
PIECE = 256 * 1024
FIRST_BYTE = "first byte of the metadata of a large study"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, how often it is put in a round, and what is held against Orthanc."""

    name: str
    path: Callable[[int], str]  # of the n-th time
    headers: dict[str, str]
    times: int
    target: str


@dataclass(slots=True)
class Timed:
    taken: list[float] = field(default_factory=list)  # milliseconds
    processor: list[float] = field(default_factory=list)  # the same, of all its processes

    def measured(self, name: str) -> Measured:
        return Measured(name=name, unit="ms", values=tuple(self.taken))

    def of_processor(self, name: str) -> Measured:
        return Measured(name=f"{name}: processor", unit="ms", values=tuple(self.processor))


def results(
    root: Path, *, instances: int, large: int, patients: int, rounds: int
) -> Iterator[Measured]:
    with ExitStack() as stack:
        servers = [stack.enter_context(ours(root))]
        if has_orthanc():
            servers.append(stack.enter_context(orthanc(root)))
        yield from compared(servers, instances, patients, rounds)
        yield from first_byte(servers[0], large, rounds)
        yield memory(servers[0], large)


def compared(
    servers: Sequence[Server], instances: int, patients: int, rounds: int
) -> Iterator[Measured]:
    study, others = next(STUDY_NUMBERS), next(STUDY_NUMBERS)
    for server in servers:
        send_all(server.stow, [(study, number) for number in range(instances)], 4)
        priors = [(of_patient(others, n, k), 0) for n in range(patients) for k in range(STUDIES)]
        send_all(server.stow, priors, 4)
        http_get(server, questions(study, others, instances, patients)[0].path(0), JSON)
    for asked in questions(study, others, instances, patients):
        timed = {server.name: Timed() for server in servers}
        for _ in range(rounds):
            for server in servers:
                one, cpu = timed[server.name], server.cpu_seconds()
                one.taken.append(statistics.median(timed_rounds(server, asked)))
                one.processor.append((server.cpu_seconds() - cpu) / asked.times * 1000)
        found = [one.measured(f"{name}: {asked.name}") for name, one in timed.items()]
        yield from found
        yield from (one.of_processor(f"{name}: {asked.name}") for name, one in timed.items())
        if len(found) == 2:
            mine, theirs = found
            yield ratio(f"{asked.name}: Orthanc's time to ours", theirs, mine, asked.target)


def of_patient(first: int, patient: int, number: int) -> int:
    """A study's number, which tells its patient."""
    return first + patient + number * SAME_PATIENT


def questions(study: int, others: int, instances: int, patients: int) -> list[Asked]:
    series = f"/studies/{study_uid(study)}/series/{uid(2, study)}"
    return [
        Asked(
            name=f"metadata of {instances} instances",
            path=lambda n: f"/studies/{study_uid(study)}/metadata",
            headers=JSON,
            times=3,
            target="at least 10",
        ),
        Asked(
            name=f"studies by PatientID, one of {instances} instances",
            path=lambda n: f"/studies?PatientID={patient_id(study)}",
            headers=JSON,
            times=20,
            target="",
        ),
        Asked(
            name=f"studies by PatientID, {STUDIES} of one instance",
            path=lambda n: f"/studies?PatientID={patient_id(others + n % patients)}",
            headers=JSON,
            times=20,
            target="at least 10",
        ),
        Asked(
            name="a frame",
            path=lambda n: f"{series}/instances/{uid(3, study, n % instances)}/frames/1",
            headers=FRAME,
            times=50,
            target="at least 2",
        ),
    ]


def timed_rounds(server: Server, asked: Asked) -> list[float]:
    """Milliseconds of each, over one connection that is kept open."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT_SECONDS)
    taken = []
    try:
        for number in range(asked.times):
            started = time.perf_counter()
            answer(connection, ROOTS[server.name] + asked.path(number), asked.headers).read()
            taken.append((time.perf_counter() - started) * 1000)
    finally:
        connection.close()
    return taken


def answer(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        raise ValueError(f"{path} was answered {response.status}: {response.read(300)!r}")
    return response


def http_get(server: Server, path: str, headers: dict[str, str]) -> bytes:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT_SECONDS)
    try:
        return answer(connection, ROOTS[server.name] + path, headers).read()
    finally:
        connection.close()


def first_byte(server: Server, large: int, rounds: int) -> Iterator[Measured]:
    """Of a study that nobody has asked for, and again."""
    first, again = Timed(), Timed()
    for _ in range(rounds):
        study = next(STUDY_NUMBERS)
        send_all(server.stow, [(study, number) for number in range(large)], 4)
        path = f"{ROOTS[server.name]}/studies/{study_uid(study)}/metadata"
        for timed in (first, again):
            connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT_SECONDS)
            started = time.perf_counter()
            response = answer(connection, path, JSON)
            response.read(1)
            timed.taken.append((time.perf_counter() - started) * 1000)
            response.read()
            connection.close()
    yield Measured(
        name=f"{FIRST_BYTE} ({large})", unit="ms", values=tuple(first.taken), target="under 50"
    )
    yield again.measured(f"{FIRST_BYTE}, again")


def memory(server: Server, large: int) -> Measured:
    """How much more all processes take together (PSS) while clients pull whole studies."""
    study = next(STUDY_NUMBERS)
    send_all(server.stow, [(study, number) for number in range(large)], 4)
    idle = pss(server)
    path = f"{ROOTS[server.name]}/studies/{study_uid(study)}"
    with ThreadPoolExecutor(PULLING) as clients:
        pulling = [clients.submit(pull, server, path) for _ in range(PULLING)]
        highest = idle
        while not all(one.done() for one in pulling):
            highest = max(highest, pss(server))
            time.sleep(0.2)
        pulled = {one.result() for one in pulling}
    name = f"memory over idle, {PULLING} clients pull {max(pulled) / 1e9:.2f} GB each"
    return Measured(name=name, unit="MB", values=(highest - idle,), target="under 500")


def pull(server: Server, path: str) -> int:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=TIMEOUT_SECONDS)
    try:
        response = answer(connection, path, FILES)
        return sum(map(len, iter(lambda: response.read(PIECE), b"")))
    finally:
        connection.close()


def pss(server: Server) -> float:
    """Megabytes of all its processes, what they share counted once."""
    return sum(pss_of(pid) for pid in family(server.pid)) / 1e3


def pss_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
