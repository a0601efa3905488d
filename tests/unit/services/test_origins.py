"""Origins of apps: as browsers write them, and any only where that is meant."""

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.settings import Settings


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:3000",
        "http://[::1]:3000",
        "capacitor://localhost",
        "https://app.example/",
        "HTTPS://App.Example",
    ],
)
def test_an_origin_is_listed(origin: str) -> None:
    access = AccessPolicy(Settings(cors_origins=f" {origin} ,https://other.example"))
    assert access.is_listed(origin.rstrip("/"))
    assert not access.is_foreign(origin.rstrip("/"), "localhost:8080")
    assert access.is_foreign("https://evil.example", "localhost:8080")
    assert access.is_foreign("null", "localhost:8080")


@pytest.mark.parametrize(
    "origin",
    [
        "app.example",
        "https://app.example/app",
        "https://*.example",
        "https://app.example:443",
        "http://app.example:80",
        "https://user@app.example",
        "null",
        "https://app.example https://b.example",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(InvalidSetting, match="CORS_ORIGINS"):
        Settings(cors_origins=origin)


def test_any_origin_needs_a_second_word_without_authentication() -> None:
    with pytest.raises(InvalidSetting, match="ALLOW_OPEN"):
        Settings(cors_origins="*")
    assert AccessPolicy(Settings(cors_origins="*", allow_open=True)).is_listed("https://a.example")
