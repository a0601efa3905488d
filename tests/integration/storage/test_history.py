"""Histories on both engines, held against one that looks at every version ever written."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.codec import decode
from imaging_fhir.storage import history, resources
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.history import HistoryQuery, Position
from imaging_fhir.storage.schema import version

MARCH = 1_773_446_400_000
NAMES = [("Patient", "a"), ("Patient", "b"), ("Device", "c"), ("Binary", "d")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    position: Position
    type: str
    deleted: bool
    until: float = float("inf")  # when the next version came


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, clock=lambda: MARCH)  # each commit is a millisecond later
    yield database
    database.close()


def written_by_chance(database: Database, chance: random.Random) -> list[Written]:
    """Some commits of one to three changes each, also of the same resource."""
    found: list[Written] = []

    def change(transaction: Transaction) -> None:
        for _ in range(chance.randint(1, 3)):
            type_, id_ = chance.choice(NAMES)
            content = {"resourceType": type_, "language": str(chance.random())}
            stored = (
                resources.delete(transaction, type_, id_)
                if chance.random() < 0.25
                else resources.put(transaction, type_, id_, content, ())
            )
            if stored is not None:
                found.append(
                    Written(position=history.position(stored), type=type_, deleted=stored.deleted)
                )

    for _ in range(40):
        database.write(change)
    return ended(found)


def ended(found: list[Written]) -> list[Written]:
    """Newest first, each with the time at which another took its place."""
    until: dict[int, int] = {}
    result = []
    for one in sorted(found, key=lambda one: one.position, reverse=True):
        stamp, rid, _ = one.position
        result.append(replace(one, until=until.get(rid, float("inf"))))
        until[rid] = stamp
    return result


def expected(everything: list[Written], query: HistoryQuery) -> list[Position]:
    return [one.position for one in everything if is_asked_for(one, query)]


def is_asked_for(one: Written, query: HistoryQuery) -> bool:
    stamp, rid, _ = one.position
    if query.since is not None and stamp < query.since:
        return False
    if query.at is not None:
        low, high = query.at
        lasted = not one.deleted and one.until > low
        if stamp >= high or not (stamp >= low or lasted):
            return False
    return (
        query.rid in (None, rid)
        and query.resource_type in (None, one.type)
        and one.type not in query.without
    )


def queries(everything: list[Written], chance: random.Random) -> Iterator[HistoryQuery]:
    stamps = [one.position[0] for one in everything]
    for _ in range(60):
        low = chance.choice(stamps) + chance.randint(-1, 1)
        one = chance.choice(everything)
        scopes: list[dict[str, Any]] = [
            {},
            {"without": ("Binary",)},
            {"resource_type": one.type},
            {"resource_type": one.type, "rid": one.position[1]},
        ]
        yield HistoryQuery(
            count=chance.randint(1, 9),
            since=chance.choice([None, low]),
            at=chance.choice([None, (low, low + chance.choice([1, 7]))]),
            **chance.choice(scopes),
        )


def test_every_history_is_that_of_the_versions_written(database: Database) -> None:
    chance = random.Random(20_260_314)
    everything = written_by_chance(database, chance)
    shown = 0
    for query in queries(everything, chance):
        pages: list[Position] = []
        following: HistoryQuery | None = query
        with database.read() as connection:
            assert history.count(connection, query) == len(expected(everything, query))
            while following is not None:
                page = history.page(connection, following)
                pages += [history.position(one) for one in page.versions]
                assert len(page.versions) == query.count or page.next_after is None
                following = page.next_after and replace(query, after=page.next_after)
        assert pages == expected(everything, query), query
        shown += len(pages)
    assert shown > 500


def test_earlier_versions_are_shown_with_their_bodies(database: Database) -> None:
    def change(transaction: Transaction) -> None:
        for language in ("en", "fi"):
            content = {"resourceType": "Patient", "language": language}
            resources.put(transaction, "Patient", "a", content, ())

    database.write(change)
    with database.read() as connection:
        page = history.page(connection, HistoryQuery(count=5))
    assert [b'"fi"' in (one.body or b"") for one in page.versions] == [True, False]
    assert b'"en"' in (page.versions[1].body or b"")


def test_of_all_versions_only_the_one_that_is_asked_for_is_unpacked(database: Database) -> None:
    for gender in ("female", "male", "other", "unknown"):
        content = {"resourceType": "Patient", "gender": gender}
        database.write(
            partial(
                resources.put, resource_type="Patient", resource_id="p", content=content, entries=()
            )
        )
    with database.engine.begin() as connection:
        connection.execute(
            update(version).where(version.c.version != 2).values(body=b"not what was kept")
        )
    with database.read() as connection:
        second = resources.read_version(connection, "Patient", "p", "2")
        assert (second.version, decode(second.body or b"")["gender"]) == (2, "male")
        assert resources.read_version(connection, "Patient", "p", "4").version == 4
        for unknown in ("0", "5", "02", "two", "", "99999999999999999999", "-1"):
            with pytest.raises(ResourceNotFound):
                resources.read_version(connection, "Patient", "p", unknown)
