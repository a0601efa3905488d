"""Who asks, by an access token: of a trusted issuer, signed with its keys, for this server.

A token that counted is remembered for a while by a digest, so that its signature is not checked
with each request; never longer than it lives.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from imaging_fhir.model.caller import Caller
from imaging_fhir.smart.access_token import (
    LARGEST,
    Claims,
    Expected,
    Key,
    KeyUnknown,
    refused,
    token_id,
    unverified,
    verified,
)
from imaging_fhir.smart.granted import Reading, caller_of
from imaging_fhir.trust import Trust, TrustedIssuer

REMEMBERED_SECONDS = 60  # a key that its issuer took back counts for so long at most
MOST_REMEMBERED = 4096


class Keys(Protocol):
    """The public keys of one issuer."""

    def current(self) -> Sequence[Key]:
        """Those that are known; raise IssuerUnavailable."""
        ...

    def renewed(self) -> Sequence[Key]:
        """After one was asked for that is not among them; raise IssuerUnavailable."""
        ...


class OwnIssuer(Protocol):
    """Our own authorization server."""

    @property
    def issuer(self) -> str: ...

    def public_keys(self) -> Sequence[Key]:
        """Those that tokens may still be signed with."""
        ...

    def is_revoked(self, claims: Claims) -> bool: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    caller: Caller
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    """All that is needed to judge a token of one issuer."""

    reading: Reading
    expected: Expected
    keys: Keys
    remembered_seconds: float = REMEMBERED_SECONDS
    is_revoked: Callable[[Claims], bool] = lambda claims: False

    def claims(self, token: str, *, now: float) -> Claims:
        """Raise Unauthenticated, IssuerUnavailable."""
        found = unverified(token)
        try:
            claims = verified(found, self.keys.current(), self.expected, now=now)
        except KeyUnknown:
            claims = verified(found, self.keys.renewed(), self.expected, now=now)
        if self.is_revoked(claims):
            raise refused("The access token was revoked.")
        return claims


class Tokens:
    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        trust: Trust,
        *,
        clock: Callable[[], float] = time.time,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self.issuers = {one.expected.issuer: one for one in issuers}
        self.trust = trust
        self.clock = clock
        self.most = most
        self.guard = threading.Lock()
        self.remembered: OrderedDict[tuple[bytes, str], Remembered] = OrderedDict()

    def caller(self, token: str, address: str) -> Caller:
        """Whom the token lets in; raise Unauthenticated, IssuerUnavailable."""
        if not 0 < len(token) <= LARGEST or not token.isascii():
            raise refused("The access token is not one that can be read here.")
        key = (sha256(token.encode()).digest(), address)
        now = self.clock()
        known = self.recalled(key)
        if known is not None and now < known.until:
            return known.caller
        return self.remember(key, *self.judged(token, address, now), now)

    def recalled(self, key: tuple[bytes, str]) -> Remembered | None:
        with self.guard:
            known = self.remembered.get(key)
            if known is not None:
                self.remembered.move_to_end(key)
            return known

    def judged(self, token: str, address: str, now: float) -> tuple[Caller, float]:
        """And for how many seconds that counts."""
        issuer = self.issuers.get(unverified(token).issuer)
        if issuer is None:
            raise refused("The access token is of an issuer that is not trusted here.")
        claims = issuer.claims(token, now=now)
        caller = caller_of(claims, issuer.reading, token_id=token_id(token, claims))
        caller = replace(self.limited(caller, is_own=issuer.reading.is_own), address=address)
        return caller, issuer.remembered_seconds

    def limited(self, caller: Caller, *, is_own: bool) -> Caller:
        """A system client of the EHR gets no more than the site file lets it: tokens cannot say."""
        if all(scope.context != "system" for scope in caller.scopes):
            return caller
        client = self.trust.system_client("" if is_own else caller.issuer, caller.client_id)
        if client is None and not is_own:
            rest = tuple(scope for scope in caller.scopes if scope.context != "system")
            return replace(caller, scopes=rest)
        if client is None or client.everything:
            return caller
        return replace(
            caller, patients=frozenset(client.patients), studies=frozenset(client.studies)
        )

    def remember(
        self, key: tuple[bytes, str], caller: Caller, seconds: float, now: float
    ) -> Caller:
        until = min(now + seconds, caller.expires) if caller.expires else now + seconds
        with self.guard:
            self.remembered[key] = Remembered(caller, until)
            self.remembered.move_to_end(key)
            while len(self.remembered) > self.most:
                self.remembered.popitem(last=False)
        return caller

    def forget(self) -> None:
        """What was remembered: something was revoked by this process."""
        with self.guard:
            self.remembered.clear()


def expected_of(issuer: TrustedIssuer, base: str) -> Expected:
    """`base`: our FHIR base, which tokens are for where the site file does not say otherwise."""
    return Expected(
        issuer=issuer.issuer,
        audiences=frozenset(one.rstrip("/") for one in issuer.audiences or (base,)),
        algorithms=frozenset(issuer.algorithms),
        requires_at_jwt=issuer.requires_at_jwt,
        clock_skew=issuer.clock_skew,
    )
