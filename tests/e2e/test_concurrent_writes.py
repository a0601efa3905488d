"""Many writers on the same resources, over real sockets: no update is lost, no version missing."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import StartServer
from tests.e2e.rest import JSON_PATCH, Resource, Rest, rest, version_of
from tests.e2e.server import Answer, Server

CLIENTS = 16
COUNTERS = 4
ROUNDS = 8
REFUSED = 412

Write = Callable[[Rest, str, str], Answer]


def patient(count: int, **more: Any) -> Resource:
    """A counter; the family says the count too, so that the index can be held against the body."""
    return {
        "resourceType": "Patient",
        "name": [{"family": f"count-{count}"}],
        "multipleBirthInteger": count,
        **more,
    }


def put(client: Rest, id_: str, word: str) -> Answer:
    content = patient(1, id=id_, language=word)
    return client.ask("PUT", f"Patient/{id_}", content, if_match='W/"1"')


def json_patch(client: Rest, id_: str, word: str) -> Answer:
    operations = [{"op": "add", "path": "/language", "value": word}]
    headers = {"content-type": JSON_PATCH, "if-match": 'W/"1"'}
    return client.ask("PATCH", f"Patient/{id_}", operations, **headers)


def delete(client: Rest, id_: str, word: str) -> Answer:
    return client.ask("DELETE", f"Patient/{id_}", if_match='W/"1"')


def in_transaction(client: Rest, id_: str, word: str) -> Answer:
    request = {"method": "PUT", "url": f"Patient/{id_}", "ifMatch": 'W/"1"'}
    entry = {"resource": patient(1, id=id_, language=word), "request": request}
    return client.ask(
        "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    )


PAIRS: dict[str, tuple[Write, Write]] = {
    "two updates": (put, put),
    "update and patch": (put, json_patch),
    "two patches": (json_patch, json_patch),
    "update and deletion": (put, delete),
    "update and transaction": (put, in_transaction),
}


def by(write: Write, id_: str, word: str) -> Callable[[Rest], Answer]:
    return lambda client: write(client, id_, word)


def at_the_same_time(server: Server, *calls: Callable[[Rest], Answer]) -> list[Answer]:
    """Each call over a connection that is open already, let go by one barrier."""
    ready = threading.Barrier(len(calls))

    def call(one: Callable[[Rest], Answer]) -> Answer:
        with rest(server) as client:
            client.connection.connect()
            ready.wait(60)
            return one(client)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def test_of_two_writers_one_wins_and_the_other_gets_412(
    start_server: StartServer, database_url: str
) -> None:
    server = start_server(database_url=database_url)
    with rest(server) as client:
        for name, (one, other) in PAIRS.items():
            for _ in range(ROUNDS):
                id_ = client.ask("POST", "Patient", patient(0)).json()["id"]
                answers = at_the_same_time(
                    server,
                    by(one, id_, "fr"),
                    by(other, id_, "de"),
                )
                statuses = [answer.status for answer in answers]
                assert sorted(status == REFUSED for status in statuses) == [False, True], name
                won = statuses.index(next(one for one in statuses if one != REFUSED))
                assert statuses[won] in (200, 204), (name, statuses)
                require_winner(client, id_, (one, other)[won], ("fr", "de")[won])


def require_winner(client: Rest, id_: str, winner: Write, word: str) -> None:
    """Version 2 is the winner's, and there is no third."""
    now = client.ask("GET", f"Patient/{id_}")
    assert now.status == (410 if winner is delete else 200)
    if winner is not delete:
        assert (now.json()["language"], version_of(now)) == (word, 2)
    assert client.get(f"Patient/{id_}/_history")["total"] == 2


def test_of_two_who_create_the_same_one_creates(
    start_server: StartServer, database_url: str
) -> None:
    server = start_server(database_url=database_url)
    for number in range(ROUNDS):
        identifier = {"system": "urn:oid:1.2.3", "value": f"same-{number}"}
        content = patient(0, identifier=[identifier])
        conditional = at_the_same_time(
            server,
            *[
                lambda c, content=content, number=number: c.ask(
                    "POST",
                    "Patient",
                    content,
                    if_none_exist=f"identifier=urn:oid:1.2.3|same-{number}",
                )
            ]
            * 4,
        )
        assert sorted(answer.status for answer in conditional) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in conditional}) == 1
        upserts = at_the_same_time(
            server,
            *[
                lambda c, number=number: c.ask(
                    "PUT", f"Patient/n{number}", patient(0, id=f"n{number}"), if_none_match="*"
                )
            ]
            * 2,
        )
        assert sorted(answer.status for answer in upserts) == [201, REFUSED]


class Client:
    """Does what comes to its mind until the time is over, and counts what was acknowledged."""

    def __init__(self, server: Server, number: int, counters: list[str]) -> None:
        self.server, self.counters = server, counters
        self.chance = random.Random(number)
        self.number = number
        self.acknowledged: Counter[str] = Counter()  # increments by counter
        self.seen: dict[str, int] = {}  # the highest count that this client saw of each
        self.done: Counter[str] = Counter()
        self.own: dict[str, list[str]] = {}  # how history shows each version of its resources

    def run(self, until: float) -> None:
        acts = [
            (self.update, 3),
            (self.patch, 3),
            (self.transaction, 2),
            (self.create, 2),
            (self.change_own, 2),
            (self.delete_own, 1),
            (self.search_counts, 2),
            (self.search_own, 2),
            (self.read, 3),
            (self.history, 1),
        ]
        weights = [weight for _, weight in acts]
        with rest(self.server) as client:
            while time.monotonic() < until:
                [(act, _)] = self.chance.choices(acts, weights)
                act(client)
                self.done[act.__name__] += 1

    def look(self, client: Rest) -> tuple[str, Resource]:
        """A counter as it is now: its count never goes back."""
        id_ = self.chance.choice(self.counters)
        resource = client.get(f"Patient/{id_}")
        self.require_forward(id_, resource)
        return id_, resource

    def require_forward(self, id_: str, resource: Resource) -> None:
        count = resource["multipleBirthInteger"]
        assert count >= self.seen.get(id_, 0), (id_, count)
        assert resource["meta"]["versionId"] == str(count + 1)
        assert resource["name"] == [{"family": f"count-{count}"}]
        self.seen[id_] = count

    def acknowledge(self, id_: str, count: int) -> None:
        self.acknowledged[id_] += 1
        self.seen[id_] = count

    def read(self, client: Rest) -> None:
        self.look(client)

    def update(self, client: Rest) -> None:
        id_, now = self.look(client)
        count = now["multipleBirthInteger"] + 1
        etag = f'W/"{now["meta"]["versionId"]}"'
        answer = client.ask("PUT", f"Patient/{id_}", patient(count, id=id_), if_match=etag)
        self.settle(answer, id_, count, REFUSED)

    def settle(self, answer: Answer, id_: str, count: int, refused: int) -> None:
        assert answer.status in (200, refused), answer.body
        if answer.status == refused:
            self.done["conflict"] += 1
            return
        assert version_of(answer) == count + 1
        self.acknowledge(id_, count)

    def patch(self, client: Rest) -> None:
        """No If-Match: the operation `test` guards."""
        id_, now = self.look(client)
        count = now["multipleBirthInteger"] + 1
        operations = [
            {"op": "test", "path": "/multipleBirthInteger", "value": count - 1},
            {"op": "replace", "path": "/multipleBirthInteger", "value": count},
            {"op": "replace", "path": "/name/0/family", "value": f"count-{count}"},
        ]
        answer = client.ask("PATCH", f"Patient/{id_}", operations, **{"content-type": JSON_PATCH})
        self.settle(answer, id_, count, 422)

    def transaction(self, client: Rest) -> None:
        """Two counters and a new resource, all or nothing."""
        found = dict([self.look(client), self.look(client)])
        counts = {id_: now["multipleBirthInteger"] + 1 for id_, now in found.items()}
        entries: list[Any] = [
            {
                "resource": patient(count, id=id_),
                "request": {
                    "method": "PUT",
                    "url": f"Patient/{id_}",
                    "ifMatch": f'W/"{count}"',
                },
            }
            for id_, count in counts.items()
        ]
        entries.append({"resource": self.mine(), "request": {"method": "POST", "url": "Patient"}})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = client.ask("POST", "", bundle)
        assert answer.status in (200, REFUSED), answer.body
        if answer.status == REFUSED:
            self.done["conflict"] += 1
            return
        for id_, count in counts.items():
            self.acknowledge(id_, count)
        created = answer.json()["entry"][-1]["response"]["location"]
        self.own[created.partition("/_history")[0].rpartition("/")[2]] = ["POST"]

    def mine(self) -> Resource:
        return {"resourceType": "Patient", "name": [{"family": f"own-{self.number}-"}]}

    def create(self, client: Rest) -> None:
        answer = client.ask("POST", "Patient", self.mine())
        assert answer.status == 201, answer.body
        self.own[answer.json()["id"]] = ["POST"]

    def change_own(self, client: Rest) -> None:
        for id_ in self.living()[:1]:
            changed = self.mine() | {"id": id_, "language": f"x-{len(self.own[id_])}"}
            answer = client.ask("PUT", f"Patient/{id_}", changed)
            assert (answer.status, version_of(answer)) == (200, len(self.own[id_]) + 1)
            self.own[id_].append("PUT")

    def delete_own(self, client: Rest) -> None:
        for id_ in self.living()[:1]:
            assert client.ask("DELETE", f"Patient/{id_}").status in (200, 204)
            self.own[id_].append("DELETE")

    def living(self) -> list[str]:
        living = [id_ for id_, made in self.own.items() if made[-1] != "DELETE"]
        return self.chance.sample(living, len(living))

    def search_counts(self, client: Rest) -> None:
        """What an index row finds has that very content: both are of one commit."""
        count = max(self.seen.values(), default=0)
        for entry in client.entries(f"Patient?family:exact=count-{count}"):
            self.require_forward(entry["resource"]["id"], entry["resource"])
            assert entry["resource"]["multipleBirthInteger"] == count

    def search_own(self, client: Rest) -> None:
        """All that it made and did not delete, at once."""
        found = client.entries(f"Patient?family=own-{self.number}-&_count=50&_elements=name")
        ids = [entry["resource"]["id"] for entry in found]
        assert sorted(ids) == sorted(self.living())

    def history(self, client: Rest) -> None:
        for id_ in self.chance.sample(sorted(self.own), min(1, len(self.own))):
            entries = client.entries(f"Patient/{id_}/_history?_count=3")
            require_versions(entries, self.own[id_])


def by_resource(entries: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry in entries:
        found.setdefault(entry["fullUrl"].rpartition("/")[2], []).append(entry)
    return found


def require_versions(entries: list[Any], made_by: list[str]) -> None:
    """Every version once, the newest first, each by its method, and in the order of time."""
    assert [entry["request"]["method"] for entry in entries] == made_by[::-1]
    etags = [entry["response"]["etag"] for entry in entries]
    assert etags == [f'W/"{version}"' for version in range(len(made_by), 0, -1)]
    times = [entry["response"]["lastModified"] for entry in entries]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_no_update_is_lost_and_every_version_is_kept(
    start_server: StartServer, database_url: str, seconds: int
) -> None:
    server = start_server(database_url=database_url)
    with rest(server) as client:
        counters = [client.ask("POST", "Patient", patient(0)).json()["id"] for _ in range(COUNTERS)]
    clients = [Client(server, number, counters) for number in range(CLIENTS)]
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as pool:
        for running in [pool.submit(client.run, until) for client in clients]:
            running.result()
    done = sum((client.done for client in clients), Counter[str]())
    assert done["conflict"] > 0
    with rest(server) as client:
        for id_ in counters:
            increments = sum(one.acknowledged[id_] for one in clients)
            require_counted(client, id_, increments)
        versions = by_resource(client.entries("Patient/_history?_count=500"))
    expected = {id_: made_by for one in clients for id_, made_by in one.own.items()}
    assert versions.keys() - set(counters) == expected.keys()
    for id_, made_by in expected.items():
        require_versions(versions[id_], made_by)


def require_counted(client: Rest, id_: str, increments: int) -> None:
    assert increments > 0
    assert client.get(f"Patient/{id_}")["multipleBirthInteger"] == increments
    entries = client.entries(f"Patient/{id_}/_history?_count=40")
    counts = [entry["resource"]["multipleBirthInteger"] for entry in entries]
    assert counts == list(range(increments, -1, -1))
    versions = [int(entry["resource"]["meta"]["versionId"]) for entry in entries]
    assert versions == list(range(increments + 1, 0, -1))
    times = [entry["resource"]["meta"]["lastUpdated"] for entry in entries]
    assert times == sorted(times, reverse=True)
    for version in (1, increments // 2 + 1, increments + 1):
        assert (
            client.get(f"Patient/{id_}/_history/{version}")["multipleBirthInteger"] == version - 1
        )
