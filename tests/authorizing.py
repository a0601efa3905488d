"""A site with the built-in authorization server, its people and apps, and what apps send to it."""

import base64
import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwk, jwt
from werkzeug.test import TestResponse

from imaging_fhir.model.authorization import CLIENT_CREDENTIALS, Client, Granted, LaunchContext
from imaging_fhir.services.authorization import Asked, Authorization
from imaging_fhir.services.composition import Services
from imaging_fhir.services.registration import register_client
from imaging_fhir.settings import Settings
from imaging_fhir.web.context import EXTENSION
from tests.tokens import ec_key

ROOT = "https://images.example"
BASE = f"{ROOT}/fhir"
CALLBACK = "https://app.example/callback"
PASSWORD = "correct horse battery"
VERIFIER = "v" * 50
ALL = (
    "openid fhirUser launch launch/patient launch/encounter launch/imagingstudy offline_access "
    "online_access patient/*.rs user/*.cruds"
)


def settings_of(folder: Path, database_url: str, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "auth": "smart",
        "authorization_server": True,
        "database_url": database_url,
        "data_dir": folder,
        "public_url": ROOT,
        "min_free_bytes": 0,
    }
    return Settings(**(given | more))


def services_of(app: Flask) -> Services:
    found = app.extensions[EXTENSION]
    assert isinstance(found, Services)
    return found


def server_of(app: Flask) -> Authorization:
    found = services_of(app).authorization
    assert found is not None
    return found


def with_people(app: Flask) -> None:
    sessions = services_of(app).sessions
    assert sessions is not None
    sessions.add_account("lee", PASSWORD, frozenset({"clinician"}), fhir_user="Practitioner/dr-lee")
    sessions.add_account("ada", PASSWORD, frozenset({"patient"}), patient="ada")


def with_app(app: Flask, client_id: str = "app", **more: Any) -> str | None:
    """Its secret, where it has one."""
    given: dict[str, Any] = {
        "id": client_id,
        "name": "The App",
        "redirect_uris": (CALLBACK,),
        "launch_uri": "https://app.example/launch",
        "scope": ALL,
    }
    _, secret = register_client(server_of(app), Client(**(given | more)))
    return secret


def with_back_end(app: Flask, scope: str = "system/*.rs") -> None:
    client = Client(
        id="back-end",
        name="back-end",
        auth_method="private_key_jwt",
        grant_types=(CLIENT_CREDENTIALS,),
        jwks={"keys": [ec_key().as_dict(private=False)]},
        scope=scope,
    )
    register_client(server_of(app), client)


def assertion(key: jwk.ECKey | jwk.RSAKey | None = None, alg: str = "ES384", **more: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "back-end",
        "sub": "back-end",
        "aud": f"{ROOT}/auth/token",
        "exp": now + 200,
        "jti": f"id-{time.time_ns()}",
    } | more
    claims = {name: value for name, value in claims.items() if value is not None}
    signer = key or ec_key()
    return jwt.encode({"alg": alg, "kid": signer.kid}, claims, signer, algorithms=[alg])


def asserting(text: str) -> dict[str, str]:
    return {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": text,
    }


def challenge(verifier: str = VERIFIER) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def code_of(
    app: Flask,
    *,
    client: str = "app",
    account: str = "lee",
    scope: str = "launch/patient patient/*.rs openid fhirUser offline_access",
    **context: Any,
) -> str:
    """As if the person had agreed to it."""
    granted = Granted(
        id=f"grant-{time.time_ns()}",
        client=client,
        account=account,
        scope=scope,
        context=LaunchContext(**({"patient": "a"} | context)),
        nonce="nonce-1",
        authenticated=int(time.time()),
    )
    code = server_of(app).code(granted, Asked(redirect_uri=CALLBACK, code_challenge=challenge()))
    assert code is not None
    return code


def exchange(
    client: FlaskClient, code: str | None, headers: Mapping[str, str] | None = None, **more: Any
) -> TestResponse:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": "app",
    } | more
    sent = {name: value for name, value in form.items() if value is not None}
    return client.post("/auth/token", data=sent, headers=dict(headers or {}))


def refresh(client: FlaskClient, token: str, **more: Any) -> TestResponse:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"} | more
    return client.post("/auth/token", data=form)


def authorize_url(**more: Any) -> str:
    asked = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "scope": "launch/patient patient/*.rs openid fhirUser",
        "state": "state-1",
        "aud": BASE,
        "code_challenge": challenge(),
        "code_challenge_method": "S256",
    } | more
    sent = {name: value for name, value in asked.items() if value is not None}
    return f"/auth/authorize?{urlencode(sent)}"


def returned(answer: TestResponse) -> dict[str, str]:
    """What the app is told in its address."""
    assert answer.status_code in (302, 303), answer.text
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == CALLBACK
    return {name: values[0] for name, values in parse_qs(parts.query).items()}


def fields_of(page: str) -> dict[str, list[str]]:
    """What the form of a page sends along by itself."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", page):
        kind = re.search(r'type="(\w+)"', tag)
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        is_sent = kind and (kind[1] == "hidden" or (kind[1] == "checkbox" and "checked" in tag))
        if is_sent and name and value:
            text = value[1].replace("&amp;", "&").replace("&#34;", '"').replace("&#39;", "'")
            found.setdefault(name[1], []).append(text)
    return found
