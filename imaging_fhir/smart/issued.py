"""What the built-in authorization server signs: access tokens (RFC 9068) and id tokens."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.model.authorization import Granted
from imaging_fhir.smart.access_token import Key, public_key

ALGORITHM = "RS256"
BITS = 2048
ACCESS_SECONDS, SYSTEM_SECONDS, ID_SECONDS = 3600, 300, 3600
AT_JWT = "at+jwt"
SigningKey = jwk.RSAKey
GRANT = "grant"  # our own claim: with whose end the token is over


def new_key() -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(BITS, {"kid": secrets.token_urlsafe(12), "use": "sig"})


def private_text(key: jwk.RSAKey, password: str) -> str:
    """PEM, encrypted."""
    return key.as_pem(private=True, password=password).decode()


def public_text(key: jwk.RSAKey) -> str:
    return json.dumps(dict(key.as_dict(private=False), alg=ALGORITHM), sort_keys=True)


def read_private(text: str, password: str, key_id: str) -> jwk.RSAKey:
    """Raise InvalidSetting where it is encrypted by another password."""
    try:
        return jwk.RSAKey.import_key(text, {"kid": key_id, "use": "sig"}, password=password)
    except (JoseError, ValueError, TypeError) as error:
        raise InvalidSetting(
            "The key that signs access tokens cannot be read: the file that opens it is not the "
            "one that it was made with. Bring it back, or make a key by `imaging-fhir keys rotate`."
        ) from error


def read_public(text: str) -> Key:
    key = public_key(json.loads(text))
    if key is None:
        raise InvalidSetting("A public key of the database cannot be read.")
    return key


def signed(claims: Mapping[str, Any], key: jwk.RSAKey, type_: str) -> str:
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": type_}
    return jwt.encode(header, dict(claims), key, algorithms=[ALGORITHM])


def access_claims(granted: Granted, scope: str, *, now: int) -> dict[str, Any]:
    """Of a person's; what is the same for all is put to them."""
    context = granted.context
    named = {
        "sub": granted.account,
        "client_id": granted.client,
        "scope": scope,
        "exp": now + ACCESS_SECONDS,
        "patient": context.patient,
        "encounter": context.encounter,
        GRANT: granted.id,
    }
    return {name: value for name, value in named.items() if value}


def system_claims(client_id: str, scope: str, *, now: int) -> dict[str, Any]:
    return {"sub": client_id, "client_id": client_id, "scope": scope, "exp": now + SYSTEM_SECONDS}


def id_claims(granted: Granted, fhir_user: str, *, now: int) -> dict[str, Any]:
    named = {
        "sub": granted.account,
        "aud": granted.client,
        "exp": now + ID_SECONDS,
        "nonce": granted.nonce,
        "auth_time": granted.authenticated,
        "fhirUser": fhir_user,
        "profile": fhir_user,
    }
    return {name: value for name, value in named.items() if value}
