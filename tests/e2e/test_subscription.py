"""A subscriber of the real server: what was acknowledged is told, whoever is killed in between."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import FHIR_JSON, Server
from tests.receiver import Receiver

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
PATIENCE = 60


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[Server]:
    settings = {
        "database_url": database_url,
        "subscription_hosts": "127.0.0.1",
        "subscription_http": "yes",
        "subscription_settle_seconds": "1",
    }
    server = Server(tmp_path, settings)
    server.start()
    yield server
    server.stop()


def subscribe(server: Server, receiver: Receiver, *, most: int = 100) -> str:
    payload = {"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}
    answer = server.post_fhir(
        {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "to be told",
            "criteria": "https://imaging-fhir.org/fhir/SubscriptionTopic/documentreference-new",
            "channel": {
                "type": "rest-hook",
                "endpoint": receiver.url,
                "payload": FHIR_JSON,
                "_payload": {"extension": [payload]},
                "extension": [{"url": f"{BACKPORT}/backport-max-count", "valuePositiveInt": most}],
            },
        },
        "/fhir/Subscription",
    )
    assert answer.status == 201, answer.body
    id_ = str(answer.json()["id"])
    wait(lambda: server.fhir(f"Subscription/{id_}")["status"] == "active")
    return id_


def wait(is_so: Callable[[], Any]) -> None:
    latest = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < latest
        time.sleep(0.05)


def put_document(server: Server) -> str:
    content = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"url": "https://elsewhere.example/a"}}],
    }
    answer = server.post_fhir(content, "/fhir/DocumentReference")
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


def told(receiver: Receiver) -> list[str]:
    return [event["focus"].rpartition("/")[2] for event in receiver.events]


def test_what_was_acknowledged_before_a_kill_is_told_after_it(server: Server) -> None:
    receiver = Receiver()
    with receiver.listening():
        subscribe(server, receiver)
    ids = []
    for _ in range(2):  # nobody listens meanwhile
        ids += [put_document(server) for _ in range(3)]
        server.kill()
        server.start()
    with receiver.listening():
        wait(lambda: set(told(receiver)) >= set(ids))
        ids.append(put_document(server))
        wait(lambda: ids[-1] in told(receiver))
    assert told(receiver) == ids
    assert [event["event-number"] for event in receiver.events] == [
        str(number + 1) for number in range(len(ids))
    ]


def test_many_changes_arrive_once_and_in_order(server: Server) -> None:
    """Two web processes and all their threads work on the same subscription."""
    with Receiver().listening() as receiver:
        subscribe(server, receiver, most=5)
        receiver.answers = [200, 500, 200, 500]
        ids = [put_document(server) for _ in range(60)]
        wait(lambda: len(told(receiver)) >= len(ids))
        time.sleep(2)
        assert told(receiver) == ids
        assert len(receiver.refused) == 2
