"""Steps of a request that is answered later: none is done twice, however often it is begun.

What a step writes, and what that is answered, are one commit. Who begins the request again, after
a crash, takes the answer and goes on with the next step; who is too late, because another worker
or the client's own DELETE was faster, finds that out in the commit, which is rolled back.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.storage import async_requests
from imaging_fhir.storage.database import ALONG, Connection, Transaction

T = TypeVar("T")
Answer = Callable[[T, Connection | None], Any]  # of what a step results in, within its transaction


@dataclass(slots=True)
class Steps:
    """Of one request: its key, and what was committed of it before, by number."""

    request: int
    known: Mapping[int, bytes]
    is_over: bool = False  # for this worker: what it answers from now on is not the answer

    def note(self, transaction: Transaction, number: int, answer: Any) -> None:
        """Raise StorageUnavailable where the step is not to be done any more."""
        if not async_requests.is_open(transaction.connection, self.request, number):
            self.is_over = True
            raise StorageUnavailable("The request was given up, or another process was faster.")
        async_requests.add_step(transaction, self.request, number, encode(answer))


STEPS: ContextVar[Steps | None] = ContextVar("steps", default=None)  # of the request at hand


def step(number: int, work: Callable[[], T], answer: Answer[T]) -> Any:
    """The JSON that the work is answered with; of what is answered at once, nothing is noted.

    The work makes one write, whose result it returns.
    """
    steps = STEPS.get()
    if steps is None:
        return answer(work(), None)
    if number in steps.known:
        return decode(steps.known[number])

    def along(transaction: Transaction, result: T) -> None:
        steps.note(transaction, number, answer(result, transaction.connection))

    with committed(along):
        result = work()
    return answer(result, None)


@contextmanager
def committed(along: Callable[[Transaction, Any], None]) -> Iterator[None]:
    token = ALONG.set(along)
    try:
        yield
    finally:
        ALONG.reset(token)


@contextmanager
def in_steps(steps: Steps) -> Iterator[None]:
    token = STEPS.set(steps)
    try:
        yield
    finally:
        STEPS.reset(token)
