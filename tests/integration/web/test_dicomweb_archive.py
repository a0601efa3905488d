"""WADO-RS: studies and series as an archive."""

from collections.abc import Iterator
from io import BytesIO
from zipfile import ZipFile

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydicom import dcmread

from imaging_fhir.dicomweb.archive import zip_archive
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance, photo_instance
from tests.integration.web.dicomweb import (
    ADDRESS,
    INSTANCE_ADDRESS,
    SERIES_ADDRESS,
    ReadingClient,
    store,
)

ZIP = {"Accept": "application/zip"}
OTHER = f"{INSTANCE}.9"


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    app.test_client_class = ReadingClient
    return app.test_client()


def test_a_study_a_series_and_an_instance_are_archives_of_their_files(client: FlaskClient) -> None:
    files = {INSTANCE: ct_instance(), OTHER: ct_instance(SOPInstanceUID=OTHER, InstanceNumber=2)}
    store(client, *files.values())
    for address, expected in (
        (ADDRESS, files),
        (SERIES_ADDRESS, files),
        (INSTANCE_ADDRESS, {INSTANCE: files[INSTANCE]}),
    ):
        response = client.get(address, headers=ZIP)
        assert response.content_type == "application/zip"
        assert f'"{STUDY}.zip"' in response.headers["Content-Disposition"]
        archive = ZipFile(BytesIO(response.data))
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
        assert found == {f"{SERIES}/{uid}.dcm": content for uid, content in expected.items()}


def test_an_archive_is_taken_where_it_is_liked_better(client: FlaskClient) -> None:
    store(client, ct_instance())
    related = 'multipart/related; type="application/dicom"'
    for accept, is_zip in (
        (f"{related}; q=0.5, application/zip", True),
        (f"{related}, application/zip; q=0.5", False),
    ):
        content_type = client.get(ADDRESS, headers={"Accept": accept}).content_type
        assert (content_type == "application/zip") is is_zip
    known = client.get(ADDRESS, headers=ZIP).headers["ETag"]
    assert client.get(ADDRESS, headers={**ZIP, "If-None-Match": known}).status_code == 304


def test_the_files_are_in_the_transfer_syntax_asked_for(client: FlaskClient) -> None:
    store(client, ct_instance())
    asked = "application/zip; transfer-syntax=1.2.840.10008.1.2.5"
    archive = ZipFile(BytesIO(client.get(ADDRESS, headers={"Accept": asked}).data))
    file = dcmread(BytesIO(archive.read(archive.namelist()[0])))
    assert file.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
    store(client, photo_instance())
    asked = "application/zip; transfer-syntax=1.2.840.10008.1.2.4.201"
    assert client.get(ADDRESS, headers={"Accept": asked}).status_code == 406


def test_an_archive_is_made_chunk_by_chunk() -> None:
    sent = zip_archive([("a", [b"12", b"345"]), ("b", []), ("c", [bytes(100_000)] * 3)])
    pieces = list(sent)
    archive = ZipFile(BytesIO(b"".join(pieces)))
    assert [len(archive.read(name)) for name in "abc"] == [5, 0, 300_000]
    assert max(map(len, pieces)) < 101_000


def test_an_archive_that_failed_has_no_end() -> None:
    def failing() -> Iterator[bytes]:
        yield b"12"
        raise OSError("gone")

    pieces: list[bytes] = []
    with pytest.raises(OSError, match="gone"):
        pieces.extend(zip_archive([("a", failing())]))
    assert b"PK\x05\x06" not in b"".join(pieces)
