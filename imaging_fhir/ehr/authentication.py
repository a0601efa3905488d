"""How this service makes itself known to the EHR: not at all, by password, by token or by key."""

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import EhrUnavailable, InvalidSetting
from imaging_fhir.settings import PREFIX, Settings

Key: TypeAlias = jwk.RSAKey | jwk.ECKey
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 240  # SMART allows five minutes
RENEWED_BEFORE = 30  # seconds before a token expires, at most half of its life
UNTOLD_LIFETIME = 60
SMALLEST_RSA = 2048


class Fetch(Protocol):
    """One request for JSON; raise EhrUnavailable. `form` makes it a POST."""

    def __call__(
        self, address: str, deadline: Deadline, *, form: dict[str, str] | None = None
    ) -> Any: ...


class Authentication(Protocol):
    def header(self, deadline: Deadline) -> str | None:
        """The value of `Authorization`; raise EhrUnavailable."""
        ...

    def refused(self) -> bool:
        """The EHR did not take it (401); is there another to try?"""
        ...


class FixedHeader:
    """Nothing, a password or a token that does not change."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def header(self, deadline: Deadline) -> str | None:
        return self.value

    def refused(self) -> bool:
        return False


class BackendServices:
    """SMART Backend Services: a token for a JWT that our key has signed.

    https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
    """

    def __init__(
        self,
        fetch: Fetch,
        base: str,
        *,
        client_id: str,
        scope: str,
        key: Key,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.fetch = fetch
        self.base = base
        self.client_id = client_id
        self.scope = scope
        self.key = key
        self.clock = clock
        self.lock = threading.Lock()
        self.endpoint = ""
        self.token = ""
        self.renew_at = 0.0

    def header(self, deadline: Deadline) -> str:
        if not self.lock.acquire(timeout=deadline.left()):
            raise EhrUnavailable("The EHR's token endpoint did not answer in time.")
        try:
            if self.clock() >= self.renew_at:
                self.renew(deadline)
            return f"Bearer {self.token}"
        finally:
            self.lock.release()

    def refused(self) -> bool:
        self.renew_at = 0.0
        return True

    def renew(self, deadline: Deadline) -> None:
        endpoint = self.endpoint or self.discovered(deadline)
        answer = self.fetch(
            endpoint,
            deadline,
            form={
                "grant_type": "client_credentials",
                "scope": self.scope,
                "client_assertion_type": JWT_BEARER,
                "client_assertion": self.assertion(endpoint),
            },
        )
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise EhrUnavailable("The EHR's token endpoint gave no token.")
        self.endpoint, self.token = endpoint, token
        lifetime = answer.get("expires_in")
        seconds = lifetime if isinstance(lifetime, int) and lifetime > 0 else UNTOLD_LIFETIME
        self.renew_at = self.clock() + max(seconds - RENEWED_BEFORE, seconds / 2)

    def discovered(self, deadline: Deadline) -> str:
        found = self.fetch(f"{self.base}/.well-known/smart-configuration", deadline)
        endpoint = found.get("token_endpoint") if isinstance(found, dict) else None
        if not isinstance(endpoint, str) or not endpoint.startswith(("https://", "http://")):
            raise EhrUnavailable("The EHR's smart-configuration names no token endpoint.")
        return endpoint

    def assertion(self, endpoint: str) -> str:
        now = int(self.clock())
        algorithm = algorithm_of(self.key)
        header = {"alg": algorithm, "typ": "JWT", "kid": self.key.kid or self.key.thumbprint()}
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": endpoint,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": str(uuid4()),
        }
        return jwt.encode(header, claims, self.key, algorithms=[algorithm])


def algorithm_of(key: Key) -> str:
    """What SMART servers have to know: RS384, or ES384 for a key of that curve."""
    return "ES384" if isinstance(key, jwk.ECKey) else "RS384"


def authentication_of(settings: Settings, fetch: Fetch, base: str) -> Authentication:
    """As the settings want it; raise InvalidSetting."""
    match settings.ehr_auth:
        case "basic":
            pair = f"{settings.ehr_client_id}:{secret_of(settings)}".encode()
            return FixedHeader(f"Basic {base64.b64encode(pair).decode()}")
        case "bearer":
            return FixedHeader(f"Bearer {secret_of(settings)}")
        case "private_key_jwt":
            return BackendServices(
                fetch,
                base,
                client_id=settings.ehr_client_id,
                scope=settings.ehr_scope,
                key=key_of(settings.ehr_key_file),
            )
    return FixedHeader(None)


def secret_of(settings: Settings) -> str:
    if settings.ehr_secret:
        return settings.ehr_secret
    try:
        return Path(settings.ehr_secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f"{PREFIX}EHR_SECRET_FILE {settings.ehr_secret_file}: it cannot be read."
        ) from error


def key_of(path: str) -> Key:
    """The private key in a file (PEM, JWK, or the first of a JWKS); raise InvalidSetting."""
    try:
        key = imported(Path(path).read_bytes())
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise InvalidSetting(f"{PREFIX}EHR_KEY_FILE {path}: no key can be read.") from error
    if not key.is_private:
        raise InvalidSetting(f"{PREFIX}EHR_KEY_FILE {path}: the key is not a private one.")
    if isinstance(key, jwk.ECKey) and key.curve_name != "P-384":
        raise InvalidSetting(f"{PREFIX}EHR_KEY_FILE {path}: of elliptic curves, only P-384.")
    return key


def imported(content: bytes) -> Key:
    if not content.lstrip().startswith(b"{"):
        kind: type[Key] = jwk.ECKey if b"BEGIN EC" in content else jwk.RSAKey
        try:
            return kind.import_key(content)
        except (ValueError, JoseError):
            return jwk.ECKey.import_key(content)
    described = json.loads(content)
    described = described["keys"][0] if "keys" in described else described
    kind = jwk.ECKey if described["kty"] == "EC" else jwk.RSAKey
    return kind.import_key(described)
