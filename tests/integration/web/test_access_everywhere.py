"""Every address and every operation, as the application itself lists them, asked with tokens of
every kind: only the right one gets anything."""

import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.fhir.operation_definition import OPERATIONS
from imaging_fhir.settings import Settings
from imaging_fhir.web.authentication import OPEN_ENDPOINTS
from imaging_fhir.web.gate import OPEN, RULES
from tests.tokens import Issuer, bearer, rsa_key, site_file, urlsafe

TRUSTED = Issuer()
PLACES = {
    "type_name": "Encounter",
    "owner_type": "Patient",
    "owner_id": "a",
    "resource_id": "a",
    "kind": "studies",
    "version_id": "1",
    "code": "meta",
    "name": "chart.css",
    "_rest": "nothing",
    "definition_id": "nothing",
    "frames": "1",
    "path": "00420011",
}
UID = "1.2.3"
QUERIES = {
    "/dicomweb/wado": f"?requestType=WADO&studyUID={UID}&seriesUID={UID}&objectUID={UID}",
    **dict.fromkeys(("/iid", "/iid/IHEInvokeImageDisplay"), f"?requestType=STUDY&studyUID={UID}"),
}


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


def requests_of(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Endpoint, method and address of all there are."""
    for rule in app.url_map.iter_rules():
        values = {name: PLACES.get(name, UID) for name in rule.arguments}
        address = rule.build({**values, **(rule.defaults or {})}, append_unknown=False)
        assert address is not None, rule
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, address[1] + QUERIES.get(address[1], "")
    for operation in OPERATIONS:
        for method in operation.methods:
            for level in operation.levels:
                type_ = operation.all_types[0] if operation.all_types else ""
                place = {"system": "", "type": f"/{type_}", "instance": f"/{type_}/a"}[level]
                yield "fhir_operations", method, f"/fhir{place}/${operation.code}"


def key_confusion() -> str:
    """The public key, which everybody has, taken as a secret of HS256."""
    header = {"alg": "HS256", "kid": TRUSTED.key.kid, "typ": "at+jwt"}
    parts = b".".join(urlsafe(json.dumps(one).encode()) for one in (header, TRUSTED.claims()))
    signature = hmac.digest(rsa_key().as_pem(private=False), parts, "sha256")
    return f"{parts.decode()}.{urlsafe(signature).decode()}"


def unsigned() -> str:
    parts = ({"alg": "none", "typ": "at+jwt"}, TRUSTED.claims())
    return ".".join(urlsafe(json.dumps(one).encode()).decode() for one in parts) + "."


def wrong_tokens() -> dict[str, dict[str, str]]:
    other = Issuer(issuer="https://else.example", key=rsa_key("another"))
    return {
        "none": {},
        "expired": bearer(TRUSTED.token(exp=1_000_000)),
        "wrong audience": bearer(TRUSTED.token(aud="https://else.example/fhir")),
        "wrong issuer": bearer(other.token()),
        "alg none": bearer(unsigned()),
        "key confusion": bearer(key_confusion()),
    }


def is_of_sign_in(address: str) -> bool:
    return address.startswith(("/auth", "/.well-known", "/fhir/.well-known"))


def test_a_wrong_token_opens_no_address(app: Flask, client: FlaskClient) -> None:
    tokens = wrong_tokens()
    for endpoint, method, address in requests_of(app):
        if endpoint in OPEN_ENDPOINTS or is_of_sign_in(address):
            continue
        for name, headers in tokens.items():
            answer = client.open(address, method=method, headers=headers, buffered=True)
            assert answer.status_code == 401, (name, method, address)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer "), (name, address)


@pytest.mark.parametrize(
    "scope", ["openid", "patient/Media.s", "patient/Media.r", "user/Media.rs?status=completed"]
)
def test_what_no_scope_opens_is_refused_at_each(
    app: Flask, client: FlaskClient, scope: str
) -> None:
    """Nothing is found, either, by what asks no more than whether a resource is open."""
    headers = bearer(TRUSTED.token(scope=scope, patient="a"))
    for endpoint, method, address in requests_of(app):
        if RULES.get(endpoint) == OPEN or is_of_sign_in(address) or endpoint == "fhir.batch":
            continue
        if endpoint.startswith("asynchronous."):
            expected: tuple[int, ...] = (404,)  # nobody has asked for anything
        elif address.split("?")[0].rstrip("/") in SYSTEM and scope != "openid":
            expected = (200, 403, 415)  # of what the scope opens, which is nothing here
        else:
            expected = (403, 404, 405)  # what is nowhere offered is said so
        answer = client.open(address, method=method, headers=headers, buffered=True)
        assert answer.status_code in expected, (method, address, answer.status_code)


SYSTEM = ("/fhir", "/fhir/_search", "/fhir/_history", "/fhir/$meta")


def test_the_right_token_is_refused_nowhere(app: Flask, client: FlaskClient) -> None:
    headers = bearer(TRUSTED.token(scope="user/*.cruds"))
    for _, method, address in requests_of(app):
        if is_of_sign_in(address):
            continue
        answer = client.open(address, method=method, headers=headers, buffered=True)
        assert answer.status_code not in (401, 403, 500), (method, address, answer.text)
