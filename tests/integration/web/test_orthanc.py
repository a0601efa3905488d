"""An Orthanc with its DICOMweb plug-in sends here, searches here, and fetches what it sent."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from benchmarks.servers import HOST, has_orthanc, orthanc
from imaging_fhir.settings import Settings
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance
from tests.integration.web.test_dicomweb import address

__all__ = ["address"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, qido_empty_status=200)  # Orthanc takes no answer without a body


class Peer:
    """The Orthanc, which knows this server as `ours`."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> bytes:
        connection = HTTPConnection(HOST, self.port, timeout=60)
        content = json.dumps(body) if isinstance(body, dict) else body
        connection.request(method, path, content)
        answer = connection.getresponse()
        found = answer.read()
        connection.close()
        assert answer.status == 200, found
        return found

    def search(self, path: str, **arguments: str) -> list[dict[str, Any]]:
        asked = {"Uri": path, "Arguments": arguments}
        found: list[dict[str, Any]] = json.loads(
            self.ask("POST", "/dicom-web/servers/ours/qido", asked)
        )
        return found


@pytest.fixture
def peer(app: Flask, address: str, tmp_path: Path) -> Iterator[Peer]:
    if not has_orthanc():
        pytest.skip("Orthanc is not installed")
    with orthanc(tmp_path, peers={"ours": address}) as server:
        yield Peer(server.port)


def test_what_it_sent_it_finds_and_fetches(peer: Peer) -> None:
    content = ct_instance(StudyDescription="Head")
    stored = json.loads(peer.ask("POST", "/instances", content))["ID"]
    given = {"Resources": [stored], "Synchronous": True}
    peer.ask("POST", "/dicom-web/servers/ours/stow", given)
    [study] = peer.search("/studies", PatientID="4711", PatientName="roe*", includefield="all")
    assert said(study, "0020000D") == STUDY
    assert said(study, "00081030") == "Head"
    assert peer.search("/studies", PatientID="nobody") == []
    [series] = peer.search(f"/studies/{STUDY}/series")
    assert said(series, "0020000E") == SERIES
    [instance] = peer.search("/instances", SOPInstanceUID=INSTANCE)
    assert said(instance, "00080018") == INSTANCE
    peer.ask("DELETE", f"/instances/{stored}")
    fetched = {"Resources": [{"Study": STUDY}], "Synchronous": True}
    peer.ask("POST", "/dicom-web/servers/ours/retrieve", fetched)
    assert peer.ask("GET", f"/instances/{stored}/file") == content


def said(item: dict[str, Any], tag: str) -> str:
    """As Orthanc writes what it understood of our answer."""
    found = {key.upper(): element for key, element in item.items()}
    return str(found[tag]["Value"])
