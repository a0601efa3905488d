"""Threads of the same command that do what is due; any number of processes may run them."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Worker:
    """Calls `work` until there is none, then looks again every `pause` seconds.

    `work` says whether it found something to do.
    """

    def __init__(self, work: Callable[[], bool], *, pause: float = 1.0) -> None:
        self.work = work
        self.pause = pause
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="worker", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Return when the work in hand is done."""
        self.stopping.set()
        self.thread.join()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                busy = self.work()
            except Exception:
                # The row is still there and due again later; the thread must live for the rest.
                logger.exception("background work failed")
                busy = False
            if not busy:
                self.stopping.wait(self.pause)
