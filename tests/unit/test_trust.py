"""What the site file says of issuers is checked when it is read."""

from pathlib import Path

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.settings import Settings, Site

ISSUER = '[[token_issuers]]\nissuer = "https://ehr.example"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[token_issuers]]\njwks_url = 'https://a.example'", "issuer"),
        ("[[token_issuers]]\nissuer = 'http://ehr.example'", "no https address"),
        ("[[token_issuers]]\nissuer = 'https://u@ehr.example'", "no https address"),
        (ISSUER + ISSUER, "twice"),
        (ISSUER + "algorithms = ['HS256']", "HS256"),
        (ISSUER + "algorithms = ['none']", "none"),
        (ISSUER + "algorithms = []", "none"),
        (ISSUER + "clock_skew = 3600", "clock_skew"),
        (ISSUER + "clock_skew = true", "clock_skew"),
        (ISSUER + "colour = 'red'", "colour"),
        (ISSUER + "roles = { physician = 'king' }", "king"),
        (ISSUER + "default_roles = ['king']", "king"),
        (ISSUER + "jwks_url = 'http://ehr.example/jwks'", "no https address"),
        (ISSUER + "jwks_url = 'https://ehr.example/jwks'\njwks_file = '/jwks'", "more than one"),
        (ISSUER + "introspection_url = 'https://ehr.example/i'", "needs client_id"),
        ("[[system_clients]]\nclient_id = 'a'", "neither patients nor studies"),
        ("[[system_clients]]\neverything = true", "client_id"),
        ("[token_issuers]\nissuer = 'https://ehr.example'", "token_issuers"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(InvalidSetting, match=why):
        Site.from_file(str(path))


def test_loopback_needs_no_tls(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[[token_issuers]]\nissuer = "http://localhost:9000/realm"\n')
    [issuer] = Site.from_file(str(path)).trust.issuers
    assert issuer.configured_hosts == {"localhost"}


def test_who_is_trusted_does_not_make_images_be_judged_anew(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(ISSUER)
    assert Site.from_file(str(path)).fingerprint == Site().fingerprint


def test_authentication_is_none_or_smart() -> None:
    assert Settings(auth="smart").auth == "smart"
    with pytest.raises(InvalidSetting, match="none or smart"):
        Settings(auth="basic")
