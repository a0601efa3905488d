"""The installed command as processes of its own, and what they take together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("imaging-fhir"))
MEGABYTE = 1024**2
SECONDS_BETWEEN_SAMPLES = 0.3


def environment(data_dir: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The test's own environment without its settings, and these ones."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("IMAGING_FHIR_")}
    given = {f"IMAGING_FHIR_{name.upper()}": value for name, value in settings.items()}
    return {**inherited, "IMAGING_FHIR_DATA_DIR": str(data_dir), **given}


def tree(pid: int) -> list[int]:
    """A process and all that come from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                with suppress(OSError):  # a thread that has just ended
                    waiting += map(int, (task / "children").read_text().split())
    return found


def memory_of(pid: int) -> int:
    """Proportional set size in bytes: a page that processes share counts once among them."""
    return sum(map(proportional_set_size, tree(pid)))


def proportional_set_size(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass
class Memory:
    """The most that a command's processes together took while it was watched."""

    pid: int
    first: int = 0
    peak: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def sample(self) -> None:
        now = memory_of(self.pid)
        self.first = self.first or now
        self.peak = max(self.peak, now)

    def watch(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_SAMPLES):
            self.sample()

    @property
    def grown(self) -> int:
        return self.peak - self.first


@contextmanager
def watched_memory(pid: int) -> Iterator[Memory]:
    memory = Memory(pid)
    memory.sample()
    thread = threading.Thread(target=memory.watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.over.set()
        thread.join()


@dataclass(frozen=True)
class Run:
    exit_code: int
    stdout: bytes
    stderr: str
    peak_memory: int
    seconds: float


def run(
    *arguments: str | Path,
    data_dir: Path,
    timeout: float,
    settings: Mapping[str, str] | None = None,
) -> Run:
    """Run `imaging-fhir` to its end; a run that takes longer is killed and fails the test."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        env=environment(data_dir, settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        with watched_memory(process.pid) as memory:
            stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        raise
    return Run(
        exit_code=process.returncode,
        stdout=stdout,
        stderr=stderr.decode(),
        peak_memory=memory.peak,
        seconds=time.monotonic() - begun,
    )


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill -9 of a process and all that come from it, whether they lead sessions or not."""
    for pid in [*tree(process.pid), *group(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def group(leader: int) -> list[int]:
    """The processes of a group, those without a parent too."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if os.getpgid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found
