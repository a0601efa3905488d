"""The service with its blobs in a bucket: filed, served, checked, backed up, erased."""

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from imaging_fhir.app import app_of
from imaging_fhir.services.backup import Backup, restore
from imaging_fhir.services.check import Check
from imaging_fhir.services.cleanup import CleanUp
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.services.doctor import doctor
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.finding import Finding
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.settings import DEFAULT_SOURCE, Settings
from imaging_fhir.storage.s3 import S3BlobStore
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance

ADDRESS = f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}
NOBODY_THERE = "http://127.0.0.1:1"
FILE = ct_instance(rows=64, columns=64)


@pytest.fixture
def settings(bucket: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, blob_url=f"s3://{bucket}/images", min_free_bytes=0, time_zone="UTC"
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    with closing(build_services(settings)) as services:
        yield services


def store(services: Services) -> int:
    return services.ingest.ingest([FILE], source=DEFAULT_SOURCE).status


def findings(services: Services) -> list[Finding]:
    recompute = partial(entries_of, zone=None)
    check = Check(database=services.database, store=services.blobs, recompute=recompute)
    return list(check.run(deep=True))


def test_images_are_filed_and_served(services: Services) -> None:
    assert [store(services), store(services)] == [201, 200]
    answer = app_of(services).test_client().get(ADDRESS, headers=AS_STORED)
    assert answer.status_code == 200
    assert answer.data == FILE
    assert findings(services) == []
    assert CleanUp(database=services.database, store=services.blobs).run().bytes == 0


def test_what_is_erased_leaves_the_bucket(services: Services) -> None:
    store(services)
    Erase(database=services.database, store=services.blobs).study(STUDY)
    assert list(services.blobs.blobs()) == []


@pytest.mark.parametrize("form", ["folder", "archive.tar"])
def test_a_backup_fills_another_bucket(
    services: Services, bucket: str, tmp_path: Path, form: str
) -> None:
    store(services)
    manifest = Backup(database=services.database, store=services.blobs).write(tmp_path / form)
    assert (manifest.blobs, manifest.missing) == (1, ())
    other = S3BlobStore(f"{bucket}/restored", tmp_path / "staging")
    restored = restore(tmp_path / form, f"sqlite:///{tmp_path}/restored.db", other)
    assert (restored.blobs, restored.damaged) == (1, ())
    (blob,) = other.blobs()
    with other.open(blob) as stream:
        assert stream.read() == FILE


def test_bytes_that_are_gone_are_found_by_the_check(services: Services) -> None:
    store(services)
    (blob,) = services.blobs.blobs()
    services.blobs.remove(blob)
    assert [finding.kind for finding in findings(services)][:1] == ["missing-bytes"]


def test_while_the_bucket_is_away_nothing_is_acknowledged(
    services: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(services)
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY_THERE)
    with closing(build_services(settings)) as away:
        assert store(away) == 503
        client = app_of(away).test_client()
        answer = client.get(ADDRESS, headers=AS_STORED)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/readyz").status_code == 503
        said = {one.what: one for one in doctor(settings)}["blobs"]
        assert said.state == "failed"
        assert said.advice
    monkeypatch.undo()
    assert os.listdir(settings.data_dir / "staging" / "incoming") == []


def test_the_doctor_finds_it_well(services: Services, settings: Settings) -> None:
    said = {one.what: one for one in doctor(settings)}["blobs"]
    assert (said.state, said.message) == ("ok", f"writable, {settings.blob_url}")
