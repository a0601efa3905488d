"""Where tokens are had is open to everybody; every 401 says how to come back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from imaging_fhir.smart.configuration import APP_LAUNCH
from tests.foreign_issuer import Peer, foreign_issuer
from tests.tokens import bearer

CONFIGURATION = "/fhir/.well-known/smart-configuration"


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with foreign_issuer() as started:
        yield started


@pytest.fixture(scope="module")
def client(
    peer: Peer, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("smart")
    (folder / "test.db").write_bytes(sqlite_template.read_bytes())
    (folder / "site.toml").write_text(f'[[token_issuers]]\nissuer = "{peer.address}"\n')
    settings = Settings(
        auth="smart",
        database_url=f"sqlite:///{folder}/test.db",
        data_dir=folder,
        public_url="https://images.example",
        site_file=str(folder / "site.toml"),
        min_free_bytes=0,
    )
    services = build_services(settings)
    yield app_of(services).test_client()
    services.close()


def test_the_configuration_is_json_whatever_is_accepted(client: FlaskClient, peer: Peer) -> None:
    for accept in ("application/json", "application/fhir+xml", "text/html", "image/png"):
        answer = client.get(
            CONFIGURATION, headers={"Accept": accept, "Origin": "https://app.example"}
        )
        assert answer.status_code == 200
        assert answer.content_type == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    found = answer.get_json()
    assert found["token_endpoint"] == f"{peer.address}/token"
    assert "smart-imaging-access" in found["capabilities"]
    assert APP_LAUNCH in found["capabilities"]


def test_the_capabilities_say_the_same(client: FlaskClient, peer: Peer) -> None:
    answer = client.get("/fhir/metadata", headers={"Origin": "https://app.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    security = answer.get_json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    assert uris == {"authorize": f"{peer.address}/authorize", "token": f"{peer.address}/token"}


def test_other_addresses_are_not_open_to_pages(client: FlaskClient) -> None:
    answer = client.get("/fhir/Patient", headers={"Origin": "https://app.example"})
    assert answer.status_code == 401
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_studies_are_said_to_need_the_token(client: FlaskClient, peer: Peer) -> None:
    answer = client.get("/fhir/Endpoint/dicomweb", headers=bearer(peer.token()))
    assert answer.status_code == 200
    [extension] = answer.get_json()["extension"]
    assert extension["valueBoolean"] is True


def test_a_401_is_in_the_form_of_its_door(client: FlaskClient) -> None:
    fhir = client.get("/fhir/Patient/a")
    assert fhir.get_json()["issue"][0]["code"] == "login"
    xml = client.get("/fhir/Patient/a", headers={"Accept": "application/fhir+xml"})
    assert xml.content_type.startswith("application/fhir+xml")
    dicomweb = client.get("/dicomweb/studies")
    assert dicomweb.get_json() == {"error": "Sign in first: there is no access token."}
    for page in ("/chart", "/fhir/Patient/a"):
        shown = client.get(page, headers={"Accept": "text/html"})
        assert shown.content_type.startswith("text/html")
        assert shown.headers["WWW-Authenticate"].startswith("Bearer")
        assert shown.status_code == 401


def test_keys_that_cannot_be_had_are_no_wrong_token(client: FlaskClient, peer: Peer) -> None:
    settings_of = client.application.extensions["imaging_fhir"].tokens
    [issuer] = settings_of.issuers.values()
    kept, issuer.judge.keys.set = issuer.judge.keys.set, type(issuer.judge.keys.set)()
    peer.post("/down")
    try:
        answer = client.get("/fhir/Patient/b", headers=bearer(peer.token(jti="new")))
    finally:
        peer.post("/up")
        issuer.judge.keys.set = kept
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "WWW-Authenticate" not in answer.headers
