"""Who follows a server by `_lastUpdated` misses nothing, though its clock is set back.

Two servers on one database, eight writers, and the servers' clocks are set back while they write:
by libfaketime, which reads the time's offset from a file, for each server its own.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rest import JSON_PATCH, Resource, Rest, rest, version_of
from tests.e2e.server import Server

WRITERS = 8
HOUR = 3600
OFFSETS = ((0, 0), (-HOUR, 0), (-HOUR, -2 * HOUR), (0, 0))  # of both clocks, one after another
BEGINNING = "1970-01-01T00:00:00.000Z"
PAUSE = 0.05  # seconds between two looks
BELIEVED_SECONDS = 20

Version = tuple[str, int]  # Type/id, version


class Clock:
    """The clock of one server, as a file says it."""

    def __init__(self, library: Path, file: Path) -> None:
        self.file = file
        self.set(0)
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: int) -> None:
        """In one step: a file read half would be another time."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{offset:+d}s\n")
        fresh.replace(self.file)


@pytest.fixture
def faketime() -> Path:
    found = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("faketime is not installed: `make test` installs it")
    return found[0]


class Log:
    """What was acknowledged, in no order; any writer may add to it."""

    def __init__(self) -> None:
        self.versions: set[Version] = set()
        self.deleted: set[Version] = set()
        self.lock = threading.Lock()

    def add(self, reference: str, version: int, *, deleted: bool = False) -> None:
        with self.lock:
            assert (reference, version) not in self.versions
            self.versions.add((reference, version))
            if deleted:
                self.deleted.add((reference, version))

    def last(self) -> set[Version]:
        """The current version of each resource, without the deleted ones."""
        current: dict[str, int] = {}
        for reference, version in self.versions:
            current[reference] = max(version, current.get(reference, 0))
        return set(current.items()) - self.deleted


def write(client: Rest, number: int, log: Log, over: threading.Event) -> None:
    """Create, update, patch and delete, alone and several in a transaction."""
    chance = random.Random(number)
    living: dict[str, int] = {}
    while not over.is_set():
        id_ = chance.choice([*living, ""])
        act = chance.choice((create_two, update, update, patch, delete)) if id_ else create
        act(client, id_, living, log)


def named(word: str, **more: Any) -> Resource:
    return {"resourceType": "Patient", "name": [{"family": word}], **more}


def create(client: Rest, _id: str, living: dict[str, int], log: Log) -> None:
    answer = client.ask("POST", "Patient", named("new"))
    assert answer.status == 201, answer.body
    living[answer.json()["id"]] = 1
    log.add(f"Patient/{answer.json()['id']}", 1)


def create_two(client: Rest, id_: str, living: dict[str, int], log: Log) -> None:
    """And update one in the same transaction: three of one stamp."""
    request = {"method": "POST", "url": "Patient"}
    entries: list[Any] = [{"resource": named("two"), "request": request} for _ in range(2)]
    changed = named(f"n{living[id_]}", id=id_, language="de")
    entries.append({"resource": changed, "request": {"method": "PUT", "url": f"Patient/{id_}"}})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = client.ask("POST", "", bundle)
    assert answer.status == 200, answer.body
    for entry in answer.json()["entry"]:
        reference, _, version = entry["response"]["location"].rpartition("/_history/")
        reference = "/".join(reference.split("/")[-2:])
        living[reference.partition("/")[2]] = int(version)
        log.add(reference, int(version))


def update(client: Rest, id_: str, living: dict[str, int], log: Log) -> None:
    answer = client.ask("PUT", f"Patient/{id_}", named(f"n{living[id_]}", id=id_))
    assert answer.status == 200, answer.body
    living[id_] = version_of(answer)
    log.add(f"Patient/{id_}", living[id_])


def patch(client: Rest, id_: str, living: dict[str, int], log: Log) -> None:
    operations = [{"op": "add", "path": "/name/0/text", "value": f"p{living[id_]}"}]
    headers = {"content-type": JSON_PATCH}
    answer = client.ask("PATCH", f"Patient/{id_}", operations, **headers)
    assert answer.status == 200, answer.body
    living[id_] = version_of(answer)
    log.add(f"Patient/{id_}", living[id_])


def delete(client: Rest, id_: str, living: dict[str, int], log: Log) -> None:
    answer = client.ask("DELETE", f"Patient/{id_}")
    assert answer.status in (200, 204), answer.body
    log.add(f"Patient/{id_}", living.pop(id_) + 1, deleted=True)


class Follower:
    """Looks again and again for what is new; `seen` are the versions in the order they came."""

    def __init__(self, look: Callable[[Rest, str], list[tuple[str, int, str]]], *, again: bool):
        self.look = look
        self.again = again  # what is of the very last instant seen comes again
        self.last = BEGINNING
        self.seen: list[Version] = []
        self.looks = 0

    def follow(self, clients: list[Rest], over: threading.Event) -> None:
        """By both servers in turns, and once more when all writers are done."""
        while True:
            is_last = over.is_set()
            self.take(clients[self.looks % len(clients)])
            if is_last:
                return
            time.sleep(PAUSE)

    def take(self, client: Rest) -> None:
        self.looks += 1
        boundary = self.last
        known = set(self.seen)
        for reference, version, updated in self.look(client, boundary):
            assert updated >= boundary, (reference, version, updated, boundary)
            if (reference, version) in known:
                assert self.again, f"{reference} {version} came twice"
                assert updated == boundary, (reference, version, updated, boundary)
                continue
            known.add((reference, version))
            self.seen.append((reference, version))
            self.last = max(self.last, updated)


def by_search(prefix: str) -> Callable[[Rest, str], list[tuple[str, int, str]]]:
    def look(client: Rest, last: str) -> list[tuple[str, int, str]]:
        query = f"Patient?_lastUpdated={prefix}{last}&_sort=_lastUpdated&_count=7"
        found = [entry["resource"] for entry in client.entries(query)]
        times = [resource["meta"]["lastUpdated"] for resource in found]
        assert times == sorted(times)
        return [
            (
                f"{one['resourceType']}/{one['id']}",
                int(one["meta"]["versionId"]),
                one["meta"]["lastUpdated"],
            )
            for one in found
        ]

    return look


def by_history(address: str) -> Callable[[Rest, str], list[tuple[str, int, str]]]:
    def look(client: Rest, last: str) -> list[tuple[str, int, str]]:
        entries = client.entries(f"{address}?_since={last}&_count=7")
        times = [entry["response"]["lastModified"] for entry in entries]
        assert times == sorted(times, reverse=True)
        return [
            (
                "/".join(entry["fullUrl"].split("/")[-2:]),
                int(entry["response"]["etag"][3:-1]),
                entry["response"]["lastModified"],
            )
            for entry in reversed(entries)
        ]

    return look


@pytest.mark.timeout(200)
@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.long)])
def test_a_follower_misses_nothing_while_the_clocks_are_set_back(
    tmp_path: Path, faketime: Path, database_url: str, seconds: int
) -> None:
    clocks = [Clock(faketime, tmp_path / f"clock-{number}") for number in range(2)]
    settings = {"database_url": database_url, "blob_url": f"file://{tmp_path}/blobs"}
    servers = []
    for number, clock in enumerate(clocks):
        folder = tmp_path / f"server-{number}"
        folder.mkdir()
        servers.append(Server(folder, settings | {"workers": "1"}, variables=clock.variables))
    try:
        for server in servers:
            server.start()
        follow_writers(servers, clocks, seconds)
    finally:
        for server in servers:
            server.stop()


def follow_writers(servers: list[Server], clocks: list[Clock], seconds: int) -> None:
    log, written, over = Log(), threading.Event(), threading.Event()
    searching = {"gt": Follower(by_search("gt"), again=False)}
    searching["ge"] = Follower(by_search("ge"), again=True)
    reading = {
        name: Follower(by_history(name), again=True) for name in ("_history", "Patient/_history")
    }
    followers = [*searching.values(), *reading.values()]

    def writing(number: int) -> None:
        with rest(servers[number % 2]) as client:
            write(client, number, log, written)

    def following(follower: Follower) -> None:
        with rest(servers[0]) as one, rest(servers[1]) as other:
            follower.follow([one, other], over)

    with ThreadPoolExecutor(WRITERS + len(followers)) as pool:
        writers = [pool.submit(writing, number) for number in range(WRITERS)]
        following_them = [pool.submit(following, one) for one in followers]
        try:
            for offsets in OFFSETS:
                set_clocks(servers, clocks, offsets, seconds / len(OFFSETS))
            written.set()
            for running in writers:
                running.result()
        finally:
            written.set()
            over.set()
        for running in following_them:
            running.result()
    assert len(log.versions) > 3 * WRITERS
    for prefix, follower in searching.items():
        assert log.last() - set(follower.seen) == set(), prefix
        assert set(follower.seen) - log.versions == set(), prefix
    for name, follower in reading.items():
        assert of_patients(follower.seen) == log.versions, name
    assert all(follower.looks > 5 for follower in followers)


def of_patients(versions: list[Version]) -> set[Version]:
    """The server writes a resource of its own too: its Endpoint."""
    return {one for one in versions if one[0].startswith("Patient/")}


def set_clocks(
    servers: list[Server], clocks: list[Clock], offsets: tuple[int, ...], seconds: float
) -> None:
    """For that time, from when both servers believe it."""
    for clock, offset in zip(clocks, offsets, strict=True):
        clock.set(offset)
    latest = time.monotonic() + BELIEVED_SECONDS
    while not all(map(believes, servers, offsets)):
        assert time.monotonic() < latest, offsets
        time.sleep(0.1)
    time.sleep(seconds)


def believes(server: Server, offset: int) -> bool:
    """By the line of its log about a request of now; the header Date never goes back."""
    server.get("/healthz")
    lines = [line for line in server.log.splitlines() if "GET /healthz" in line]
    said = datetime.fromisoformat(lines[-1].split()[0])
    expected = datetime.now(UTC) + timedelta(seconds=offset)
    return abs(said - expected) < timedelta(seconds=60)
