"""FHIR read, search by patient, and a study of many instances, over HTTP."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ingest import STUDY_NUMBERS
from benchmarks.instances import study_uid
from benchmarks.report import Measured
from benchmarks.sender import TIMEOUT_SECONDS, Connection, send_all
from benchmarks.servers import HOST, ours


def reads(root: Path, *, instances: int, seconds: float, rounds: int) -> Iterator[Measured]:
    study = next(STUDY_NUMBERS)
    with ours(root) as server:
        send_all(server.stow, [(study, number) for number in range(instances)], 4)
        address = f"/fhir/ImagingStudy/{study_uid(study)}"
        patient = subject_of(server.get(address))
        for name, path, target in (
            ("read of a Patient", f"/fhir/{patient}", "at least 5000"),
            (f"read of a study of {instances}", address, ""),
            ("search by patient", f"/fhir/ImagingStudy?patient={patient}&_elements=status", ""),
        ):
            found = tuple(rate(server.port, path, seconds) for _ in range(rounds))
            yield Measured(name=name, unit="answers/s", values=found, target=target)


def subject_of(body: bytes) -> str:
    start = body.index(b'"Patient/') + 1
    return body[start : body.index(b'"', start)].decode()


def rate(port: int, path: str, seconds: float, clients: int = 4, header: str = "") -> float:
    """Answers a second, to some clients that ask again and again."""
    context = multiprocessing.get_context("fork")
    ready, counts = context.Barrier(clients), context.SimpleQueue()
    processes = [
        context.Process(target=reader, args=(port, path, seconds, ready, counts, header))
        for _ in range(clients)
    ]
    for process in processes:
        process.start()
    total = sum(counts.get() for _ in processes)
    for process in processes:
        process.join()
    return float(total)


def reader(port: int, path: str, seconds: float, ready, counts, header: str) -> None:  # type: ignore[no-untyped-def]
    connection = Connection(HOST, port)
    head = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nAccept: */*\r\n{header}\r\n"
    request = head.encode()
    connection.send(request)
    connection.receive()
    ready.wait(TIMEOUT_SECONDS)
    answered, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.send(request)
        status, _ = connection.receive()
        assert status == 200, status
        answered += 1
    counts.put(answered / (time.perf_counter() - started))
