"""Instances of 512 kB taken in: over HTTP by one and four clients, from a folder, and by Orthanc.

The clock stops when every instance can be read in its ImagingStudy. Who shares the run takes
turns, so that what else the machine does weighs on all alike.
"""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.instances import Template
from benchmarks.report import Measured, ratio
from benchmarks.sender import Door, numbered, send_all, studies_of
from benchmarks.servers import Server, has_orthanc, orthanc, ours

STUDY_NUMBERS = itertools.count(1, 10_000)  # the first study of each run: no instance twice


@dataclass(slots=True)
class Timed:
    """Rates and processor time of one door."""

    name: str
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def whole(self) -> Measured:
        """The rate over all runs, where each had as many instances."""
        rate = len(self.rates) / sum(1 / one for one in self.rates)
        return Measured(name=f"{self.name}: in all", unit="instances/s", values=(rate,))

    def results(self) -> list[Measured]:
        return [
            Measured(name=self.name, unit="instances/s", values=tuple(self.rates)),
            Measured(name=f"{self.name}: processor", unit="ms/instance", values=tuple(self.cpu)),
        ]


@dataclass(slots=True)
class Counted:
    """A server, and how many instances it was sent."""

    server: Server
    sent: int = 0

    def run(self, door: Door, count: int, clients: int, per_study: int, timed: Timed) -> None:
        instances = numbered(next(STUDY_NUMBERS), count, per_study)
        cpu = self.server.cpu_seconds()
        sending = send_all(door, instances, clients)
        sent = time.perf_counter()
        self.sent += count
        found = self.server.instances_in(list(studies_of(instances)))
        assert found == (self.sent if self.server.name == "orthanc" else count), found
        seconds = sending + time.perf_counter() - sent
        timed.rates.append(count / seconds)
        timed.cpu.append((self.server.cpu_seconds() - cpu) / count * 1000)


def compared(root: Path, *, count: int, burst: int, rounds: int) -> Iterator[Measured]:
    """Every door of ours, and Orthanc's where it is installed, in turns."""
    with ExitStack() as stack:
        servers = [Counted(stack.enter_context(ours(root)))]
        if has_orthanc():
            servers.append(Counted(stack.enter_context(orthanc(root))))
        timed: dict[str, Timed] = {}
        for counted in servers:
            counted.run(counted.server.stow, min(40, count), 4, 500, Timed("warming up"))
        for _ in range(rounds):
            for counted, kind, clients in itertools.product(servers, ("stow", "upload"), (4, 1)):
                door: Door = getattr(counted.server, kind)
                label = f"{counted.server.name}: {door.name}, clients: {clients}"
                size = burst if kind == "upload" or clients == 1 else count
                one = timed.setdefault(label, Timed(label))
                counted.run(door, size, clients, 500, one)
    for one in timed.values():
        yield from one.results()
    if has_orthanc():
        yield against_orthanc(timed, "STOW-RS", "STOW-RS")
        yield against_orthanc(timed, "$import-image", "POST /instances")


def against_orthanc(timed: dict[str, Timed], mine: str, theirs: str) -> Measured:
    one = timed[f"ours: {mine}, clients: 4"].results()[0]
    other = timed[f"orthanc: {theirs}, clients: 4"].results()[0]
    return ratio(f"ours / orthanc: {mine}", one, other, "at least 1")


def sustained(root: Path, *, count: int, in_turn: int = 1_000) -> Iterator[Measured]:
    """A long run by four clients over STOW-RS, of ours and of Orthanc, so many in turn."""
    with ExitStack() as stack:
        servers = [Counted(stack.enter_context(ours(root)))]
        if has_orthanc():
            servers.append(Counted(stack.enter_context(orthanc(root))))
        timed = [
            Timed(f"{one.server.name}: {count} instances sustained, 4 clients") for one in servers
        ]
        for sent in range(0, count, in_turn):
            for counted, one in zip(servers, timed, strict=True):
                counted.run(counted.server.stow, min(in_turn, count - sent), 4, 500, one)
    for one in timed:
        yield from one.results()
        yield one.whole()
    if has_orthanc():
        yield ratio("ours / orthanc: sustained", timed[0].whole(), timed[1].whole(), "at least 1")


def growth(root: Path, *, sizes: tuple[int, ...], rounds: int) -> Iterator[Measured]:
    """What an instance costs in a study that grows: the last ones before each size."""
    with ours(root) as server:
        sent, taken = 0, []
        study = next(STUDY_NUMBERS)
        for size in sizes:
            rest = [(study, number) for number in range(sent, size)]
            last = min(len(rest), rounds * 20)
            send_all(server.stow, rest[:-last], 4)
            cpu = server.cpu_seconds()
            send_all(server.stow, rest[-last:], 4)
            each = (server.cpu_seconds() - cpu) / last * 1000
            taken.append(Measured(name=f"in a study of {size}", unit="ms/instance", values=(each,)))
            sent = size
        assert server.instances_in([study]) == sizes[-1]
    yield from taken
    yield ratio(f"study of {sizes[-1]} / {sizes[0]}", taken[-1], taken[0], "at most 1.3")


def from_folder(root: Path, *, count: int) -> Iterator[Measured]:
    """`imaging-fhir ingest FOLDER`, its start included."""
    folder = root / "files"
    folder.mkdir()
    template = Template()
    for study, number in numbered(next(STUDY_NUMBERS), count, 500):
        (folder / f"{study}-{number}.dcm").write_bytes(template.set(study, number))
    command = [str(Path(sys.executable).with_name("imaging-fhir")), "ingest", str(folder)]
    environment = os.environ | {
        "IMAGING_FHIR_DATA_DIR": str(root / "cli"),
        "IMAGING_FHIR_LOG_LEVEL": "WARNING",
    }
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    rate = count / (time.perf_counter() - started)
    yield Measured(name="ours: imaging-fhir ingest", unit="instances/s", values=(rate,))
