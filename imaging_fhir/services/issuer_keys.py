"""The public keys of a trusted issuer: from a file, or from its JWKS, which changes.

A key that is not known here makes the JWKS be asked for once more, by one thread, and not again at
once. While it cannot be had, the keys that were there before count for some hours more.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imaging_fhir.channel.fetch import Fetched, FetchFailed
from imaging_fhir.errors import InvalidSetting, IssuerUnavailable
from imaging_fhir.smart.access_token import Key, public_keys

FRESH_SECONDS = 300  # where Cache-Control says nothing
LEAST_FRESH, MOST_FRESH = 30, 3600
KEPT_SECONDS = 4 * 3600  # without the issuer
MOST_ASKED, IN_SECONDS = 5, 10.0  # so often it is asked for keys that are not known
RETRY_SECONDS = 5.0  # after one that failed
WAIT_SECONDS = 10.0  # for another thread's request, where there are no keys at all
UNAVAILABLE = "The keys of the access token's issuer cannot be had at present."
logger = logging.getLogger(__name__)


class Get(Protocol):
    def get(self, url: str) -> Fetched:
        """Raise FetchFailed."""
        ...


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that do not change while the service runs."""

    keys: Sequence[Key]

    @classmethod
    def of_file(cls, path: str) -> "FixedKeys":
        """A JWKS; raise InvalidSetting."""
        try:
            keys = public_keys(json.loads(Path(path).read_bytes()))
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"token_issuers: jwks_file {path} cannot be read.") from error
        if not keys:
            raise InvalidSetting(f"token_issuers: jwks_file {path} has no key to check with.")
        return cls(keys)

    def current(self) -> Sequence[Key]:
        return self.keys

    def renewed(self, known: Sequence[Key]) -> Sequence[Key]:
        return self.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    keys: Sequence[Key] = ()
    fresh_until: float = 0.0
    kept_until: float = 0.0


class RemoteKeys:
    """`address` finds the JWKS, as the issuer's discovery document may name it."""

    def __init__(
        self,
        fetcher: Get,
        address: Callable[[], str],
        *,
        issuer: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fetcher = fetcher
        self.address = address
        self.issuer = issuer
        self.clock = clock
        self.lock = threading.Lock()
        self.set = KeySet()
        self.asked = deque[float](maxlen=MOST_ASKED)
        self.failed = float("-inf")

    def current(self) -> Sequence[Key]:
        found = self.set
        if self.clock() < found.fresh_until:
            return found.keys
        if found.keys:
            self.refresh_alone()
        else:
            self.refresh_waiting(found.keys)
        return self.kept()

    def renewed(self, known: Sequence[Key]) -> Sequence[Key]:
        self.refresh_waiting(known)
        return self.kept()

    def kept(self) -> Sequence[Key]:
        if not self.set.keys or self.clock() >= self.set.kept_until:
            raise IssuerUnavailable(UNAVAILABLE)
        return self.set.keys

    def refresh_alone(self) -> None:
        """By one thread; the others go on with the keys that are here."""
        if self.lock.acquire(blocking=False):
            try:
                if self.clock() >= max(self.set.fresh_until, self.failed + RETRY_SECONDS):
                    self.fetch()
            finally:
                self.lock.release()

    def refresh_waiting(self, known: Sequence[Key]) -> None:
        """All wait for the one that asks, and take what it was told."""
        if not self.lock.acquire(timeout=WAIT_SECONDS):
            return
        try:
            if self.set.keys is known and self.may_ask():
                self.fetch()
        finally:
            self.lock.release()

    def may_ask(self) -> bool:
        now = self.clock()
        is_often = len(self.asked) == MOST_ASKED and now < self.asked[0] + IN_SECONDS
        return not is_often and now >= self.failed + RETRY_SECONDS

    def fetch(self) -> None:
        self.asked.append(self.clock())
        try:
            fetched = self.fetcher.get(self.address())
            keys = public_keys(fetched.document)
            if not keys:
                raise FetchFailed(f"The answer ({fetched.status}) has no key to check with.")
        except FetchFailed as error:
            self.failed = self.clock()
            logger.warning("The keys of %s cannot be had: %s", self.issuer, error)
            return
        now, age = self.clock(), fetched.max_age
        fresh = FRESH_SECONDS if age is None else min(max(age, LEAST_FRESH), MOST_FRESH)
        self.set = KeySet(keys=keys, fresh_until=now + fresh, kept_until=now + KEPT_SECONDS)
