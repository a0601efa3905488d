"""A circuit breaker: after some failures in a row the EHR is left alone for a while.

Afterwards one request tries it, while the others are still refused at once. (pybreaker runs
every call under one lock: a trial that hangs would hold up all.)
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imaging_fhir.errors import EhrUnavailable


class Breaker:
    def __init__(
        self,
        *,
        failures: int = 4,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = failures
        self.seconds = seconds
        self.clock = clock
        self.lock = threading.Lock()
        self.failed = 0
        self.refused_until = 0.0

    @property
    def is_open(self) -> bool:
        """Would a request be refused now?"""
        with self.lock:
            return self.failed >= self.failures and self.clock() < self.refused_until

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around a request; raise EhrUnavailable at once where it is not to be made."""
        self.admit()
        try:
            yield
        except EhrUnavailable:
            self.note_failure()
            raise
        self.note_success()

    def admit(self) -> None:
        with self.lock:
            if self.failed < self.failures:
                return
            if self.clock() < self.refused_until:
                raise EhrUnavailable("The EHR failed just now; it is left alone for a while.")
            self.refused_until = self.clock() + self.seconds  # for all but this one, the trial

    def note_failure(self) -> None:
        with self.lock:
            self.failed += 1
            if self.failed >= self.failures:
                self.refused_until = self.clock() + self.seconds

    def note_success(self) -> None:
        with self.lock:
            self.failed = 0
