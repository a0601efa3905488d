"""Whatever is sent as a token, it counts or is refused; a claim of any form breaks nothing."""

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwk

from imaging_fhir.errors import Unauthenticated
from imaging_fhir.model.caller import Caller
from imaging_fhir.smart.access_token import (
    Expected,
    KeyUnknown,
    public_keys,
    unverified,
    verified,
)
from imaging_fhir.smart.granted import Reading, caller_of
from imaging_fhir.trust import USUAL_ALGORITHMS, TrustedIssuer
from tests.tokens import BASE, ISSUER, Issuer, ec_key, rsa_key, urlsafe

EXPECTED = Expected(
    issuer=ISSUER, audiences=frozenset({BASE}), algorithms=frozenset(USUAL_ALGORITHMS)
)
TRUSTED = TrustedIssuer(issuer=ISSUER, roles={"physician": "clinician"}, roles_claim="realm.roles")
READING = Reading(issuer=TRUSTED, fhir_bases=frozenset({BASE}))
USUAL = {"alg": "RS256", "kid": "one"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = ["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "client_id", "azp", "scope", "scp"]
CONTEXT = ["patient", "encounter", "fhirUser", "realm", "extensions", "cnf"]


def caller(token: str, issuer: Issuer | None = None) -> Caller:
    keys = public_keys((issuer or Issuer()).jwks())
    claims = verified(unverified(token), keys, EXPECTED, now=time.time())
    return caller_of(claims, READING, token_id="x")


def judged(token: str) -> Caller | Unauthenticated:
    try:
        return caller(token)
    except Unauthenticated as refused:
        return refused


@pytest.mark.parametrize("exp", [10**400, 2**53 + 1, -1, float("inf"), float("nan"), True, "1e9"])
def test_a_time_that_is_none_is_refused(exp: Any) -> None:
    with pytest.raises(Unauthenticated, match="exp"):
        caller(Issuer().signed(USUAL, json.dumps(Issuer().claims() | {"exp": exp}).encode()))


@pytest.mark.parametrize("issuer", [Issuer(), Issuer(key=ec_key())], ids=["RSA", "EC"])
def test_a_right_token_says_who_asks(issuer: Issuer) -> None:
    token = issuer.token(
        patient=f"{BASE}/Patient/p1",
        encounter="Encounter/e1",
        fhirUser=f"{BASE}/Practitioner/7",
        realm={"roles": ["physician", "administrator"]},
        scope="openid patient/*.rs launch",
        extensions={
            "ihe_iua": {
                "purpose_of_use": [
                    {"system": "urn:oid:2.16.840.1.113883.5.8", "code": "TREAT"},
                    {"system": "https://other.example", "code": "ETREAT"},
                ]
            }
        },
    )
    found = caller(token, issuer)
    assert (found.patient, found.encounter, found.fhir_user) == ("p1", "e1", "Practitioner/7")
    assert found.roles == {"clinician"}
    assert found.purposes == {"TREAT"}
    assert [scope.context for scope in found.scopes] == ["patient"]


def test_another_servers_practitioner_is_not_ours() -> None:
    address = "https://other.example/fhir/Practitioner/7"
    assert caller(Issuer().token(fhirUser=address)).fhir_user == address


def test_without_a_patient_the_patients_scopes_open_nothing() -> None:
    assert caller(Issuer().token(scope="patient/*.cruds", patient=None)).scopes == ()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES + CONTEXT), JSON, max_size=5))
def test_claims_of_any_form_count_or_are_refused(odd: dict[str, Any]) -> None:
    payload = json.dumps(Issuer().claims() | odd).encode()
    found = judged(Issuer().signed(USUAL, payload))
    if isinstance(found, Unauthenticated):
        assert found.error == "invalid_token"
    else:
        assert found.issuer == ISSUER
        assert found.subject
        assert found.roles <= {"clinician"}


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku"]), JSON))
def test_headers_of_any_form_count_or_are_refused(odd: dict[str, Any]) -> None:
    token = Issuer().signed(USUAL | odd, json.dumps(Issuer().claims()).encode())
    found = judged(token)
    if isinstance(found, Unauthenticated):
        assert found.error == "invalid_token"
    else:
        assert found.subject == "dr-lee"


@given(st.text() | st.binary().map(lambda raw: urlsafe(raw).decode()))
def test_any_text_is_refused(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", f"e30.{text}.e30"):
        with pytest.raises(Unauthenticated):
            unverified(token)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_token_that_was_changed_does_not_count(position: int, byte: int) -> None:
    token = bytearray(Issuer().token(scope="user/Patient.rs").encode())
    at = position % len(token)
    changed = token[:at] + bytes([byte]) + token[at + 1 :]
    if decoded(changed) == decoded(token):
        return
    with pytest.raises(Unauthenticated):
        caller(changed.decode("latin-1"))


def decoded(token: bytes | bytearray) -> Any:
    """Of the last character of a part some bits say nothing."""
    text = token.decode("latin-1")
    try:
        found = unverified(text)
    except Unauthenticated:
        return text
    head, _, _ = text.rpartition(".")
    return head, found.algorithm


@given(JSON | st.fixed_dictionaries({"keys": st.lists(JSON, max_size=3)}))
def test_what_is_no_key_is_left_out(described: Any) -> None:
    assert public_keys(described) == ()


def test_of_a_jwks_only_keys_that_check_signatures_are_taken() -> None:
    public = rsa_key().as_dict(private=False)
    short = jwk.RSAKey.generate_key(2048).as_dict(private=False) | {
        "n": urlsafe(b"\xff" * 64).decode()
    }
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    odd: list[Any] = [{"kty": "new"}, None, dict(public, use="enc"), dict(public, n="!"), short]
    found = public_keys({"keys": [secret, *odd, public, ec_key().as_dict(private=True)]})
    assert [key.kid for key in found] == ["one", "two"]
    assert not any(key.is_private for key in found)


def test_the_key_is_chosen_by_name_and_kind() -> None:
    both = public_keys({"keys": [*Issuer().jwks()["keys"], *Issuer(key=ec_key()).jwks()["keys"]]})
    token = unverified(Issuer(key=ec_key()).token())
    assert verified(token, both, EXPECTED, now=time.time())["sub"] == "dr-lee"
    with pytest.raises(KeyUnknown):
        verified(token, both[:1], EXPECTED, now=time.time())
    unnamed = public_keys({"keys": [{k: v for k, v in both[0].as_dict().items() if k != "kid"}]})
    assert verified(unverified(Issuer().token()), unnamed, EXPECTED, now=time.time())
    with pytest.raises(KeyUnknown):  # it may have been replaced: there is no name to tell
        verified(unverified(Issuer(key=rsa_key("new")).token()), unnamed, EXPECTED, now=time.time())
