"""A served instance and an issuer in a process of its own, whose keys change under load."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.e2e.server import Server
from tests.foreign_issuer import Peer, foreign_issuer
from tests.tokens import bearer

PATIENT = json.dumps({"resourceType": "Patient", "id": "a"}).encode()
DOORS = ("/fhir/Patient/a", "/fhir/Patient?_id=a", "/dicomweb/studies")
CLIENTS = 4
ROTATIONS = 4


@pytest.fixture
def peer() -> Iterator[Peer]:
    with foreign_issuer() as started:
        yield started


@pytest.fixture
def server(peer: Peer, tmp_path: Path) -> Iterator[Server]:
    site = tmp_path / "site.toml"
    site.write_text(
        f'[[token_issuers]]\nissuer = "{peer.address}"\naudiences = ["https://images.example/fhir"]\n'
    )
    started = Server(tmp_path, {"auth": "smart", "site_file": str(site), "workers": "2"})
    started.start()
    yield started
    started.stop()


def test_keys_that_change_under_load_fail_no_request(server: Server, peer: Peer) -> None:
    headers = {"Content-Type": "application/fhir+json", **bearer(peer.token())}
    assert server.request("PUT", DOORS[0], PATIENT, headers).status == 201
    assert server.request("GET", DOORS[0], None, {}).status == 401
    over, answered = Event(), [0] * CLIENTS
    wrong: list[tuple[str, int, bytes]] = []

    def ask(number: int) -> None:
        while not over.is_set():
            token = peer.token(jti=f"{number}-{answered[number]}")
            for door in DOORS:
                answer = server.request("GET", door, None, bearer(token))
                if answer.status not in (200, 204):
                    wrong.append((door, answer.status, answer.body))
            answered[number] += 1

    threads = [Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for _ in range(ROTATIONS):
        wanted = [count + 5 for count in answered]
        while not wrong and any(a < b for a, b in zip(answered, wanted, strict=True)):
            over.wait(0.02)
        peer.post("/rotate")
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(answered) >= ROTATIONS * 5
    assert peer.token() not in server.log
