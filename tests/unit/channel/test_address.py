import socket
from typing import Any

import pytest

from imaging_fhir.channel.address import AddressRefused, Guard
from imaging_fhir.errors import InvalidSetting

PUBLIC = Guard()


@pytest.mark.parametrize(
    "url",
    [
        "http://ehr.example/hook",
        "ftp://ehr.example/hook",
        "file:///etc/passwd",
        "ehr.example/hook",
        "https:///hook",
        "https://user@ehr.example/hook",
        "https://user:secret@ehr.example/hook",
        "https://ehr.example/hook#part",
        "https://ehr.example:99999/hook",
        "https://ehr.example/a b",
        "https://ehr.example/a\r\nHost: other",
        "https://ehr.example\\@other.example/",
        "https://ehr%2eexample/hook",
        "https://[::1/hook",
        "https://bücher.example/",
    ],
)
def test_what_is_no_plain_address_of_https_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        PUBLIC.target(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",  # noqa: S104 (it is not listened on)
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
    ],
)
def test_an_address_that_is_not_public_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(AddressRefused, match="not public"):
        PUBLIC.target(f"https://{host}/hook")


def test_a_public_address_is_taken_apart() -> None:
    target = PUBLIC.target("https://ehr.example/hook?a=b")
    assert (target.host, target.port, target.path) == ("ehr.example", 443, "/hook?a=b")
    assert target.authority == "ehr.example"
    assert PUBLIC.target("https://[2606:4700::1111]:8443").authority == "[2606:4700::1111]:8443"
    assert PUBLIC.target("https://8.8.8.8/").host == "8.8.8.8"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::ffff:127.0.0.1",), ("fe80::1%eth0",)]
)
def test_a_name_that_leads_into_the_house_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    resolving(monkeypatch, *addresses)
    with pytest.raises(AddressRefused):
        PUBLIC.resolve(PUBLIC.target("https://ehr.example/hook"))


def test_a_name_of_public_addresses_may_be_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "8.8.8.8", "8.8.8.8", "2606:4700::1111")
    found = PUBLIC.resolve(PUBLIC.target("https://ehr.example/hook"))
    assert found == ["8.8.8.8", "2606:4700::1111"]


def test_what_the_site_lists_may_be_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard.of("EHR.local, 10.1.0.0/16,127.0.0.1 ,fd00::/8", allow_http=True)
    assert guard.target("http://127.0.0.1:8080/").authority == "127.0.0.1:8080"
    assert guard.target("http://[fd00::5]/").port == 80
    assert guard.target("http://10.1.9.9/")
    resolving(monkeypatch, "192.168.1.7")
    assert guard.resolve(guard.target("http://ehr.local/")) == ["192.168.1.7"]
    for url in ("http://10.2.0.1/", "http://127.0.0.2/", "http://[::1]/"):
        with pytest.raises(AddressRefused):
            guard.target(url)
    with pytest.raises(AddressRefused):
        guard.resolve(guard.target("http://other.local/"))


def test_a_network_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSetting, match="SUBSCRIPTION_HOSTS"):
        Guard.of("10.0.0.0/99", allow_http=False)
