"""Instances of 512 kB by C-STORE: DCMTK's storescu, one and four of them at once, in turns with
Orthanc where it is installed.

The clock runs until every instance was acknowledged, and each can then be read.
"""

import itertools
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ingest import STUDY_NUMBERS, Timed
from benchmarks.instances import Template
from benchmarks.report import Measured, ratio
from benchmarks.sender import numbered, studies_of
from benchmarks.servers import HOST, Server, free_port, has_orthanc, orthanc, ours

TITLE = "BENCHMARK"
SITE = f'[[sources]]\nid = "benchmark"\nae_titles = ["{TITLE}"]\naddresses = ["{HOST}"]\n'
PER_STUDY = 500
TARGETS = {1: "at least 1", 4: "at least 2"}


def has_storescu() -> bool:
    return shutil.which("storescu") is not None


@dataclass(slots=True)
class Receiver:
    """A server, the port of its SCP, and how many instances it was sent."""

    server: Server
    port: int
    sent: int = 0

    def run(self, folder: Path, count: int, associations: int, timed: Timed) -> None:
        instances = numbered(next(STUDY_NUMBERS), count, PER_STUDY)
        folders = written(folder, instances, associations)
        cpu, began = self.server.cpu_seconds(), time.perf_counter()
        senders = [subprocess.Popen(self.command(one)) for one in folders]
        assert all(sender.wait() == 0 for sender in senders)
        seconds = time.perf_counter() - began
        self.sent += count
        found = self.server.instances_in(list(studies_of(instances)))
        assert found == (self.sent if self.server.name == "orthanc" else count), found
        timed.rates.append(count / seconds)
        timed.cpu.append((self.server.cpu_seconds() - cpu) / count * 1000)
        shutil.rmtree(folder)

    def command(self, folder: Path) -> list[str]:
        """Only what each file is: no conversion, one presentation context."""
        return ["storescu", "+sd", "-aet", TITLE, "-aec", TITLE, HOST, str(self.port), str(folder)]


def written(folder: Path, instances: list[tuple[int, int]], parts: int) -> list[Path]:
    """The instances as files, dealt out to as many folders."""
    template = Template()
    folders = [folder / str(part) for part in range(parts)]
    for one in folders:
        one.mkdir(parents=True)
    for place, (study, number) in enumerate(instances):
        (folders[place % parts] / f"{study}-{number}.dcm").write_bytes(template.set(study, number))
    return folders


def compared(root: Path, *, count: int, rounds: int) -> Iterator[Measured]:
    if not has_storescu():
        return
    with ExitStack() as stack:
        receivers = list(started(stack, root))
        timed: dict[tuple[str, int], Timed] = {}
        for receiver in receivers:
            receiver.run(root / "sent", min(20, count), 1, Timed("warming up"))
        for _ in range(rounds):
            for receiver, associations in itertools.product(receivers, TARGETS):
                name = receiver.server.name
                one = timed.setdefault(
                    (name, associations),
                    Timed(f"{name}: C-STORE, associations: {associations}"),
                )
                receiver.run(root / "sent", count, associations, one)
    for one in timed.values():
        yield from one.results()
    if has_orthanc():
        for associations, target in TARGETS.items():
            mine, theirs = (timed[name, associations].results()[0] for name in ("ours", "orthanc"))
            yield ratio(f"ours / orthanc: C-STORE, {associations}", mine, theirs, target)


def started(stack: ExitStack, root: Path) -> Iterator[Receiver]:
    site, port = root / "site.toml", free_port()
    site.write_text(SITE)
    settings: dict[str, Any] = {
        "IMAGING_FHIR_SITE_FILE": str(site),
        "IMAGING_FHIR_DIMSE_PORT": str(port),
        "IMAGING_FHIR_DIMSE_AE_TITLE": TITLE,
    }
    server = stack.enter_context(ours(root, **settings))
    while b'"dimse":"ok"' not in readiness(server):
        time.sleep(0.1)
    yield Receiver(server, port)
    if has_orthanc():
        port = free_port()
        yield Receiver(stack.enter_context(orthanc(root, dicom_port=port)), port)


def readiness(server: Server) -> bytes:
    try:
        return server.get("/readyz")
    except (ValueError, OSError):
        return b""
