"""Access tokens that are JWTs: RFC 9068 and RFC 8725, and SMART's claims.

Nothing is taken from a token before its signature was checked by a key of its issuer, but the name
of the issuer and of the key. Headers that say where a key is, or bring one, are not looked at.
"""

import binascii
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from joserfc import jwk, jws
from joserfc.errors import JoseError

from imaging_fhir.errors import Unauthenticated
from imaging_fhir.trust import ALGORITHMS

LARGEST = 16 * 1024  # characters; a token of launch context and scopes has one or two thousand
SMALLEST_RSA = 2048
LATEST = 2**53  # seconds since 1970
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "Ed25519": "Ed25519"}
TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
AT_JWT = frozenset({"at+jwt", "application/at+jwt"})

Claims = Mapping[str, Any]
Key = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
KINDS: dict[str, type[Key]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}


class KeyUnknown(Unauthenticated):
    """The issuer's keys that are here do not have the one that signed."""


def refused(why: str) -> Unauthenticated:
    return Unauthenticated(why, error="invalid_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverified:
    """What a token says of itself, before anything is known of it."""

    text: str
    algorithm: str
    key_id: str | None
    type: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the tokens of an issuer have to have; `audiences`: one of them will do."""

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    requires_at_jwt: bool = False
    clock_skew: int = 0


def unverified(token: str) -> Unverified:
    """Raise Unauthenticated for what is no JWT that could count."""
    if len(token) > LARGEST or not token.isascii() or token.count(".") != 2:
        raise refused("The access token is not one that can be read here.")
    try:
        signed = jws.extract_compact(token.encode())
        header, claims = signed.headers(), json.loads(signed.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
        raise refused("The access token cannot be read.") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise refused("The access token cannot be read.")
    if "crit" in header or "b64" in header:
        raise refused("The access token has a critical header that is not understood here.")
    algorithm, key_id, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    type_ = header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise refused("The access token is not signed by an algorithm that counts here.")
    if not isinstance(type_, str) or not isinstance(key_id, str | None):
        raise refused("The access token's header cannot be read.")
    if not isinstance(issuer, str):
        raise refused("The access token names no issuer.")
    return Unverified(
        text=token, algorithm=algorithm, key_id=key_id, type=type_.lower(), issuer=issuer
    )


def verified(token: Unverified, keys: Sequence[Key], expected: Expected, *, now: float) -> Claims:
    """Its claims; raise KeyUnknown, Unauthenticated."""
    if token.issuer != expected.issuer:
        raise refused("The access token is of another issuer.")
    if token.algorithm not in expected.algorithms:
        raise refused("The access token is not signed by an algorithm that counts here.")
    if token.type not in (AT_JWT if expected.requires_at_jwt else TYPES):
        raise refused("This is a token of another kind than an access token.")
    candidates = [key for key in keys if may_have_signed(key, token)]
    if not candidates:
        raise KeyUnknown("The access token is signed by no known key.", error="invalid_token")
    payloads = (payload_signed(token, key) for key in candidates)
    payload = next((one for one in payloads if one is not None), None)
    if payload is None:
        is_named = token.key_id is not None and all(key.kid is not None for key in candidates)
        kind = Unauthenticated if is_named else KeyUnknown
        raise kind("The signature of the access token is wrong.", error="invalid_token")
    claims = json.loads(payload)
    require_claims(claims, expected, now=now)
    return dict(claims)


def may_have_signed(key: Key, token: Unverified) -> bool:
    """Of the algorithm's kind, and named by the token, or without names to tell by."""
    curve = CURVES.get(token.algorithm)
    declared = key.as_dict(private=False).get("alg")
    return (
        key.key_type == KEY_TYPES[token.algorithm[:2]]
        and (curve is None or getattr(key, "curve_name", None) == curve)
        and declared in (None, token.algorithm)
        and (token.key_id is None or key.kid is None or key.kid == token.key_id)
    )


def payload_signed(token: Unverified, key: Key) -> bytes | None:
    try:
        return jws.deserialize_compact(token.text, key, algorithms=[token.algorithm]).payload
    except (JoseError, ValueError, TypeError, binascii.Error):
        return None


def require_introspected(claims: Claims, expected: Expected, *, now: float) -> None:
    """What the issuer says of an active token, as far as it says it; raise Unauthenticated."""
    for name in ("exp", "nbf", "iat"):
        moment(claims, name)
    untold = {"iss": expected.issuer, "aud": next(iter(expected.audiences)), "exp": now + 1}
    told = {name: value for name, value in claims.items() if value is not None}
    require_claims(untold | told, expected, now=now)


def require_claims(claims: Claims, expected: Expected, *, now: float) -> None:
    """RFC 7519 4.1, with the clock skew; raise Unauthenticated."""
    if claims.get("iss") != expected.issuer:
        raise refused("The access token is of another issuer.")
    if not is_for(claims.get("aud"), expected.audiences):
        raise refused("The access token is for another server.")
    expires = moment(claims, "exp")
    if expires is None:
        raise refused("The access token never expires.")
    if now >= expires + expected.clock_skew:
        raise refused("The access token has expired.")
    for name in ("nbf", "iat"):
        begins = moment(claims, name)
        if begins is not None and now < begins - expected.clock_skew:
            raise refused("The access token does not count yet.")
    if "cnf" in claims:
        raise refused("The access token is bound to a key, whose proof is not taken here.")


def is_for(audience: Any, audiences: Collection[str]) -> bool:
    named = audience if isinstance(audience, list) else [audience]
    return any(isinstance(one, str) and one.rstrip("/") in audiences for one in named)


def moment(claims: Claims, name: str) -> float | None:
    """Seconds since 1970; raise Unauthenticated for what is no number."""
    value = claims.get(name)
    if value is None:
        return None
    is_time = not isinstance(value, bool) and isinstance(value, int | float)
    if not is_time or not 0 <= value <= LATEST:  # also of what is infinite or no number
        raise refused(f"The access token's {name} is no time.")
    return float(value)


def public_keys(described: Any) -> tuple[Key, ...]:
    """Those of a JWKS that can check signatures; the others are left out, whatever they are."""
    listed = described.get("keys") if isinstance(described, dict) else None
    if not isinstance(listed, list):
        return ()
    found = (public_key(one) for one in listed[:MOST_KEYS])
    return tuple(key for key in found if key is not None)


MOST_KEYS = 100


def public_key(described: Any) -> Key | None:
    if not isinstance(described, dict) or described.get("use", "sig") != "sig":
        return None
    kind = KINDS.get(str(described.get("kty")))
    if kind is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key = kind.import_key({k: v for k, v in described.items() if k not in PRIVATE})
            if isinstance(key, jwk.RSAKey) and key.raw_value.key_size < SMALLEST_RSA:
                return None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return key


PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


def token_id(token: str, claims: Claims) -> str:
    """Its `jti`, or a digest that says nothing of it."""
    named = claims.get("jti")
    if isinstance(named, str) and 0 < len(named) <= 200 and named.isprintable():
        return named
    return sha256(token.encode()).hexdigest()[:32]
