"""How a client shows by a key who it is: private_key_jwt (RFC 7523, SMART Backend Services)."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_fhir.errors import Unauthenticated
from imaging_fhir.smart.access_token import Expected, Key, moment, refused, unverified, verified

ALGORITHMS = frozenset({"RS384", "ES384"})
SECONDS = 300  # how far the end of an assertion may be
SKEW = 30
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    client_id: str
    token_id: str
    expires: float


def client_named(assertion: str) -> str:
    """As it says itself, which is checked later; raise Unauthenticated."""
    return unverified(assertion).issuer


def verified_assertion(
    assertion: str, client_id: str, keys: Sequence[Key], token_url: str, *, now: float
) -> Assertion:
    """Raise KeyUnknown, Unauthenticated."""
    expected = Expected(
        issuer=client_id,
        audiences=frozenset({token_url}),
        algorithms=ALGORITHMS,
        clock_skew=SKEW,
    )
    claims = verified(unverified(assertion), keys, expected, now=now)
    expires = moment(claims, "exp") or 0.0
    named = claims.get("jti")
    if claims.get("sub") != client_id:
        raise refused("The assertion is about another than who made it.")
    if not isinstance(named, str) or not 0 < len(named) <= 200 or not named.isprintable():
        raise Unauthenticated("The assertion has no jti.", error="invalid_token")
    if expires > now + SECONDS + SKEW:
        raise refused("The assertion ends more than five minutes from now.")
    return Assertion(client_id=client_id, token_id=named, expires=expires)
