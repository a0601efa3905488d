"""Searches over several types and in compartments, held against looking at every resource."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text

from imaging_fhir.fhir.compartments import COMPARTMENTS, membership
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.fhir.search_union import DATES, Options, UnionQuery, parse_union
from imaging_fhir.storage import resources, search
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import commit_clock, metadata, resource
from tests.naive_search import Known, NaiveSearch, sort_value
from tests.search_population import population

OPTIONS = Options(
    base="http://127.0.0.1:8080/fhir", zone=None, default_count=7, max_count=1000, strict=True
)
SORTS = ("", "date", "-date", "_lastUpdated", "-_lastUpdated,date", "-date,_lastUpdated")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    metadata.create_all(database.engine)
    with database.engine.begin() as connection:
        connection.execute(insert(commit_clock).values(pk=1, stamp=0))
    yield database
    database.close()


@pytest.fixture
def naive(database: Database, shared_data: Path) -> NaiveSearch:
    contents = population(shared_data, random.Random(3))
    entries = {
        (one["resourceType"], one["id"]): index_entries(one["resourceType"], one)
        for one in contents
    }

    def put_all(transaction: Transaction) -> None:
        for one in contents:
            key = (one["resourceType"], one["id"])
            resources.put(transaction, *key, one, entries[key])

    database.write(put_all)
    with database.read() as connection:
        return NaiveSearch(
            tuple(
                Known(row.type, row.id, row.rid, row.last_updated, tuple(entries[row.type, row.id]))
                for row in connection.execute(select(resource))
            )
        )


def expected(naive: NaiveSearch, union: UnionQuery) -> list[int]:
    """Sorted again, from the last key to the first; what has no value comes last."""
    found = [(part, one) for part in union.parts for one in naive.matches(part)]
    found.sort(key=lambda pair: -pair[1].rid)
    for at, key in reversed(list(enumerate(union.whole.sort))):
        values = {one.rid: sort_value(one, part.sort[at]) for part, one in found}
        there = [pair for pair in found if values[pair[1].rid] is not None]
        there.sort(key=lambda pair: values[pair[1].rid], reverse=key.descending)  # type: ignore[arg-type,return-value]
        found = there + [pair for pair in found if values[pair[1].rid] is None]
    return [one.rid for _, one in found]


def all_pages(connection: Connection, union: UnionQuery) -> list[int]:
    rids: list[int] = []
    after = None
    while True:
        whole = replace(union.whole, after=after)
        page = search.search_union(connection, whole, union.parts)
        rids += [match.rid for match in page.matches]
        after = page.next_after
        if after is None:
            return rids


def test_a_search_over_types_finds_in_order_what_looking_at_everything_finds(
    database: Database, naive: NaiveSearch
) -> None:
    chance = random.Random(8)
    patients = [one.id for one in naive.known if one.type == "Patient"]
    sizes = []
    with database.read() as connection:
        for _ in range(30):
            types = chance.sample(["ImagingStudy", "DocumentReference", "ServiceRequest"], 2)
            parameters = [("_sort", chance.choice(SORTS)), ("_count", "9")]
            if chance.random() < 0.7:
                parameters.append(("patient", chance.choice(patients)))
            pairs = [(key, value) for key, value in parameters if value]
            union = parse_union(types, pairs, OPTIONS, address="")
            wanted = expected(naive, union)
            assert all_pages(connection, union) == wanted, pairs
            sizes.append(len(wanted))
    assert max(sizes) > 20


def test_a_compartment_holds_what_looking_at_everything_finds(
    database: Database, naive: NaiveSearch
) -> None:
    owners = [(one.type, one.id) for one in naive.known if one.type in COMPARTMENTS]
    chance = random.Random(2)
    chosen = chance.sample(owners, 12) + [one for one in owners if one[0] == "Patient"][:3]
    count = 0
    with database.read() as connection:
        for owner in chosen:
            for type_ in COMPARTMENTS[owner[0]]:
                asked = parse_query(type_, [], base=OPTIONS.base, default_count=1000)
                query = replace(asked, criteria=(membership(*owner, type_),))
                found = search.search(connection, query).matches
                wanted = [one.rid for one in naive.matches(query)]
                assert [match.rid for match in found] == wanted, (owner, type_)
                count += len(wanted)
    assert count > 100


def plans(connection: Connection, run: Any) -> list[str]:
    """How the engine would go about the statements of a search, were the tables large."""
    statements: list[tuple[str, Any]] = []

    def take(_: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", take)
    run()
    event.remove(connection, "before_cursor_execute", take)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL enable_seqscan = off"))
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return [
        str(row[-1])
        for statement, parameters in statements
        for row in connection.exec_driver_sql(explain + statement, parameters)
    ]


@pytest.mark.parametrize(
    ("type_", "parameter", "value"),
    [
        ("Observation", "component-code-value-quantity", "8480-6$gt130"),
        ("Observation", "code-value-string", "8480-6$abc"),
        ("Observation", "value-quantity", "gt5"),
        ("DocumentReference", "study-instance-uid", "1.2.3"),
        ("DocumentReference", "accession-number", "A7"),
        ("ImagingStudy", "description", "skull"),
        ("Media", "_list", "42"),
    ],
)
def test_an_index_finds_the_value(
    database: Database, type_: str, parameter: str, value: str
) -> None:
    query = parse_query(type_, [(parameter, value)], base=OPTIONS.base, strict=True)
    with database.read() as connection:
        require_indexed(plans(connection, lambda: search.search(connection, query)))


def test_an_index_finds_what_is_in_a_compartment(database: Database) -> None:
    with database.read() as connection:
        for owner, types in COMPARTMENTS.items():
            for type_ in types:
                asked = parse_query(type_, [], base=OPTIONS.base)
                query = replace(asked, criteria=(membership(owner, "x", type_),))
                require_indexed(plans(connection, lambda q=query: search.search(connection, q)))


def require_indexed(plan: list[str]) -> None:
    assert plan
    scans = [step for step in plan if "Seq Scan" in step or step.startswith("SCAN")]
    assert [step for step in scans if "USING" not in step and "SUBQUERY" not in step] == []


def test_every_date_of_a_search_over_types_is_one_of_the_type() -> None:
    for type_, name in DATES.items():
        assert RESOURCE_TYPES[type_].by_name[name].type == "date"
        assert "date" not in RESOURCE_TYPES[type_].by_name
