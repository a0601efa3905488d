"""The server's processes are killed at random moments under load: what was acknowledged stays."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.conftest import StartServer
from tests.e2e.processes import run
from tests.e2e.sent import Account, Sent, batches, instance_of, send, shares
from tests.e2e.server import DICOM, Server

ROUNDS = 3
OF_A_ROUND = 400  # more than are sent before the server is killed
STUDIES_OF_A_ROUND = 4


def instances_of_round(number: int) -> list[Sent]:
    return [
        instance_of(f"8.{number}.{one % STUDIES_OF_A_ROUND}", 1 + one % 3, one + 1)
        for one in range(OF_A_ROUND)
    ]


def send_until_killed(
    server: Server, account: Account, share: list[Sent], chance: random.Random
) -> int:
    """The number of images without an answer: nobody was told what became of them."""
    for batch in batches(share, chance):
        try:
            send(server, batch, chance)
        except (OSError, ValueError):  # no connection, or half an answer
            return len(batch)
        account.add(batch)
    return 0


def test_what_was_acknowledged_is_there_after_a_crash(
    start_server: StartServer, database_url: str
) -> None:
    server, chance, account = start_server(database_url=database_url), random.Random(8), Account()
    sent: dict[str, Sent] = {}
    for number in range(ROUNDS):
        instances = instances_of_round(number)
        sent.update((one.instance, one) for one in instances)
        before = len(account.acknowledged)
        crash(server, account, instances, chance)
        assert before < len(account.acknowledged) < len(sent)
        server.start()
        require_acknowledged(server, account, sent)
    require_consistent(server)


def crash(server: Server, account: Account, instances: list[Sent], chance: random.Random) -> None:
    dealt = shares(instances, chance)
    with ThreadPoolExecutor(len(dealt)) as pool:
        running = [
            pool.submit(send_until_killed, server, account, share, random.Random(number))
            for number, share in enumerate(dealt)
        ]
        wait_for(account, len(account.acknowledged) + chance.randrange(5, OF_A_ROUND // 4))
        time.sleep(chance.uniform(0, 0.05))
        server.kill()
        unanswered = [one.result() for one in running]
    assert any(unanswered), "the load was over before the crash"


def wait_for(account: Account, number: int) -> None:
    latest = time.monotonic() + 60
    while len(account.acknowledged) < number:
        assert time.monotonic() < latest
        time.sleep(0.002)


def require_acknowledged(server: Server, account: Account, sent: dict[str, Sent]) -> None:
    """Each acknowledged image is listed, and each listed one is there with all its bytes."""
    found: set[str] = set()
    for study in studies(server):
        listed = [one["uid"] for series in study["series"] for one in series["instance"]]
        counts = [series["numberOfInstances"] for series in study["series"]]
        assert study["numberOfInstances"] == len(listed) == sum(counts)
        require_retrievable(server, study["id"], [sent[uid] for uid in listed])
        found.update(listed)
    assert account.uids() <= found


def require_retrievable(server: Server, study: str, instances: list[Sent]) -> None:
    accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
    answer = server.get(f"/dicomweb/studies/{study}", Accept=accept)
    assert answer.status == 200, answer.body
    assert answer.body.count(b"\r\nContent-Location:") == len(instances)
    for one in instances:
        assert b"\r\n\r\n" + one.content + b"\r\n--" in answer.body, one.instance


def studies(server: Server) -> list[dict[str, Any]]:
    bundle = server.fhir("ImagingStudy?_count=1000")
    return [entry["resource"] for entry in bundle["entry"]]


def require_consistent(server: Server) -> None:
    """But for bytes that nothing refers to: they are found and taken away."""
    server.stop()
    found = check(server, "--deep", "--repair")
    assert all("orphan-bytes" in line and "(mended)" in line for line in found[:-1]), found
    assert check(server) == ["All agree."]


def check(server: Server, *options: str) -> list[str]:
    done = run("check", *options, data_dir=server.data_dir, timeout=60, settings=server.settings)
    return done.stdout.decode().splitlines()
