"""Images that tests send, and the account of what a server said of them."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from tests.dicom_samples import ROOT, ct_instance
from tests.e2e.server import Server

UPLOADERS = 4


@dataclass(frozen=True)
class Sent:
    """An instance as it was sent."""

    study: str
    series: str
    instance: str
    number: int
    content: bytes


def study_of(root: str, *, series: int, instances: int) -> list[Sent]:
    """A study of so many series, of so many instances each, in their order."""
    return [
        instance_of(root, of_series, number)
        for of_series in range(1, series + 1)
        for number in range(1, instances + 1)
    ]


@cache
def instance_of(root: str, of_series: int, number: int) -> Sent:
    study = f"{ROOT}.{root}"
    series, instance = f"{study}.{of_series}", f"{study}.{of_series}.{number}"
    content = ct_instance(
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=instance,
        SeriesNumber=of_series,
        InstanceNumber=number,
    )
    return Sent(study, series, instance, number, content)


@dataclass
class Account:
    """What was acknowledged so far; any thread may add to it."""

    acknowledged: dict[str, Sent] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, instances: Sequence[Sent]) -> None:
        with self.lock:
            self.acknowledged.update((sent.instance, sent) for sent in instances)

    def uids(self) -> set[str]:
        with self.lock:
            return set(self.acknowledged)


def batches(instances: Sequence[Sent], chance: random.Random) -> Iterator[list[Sent]]:
    rest = list(instances)
    while rest:
        size = chance.choice((1, 1, 2, 5, 9))
        yield rest[:size]
        del rest[:size]


def shares(instances: Sequence[Sent], chance: random.Random) -> list[list[Sent]]:
    """The instances in random order, dealt out to the uploaders."""
    shuffled = chance.sample(instances, len(instances))
    return [shuffled[first::UPLOADERS] for first in range(UPLOADERS)]


def at_once(work: Callable[[list[Sent], random.Random], None], dealt: list[list[Sent]]) -> None:
    """Each share in a thread with seeded chance of its own; raise what any of them raised."""
    with ThreadPoolExecutor(len(dealt)) as pool:
        running = [
            pool.submit(work, share, random.Random(number)) for number, share in enumerate(dealt)
        ]
        for one in running:
            one.result()


def send(server: Server, batch: list[Sent], chance: random.Random) -> None:
    """By any of the doors; raise AssertionError unless all of it is acknowledged."""
    contents = [sent.content for sent in batch]
    if chance.random() < 0.5:
        answer = server.store(*contents)
        assert answer.status == 200, answer.body
        stored = {one["00081155"]["Value"][0] for one in answer.json()["00081199"]["Value"]}
        assert stored == {sent.instance for sent in batch}
    else:
        statuses = server.import_files(*contents)
        assert set(statuses) <= {200, 201}, statuses
        assert len(statuses) == len(batch)
