"""Ranges of what may last long (Encounter.date), sorted by it: bounded, and nothing is left out."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.search import Query
from imaging_fhir.storage import resources, search
from imaging_fhir.storage.database import Connection, Database, Transaction

ENCOUNTERS, QUERIES, PAGE = 80, 60, 7
TIMES = [
    "2023",
    "2024",
    "2024-02",
    "2024-02-10",
    "2024-02-11",
    "2024-02-11T08:30:00+01:00",
    "2024-02-11T08:00:00Z",
    "2024-02-12",
    "2024-03",
    "9999-12-31",
]
PREFIXES = ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def period(chance: random.Random) -> dict[str, str]:
    """Also one that begins or ends nobody knows when; none ends before it begins (per-1)."""
    first, second = chance.randrange(len(TIMES)), chance.randrange(len(TIMES))
    start, end = TIMES[min(first, second)], TIMES[max(first, second)]
    return chance.choice(
        [{"start": start, "end": end}, {"start": start}, {"end": end}, {"start": start}]
    )


def parameters(chance: random.Random) -> list[tuple[str, str]]:
    """One or two ranges, each of one or more alternatives, beside something else at times."""
    ranges = [
        (
            "date",
            ",".join(
                chance.choice(PREFIXES) + chance.choice(TIMES)
                for _ in range(chance.choice((1, 1, 3)))
            ),
        )
        for _ in range(chance.choice((1, 2)))
    ]
    return [*ranges, *chance.choice(([], [("status", "finished")], [("date:missing", "false")]))]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    chance = random.Random(11)

    def fill(transaction: Transaction) -> None:
        for number in range(ENCOUNTERS):
            content: dict[str, Any] = {"resourceType": "Encounter", "id": f"e{number}"}
            content["status"] = chance.choice(("finished", "planned"))
            if number % 10:
                content["period"] = period(chance)
            entries = index_entries("Encounter", content)
            resources.put(transaction, "Encounter", f"e{number}", content, entries)

    database.write(fill)
    yield database
    database.close()


def ids(connection: Connection, pairs: list[tuple[str, str]], sort: str) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = [("_page", after)] if after else []
        query = asked([*pairs, ("_sort", sort), ("_count", str(PAGE)), *page])
        answer = search.search(connection, query)
        found += [match.id for match in answer.matches]
        after = answer.next_after
    return found


def asked(pairs: list[tuple[str, str]]) -> Query:
    return parse_query("Encounter", pairs, base="https://images.example/fhir", strict=True)


@pytest.mark.parametrize("direction", ["", "-"])
def test_a_walk_along_the_index_finds_what_looking_at_all_finds(
    database: Database, direction: str
) -> None:
    """With a second key nothing is walked: every match is looked up, and sorted."""
    chance = random.Random(13)
    sizes = set()
    with database.read() as connection:
        for _ in range(QUERIES):
            pairs = parameters(chance)
            walked = ids(connection, pairs, f"{direction}date")
            looked_up = ids(connection, pairs, f"{direction}date,_id")
            assert sorted(walked) == sorted(looked_up), pairs
            assert len(set(walked)) == len(walked), pairs
            lows = lows_of(connection)
            assert [lows[one] for one in walked] == [lows[one] for one in looked_up], pairs
            sizes.add(len(walked))
    assert min(sizes) < PAGE < 2 * PAGE < max(sizes)


def lows_of(connection: Connection) -> dict[str, int | None]:
    rows = connection.exec_driver_sql(
        "SELECT resource.id, date_index.low FROM resource LEFT JOIN date_index "
        "ON date_index.rid = resource.rid AND date_index.parameter = 'Encounter.date'"
    )
    return {row.id: row.low for row in rows}
