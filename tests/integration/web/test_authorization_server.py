"""The token end point and its neighbours: who gets a token, and what ends it."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jws, jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from imaging_fhir.settings import Settings
from imaging_fhir.storage.schema import (
    oauth_client,
    oauth_grant,
    oauth_key,
    oauth_ticket,
    person_account,
)
from tests.authorizing import (
    BASE,
    ROOT,
    asserting,
    assertion,
    basic,
    challenge,
    code_of,
    exchange,
    refresh,
    server_of,
    services_of,
    settings_of,
    with_app,
    with_back_end,
    with_people,
)
from tests.tokens import bearer, ec_key, rsa_key


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_of(tmp_path, database_url)


@pytest.fixture
def app(app: Flask) -> Flask:
    with_people(app)
    with_app(app)
    with_back_end(app)
    return app


def claims_of(token: str) -> dict[str, Any]:
    found = json.loads(jws.extract_compact(token.encode()).payload)
    assert isinstance(found, dict)
    return found


def test_a_code_becomes_tokens_that_open_what_was_granted(app: Flask, client: FlaskClient) -> None:
    answer = exchange(client, code_of(app, encounter="e", references=("ImagingStudy/s",)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.get_json()
    assert (found["token_type"], found["expires_in"], found["patient"]) == ("Bearer", 3600, "a")
    assert found["fhirContext"] == [{"reference": "ImagingStudy/s"}]
    claims = claims_of(found["access_token"])
    assert (claims["aud"], claims["iss"], claims["sub"]) == (BASE, ROOT, "lee")
    assert jws.extract_compact(found["access_token"].encode()).headers()["typ"] == "at+jwt"
    reads = bearer(found["access_token"])
    assert client.get("/fhir/Patient/a", headers=reads).status_code == 404
    assert client.get("/fhir/Patient/b", headers=reads).status_code == 403
    assert client.post("/fhir/Patient", json={}, headers=reads).status_code == 403


def test_the_id_token_is_signed_by_a_published_key(app: Flask, client: FlaskClient) -> None:
    token = exchange(client, code_of(app)).get_json()["id_token"]
    keys = KeySet.import_key_set(client.get("/auth/jwks").get_json())
    read = jwt.decode(token, keys, algorithms=["RS256"])
    assert read.claims["aud"] == "app"
    assert read.claims["nonce"] == "nonce-1"
    assert read.claims["fhirUser"] == f"{BASE}/Practitioner/dr-lee"
    assert client.get("/fhir/Patient/a", headers=bearer(token)).status_code == 401


def test_a_code_counts_once_and_who_sends_it_again_ends_what_came_of_it(
    app: Flask, client: FlaskClient
) -> None:
    code = code_of(app)
    found = exchange(client, code).get_json()
    again = exchange(client, code)
    assert (again.status_code, again.get_json()["error"]) == (400, "invalid_grant")
    assert refresh(client, found["refresh_token"]).status_code == 400
    headers = bearer(found["access_token"])
    assert client.get("/fhir/Patient/a", headers=headers).status_code == 401


def test_a_code_that_is_over_counts_for_nothing(app: Flask, client: FlaskClient) -> None:
    code = code_of(app)
    services_of(app).database.write(
        lambda unit: unit.execute(oauth_ticket.update().values(expires=unit.now))
    )
    assert exchange(client, code).get_json()["error"] == "invalid_grant"


WRONG: dict[str, dict[str, Any]] = {
    "another verifier": {"code_verifier": "w" * 50},
    "no verifier": {"code_verifier": None},
    "the challenge as verifier": {"code_verifier": challenge()},
    "another address": {"redirect_uri": "https://app.example/callback/"},
    "no address": {"redirect_uri": None},
    "another client": {"client_id": "other"},
    "a client that is none": {"client_id": "nobody"},
    "no client": {"client_id": None},
    "no code": {"code": None},
    "another grant": {"grant_type": "password"},
    "a secret of a public client": {"client_secret": "x"},
    "a script": {"grant_type": "<script>"},
    "quotation marks": {"redirect_uri": '"\\é\x00'},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_wrong_token_request_gets_nothing(
    app: Flask, client: FlaskClient, change: dict[str, Any]
) -> None:
    with_app(app, "other")
    given = {"code": code_of(app)} | change
    answer = exchange(client, **given)
    assert answer.status_code in (400, 401)
    assert set(answer.get_json()) <= {"error", "error_description"}
    assert "access_token" not in answer.text
    assert "<script>" not in answer.text


def test_a_confidential_client_shows_its_secret_and_in_one_way_alone(
    app: Flask, client: FlaskClient
) -> None:
    secret = with_app(app, "web", auth_method="client_secret_basic")
    assert secret is not None
    none = exchange(client, code_of(app, client="web"), client_id="web")
    assert (none.status_code, none.get_json()["error"]) == (401, "invalid_client")
    wrong = exchange(client, code_of(app, client="web"), basic("web", "x"), client_id="web")
    assert wrong.status_code == 401
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    both = exchange(
        client, code_of(app, client="web"), basic("web", secret), **asserting(assertion())
    )
    assert both.get_json()["error"] == "invalid_request"
    other = exchange(client, code_of(app, client="web"), basic("web", secret), client_id="app")
    assert other.get_json()["error"] == "invalid_client"
    right = exchange(client, code_of(app, client="web"), basic("web", secret), client_id=None)
    assert right.status_code == 200


def test_a_refresh_token_is_replaced_and_an_old_one_ends_the_family(
    app: Flask, client: FlaskClient
) -> None:
    first = exchange(client, code_of(app)).get_json()
    second = refresh(client, first["refresh_token"]).get_json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["patient"] == "a"
    again = refresh(client, first["refresh_token"])
    assert (again.status_code, again.get_json()["error"]) == (400, "invalid_grant")
    assert refresh(client, second["refresh_token"]).status_code == 400
    headers = bearer(second["access_token"])
    assert client.get("/fhir/Patient/a", headers=headers).status_code == 401


def test_a_refresh_narrows_and_never_widens(app: Flask, client: FlaskClient) -> None:
    scope = "patient/*.rs launch/patient offline_access"
    token = exchange(client, code_of(app, scope=scope)).get_json()["refresh_token"]
    wider = refresh(client, token, scope="user/*.cruds")
    assert wider.get_json()["error"] == "invalid_scope"
    narrow = refresh(client, token, scope="patient/*.rs")
    assert narrow.get_json()["scope"] == "patient/*.rs"


def test_a_refresh_token_is_of_its_client_and_comes_with_leave_alone(
    app: Flask, client: FlaskClient
) -> None:
    with_app(app, "other")
    found = exchange(client, code_of(app)).get_json()
    assert refresh(client, found["refresh_token"], client_id="other").status_code == 400
    assert refresh(client, found["refresh_token"]).status_code == 200
    without = exchange(client, code_of(app, scope="patient/*.rs launch/patient")).get_json()
    assert "refresh_token" not in without
    assert "id_token" not in without


def test_who_may_not_log_in_any_more_refreshes_nothing(app: Flask, client: FlaskClient) -> None:
    found = exchange(client, code_of(app)).get_json()
    sessions = services_of(app).sessions
    assert sessions is not None
    sessions.set_password("lee", None)
    assert refresh(client, found["refresh_token"]).status_code == 400
    headers = bearer(found["access_token"])
    assert client.get("/fhir/Patient/a", headers=headers).status_code == 401


def system(client: FlaskClient, text: str, scope: str = "system/*.rs", **more: str) -> Any:
    form = {"grant_type": "client_credentials", "scope": scope, **asserting(text), **more}
    return client.post("/auth/token", data=form)


def test_a_back_end_gets_a_short_token_by_its_key(app: Flask, client: FlaskClient) -> None:
    answer = system(client, assertion(), "system/ImagingStudy.rs system/*.cruds user/*.rs openid")
    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert found["expires_in"] <= 300
    assert "refresh_token" not in found
    assert found["scope"] == "system/ImagingStudy.rs system/*.rs"


def test_an_assertion_counts_once(client: FlaskClient) -> None:
    text = assertion()
    assert system(client, text).status_code == 200
    again = system(client, text)
    assert (again.status_code, again.get_json()["error"]) == (401, "invalid_client")


BAD_ASSERTIONS: dict[str, dict[str, Any]] = {
    "another key": {"key": rsa_key("other"), "alg": "RS384"},
    "another algorithm": {"key": rsa_key("other"), "alg": "RS256"},
    "for another server": {"aud": "https://other.example/token"},
    "for the FHIR base": {"aud": BASE},
    "over": {"exp": 1_000_000_000},
    "endless": {"exp": 4_000_000_000},
    "without an end": {"exp": None},
    "about another": {"sub": "app"},
    "of another": {"iss": "app", "sub": "app"},
    "of nobody": {"iss": "nobody"},
    "without a number": {"jti": None},
    "with an odd number": {"jti": 1},
}


@pytest.mark.parametrize("change", BAD_ASSERTIONS.values(), ids=BAD_ASSERTIONS)
def test_a_wrong_assertion_shows_nobody(client: FlaskClient, change: dict[str, Any]) -> None:
    answer = system(client, assertion(**change))
    assert answer.status_code in (400, 401)
    assert answer.get_json()["error"] == "invalid_client"


def test_a_back_end_is_none_without_its_key_or_scopes(app: Flask, client: FlaskClient) -> None:
    form = {"grant_type": "client_credentials", "client_id": "back-end", "scope": "system/*.rs"}
    assert client.post("/auth/token", data=form).status_code in (400, 401)
    assert system(client, assertion(), "user/*.rs").get_json()["error"] == "invalid_scope"
    assert system(client, assertion(), "").get_json()["error"] == "invalid_scope"
    form["client_id"] = "app"
    assert client.post("/auth/token", data=form).status_code in (400, 401)


def test_a_revoked_token_opens_nothing(app: Flask, client: FlaskClient) -> None:
    found = exchange(client, code_of(app)).get_json()
    for token in (found["access_token"], found["refresh_token"], "unknown"):
        form = {"token": token, "client_id": "app"}
        assert client.post("/auth/revoke", data=form).status_code == 200
        headers = bearer(found["access_token"])
        assert client.get("/fhir/Patient/a", headers=headers).status_code == 401
    assert refresh(client, found["refresh_token"]).status_code == 400


def test_a_client_revokes_no_token_of_another(app: Flask, client: FlaskClient) -> None:
    with_app(app, "other")
    found = exchange(client, code_of(app)).get_json()
    for name in ("access_token", "refresh_token"):
        form = {"token": found[name], "client_id": "other"}
        assert client.post("/auth/revoke", data=form).status_code == 200
    assert refresh(client, found["refresh_token"]).status_code == 200


def test_introspection_says_what_a_token_is_to_whom_it_concerns(
    app: Flask, client: FlaskClient
) -> None:
    secret = with_app(app, "web", auth_method="client_secret_basic")
    assert secret is not None
    found = exchange(client, code_of(app)).get_json()
    form = {"token": found["access_token"], **asserting(assertion())}
    told = client.post("/auth/introspect", data=form).get_json()
    assert told["active"] is True
    assert (told["client_id"], told["patient"]) == ("app", "a")
    form = {"token": found["access_token"]}
    other = client.post("/auth/introspect", data=form, headers=basic("web", secret))
    assert other.get_json() == {"active": False}
    assert client.post("/auth/introspect", data=form).status_code == 401
    nothing = client.post("/auth/introspect", data={"token": "x", **asserting(assertion())})
    assert nothing.get_json() == {"active": False}


def test_a_rotated_key_signs_no_more_and_is_published_until_its_tokens_are_over(
    app: Flask, client: FlaskClient
) -> None:
    before = exchange(client, code_of(app)).get_json()["access_token"]
    made = server_of(app).keys.rotate()
    after = exchange(client, code_of(app)).get_json()["access_token"]
    assert jws.extract_compact(after.encode()).headers()["kid"] == made
    published = [key["kid"] for key in client.get("/auth/jwks").get_json()["keys"]]
    assert published[0] == made
    assert len(published) == 2
    for token in (before, after):
        assert client.get("/fhir/Patient/a", headers=bearer(token)).status_code == 404


def test_nothing_private_is_published(client: FlaskClient) -> None:
    for key in client.get("/auth/jwks").get_json()["keys"]:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


def test_discovery_says_what_there_is(client: FlaskClient) -> None:
    smart = client.get("/fhir/.well-known/smart-configuration").get_json()
    for name in ("openid-configuration", "oauth-authorization-server"):
        found = client.get(f"/.well-known/{name}").get_json()
        assert found["issuer"] == smart["issuer"] == ROOT
        assert found["token_endpoint"] == smart["token_endpoint"] == f"{ROOT}/auth/token"
        assert "registration_endpoint" not in found
        assert found["code_challenge_methods_supported"] == ["S256"]


def test_pages_of_registered_apps_may_ask_for_tokens(client: FlaskClient) -> None:
    for origin, is_known in (("https://app.example", True), ("https://evil.example", False)):
        answer = client.post("/auth/token", data={}, headers={"Origin": origin})
        assert answer.status_code == (400 if is_known else 403)
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if is_known else None)
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_an_app_registers_by_itself_only_where_it_may(client: FlaskClient) -> None:
    described = {"redirect_uris": ["https://new.example/"], "scope": "patient/*.rs"}
    assert client.post("/auth/register", json=described).status_code == 404


def test_whoever_may_see_everybody_says_what_is_at_hand(app: Flask, client: FlaskClient) -> None:
    token = system(client, assertion()).get_json()["access_token"]
    asked = {"client_id": "app", "patient": "a", "imagingstudy": "s"}
    answer = client.post("/auth/launch", json=asked, headers=bearer(token))
    assert answer.status_code == 201, answer.text
    found = answer.get_json()
    assert found["iss"] == BASE
    context = server_of(app).launched(found["launch"], client_id="app", account="lee")
    assert context is not None
    assert (context.patient, context.references) == ("a", ("ImagingStudy/s",))
    assert server_of(app).launched(found["launch"], client_id="other", account="lee") is None
    of_app = exchange(client, code_of(app)).get_json()["access_token"]
    assert client.post("/auth/launch", json=asked, headers=bearer(of_app)).status_code == 403
    assert client.post("/auth/launch", json=asked).status_code == 401
    for bad in ({"client_id": "x"}, {**asked, "patient": "a/b"}, {**asked, "imagingstudy": [1]}):
        answer = client.post("/auth/launch", json=bad, headers=bearer(token))
        assert answer.status_code == 400


KEPT = (oauth_client, oauth_grant, oauth_key, oauth_ticket, person_account)


def test_no_secret_is_kept_as_it_is(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    secret = with_app(app, "web", auth_method="client_secret_basic")
    code = code_of(app, client="web")
    found = exchange(client, code, basic("web", str(secret)), client_id=None).get_json()
    kept = (tmp_path / "authorization.secret").read_text().strip()
    assert (tmp_path / "authorization.secret").stat().st_mode & 0o777 == 0o600
    with services_of(app).database.read() as connection:
        rows = [connection.execute(select(table)).all() for table in KEPT]
    text = str(rows)
    for one in (secret, code, found["refresh_token"], kept, "correct horse", "BEGIN PRIVATE"):
        assert str(one) not in text


def test_a_public_key_of_the_other_kind_is_none_of_the_client(client: FlaskClient) -> None:
    assert system(client, assertion(key=ec_key("three"))).status_code == 401
