from typing import Any

import pytest

from imaging_fhir.errors import AccessDenied, InvalidSetting
from imaging_fhir.services.access import AccessPolicy, require_safe_address
from imaging_fhir.settings import Settings


def policy(**settings: Any) -> AccessPolicy:
    return AccessPolicy(Settings(**settings))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "LocalHost:1", "127.0.0.1:8080", "[::1]:8080", "pacs.example"],
)
def test_a_listed_name_is_let_in(host: str) -> None:
    policy(allowed_hosts="other.example, pacs.example").admit("GET", host, None)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[", "127.0.0.1@evil", "a b"]
)
def test_another_name_is_not(host: str) -> None:
    with pytest.raises(AccessDenied):
        policy().admit("GET", host, None)


def test_the_public_address_names_us() -> None:
    policy(public_url="https://images.example").admit("GET", "images.example", None)


def test_beyond_loopback_any_address_of_ours_will_do_but_no_other_name() -> None:
    opened = policy(host="0.0.0.0", allow_open=True)  # noqa: S104
    opened.admit("GET", "10.0.0.1:8080", None)
    with pytest.raises(AccessDenied):
        opened.admit("GET", "evil.example", None)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost:8081", ""]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_foreign_page_may_not_write(method: str, origin: str) -> None:
    with pytest.raises(AccessDenied):
        policy().admit(method, "localhost:8080", origin)


@pytest.mark.parametrize("origin", ["http://localhost:8080", "http://127.0.0.1:8080", None])
def test_our_own_page_and_a_program_may_write(origin: str | None) -> None:
    policy().admit("POST", "localhost:8080", origin)


def test_a_foreign_page_may_ask_since_it_cannot_read_the_answer() -> None:
    policy().admit("GET", "localhost:8080", "http://evil.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_safe_to_listen_on(host: str) -> None:
    require_safe_address(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "images.example"])  # noqa: S104
def test_elsewhere_is_listened_on_only_when_it_is_said_to_be_wanted(host: str) -> None:
    with pytest.raises(InvalidSetting, match="IMAGING_FHIR_ALLOW_OPEN"):
        require_safe_address(Settings(host=host))
    require_safe_address(Settings(host=host, allow_open=True))
