"""The moment by which a look-up ends, across its retries and pages."""

import time
from collections.abc import Callable

from imaging_fhir.errors import EhrUnavailable


class Deadline:
    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.end = clock() + seconds

    def left(self) -> float:
        """Seconds until then; raise EhrUnavailable when there are none."""
        seconds = self.end - self.clock()
        if seconds <= 0:
            raise EhrUnavailable("The EHR did not answer within the time for a look-up.")
        return seconds

    def leaves(self, seconds: float) -> bool:
        return self.end - self.clock() > seconds
