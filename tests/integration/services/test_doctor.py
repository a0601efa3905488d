"""What is not well is said, with what to do."""

import socket
from pathlib import Path

import pytest

from imaging_fhir.services.doctor import Diagnosis, doctor
from imaging_fhir.settings import Settings
from tests.odd_ehr import SEARCHES, OddEhr


def diagnoses(settings: Settings) -> dict[str, Diagnosis]:
    return {diagnosis.what: diagnosis for diagnosis in doctor(settings)}


def test_a_well_service_is_well(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = Settings(
        database_url=database_url,
        data_dir=tmp_path,
        time_zone="Europe/Berlin",
        port=port,
        min_free_bytes=1,
    )
    found = diagnoses(settings)
    expected = {"durability"} if database_url.startswith("postgresql") else set()
    assert {what for what, one in found.items() if one.state != "ok"} <= expected


def test_everything_that_is_wrong_comes_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(
            database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing",
            blob_url=f"file://{tmp_path}/file",
            public_url="ftp://nowhere",
            site_file=str(tmp_path / "missing.toml"),
            ehr_url="http://127.0.0.1:1/r4",
            redis_url="redis://127.0.0.1:1",
            port=listener.getsockname()[1],
            dimse_port=11112,
            dimse_tls_cert_file=str(tmp_path / "missing.pem"),
        )
        found = diagnoses(settings)
    states = {what: one.state for what, one in found.items() if one.state != "ok"}
    assert states == {
        "site": "failed",
        "database": "failed",
        "blobs": "failed",
        "time zone": "warning",
        "public address": "failed",
        "EHR": "failed",
        "Redis": "warning",
        "port": "warning",
        "DIMSE": "failed",
    }
    assert all(one.advice for one in found.values() if one.state != "ok")


@pytest.mark.parametrize(
    ("off", "state", "said"),
    [("period", "ok", "rules off: period"), ("perod", "failed", "'perod'")],
)
def test_the_rules_of_the_site_file_are_looked_at(
    tmp_path: Path, off: str, state: str, said: str
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[linking]\noff = ["{off}"]\n')
    settings = Settings(data_dir=tmp_path, site_file=str(path), port=0)
    found = diagnoses(settings)["site"]
    assert found.state == state
    assert said in found.message


def test_a_new_database_is_told_to_be_brought_up_to_date(
    empty_database_url: str, tmp_path: Path
) -> None:
    found = diagnoses(Settings(database_url=empty_database_url, data_dir=tmp_path))
    assert (found["database"].state, "serve" in found["database"].advice) == ("warning", True)


def test_what_an_ehr_lacks_is_told(tmp_path: Path) -> None:
    searches = {"Patient": ["identifier"], "Encounter": ["patient"]}
    ehr = OddEhr(searches=searches).start()
    try:
        settings = Settings(data_dir=tmp_path, ehr_url=ehr.base, ehr_timeout=20.0)
        found = diagnoses(settings)["EHR"]
        assert found.state == "warning"
        assert found.message == (
            "it declares no search for Encounter by identifier, Encounter by date, "
            "ServiceRequest by identifier"
        )
        ehr.searches = SEARCHES
        assert diagnoses(settings)["EHR"].state == "ok"
        ehr.mode = "rubbish"
        assert diagnoses(settings)["EHR"].state == "failed"
    finally:
        ehr.stop()


def test_a_door_that_lets_nobody_in_is_told(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[[sources]]\nid = "ct"\naddresses = ["10.0.0.1"]\n')
    settings = Settings(data_dir=tmp_path, dimse_port=11112, site_file=str(site))
    assert diagnoses(settings)["DIMSE"].state == "warning"
    site.write_text('[[sources]]\nid = "ct"\nae_titles = ["CT"]\naddresses = ["10.0.0.1"]\n')
    found = diagnoses(settings)["DIMSE"]
    assert (found.state, found.message) == ("ok", "127.0.0.1:11112 in clear, 1 AE titles known")
