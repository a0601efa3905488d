"""Whose request it is: what listed proxies say, and never what a client says of itself."""

from typing import Any

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.settings import Settings
from imaging_fhir.web.proxies import behind_proxies


def address_seen(peer: str, headers: dict[str, str], **settings: Any) -> str:
    seen: list[str] = []

    def application(environ: dict[str, Any], _: object) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    variables = {f"HTTP_{name.upper().replace('-', '_')}": said for name, said in headers.items()}
    asked = behind_proxies(application, Settings(**settings))
    asked({"REMOTE_ADDR": peer, **variables}, lambda *_: None)
    return seen[0]


LISTED = "10.0.0.0/8, 192.0.2.1, 2001:db8::/32"


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("10.1.1.1", "198.51.100.7", "198.51.100.7"),
        ("10.1.1.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.1.1.1", "203.0.113.9, 198.51.100.7, 192.0.2.1", "198.51.100.7"),
        ("10.1.1.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.1.1.1", "2a00::5", "2a00::5"),
        ("10.1.1.1", "[2a00::5]:99", "2a00::5"),
        ("2001:db8::1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.1.1.1", "10.2.2.2", "10.2.2.2"),
        ("10.1.1.1", "10.3.3.3, somebody", ""),
        ("10.1.1.1", "198.51.100.7, ", ""),
        ("10.1.1.1", "[::1", ""),
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_the_last_address_that_is_no_listed_proxy_is_the_client(
    peer: str, said: str, client: str
) -> None:
    assert address_seen(peer, {"X-Forwarded-For": said}, trusted_proxies=LISTED) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=198.51.100.7;proto=https;by=10.1.1.1", "198.51.100.7"),
        ('For="[2a00::5]:4711"', "2a00::5"),
        ('for=203.0.113.9, for="198.51.100.7:80", for=192.0.2.1;host=a', "198.51.100.7"),
        ("for=_hidden", ""),
        ("for=unknown", ""),
        ("proto=https", ""),
        ('for="', ""),
        ('for=203.0.113.9;x=", for=198.51.100.7;by="10.1.1.1"', ""),
        ('for=198.51.100.7;host="x, for=203.0.113.9"', ""),
    ],
)
def test_the_header_of_rfc_7239_is_read(said: str, client: str) -> None:
    options = {"trusted_proxies": LISTED, "proxy_header": "Forwarded"}
    assert address_seen("10.1.1.1", {"Forwarded": said}, **options) == client


def test_only_the_header_that_the_proxies_write_is_read() -> None:
    headers = {"Forwarded": "for=203.0.113.9", "X-Forwarded-For": "198.51.100.7"}
    assert address_seen("10.1.1.1", headers, trusted_proxies=LISTED) == "198.51.100.7"
    assert address_seen("10.1.1.1", {"Forwarded": "for=1.2.3.4"}, trusted_proxies=LISTED) == (
        "10.1.1.1"
    )


def test_without_a_list_nobody_is_believed() -> None:
    assert address_seen("127.0.0.1", {"X-Forwarded-For": "198.51.100.7"}) == "127.0.0.1"


@pytest.mark.parametrize(
    "wrong", [{"trusted_proxies": "proxy.example"}, {"proxy_header": "X-Real-IP"}]
)
def test_a_wrong_setting_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="PROX"):
        Settings(**wrong)
