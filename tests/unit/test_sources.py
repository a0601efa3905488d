"""Who a sender is, by address, AE title and certificate."""

from pathlib import Path

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.settings import Settings, Site, Source

NOBODY: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("described", "fault"),
    [
        ('ae_titles = ["CT1"]', "anyone may use"),
        ('ae_titles = ["MUCH_TOO_LONG_TITLE"]\naddresses = ["10.0.0.1"]', "no AE title"),
        ('ae_titles = ["BACK\\\\SLASH"]\naddresses = ["10.0.0.1"]', "no AE title"),
        ('certificates = ["ct.example"]', "no AE titles"),
    ],
)
def test_a_title_that_proves_nothing_is_an_error(
    tmp_path: Path, described: str, fault: str
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[[sources]]\nid = "ct"\n{described}\n')
    with pytest.raises(InvalidSetting, match=fault):
        Site.from_file(str(path))


def test_a_source_is_told_by_title_and_one_proof() -> None:
    ct = Source(id="ct", ae_titles=("CT",), addresses=("10.0.0.0/24",), certificates=("ct.x",))
    mr = Source(id="mr", ae_titles=("MR",), addresses=("10.0.0.7",))
    site = Site(sources=(ct, mr))
    assert site.source_of_ae("CT", "10.0.0.7", NOBODY) == ct
    assert site.source_of_ae("MR", "10.0.0.7", NOBODY) == mr
    assert site.source_of_ae("MR", "10.0.0.8", NOBODY) is None
    assert site.source_of_ae("CT", "192.0.2.1", frozenset({"ct.x"})) == ct
    assert site.source_of_ae("CT", "192.0.2.1", frozenset({"mr.x"})) is None
    assert site.source_of_ae("US", "10.0.0.7", NOBODY) is None


def test_an_address_that_several_share_is_of_those_without_titles() -> None:
    ct, mr = (Source(id=title, ae_titles=(title,), addresses=("10.0.0.7",)) for title in "AB")
    gateway = Source(id="gateway", addresses=("10.0.0.0/24",))
    assert Site(sources=(ct,)).source_of_address("10.0.0.7") == ct
    assert Site(sources=(ct, mr)).source_of_address("10.0.0.7").id == "default"
    assert Site(sources=(ct, mr, gateway)).source_of_address("10.0.0.7") == gateway


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"dimse_callers": "some"}, "DIMSE_CALLERS"),
        ({"dimse_ae_title": ""}, "no AE title"),
        ({"dimse_ae_title": "GOOD, MUCH_TOO_LONG_TITLE"}, "no AE title"),
        ({"dimse_associations": 0}, "DIMSE_ASSOCIATIONS"),
        ({"dimse_max_pdu": 100}, "DIMSE_MAX_PDU"),
        ({"dimse_timeout": 0.0}, "DIMSE_TIMEOUT"),
        ({"dimse_tls_client_ca_file": "ca.pem"}, "CERT_FILE"),
    ],
)
def test_settings_of_the_door_make_sense(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(InvalidSetting, match=fault):
        Settings(**settings)  # type: ignore[arg-type]


def test_it_answers_to_several_titles() -> None:
    assert Settings(dimse_ae_title="OLD_PACS, IMAGING").dimse_titles == {"OLD_PACS", "IMAGING"}
