"""The door over TLS, as DCMTK's programs meet it."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.feeds.dimse import DimseServer
from imaging_fhir.services.access import require_safe_address
from imaging_fhir.settings import Settings, Site, Source
from tests.certificates import Authority, Issued
from tests.dicom_samples import ct_instance
from tests.dimse import TITLE, door
from tests.house import House, build_house

EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = build_house(f"sqlite:///{tmp_path}/test.db", tmp_path)
    yield house
    house.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def sent(
    dcmtk: Path, server: DimseServer, authority: Authority, file: Path, client: Issued | None = None
) -> "subprocess.CompletedProcess[str]":
    identity = ["+tla"] if client is None else ["+tls", str(client.key), str(client.certificate)]
    return subprocess.run(
        [
            dcmtk / "storescu",
            "-v",
            *identity,
            "+cf",
            authority.certificate,
            "-aet",
            TITLE,
            "-aec",
            "IMAGING_FHIR",
            "127.0.0.1",
            str(server.port),
            file,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextmanager
def silent(server: DimseServer) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", server.port), 20)) as connected:
        yield connected


def test_images_come_over_tls(
    dcmtk: Path, house: House, authority: Authority, tmp_path: Path
) -> None:
    ours = authority.issue("localhost")
    file = tmp_path / "ct.dcm"
    file.write_bytes(ct_instance())
    site = Site(sources=(Source(id="ct", ae_titles=(TITLE,), addresses=("127.0.0.1",)),))
    tls = {"dimse_tls_cert_file": str(ours.certificate), "dimse_tls_key_file": str(ours.key)}
    with door(house.ingest, site=site, **tls) as server, silent(server) as slow:
        done = sent(dcmtk, server, authority, file)  # while another says nothing
        assert done.returncode == 0, done.stderr
        slow.sendall(b"\1\0\0\0 no TLS")
        with suppress(ConnectionError):
            while slow.recv(1000):
                pass
    assert len(list(house.store.blobs())) == 1


def test_a_client_certificate_names_the_source(
    dcmtk: Path, house: House, authority: Authority, tmp_path: Path
) -> None:
    ours = authority.issue("localhost")
    file = tmp_path / "ct.dcm"
    file.write_bytes(ct_instance())
    source = Source(id="ct", ae_titles=(TITLE,), certificates=("ct-1.hospital.example",))
    tls = {
        "dimse_tls_cert_file": str(ours.certificate),
        "dimse_tls_key_file": str(ours.key),
        "dimse_tls_client_ca_file": str(authority.certificate),
    }
    stranger = Authority(tmp_path, "Other CA").issue("forged")
    with door(house.ingest, site=Site(sources=(source,)), **tls) as server:
        assert sent(dcmtk, server, authority, file).returncode != 0
        assert sent(dcmtk, server, authority, file, stranger).returncode != 0
        other = sent(dcmtk, server, authority, file, authority.issue("mr-1.hospital.example"))
        assert "Calling AE Title Not Recognized" in other.stderr
        assert list(house.store.blobs()) == []
        done = sent(dcmtk, server, authority, file, authority.issue("ct-1.hospital.example"))
        assert done.returncode == 0, done.stderr
    assert len(list(house.store.blobs())) == 1


def test_client_certificates_make_it_safe_beyond_loopback(authority: Authority) -> None:
    settings = Settings(dimse_port=11112, dimse_host=EVERYWHERE)
    with pytest.raises(InvalidSetting, match="CLIENT_CA"):
        require_safe_address(settings)
    require_safe_address(Settings(dimse_port=11112, dimse_host=EVERYWHERE, allow_open=True))
    require_safe_address(
        Settings(
            dimse_port=11112,
            dimse_host=EVERYWHERE,
            dimse_tls_cert_file="own.pem",
            dimse_tls_client_ca_file="ca.pem",
        )
    )


def test_wrong_files_are_told_at_the_start(house: House, tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text("no certificate")
    for name in ("own.pem", "missing.pem"):
        with pytest.raises(InvalidSetting, match="DIMSE_TLS_CERT_FILE"):
            DimseServer(Settings(dimse_tls_cert_file=str(tmp_path / name)), Site(), house.ingest)
