"""Searches on both engines, held against R4's own expressions on every resource."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, select

from imaging_fhir.fhir.compartments import COMPARTMENTS, ITSELF, membership
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.search_union import DATES, Options, UnionQuery, parse_union
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.search import Query
from imaging_fhir.storage import resources, search
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import resource
from imaging_fhir.storage.search_conditions import Conditions
from tests.search_asking import BASE, random_search, sayings
from tests.search_judge import Judge, Kept
from tests.search_population import population, random_resources

OPTIONS = Options(base=BASE, zone=None, default_count=7, max_count=1000, strict=True)
SORTS = ("", "date", "-date", "_lastUpdated", "-_lastUpdated,date", "-date,_lastUpdated")
TYPES = ["ImagingStudy", "DocumentReference", "ServiceRequest", "Media", "Task", "Specimen"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def put_in(
    transaction: Transaction, contents: list[Resource], zone: ZoneInfo | None = None
) -> None:
    for content in contents:
        type_, id_ = content["resourceType"], content["id"]
        resources.put(transaction, type_, id_, content, index_entries(type_, content, zone=zone))


def put_all(database: Database, contents: list[Resource]) -> None:
    """Under a few stamps, as a burst of uploads is."""
    for start in range(0, len(contents), 40):
        few = contents[start : start + 40]
        database.write(partial(put_in, contents=few))


def judge_of(connection: Connection) -> Judge:
    """Of all that the database keeps."""
    rows = connection.execute(select(resource).order_by(resource.c.rid))
    kept = [Kept(row.type, row.id, row.rid, decode(row.body)) for row in rows]
    return Judge(kept=kept, base=BASE, zone=UTC)


def all_pages(connection: Connection, query: Query) -> list[int]:
    rids: list[int] = []
    after: str | None = None
    while True:
        page = search.search(connection, replace(query, after=after))
        assert len(page.matches) <= query.count
        rids += [match.rid for match in page.matches]
        after = page.next_after
        if after is None:
            return rids
        assert len(page.matches) == query.count


@pytest.mark.parametrize(
    "seed", [5, 26, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(100, 120))]
)
def test_searches_find_in_order_what_the_official_expressions_find(
    database: Database, shared_data: Path, seed: int
) -> None:
    chance = random.Random(seed)
    contents = population(shared_data, random.Random(11)) + random_resources(chance)
    chance.shuffle(contents)
    put_all(database, contents)
    sizes: list[int] = []
    types: Counter[str] = Counter()
    with database.read() as connection:
        judge = judge_of(connection)
        said = sayings(list(judge.kept))
        for _ in range(200):
            type_, parameters = random_search(said, chance)
            query = parse_query(type_, parameters, base=BASE, strict=True, now=datetime.now(UTC))
            query = replace(query, count=chance.choice([10, 50]), total=True)
            expected = [one.rid for one in judge.found(type_, parameters)]
            assert all_pages(connection, query) == expected, (type_, parameters)
            assert search.search(connection, query).total == len(expected)
            sizes.append(len(expected))
            types[type_] += 1
    assert sum(size > 0 for size in sizes) > 60
    assert sum(size > 10 for size in sizes) > 20
    assert len(types) > 20


PREFIXES = ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
PERIODS: tuple[dict[str, str], ...] = (
    {"start": "2024-01-10T10:00:00Z", "end": "2024-01-10T11:00:00Z"},
    {"start": "2024-01-10", "end": "2024-01-10"},
    {"start": "2024-01-09", "end": "2024-01-11"},
    {"start": "2024-01", "end": "2024-02"},
    {"start": "2024-01-10"},
    {"end": "2024-01-10"},
    {"start": "2023", "end": "2023"},
    {"start": "2025", "end": "2025"},
    {},
)
MOMENTS = ("2024-01-10", "2024-01", "2024", "2024-01-10T10:30:00Z", "2024-01-11", "2024-01-09")


def test_each_prefix_of_a_date_means_what_r4_says(database: Database) -> None:
    contents: list[Resource] = [
        {"resourceType": "Encounter", "id": f"e{number}", "period": period}
        for number, period in enumerate(PERIODS)
    ]
    put_all(database, contents)
    with database.read() as connection:
        judge = judge_of(connection)
        for prefix in PREFIXES:
            for moment in MOMENTS:
                asked = [("date", prefix + moment)]
                query = parse_query("Encounter", asked, base=BASE, strict=True)
                expected = [one.rid for one in judge.found("Encounter", asked)]
                assert all_pages(connection, query) == expected, asked


STARTS = (
    "2023", "2024", "2025", "2023-12", "2024-01", "2024-02", "2024-06", "2023-12-31", "2024-01-01",
    "2024-01-10", "2024-01-31", "2024-02-01", "2024-01-10T10:30:00Z", "2024-01-10T10:30:00.5Z",
    "2024-01-01T00:00:00Z", "2023-12-31T23:59:59Z", "2024-02-01T00:30:00+14:00",
    "2023-12-31T12:00:00-12:00", "2024-06-15T12:00:00Z", "0001-01-01", "9998-12-30",
)  # fmt: skip
ENDLESS = ("9999", "9999-06", "9999-12-31")  # no calendar has the day after; the judge neither


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_date_that_is_asked_for_and_sorted_by_is_found_in_its_order(
    database: Database, zone: str
) -> None:
    """Dates without a time are of that zone; the judge tells what they mean in UTC only."""
    chance = random.Random(4)
    starts = STARTS if zone == "UTC" else STARTS + ENDLESS
    contents: list[Resource] = [
        {"resourceType": "ImagingStudy", "id": f"s{number}", "status": "available",
         "subject": {"reference": "Patient/p"}, **({"started": started} if started else {})}
        for number, started in enumerate([*starts, "", *starts])
    ]  # fmt: skip
    database.write(partial(put_in, contents=contents, zone=ZoneInfo(zone)))
    asked_first = [("started", prefix + moment) for prefix in PREFIXES for moment in starts]
    with database.read() as connection:
        judge = judge_of(connection)
        for first in chance.sample(asked_first, 60):
            asked = [first]
            if chance.random() < 0.5:
                asked.append(("started", chance.choice(PREFIXES) + chance.choice(starts)))
            if chance.random() < 0.2:
                asked[-1] = ("started", f"{asked[-1][1]},{chance.choice(starts)}")
            sort = chance.choice(["started", "-started"])
            query = parse_query("ImagingStudy", [*asked, ("_sort", sort)], base=BASE, strict=True)
            query = replace(query, count=chance.choice([3, 10, 50]))
            assert search.is_walk(query, Conditions(connection.dialect.name, {}))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(search, "is_walk", lambda *_: False)
                expected = all_pages(connection, query)  # each looked at, and then sorted
            assert all_pages(connection, query) == expected, (asked, sort)
            if zone == "UTC":
                found = judge.found("ImagingStudy", [*asked, ("_sort", sort)])
                assert [one.rid for one in found] == expected, (asked, sort)


def all_union_pages(connection: Connection, union: UnionQuery) -> list[int]:
    rids: list[int] = []
    after = None
    while True:
        whole = replace(union.whole, after=after)
        page = search.search_union(connection, whole, union.parts)
        rids += [match.rid for match in page.matches]
        after = page.next_after
        if after is None:
            return rids


def sorted_over_types(judge: Judge, matches: list[Kept], sort: str) -> list[int]:
    """`date` is of each type the parameter of when it happened."""
    matches = sorted(matches, key=lambda one: -one.rid)
    for key in reversed(sort.split(",") if sort else []):
        descending, name = key.startswith("-"), key.removeprefix("-")
        values = {
            one.rid: judge.sort_value(
                one, DATES.get(one.type, "date") if name == "date" else name, descending
            )
            for one in matches
        }
        there = [one for one in matches if values[one.rid] is not None]
        there.sort(key=lambda one: values[one.rid], reverse=descending)
        matches = there + [one for one in matches if values[one.rid] is None]
    return [one.rid for one in matches]


def test_a_search_over_types_finds_in_order_what_the_official_expressions_find(
    database: Database, shared_data: Path
) -> None:
    chance = random.Random(8)
    put_all(database, population(shared_data, random.Random(3)) + random_resources(chance))
    sizes = []
    with database.read() as connection:
        judge = judge_of(connection)
        patients = [one.id for one in judge.kept if one.type == "Patient"]
        for _ in range(40):
            types = chance.sample(TYPES, 3)
            sort = chance.choice(SORTS)
            asked = [("patient", chance.choice(patients))] if chance.random() < 0.7 else []
            pairs = [("_sort", sort), ("_count", "9"), *asked]
            union = parse_union(types, [one for one in pairs if one[1]], OPTIONS, address="")
            matches = [one for type_ in types for one in judge.found(type_, asked)]
            wanted = sorted_over_types(judge, matches, sort)
            assert all_union_pages(connection, union) == wanted, pairs
            sizes.append(len(wanted))
    assert max(sizes) > 20


def test_a_compartment_holds_what_the_official_expressions_find(
    database: Database, shared_data: Path
) -> None:
    chance = random.Random(2)
    put_all(database, population(shared_data, random.Random(3)) + random_resources(chance))
    count = 0
    with database.read() as connection:
        judge = judge_of(connection)
        owners = [one for one in judge.kept if one.type in COMPARTMENTS]
        for owner in chance.sample(owners, 20):
            for type_, names in COMPARTMENTS[owner.type].items():
                asked = parse_query(type_, [], base=BASE, default_count=1000)
                query = replace(asked, criteria=(membership(owner.type, owner.id, type_),))
                found = search.search(connection, query).matches
                wanted = [
                    one.rid
                    for one in judge.found(type_, [])
                    if any(name == ITSELF and one == owner for name in names)
                    or any(judge.refers(one, name, owner) for name in names if name != ITSELF)
                ]
                assert [match.rid for match in found] == wanted, (owner.reference, type_)
                count += len(wanted)
    assert count > 80
