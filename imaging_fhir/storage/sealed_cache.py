"""A cache whose keys tell nothing and whose values cannot be forged: both carry a keyed hash.

One at a time finds the answer to a question; the others wait for it.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.model.codec import encode
from imaging_fhir.storage.cache import Cache

VERSION = "1"  # of what the values mean: those of another version are never found
SEAL = 16  # bytes of a value's hash
LOOKS_PER_SECOND = 100


class SealedCache:
    def __init__(self, cache: Cache, secret: bytes) -> None:
        self.cache = cache
        self.secret = secret

    def key(self, *question: str) -> str:
        return f"imaging-fhir:{VERSION}:{self.hash(encode((VERSION, *question))).hex()}"

    def hash(self, content: bytes) -> bytes:
        return hmac.digest(self.secret, content, hashlib.sha256)

    def seal(self, key: str, value: bytes) -> bytes:
        return self.hash(key.encode() + b"\0" + value)[:SEAL]

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return [
            self.opened(key, sealed) for key, sealed in zip(keys, self.cache.get(keys), strict=True)
        ]

    def opened(self, key: str, sealed: bytes | None) -> bytes | None:
        """None for rubbish, and for what was kept under another key."""
        if sealed is None:
            return None
        value = sealed[SEAL:]
        return value if hmac.compare_digest(sealed[:SEAL], self.seal(key, value)) else None

    def put(self, key: str, value: bytes, seconds: float) -> None:
        self.cache.put(key, self.seal(key, value) + value, seconds)

    def found_once(
        self, key: str, find: Callable[[], tuple[bytes, float]], *, seconds: float
    ) -> bytes:
        """What is kept, or else what `find` finds and for how long that is kept.

        Of all who ask at once one finds it, those in other processes included. Raise
        EhrUnavailable where that takes longer than `seconds`.
        """
        end = time.monotonic() + seconds
        while (token := self.cache.lock(key, seconds)) is None:
            if time.monotonic() >= end:
                raise EhrUnavailable("The same look-up is under way, and takes too long.")
            time.sleep(1 / LOOKS_PER_SECOND)
            if (known := self.get([key])[0]) is not None:
                return known
        try:
            if (known := self.get([key])[0]) is not None:
                return known
            value, lifetime = find()
            self.put(key, value, lifetime)
            return value
        finally:
            self.cache.unlock(key, token)
