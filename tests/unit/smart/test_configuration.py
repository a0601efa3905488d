"""Who gives tokens for this server is said as SMART and SMART Imaging Access have it."""

from typing import Any

import pytest

from imaging_fhir.smart.configuration import (
    APP_LAUNCH,
    BACKEND_SERVICES,
    CAPABILITIES,
    IMAGING,
    SCOPES,
    foreign_configuration,
    own_configuration,
)
from imaging_fhir.smart.scope import parse_scope

EHR = "https://ehr.example"
ENDPOINTS: dict[str, Any] = {
    "authorization_endpoint": f"{EHR}/authorize",
    "token_endpoint": f"{EHR}/token",
    "jwks_uri": f"{EHR}/jwks",
}


def test_ours_has_what_smart_requires() -> None:
    found = own_configuration("https://images.example", "https://images.example")
    assert found["token_endpoint"] == "https://images.example/auth/token"
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert {"issuer", "jwks_uri", "authorization_endpoint"} <= set(found)
    assert {IMAGING, APP_LAUNCH, BACKEND_SERVICES} <= set(found["capabilities"])
    assert "registration_endpoint" not in found
    assert "registration_endpoint" in own_configuration("https://a", "https://a", registers=True)


def test_each_scope_that_is_listed_is_understood() -> None:
    of_resources = [scope for scope in SCOPES if "/" in scope and not scope.startswith("launch/")]
    assert len(of_resources) == 10
    assert all(parse_scope(scope) for scope in of_resources)


def test_the_endpoints_are_those_of_the_ehr() -> None:
    found = foreign_configuration(
        ENDPOINTS
        | {
            "code_challenge_methods_supported": ["plain", "S256"],
            "capabilities": ["launch-ehr", "permission-v1", "something-of-the-ehr"],
            "scopes_supported": ["openid", 7],
            "revocation_endpoint": "/relative",
        },
        EHR,
        lets_systems_in=False,
    )
    assert {name: found[name] for name in ENDPOINTS} == ENDPOINTS
    assert "revocation_endpoint" not in found
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["scopes_supported"] == ["openid"]
    assert found["capabilities"] == [
        "launch-ehr",
        "permission-v1",
        "permission-v2",
        IMAGING,
        APP_LAUNCH,
    ]


@pytest.mark.parametrize(
    ("grants", "lets_in", "modes"),
    [
        (["authorization_code"], True, {APP_LAUNCH}),
        (["client_credentials"], True, {BACKEND_SERVICES}),
        (["client_credentials"], False, set()),
        (["authorization_code", "client_credentials"], True, {APP_LAUNCH, BACKEND_SERVICES}),
        (None, True, {APP_LAUNCH}),
    ],
)
def test_a_mode_is_told_where_it_can_be_used(
    grants: list[str] | None, lets_in: bool, modes: set[str]
) -> None:
    document = ENDPOINTS | ({"grant_types_supported": grants} if grants else {})
    found = foreign_configuration(document, EHR, lets_systems_in=lets_in)
    assert modes == {APP_LAUNCH, BACKEND_SERVICES} & set(found["capabilities"])


@pytest.mark.parametrize("value", [None, 1, [], {}, "https://[", "javascript:alert(1)"], ids=str)
def test_what_is_no_address_is_left_out(value: Any) -> None:
    found = foreign_configuration({"token_endpoint": value}, EHR, lets_systems_in=True)
    assert "token_endpoint" not in found
    assert len(CAPABILITIES) == len(set(CAPABILITIES))
