"""A foreign issuer of access tokens: its keys, and tokens right and wrong."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk, jwt

ISSUER = "https://ehr.example/oauth2"
BASE = "https://images.example/fhir"


@cache
def rsa_key(key_id: str = "one") -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048, {"kid": key_id})


@cache
def ec_key(key_id: str = "two") -> jwk.ECKey:
    return jwk.ECKey.generate_key("P-384", {"kid": key_id})


@dataclass(frozen=True, kw_only=True)
class Issuer:
    issuer: str = ISSUER
    audience: str = BASE
    key: jwk.RSAKey | jwk.ECKey = field(default_factory=rsa_key)

    @property
    def algorithm(self) -> str:
        return "ES384" if isinstance(self.key, jwk.ECKey) else "RS256"

    def jwks(self) -> dict[str, Any]:
        return {"keys": [dict(self.key.as_dict(private=False), use="sig")]}

    def claims(self, **more: Any) -> dict[str, Any]:
        """A null takes a claim away."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": "dr-lee",
            "aud": self.audience,
            "exp": now + 600,
            "iat": now,
            "jti": "token-1",
            "client_id": "app",
            "scope": "user/*.cruds",
        } | more
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        fields = {"alg": self.algorithm, "kid": self.key.kid, "typ": "at+jwt"} | dict(header or {})
        return jwt.encode(fields, self.claims(**claims), self.key, algorithms=[self.algorithm])

    def signed(self, header: Mapping[str, Any], payload: bytes) -> str:
        """Any header and any bytes, by an RSA key: RS256."""
        parts = b".".join(map(urlsafe, (json.dumps(header).encode(), payload)))
        private = self.key.private_key
        assert isinstance(private, RSAPrivateKey)
        signature = private.sign(parts, PKCS1v15(), SHA256())
        return f"{parts.decode()}.{urlsafe(signature).decode()}"


def urlsafe(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def site_file(folder: Path, issuer: Issuer, more: str = "") -> str:
    """Of a site that trusts the issuer by keys in a file."""
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    path = folder / "site.toml"
    path.write_text(
        f'[[token_issuers]]\nissuer = "{issuer.issuer}"\njwks_file = "{folder}/jwks.json"\n{more}'
    )
    return str(path)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
