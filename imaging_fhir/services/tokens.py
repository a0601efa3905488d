"""Who asks, by an access token: of a trusted issuer, for this server, not over and not revoked.

What was found out about a token is remembered for a while by a digest, so that neither its
signature is checked nor its issuer asked with each request; never longer than the token lives.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from imaging_fhir.errors import Unauthenticated
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
from imaging_fhir.trust import Trust

REMEMBERED_SECONDS = 60  # a key that its issuer took back counts for so long at most
ASKED_SECONDS = 30  # the same of a token that its issuer says is over
REVOKED_SECONDS = 5  # the same of one that our own authorization server revoked
REFUSED_SECONDS = 5  # so long no issuer is asked again about a token that does not count
MOST_REMEMBERED = 4096
LOCKS = 16

Digest = tuple[bytes, str]  # of the token, and the address it came from


class Keys(Protocol):
    """The public keys of one issuer."""

    def current(self) -> Sequence[Key]:
        """Those that are known; raise IssuerUnavailable."""
        ...

    def renewed(self, known: Sequence[Key]) -> Sequence[Key]:
        """After one was asked for that is not among `known`; raise IssuerUnavailable."""
        ...


class OwnIssuer(Protocol):
    """Our own authorization server."""

    @property
    def issuer(self) -> str: ...

    def public_keys(self) -> Sequence[Key]:
        """Those that tokens may still be signed with."""
        ...

    def is_revoked(self, claims: Claims) -> bool: ...


class Judge(Protocol):
    def claims(self, token: str, *, now: float) -> Claims:
        """Of a token that counts; raise Unauthenticated, IssuerUnavailable."""
        ...


def never_revoked(claims: Claims) -> bool:
    """Of an issuer that tells nobody: its tokens are over when they expire."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTokens:
    """JWTs."""

    expected: Expected
    keys: Keys
    is_revoked: Callable[[Claims], bool] = never_revoked

    def claims(self, token: str, *, now: float) -> Claims:
        found, keys = unverified(token), self.keys.current()
        try:
            claims = verified(found, keys, self.expected, now=now)
        except KeyUnknown:
            claims = verified(found, self.keys.renewed(keys), self.expected, now=now)
        if self.is_revoked(claims):
            raise refused("The access token was revoked.")
        return claims


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """Of our own authorization server, from the database."""

    own: OwnIssuer

    def current(self) -> Sequence[Key]:
        return self.own.public_keys()

    def renewed(self, known: Sequence[Key]) -> Sequence[Key]:
        return self.own.public_keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIssuer:
    reading: Reading
    judge: Judge
    is_asked: bool = False  # about each token, so that these need be no JWTs
    seconds: float = REMEMBERED_SECONDS

    @property
    def issuer(self) -> str:
        return self.reading.issuer.issuer


@dataclass(frozen=True, slots=True)
class Remembered:
    found: Caller | str  # or why the token does not count
    until: float


class Tokens:
    def __init__(
        self,
        issuers: Sequence[TokenIssuer],
        trust: Trust,
        *,
        clock: Callable[[], float] = time.time,
        most: int = MOST_REMEMBERED,
    ) -> None:
        self.issuers = {one.issuer: one for one in issuers}
        asked = [one for one in issuers if one.is_asked]
        self.asked = asked[0] if len(asked) == 1 else None
        self.trust = trust
        self.clock = clock
        self.most = most
        self.guard = threading.Lock()
        self.locks = [threading.Lock() for _ in range(LOCKS)]
        self.remembered: OrderedDict[Digest, Remembered] = OrderedDict()

    def caller(self, token: str, address: str) -> Caller:
        """Whom the token lets in; raise Unauthenticated, IssuerUnavailable."""
        if not 0 < len(token) <= LARGEST or not token.isascii():
            raise unreadable()
        digest = (sha256(token.encode()).digest(), address)
        known = self.recalled(digest)
        if known is None:
            with self.locks[digest[0][0] % LOCKS]:  # whoever comes with it meanwhile waits
                known = self.recalled(digest) or self.judged(digest, token)
        if isinstance(known, str):
            raise refused(known)
        return known

    def recalled(self, digest: Digest) -> Caller | str | None:
        with self.guard:
            known = self.remembered.get(digest)
            if known is None or self.clock() >= known.until:
                return None
            self.remembered.move_to_end(digest)
            return known.found

    def judged(self, digest: Digest, token: str) -> Caller | str:
        now, issuer = self.clock(), self.issuer_of(token)
        try:
            claims = issuer.judge.claims(token, now=now)
            caller = caller_of(claims, issuer.reading, token_id=token_id(token, claims))
        except Unauthenticated as error:
            if not issuer.is_asked:
                raise
            self.remember(digest, Remembered(str(error), now + REFUSED_SECONDS))
            return str(error)
        caller = replace(self.limited(caller, issuer.reading), address=digest[1])
        self.remember(digest, Remembered(caller, min(now + issuer.seconds, caller.expires)))
        return caller

    def issuer_of(self, token: str) -> TokenIssuer:
        """As the token says, which is checked later; what says nothing only one can be asked about.

        No issuer is shown the token of another. Raise Unauthenticated.
        """
        try:
            found = self.issuers.get(unverified(token).issuer)
        except Unauthenticated:
            if self.asked is None:
                raise
            return self.asked
        if found is None:
            raise refused("The access token is of an issuer that is not trusted here.")
        return found

    def limited(self, caller: Caller, reading: Reading) -> Caller:
        """A system client gets no more than the site file lets it: an EHR's tokens cannot say."""
        if all(scope.context != "system" for scope in caller.scopes):
            return caller
        issuer = "" if reading.is_own else caller.issuer
        client = self.trust.system_client(issuer, caller.client_id)
        if client is None and not reading.is_own:
            rest = tuple(scope for scope in caller.scopes if scope.context != "system")
            return replace(caller, scopes=rest)
        if client is None or client.everything:
            return caller
        return replace(
            caller, patients=frozenset(client.patients), studies=frozenset(client.studies)
        )

    def remember(self, digest: Digest, remembered: Remembered) -> None:
        with self.guard:
            self.remembered[digest] = remembered
            self.remembered.move_to_end(digest)
            while len(self.remembered) > self.most:
                self.remembered.popitem(last=False)

    def forget(self) -> None:
        """All that was remembered: something was revoked by this process."""
        with self.guard:
            self.remembered.clear()


def unreadable() -> Unauthenticated:
    return refused("The access token is not one that can be read here.")
