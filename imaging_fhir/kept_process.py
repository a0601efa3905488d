"""A process that runs beside this one, and is started again when it dies."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DIMSE = (sys.executable, "-m", "imaging_fhir.serve_dimse")
STOP_SECONDS = 30
PAUSE_SECONDS = 1.0  # before one that ended is started again
logger = logging.getLogger(__name__)


@contextmanager
def kept(command: tuple[str, ...]) -> Iterator[None]:
    """It runs for as long as the `with` takes."""
    process = KeptProcess(command)
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.stop()
        thread.join()


class KeptProcess:
    """A process that is started again when it ends, until it is to stop."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def run(self) -> None:
        while (process := self.started()) is not None:
            with process:
                code = process.wait()
            if not self.stopping.is_set():
                logger.error(
                    "a process ended (%d) and is started again: %s", code, self.command[-1]
                )
                self.stopping.wait(PAUSE_SECONDS)

    def started(self) -> "subprocess.Popen[bytes] | None":
        """Anew; None when it is to stop."""
        with self.lock:
            if self.stopping.is_set():
                return None
            # Its standard input ends when this process does.
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE)  # noqa: S603
            return self.process

    def stop(self) -> None:
        """Return when it has ended."""
        with self.lock:
            self.stopping.set()
            process = self.process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
