"""Rendered pictures of CT slices, asked for the first time and then again, beside Orthanc."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.ingest import STUDY_NUMBERS
from benchmarks.instances import study_uid, uid
from benchmarks.report import Measured, ratio
from benchmarks.sender import Connection, send_all
from benchmarks.servers import HOST, Server, has_orthanc, orthanc, ours

CLIENTS = 2
ROOTS = {"ours": "/dicomweb", "orthanc": "/dicom-web"}
AGAIN = 5  # times that each picture is asked for once more


def compared(root: Path, *, count: int, rounds: int) -> Iterator[Measured]:
    """Answers a second with as many clients as processors; in each round other images."""
    mine = measured(ours(root), count, rounds)
    yield from mine
    if not has_orthanc():
        return
    theirs = measured(orthanc(root), count, rounds)
    yield from theirs
    for one, other, target in zip(mine, theirs, ("at least 0.5", "at least 2"), strict=True):
        yield ratio(f"{one.name}, to Orthanc's", one, other, target)


def measured(start: AbstractContextManager[Server], count: int, rounds: int) -> Sequence[Measured]:
    cold: list[float] = []
    again: list[float] = []
    with start as server:
        for _ in range(rounds):
            paths = pictures(server, count)
            cold.append(rate(server, paths))
            again.append(rate(server, paths * AGAIN))
    return (
        Measured(name=f"{server.name}: rendered, cold", unit="answers/s", values=tuple(cold)),
        Measured(name=f"{server.name}: rendered, again", unit="answers/s", values=tuple(again)),
    )


def pictures(server: Server, count: int) -> list[str]:
    """Addresses of the pictures of a study that was sent just now."""
    study = next(STUDY_NUMBERS)
    send_all(server.stow, [(study, number) for number in range(count)], CLIENTS)
    base = f"{ROOTS[server.name]}/studies/{study_uid(study)}/series/{uid(2, study)}"
    return [f"{base}/instances/{uid(3, study, number)}/rendered" for number in range(count)]


def rate(server: Server, paths: Sequence[str]) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(read_all, [server.port] * CLIENTS, split(paths)))
    return len(paths) / (time.perf_counter() - started)


def split(paths: Sequence[str]) -> list[Sequence[str]]:
    return [paths[number::CLIENTS] for number in range(CLIENTS)]


def read_all(port: int, paths: Sequence[str]) -> None:
    connection = Connection(HOST, port)
    try:
        for path in paths:
            body = connection.get(path, f"{HOST}:{port}")
            assert body.startswith(b"\xff\xd8"), path
    finally:
        connection.close()
