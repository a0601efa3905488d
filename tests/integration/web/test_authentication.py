"""With IMAGING_FHIR_AUTH=smart, whoever asks shows an access token, on every door."""

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.settings import Settings
from tests.tokens import Issuer, bearer, ec_key, rsa_key, site_file, urlsafe

TRUSTED = Issuer()


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    (tmp_path / "test.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        auth="smart",
        database_url=database_url,
        data_dir=tmp_path,
        public_url="https://images.example",
        site_file=site_file(tmp_path, TRUSTED),
        min_free_bytes=0,
    )


DOORS = [
    "/fhir/Patient/a",
    "/fhir/Patient",
    "/dicomweb/studies",
    "/chart",
    "/held",
    "/metrics",
    "/fhir/nothing/of/this/name",
]


@pytest.mark.parametrize("door", DOORS)
def test_without_a_token_no_door_opens(client: FlaskClient, door: str) -> None:
    answer = client.get(door)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="imaging_fhir"'


def test_what_is_open_needs_none(client: FlaskClient) -> None:
    for door in ("/fhir/metadata", "/healthz", "/readyz"):
        assert client.get(door).status_code == 200
        assert client.get(door, headers=bearer("rubbish")).status_code == 200


def test_a_token_of_a_trusted_issuer_lets_in(client: FlaskClient) -> None:
    headers = bearer(TRUSTED.token())
    patient = {"resourceType": "Patient", "id": "a"}
    assert client.put("/fhir/Patient/a", json=patient, headers=headers).status_code == 201
    assert client.get("/fhir/Patient/a", headers=headers).status_code == 200
    assert client.get("/fhir/Patient/a").status_code == 401


WRONG: dict[str, dict[str, Any]] = {
    "expired": {"exp": 1_000_000_000},
    "without an end": {"exp": None},
    "not yet valid": {"nbf": 4_000_000_000},
    "of the future": {"iat": 4_000_000_000},
    "of an unknown issuer": {"iss": "https://evil.example"},
    "for another server": {"aud": "https://other.example/fhir"},
    "for nobody": {"aud": None},
    "bound to a key": {"cnf": {"jkt": "x"}},
    "an id token": {"header": {"typ": "id+jwt"}},
    "of an unknown key": {"header": {"kid": "other"}},
    "of nobody": {"sub": None, "client_id": None},
    "of a Patient that is none": {"patient": "a/b"},
    "of a Patient elsewhere": {"patient": "https://other.example/fhir/Patient/a"},
    "huge": {"padding": "x" * 20_000},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
def test_a_token_that_is_wrong_opens_nothing(client: FlaskClient, claims: dict[str, Any]) -> None:
    refused(client, TRUSTED.token(**claims))


def test_a_token_of_another_key_opens_nothing(client: FlaskClient) -> None:
    refused(client, Issuer(key=rsa_key("forged")).token(header={"kid": "one"}))
    refused(client, Issuer(key=ec_key()).token(header={"kid": "one"}))


USUAL = {"alg": "RS256", "kid": "one", "typ": "at+jwt"}
ODD: dict[str, dict[str, Any]] = {
    "critical": USUAL | {"crit": ["exp"], "exp": 1},
    "b64": USUAL | {"b64": False},
    "no algorithm": {"kid": "one"},
    "none": USUAL | {"alg": "none"},
    "list": USUAL | {"alg": ["RS256"]},
    "own key": {"alg": "RS256", "jwk": rsa_key("forged").as_dict(private=False)},
    "key of another type": USUAL | {"kid": 1},
    "type of another type": USUAL | {"typ": {}},
}


@pytest.mark.parametrize("header", ODD.values(), ids=ODD)
def test_a_token_with_an_odd_header_opens_nothing(
    client: FlaskClient, header: dict[str, Any]
) -> None:
    signer = Issuer(key=rsa_key("forged")) if "jwk" in header else TRUSTED
    refused(client, signer.signed(header, json.dumps(TRUSTED.claims()).encode()))


def test_the_public_key_is_no_shared_secret(client: FlaskClient) -> None:
    """Key confusion: HS256, with the bytes of the public key that everybody knows."""
    header = {"alg": "HS256", "kid": "one", "typ": "at+jwt"}
    parts = b".".join(
        map(urlsafe, (json.dumps(header).encode(), json.dumps(TRUSTED.claims()).encode()))
    )
    for public in (TRUSTED.key.as_pem(private=False), TRUSTED.key.as_der(private=False)):
        signature = urlsafe(hmac.digest(public, parts, "sha256"))
        refused(client, f"{parts.decode()}.{signature.decode()}")


PAYLOADS = [b"", b"[]", b"{", b"null", b"[" * 9000, b'{"iss":' + b'{"a":' * 3000, b"\xff"]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_a_signed_payload_that_is_no_claims_opens_nothing(
    client: FlaskClient, payload: bytes
) -> None:
    refused(client, TRUSTED.signed(USUAL, payload))


def refused(client: FlaskClient, token: str) -> None:
    for door in ("/fhir/Patient/a", "/dicomweb/studies"):
        answer = client.get(door, headers=bearer(token))
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_token_in_the_address_is_refused(app: Flask, client: FlaskClient) -> None:
    answer = client.get(f"/fhir/Patient?access_token={TRUSTED.token()}")
    assert answer.status_code == 400
    assert answer.get_json()["issue"][0]["expression"] == ["http.access_token"]
