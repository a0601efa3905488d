"""Runs actors in threads, one step at a time, in an order that the test chooses.

A step reaches from one `gate()` to the next. Nothing is left to chance: the same choices give the
same run, and `every_order` tries them all.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Actor = Callable[[], object]


class Scheduler:
    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiting: set[str] = set()
        self.granted: str | None = None
        self.actors: dict[threading.Thread, str] = {}
        self.failures: list[BaseException] = []

    def gate(self) -> None:
        """Wait for one's turn; whoever is no actor passes."""
        name = self.actors.get(threading.current_thread())
        if name is not None:
            with self.condition:
                self.waiting.add(name)
                self.condition.notify_all()
                self.condition.wait_for(lambda: self.granted == name)
                self.waiting.discard(name)
                self.granted = None

    def run(self, actors: Mapping[str, Actor], choose: Callable[[int], int]) -> list[str]:
        """Run them all to their end; `choose` picks one of that many. The names as they ran."""
        threads = {self.thread(actor): name for name, actor in actors.items()}
        self.actors = threads
        for thread in threads:
            thread.start()
        order = []
        while ready := self.all_waiting():
            order.append(ready[choose(len(ready))])
            self.grant(order[-1])
        self.actors = {}
        if self.failures:
            raise self.failures[0]
        return order

    def thread(self, actor: Actor) -> threading.Thread:
        def run() -> None:
            try:
                self.gate()
                actor()
            except BaseException as error:  # shown by the test
                self.failures.append(error)
            finally:
                with self.condition:
                    del self.actors[threading.current_thread()]
                    self.condition.notify_all()

        return threading.Thread(target=run)

    def all_waiting(self) -> list[str]:
        """Who can go on, once everyone has come to a gate or to the end."""
        with self.condition:
            done = self.condition.wait_for(
                lambda: self.granted is None and self.waiting == set(self.actors.values()),
                timeout=60,
            )
            assert done, f"an actor hangs: {self.actors.values()} but {self.waiting}"
            return sorted(self.waiting)

    def grant(self, name: str) -> None:
        with self.condition:
            self.granted = name
            self.condition.notify_all()


def every_order(run: Callable[[Callable[[int], int]], object]) -> int:
    """Call `run` with every way of choosing, one after the other; how many there were."""
    prefix: list[int] = []
    for count in range(1, 100_000):
        options: list[int] = []
        choices: list[int] = []
        run(following(prefix, options, choices))
        while choices and choices[-1] + 1 == options[len(choices) - 1]:
            choices.pop()
        if not choices:
            return count
        prefix = [*choices[:-1], choices[-1] + 1]
    raise AssertionError("too many orders")


def following(prefix: list[int], options: list[int], choices: list[int]) -> Callable[[int], int]:
    """Choose as the prefix says, then always the first; note what could have been chosen."""

    def choose(count: int) -> int:
        options.append(count)
        choices.append(prefix[len(choices)] if len(choices) < len(prefix) else 0)
        return choices[-1]

    return choose


def some_orders(run: Callable[[Callable[[int], int]], object], *, count: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        run(chance.randrange)


class Gated:
    """Anything, with a gate before each of the named calls."""

    def __init__(self, inner: Any, scheduler: Scheduler, *names: str) -> None:
        self.inner = inner
        self.scheduler = scheduler
        self.names = names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in self.names:
            return found

        def call(*args: Any, **keywords: Any) -> Any:
            self.scheduler.gate()
            result = found(*args, **keywords)
            return iter(list(result)) if isinstance(result, Iterator) else result

        return call
