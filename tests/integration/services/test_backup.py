"""A backup taken while serving comes back whole, and without what was erased since."""

import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import select

from imaging_fhir.errors import InvalidRequest, InvalidSetting
from imaging_fhir.model.blob import Blob
from imaging_fhir.services.backup import Backup, restore
from imaging_fhir.services.cleanup import CleanUp
from imaging_fhir.services.erase import Erase
from imaging_fhir.storage import blobs, resources, schema, tombstones
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.folder import FolderBlobStore
from tests.dicom_samples import ct_instance
from tests.house import House, build_house
from tests.samples import SAMPLES

each_form = pytest.mark.parametrize("form", ["folder", "backup.tar"])


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711")
    for number in range(3):
        house.send(ct(number))
    house.send(SAMPLES["application/pdf"](), patient="Patient/jane")
    yield house
    house.close()


@pytest.fixture
def empty_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """Another empty database of the same engine."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/restored.db"
        return
    server = database_url.replace("postgresql+psycopg:", "postgresql:")
    name = Identifier(server.rpartition("/")[2] + "_restored")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(name))
        yield database_url + "_restored"
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def ct(number: int) -> bytes:
    return ct_instance(
        StudyInstanceUID="2.25.7", SeriesInstanceUID="2.25.8", SOPInstanceUID=f"2.25.9.{number}"
    )


def everything(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows but the lease under which the backup was made, and the time."""
    with database.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in schema.metadata.sorted_tables
            if table.name not in ("lease", "commit_clock")
        }


@each_form
def test_what_was_backed_up_is_restored_row_for_row_and_byte_for_byte(
    form: str, house: House, empty_url: str, tmp_path: Path
) -> None:
    manifest = Backup(database=house.database, store=house.store).write(tmp_path / form)
    assert (manifest.blobs, manifest.missing) == (4, ())
    store = FolderBlobStore(tmp_path / "restored")
    restored = restore(tmp_path / form, empty_url, store)
    assert (restored.blobs, restored.bytes, restored.damaged) == (4, manifest.bytes, ())
    with closing(Database(empty_url)) as database:
        assert everything(database) == everything(house.database)
    assert {b: content(store, b) for b in store.blobs()} == {
        b: content(house.store, b) for b in house.store.blobs()
    }


def content(store: FolderBlobStore, blob: Blob) -> bytes:
    with store.open(blob) as stream:
        return stream.read()


@each_form
def test_a_backup_during_uploads_and_clean_up_has_the_bytes_of_all_its_rows(
    form: str, house: House, empty_url: str, tmp_path: Path
) -> None:
    ended = threading.Event()
    sent: list[int] = []

    def upload() -> None:
        for number in range(100, 400):
            if ended.is_set():
                return
            sent.append(house.send(ct(number)).status)

    uploads = threading.Thread(target=upload)
    uploads.start()
    try:
        Backup(database=house.database, store=house.store).write(tmp_path / form)
    finally:
        ended.set()
        uploads.join()
    assert set(sent) == {201}
    CleanUp(database=house.database, store=house.store).run()
    store = FolderBlobStore(tmp_path / "restored")
    restore(tmp_path / form, empty_url, store)
    with closing(Database(empty_url)) as database, database.read() as connection:
        live = {blob for _, blob in blobs.live_rows(connection)}
    assert live <= set(store.blobs())


def test_what_was_erased_after_the_backup_is_erased_again(
    house: House, empty_url: str, tmp_path: Path
) -> None:
    Backup(database=house.database, store=house.store).write(tmp_path / "folder")
    Erase(database=house.database, store=house.store).study("2.25.7")
    with house.database.read() as connection:
        erased = tombstones.everything(connection)
    store = FolderBlobStore(tmp_path / "restored")
    restored = restore(tmp_path / "folder", empty_url, store, tombstones=erased)
    assert restored.erased_again >= 1
    assert len(list(store.blobs())) == 1
    with closing(Database(empty_url)) as database, database.read() as connection:
        assert connection.execute(select(schema.instance)).all() == []
        assert resources.read(connection, "Patient", "jane")
        assert tombstones.any_of(connection, [("study", "2.25.7")])


def test_a_backup_that_was_broken_off_is_refused(
    house: House, empty_url: str, tmp_path: Path
) -> None:
    Backup(database=house.database, store=house.store).write(tmp_path / "folder")
    (tmp_path / "folder" / "manifest.json").unlink()
    with pytest.raises(InvalidRequest, match="manifest"):
        restore(tmp_path / "folder", empty_url, FolderBlobStore(tmp_path / "restored"))


def test_nothing_is_restored_over_what_is_there(house: House, tmp_path: Path) -> None:
    backup = Backup(database=house.database, store=house.store)
    backup.write(tmp_path / "folder")
    with pytest.raises(InvalidSetting, match="blobs is not empty"):
        restore(tmp_path / "folder", house.database.url, house.store)
    with pytest.raises(InvalidSetting, match="database is not empty"):
        restore(tmp_path / "folder", house.database.url, FolderBlobStore(tmp_path / "restored"))
    with pytest.raises(InvalidRequest, match="not empty"):
        backup.write(tmp_path / "folder")


def test_missing_bytes_are_told_and_the_rest_is_backed_up(house: House, tmp_path: Path) -> None:
    lost, *_ = sorted(house.store.blobs(), key=lambda blob: blob.size)
    house.store.remove(lost)
    manifest = Backup(database=house.database, store=house.store).write(tmp_path / "b.tar")
    assert (manifest.blobs, manifest.missing) == (3, (lost.sha256,))
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert len(archive.getnames()) == 5


def test_damage_in_the_backup_is_found_when_it_is_restored(
    house: House, empty_url: str, tmp_path: Path
) -> None:
    Backup(database=house.database, store=house.store).write(tmp_path / "folder")
    copies = FolderBlobStore(tmp_path / "folder" / "blobs")
    damaged, *_ = copies.blobs()
    bad = b"x" * damaged.size
    os.unlink(copies.path(damaged))  # a link: the original stays as it is
    copies.path(damaged).write_bytes(bad)
    restored = restore(tmp_path / "folder", empty_url, FolderBlobStore(tmp_path / "restored"))
    assert restored.damaged == (damaged.sha256,)
    assert restored.blobs == 3
