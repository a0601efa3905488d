"""Answers that are kept for a while: in this process, or in Redis for all of them.

A cache is never the truth. Where it is down, slow or empty, the answer is found anew.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import redis
from redis.exceptions import RedisError

SOCKET_SECONDS = 0.1  # a slower Redis counts as down
RETRY_SECONDS = 1.0  # so long it is left alone then
MOST_ENTRIES = 20_000
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end return 1"
logger = logging.getLogger(__name__)


class Cache(Protocol):
    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is kept under each key."""
        ...

    def put(self, key: str, value: bytes, seconds: float) -> None: ...

    def lock(self, key: str, seconds: float) -> str | None:
        """A token for `unlock`, or None while another has the lock; it ends by itself."""
        ...

    def unlock(self, key: str, token: str) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    value: bytes
    until: float


class MemoryCache:
    """Bounded; what was used longest ago goes first."""

    def __init__(
        self, *, most: int = MOST_ENTRIES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.clock = clock
        self.guard = threading.Lock()
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.locks: dict[str, Entry] = {}

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        with self.guard:
            return [self.found(key) for key in keys]

    def found(self, key: str) -> bytes | None:
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry.until <= self.clock():
            del self.entries[key]
            return None
        self.entries.move_to_end(key)
        return entry.value

    def put(self, key: str, value: bytes, seconds: float) -> None:
        with self.guard:
            self.entries[key] = Entry(value, self.clock() + seconds)
            self.entries.move_to_end(key)
            while len(self.entries) > self.most:
                self.entries.popitem(last=False)

    def lock(self, key: str, seconds: float) -> str | None:
        with self.guard:
            now = self.clock()
            held = self.locks.get(key)
            if held is not None and held.until > now:
                return None
            token = uuid4().hex
            self.locks[key] = Entry(token.encode(), now + seconds)
            return token

    def unlock(self, key: str, token: str) -> None:
        with self.guard:
            held = self.locks.get(key)
            if held is not None and held.value == token.encode():
                del self.locks[key]

    def close(self) -> None:
        """There is nothing to give back."""


class RedisCache:
    """In Redis while it answers promptly; else in this process, until it does again."""

    def __init__(
        self, url: str, *, clock: Callable[[], float] = time.monotonic, most: int = MOST_ENTRIES
    ) -> None:
        self.redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=None,
            protocol=2,
        )
        self.own = MemoryCache(most=most, clock=clock)
        self.clock = clock
        self.away_until = 0.0

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        found = self.asked(lambda: self.redis.mget(keys))
        if not isinstance(found, list) or len(found) != len(keys):
            return self.own.get(keys)
        return [one if isinstance(one, bytes) else None for one in found]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        milliseconds = max(int(seconds * 1000), 1)
        if self.asked(lambda: self.redis.set(key, value, px=milliseconds)) is None:
            self.own.put(key, value, seconds)

    def lock(self, key: str, seconds: float) -> str | None:
        token = uuid4().hex
        milliseconds = max(int(seconds * 1000), 1)
        taken = self.asked(
            lambda: bool(self.redis.set(f"{key}:lock", token, px=milliseconds, nx=True))
        )
        if taken is None:
            return self.own.lock(key, seconds)
        return token if taken else None

    def unlock(self, key: str, token: str) -> None:
        self.own.unlock(key, token)
        self.asked(lambda: self.redis.eval(RELEASE, 1, f"{key}:lock", token))

    def asked(self, command: Callable[[], Any]) -> Any:
        """What Redis says; None where it says nothing in time."""
        if self.clock() < self.away_until:
            return None
        try:
            return command()
        except (RedisError, OSError, ValueError) as error:
            self.away_until = self.clock() + RETRY_SECONDS
            logger.warning("Redis does not answer (%s): on without it.", type(error).__name__)
            return None

    def fault(self) -> str:
        """What is wrong with it; empty where it answers in time."""
        try:
            self.redis.ping()
        except (RedisError, OSError, ValueError) as error:
            return f"it does not answer ({type(error).__name__})"
        return ""

    def close(self) -> None:
        with suppress(RedisError, OSError):
            self.redis.close()


def open_cache(redis_url: str) -> Cache:
    return RedisCache(redis_url) if redis_url else MemoryCache()
