"""Runs searches: their matches page by page, how many there are, and what they include.

Without `_sort` the newest come first, by `rid`, which grows with every creation. A search that
nothing narrows, sorted by one parameter, walks the index of that parameter, of a date only as far
as it is asked for (`search_windows`); every other one finds its matches by the criterion that
narrows it most (`search_conditions`), and sorts those. Only `:missing`, `:not`, `:contains` and a
rare value among many rows can look at every resource of a type; `limited` bounds them.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select, text
from sqlalchemy.exc import OperationalError

from imaging_fhir.errors import SearchTooCostly
from imaging_fhir.model.search import Query, Restrictions, SortKey
from imaging_fhir.storage.resources import COLUMNS, StoredResource, stored
from imaging_fhir.storage.same_person import of_persons
from imaging_fhir.storage.schema import resource
from imaging_fhir.storage.search_conditions import Conditions, is_selective
from imaging_fhir.storage.search_paging import (
    SORTED_COLUMNS,
    OrderedBy,
    behind,
    has_value,
    position_of,
    position_text,
    sort_columns,
)
from imaging_fhir.storage.search_values import entries_of_row, table_of
from imaging_fhir.storage.search_windows import Window, ahead, lasting_beyond, windows

OPEN: Restrictions = {}
STEPS_BETWEEN_LOOKS = 20_000  # of SQLite's virtual machine: some 1 ms
Position = tuple[Any, ...]  # of a match: its sort keys, its rid last


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`next_after` is what the next page's Query has as `after`; None: there is none."""

    matches: tuple[StoredResource, ...] = ()
    next_after: str | None = None
    total: int | None = None


def search(connection: Connection, query: Query, *, restrictions: Restrictions = OPEN) -> Page:
    """One page of matches; raise InvalidRequest where `after` is no position of this search.

    A match has no body where its resource is assembled from fragments.
    """
    [query] = of_persons(connection, [query])
    conditions = Conditions(connection.dialect.name, restrictions)
    total = count(connection, query, conditions) if query.total else None
    if query.summary == "count":
        return Page(total=total)
    positions = page_positions(connection, query, conditions)
    shown = positions[: query.count]
    return Page(
        matches=tuple(rows_of(connection, [position[-1] for position in shown])),
        next_after=position_text(shown[-1]) if len(positions) > query.count else None,
        total=total,
    )


def search_union(
    connection: Connection,
    whole: Query,
    parts: Sequence[Query],
    *,
    restrictions: Restrictions = OPEN,
) -> Page:
    """One page of the matches of several searches, of one type each, sorted by the same instants.

    Each is asked for one page behind the same position: so many statements as there are types.
    """
    parts = of_persons(connection, parts)
    conditions = Conditions(connection.dialect.name, restrictions)
    total = sum(count(connection, part, conditions) for part in parts) if whole.total else None
    if whole.summary == "count":
        return Page(total=total)
    found = (
        page_positions(connection, replace(part, after=whole.after), conditions) for part in parts
    )
    merged = heapq.merge(*found, key=lambda position: order_key(position, whole.sort))
    positions = list(islice(merged, whole.count + 1))
    shown = positions[: whole.count]
    return Page(
        matches=tuple(rows_of(connection, [position[-1] for position in shown])),
        next_after=position_text(shown[-1]) if len(positions) > whole.count else None,
        total=total,
    )


def order_key(position: Position, sort: Sequence[SortKey]) -> tuple[tuple[bool, int], ...]:
    """As OrderedBy sorts whole numbers: none last, and of equals the newest first."""
    values = zip(position, (*(key.descending for key in sort), True), strict=True)
    return tuple(
        (value is None, 0 if value is None else -value if descending else value)
        for value, descending in values
    )


def find_ids(
    connection: Connection, query: Query, *, limit: int, restrictions: Restrictions = OPEN
) -> list[str]:
    """Ids of resources that fulfil the query: for conditional interactions."""
    [query] = of_persons(connection, [query])
    conditions = Conditions(connection.dialect.name, restrictions)
    found = select(resource.c.id).where(
        conditions.of(resource, query.resource_type, query.criteria)
    )
    return list(connection.execute(found.limit(limit)).scalars())


def matching(
    connection: Connection,
    query: Query,
    rids: Sequence[int],
    *,
    restrictions: Restrictions = OPEN,
) -> set[int]:
    """Those of the resources that fulfil the query; each is looked at by itself."""
    [query] = of_persons(connection, [query])
    conditions = Conditions(connection.dialect.name, restrictions)
    fulfilled = conditions.of(resource, query.resource_type, query.criteria, driven=False)
    found = select(resource.c.rid).where(resource.c.rid.in_(rids), fulfilled)
    return set(connection.execute(found).scalars())


def count(connection: Connection, query: Query, conditions: Conditions) -> int:
    fulfilled = conditions.of(resource, query.resource_type, query.criteria)
    found = select(func.count()).select_from(resource).where(fulfilled)
    return int(connection.execute(found).scalar_one())


def rows_of(connection: Connection, rids: Sequence[int]) -> list[StoredResource]:
    """The resources in the order of the rids."""
    if not rids:
        return []
    found = connection.execute(select(*COLUMNS).where(resource.c.rid.in_(rids)))
    by_rid = {row.rid: stored(row) for row in found}
    return [by_rid[rid] for rid in rids]


def page_positions(connection: Connection, query: Query, conditions: Conditions) -> list[Position]:
    """One page of positions, and one more where there is a next page."""
    if is_walk(query, conditions):
        return walked_positions(connection, query, conditions)
    return sorted_positions(connection, query, conditions, query.after, query.count + 1)


def sorted_positions(
    connection: Connection, query: Query, conditions: Conditions, after: str | None, limit: int
) -> list[Position]:
    """By any sort keys, each looked up for every resource that fulfils the criteria."""
    keys = sort_columns(resource, query.resource_type, query.sort, conditions.dialect)
    driven = bool(query.sort) or not conditions.finds_many(
        connection, query.resource_type, query.criteria
    )
    found = select(*(key.value for key in keys)).where(
        conditions.of(resource, query.resource_type, query.criteria, driven=driven)
    )
    if after is not None:
        found = found.where(behind(keys, position_of(after, query.sort)))
    found = found.order_by(*(column for key in keys for column in key.order())).limit(limit)
    return [tuple(row) for row in connection.execute(found)]


def is_walk(query: Query, conditions: Conditions) -> bool:
    """Is the sort key's own index the way, since the criteria leave too many to sort?"""
    if len(query.sort) != 1 or query.sort[0].parameter in ("_id", "_lastUpdated"):
        return False
    restrictions = conditions.restrictions.get(query.resource_type, ())
    return not is_selective((*query.criteria, *restrictions))


def walked_positions(
    connection: Connection, query: Query, conditions: Conditions
) -> list[Position]:
    """Along the index of the sort key, and when it ends, what has no value there."""
    limit = query.count + 1
    after = position_of(query.after, query.sort) if query.after is not None else None
    found: list[Position] = []
    key = query.sort[0]
    within = windows(query.resource_type, key.parameter, query.criteria)
    if after is None or after[0] is not None:
        for window, start in [(None, after)] if within is None else in_order(within, key, after):
            if len(found) < limit:
                found += walk(connection, query, conditions, start, limit - len(found), window)
        after = None
    if len(found) < limit and within is None:
        found += valueless(connection, query, conditions, after, limit - len(found))
    return found


def in_order(
    within: Sequence[Window], key: SortKey, after: Sequence[Any] | None
) -> Iterator[tuple[Window, Sequence[Any] | None]]:
    """As they are come by from the position on, the one that holds it with the position.

    It is cut there, and the others know no position, since of two bounds SQLite takes any.
    """
    for window in reversed(within) if key.descending else within:
        if after is None:
            yield window, None
        elif window[0] <= after[0] < window[1]:
            yield ahead(window, after[0], key.descending), after
        elif (after[0] >= window[1]) == key.descending:
            yield window, None


def walk(
    connection: Connection,
    query: Query,
    conditions: Conditions,
    after: Sequence[Any] | None,
    limit: int,
    window: Window | None,
) -> list[Position]:
    """A resource of several values stands where its first one in this order does."""
    key = query.sort[0]
    entry, other = table_of(key.type).alias(), table_of(key.type).alias()
    name = SORTED_COLUMNS[key.type]
    parameter = f"{query.resource_type}.{key.parameter}"
    value = entry.c[name]
    keys = [
        OrderedBy(value, key.descending, nullable=False),
        OrderedBy(entry.c.rid, descending=True, nullable=False),
    ]
    earlier = other.c[name] > value if key.descending else other.c[name] < value
    found = (
        each_once(conditions.dialect, value, entry.c.rid)
        .join(resource, resource.c.rid == entry.c.rid)
        .where(
            entry.c.parameter == parameter,
            has_value(entry, key.type),
            conditions.of(resource, query.resource_type, query.criteria, driven=False),
            ~exists().where(
                other.c.rid == entry.c.rid,
                entries_of_row(other, parameter, conditions.dialect),
                has_value(other, key.type),
                earlier,
            ),
        )
    )
    if window is not None:
        found = found.where(value >= window[0], value < window[1])
    beyond = lasting_beyond(query.resource_type, key.parameter, query.criteria)
    if beyond is not None:
        found = found.where(entry.c.high > beyond)
    if after is not None:
        found = found.where(behind(keys, after))
    found = found.order_by(*(column for one in keys for column in one.order())).limit(limit)
    return [tuple(row) for row in connection.execute(found)]


def each_once(dialect: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Of equal rows one: by what goes along an index on that database, and does not sort all."""
    found = select(*columns)
    return found.distinct() if dialect == "sqlite" else found.group_by(*columns)


def valueless(
    connection: Connection,
    query: Query,
    conditions: Conditions,
    after: Sequence[Any] | None,
    limit: int,
) -> list[Position]:
    key = query.sort[0]
    entry = table_of(key.type).alias()
    found = select(resource.c.rid).where(
        conditions.of(resource, query.resource_type, query.criteria),
        ~exists().where(
            entry.c.rid == resource.c.rid,
            entries_of_row(entry, f"{query.resource_type}.{key.parameter}", conditions.dialect),
            has_value(entry, key.type),
        ),
    )
    if after is not None:
        found = found.where(resource.c.rid < after[1])
    found = found.order_by(resource.c.rid.desc()).limit(limit)
    return [(None, rid) for rid in connection.execute(found).scalars()]


@contextmanager
def limited(connection: Connection, seconds: float) -> Iterator[None]:
    """Statements inside must end within the time; raise SearchTooCostly."""
    bounded = sqlite_limited if connection.dialect.name == "sqlite" else postgresql_limited
    try:
        with bounded(connection, seconds):
            yield
    except OperationalError as error:
        if was_interrupted(error):
            raise SearchTooCostly(
                "The search takes too long: narrow it down, by patient or identifier for example."
            ) from error
        raise


@contextmanager
def sqlite_limited(connection: Connection, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, STEPS_BETWEEN_LOOKS)


@contextmanager
def postgresql_limited(connection: Connection, seconds: float) -> Iterator[None]:
    """For each statement; the limit goes with the transaction, also where that has failed."""
    connection.execute(text(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}"))
    yield
    connection.execute(text("SET LOCAL statement_timeout = DEFAULT"))


def was_interrupted(error: OperationalError) -> bool:
    cause = error.orig
    code = getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "")
    return code in ("SQLITE_INTERRUPT", "57014")  # PostgreSQL's query_canceled
