"""What was asked to be answered later is done once, though the server is killed in the middle."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import StartServer
from tests.e2e.server import FHIR_JSON, Answer, Server

ENTRIES = 600
DEADLINE_SECONDS = 240


def patients(kind: str) -> dict[str, Any]:
    entries = [
        {
            "resource": {
                "resourceType": "Patient",
                "identifier": [{"system": "urn:crash", "value": str(number)}],
            },
            "request": {"method": "POST", "url": "Patient"},
        }
        for number in range(ENTRIES)
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def asked(server: Server, kind: str) -> str:
    """The status address."""
    headers = {"Content-Type": FHIR_JSON, "Prefer": "respond-async"}
    answer = server.request("POST", "/fhir", json.dumps(patients(kind)).encode(), headers)
    assert answer.status == 202, answer.body
    return urlsplit(answer.headers["content-location"]).path


def wait_until_begun(server: Server, status: str) -> None:
    """Some of a batch is committed, a transaction at least in hand; neither is done."""
    latest = time.monotonic() + DEADLINE_SECONDS
    while (answer := server.get(status)).headers.get("x-progress") == "waiting":
        assert time.monotonic() < latest
    assert answer.status == 202, "it was done before the server could be killed"


def wait_until_done(server: Server, status: str) -> Answer:
    latest = time.monotonic() + DEADLINE_SECONDS
    while (answer := server.get(status)).status == 202:
        assert time.monotonic() < latest, server.log
        time.sleep(0.5)
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_is_applied_once_though_the_server_is_killed(
    start_server: StartServer, database_url: str, kind: str
) -> None:
    server = start_server(database_url=database_url)
    status = asked(server, kind)
    wait_until_begun(server, status)
    server.kill()
    server.start()
    [entry] = wait_until_done(server, status).json()["entry"]
    assert entry["response"]["status"] == "200 OK"
    answers = [one["response"] for one in entry["resource"]["entry"]]
    assert {one["status"] for one in answers} == {"201 Created"}
    assert server.fhir("Patient?_summary=count")["total"] == ENTRIES
    written = {one["location"].split("/")[1] for one in answers}
    found = server.fhir(f"Patient?identifier=urn:crash|&_count={ENTRIES}&_elements=id")
    assert {one["resource"]["id"] for one in found["entry"]} == written
