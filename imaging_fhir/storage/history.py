"""Every version of one resource, a type or everything, newest first (http.html#history).

A version is found by its key: its stamp, then `rid`, then its number. The key stays the same when
the version becomes an earlier one, so that a page begins behind the last key of the page before
it, whatever was written in between.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, tuple_

from imaging_fhir.model.search import Restrictions
from imaging_fhir.storage.resources import StoredResource, stored
from imaging_fhir.storage.schema import resource, version
from imaging_fhir.storage.search_conditions import Conditions

Position = tuple[int, int, int]  # stamp, rid, number of the version
OPEN: Restrictions = {}
KEYS = {
    table: (table.c.last_updated, table.c.rid, table.c.version) for table in (resource, version)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Times are milliseconds since 1970 UTC."""

    count: int
    resource_type: str | None = None  # None: everything
    rid: int | None = None  # None: every resource of the type
    without: tuple[str, ...] = ()  # types that are not shown
    since: int | None = None  # no version older than this
    at: tuple[int, int] | None = None  # only what was current at some time in it, half open
    after: Position | None = None  # the last version of the page before


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    versions: tuple[StoredResource, ...]
    next_after: Position | None = None


def page(connection: Connection, query: HistoryQuery, restrictions: Restrictions = OPEN) -> Page:
    """One page; a version has no body where it was a deletion, or is assembled from fragments."""
    current, earlier = statements(connection, query, restrictions)
    found = [
        stored(row, unpacked)
        for statement, unpacked in ((current, bytes), (earlier, zlib.decompress))
        for row in connection.execute(ordered(statement, query))
    ]
    found.sort(key=position, reverse=True)
    shown = tuple(found[: query.count])
    return Page(
        versions=shown,
        next_after=position(shown[-1]) if shown and len(found) > query.count else None,
    )


def posted(connection: Connection, versions: Iterable[StoredResource]) -> frozenset[int]:
    """The `rid`s of those of which the first version is shown, and came by POST."""
    first = [one.rid for one in versions if one.version == 1]
    if not first:
        return frozenset()
    rows = select(resource.c.rid).where(resource.c.rid.in_(first), resource.c.posted)
    return frozenset(connection.execute(rows).scalars())


def count(connection: Connection, query: HistoryQuery, restrictions: Restrictions = OPEN) -> int:
    """How many versions there are on all pages."""
    return sum(
        connection.execute(select(func.count()).select_from(statement.subquery())).scalar_one()
        for statement in statements(connection, query, restrictions)
    )


def statements(
    connection: Connection, query: HistoryQuery, restrictions: Restrictions
) -> tuple[Select[Any], Select[Any]]:
    """The current versions, and the earlier ones: each along an index of its own table."""
    conditions = Conditions(connection.dialect.name, restrictions)
    id_, type_ = resource.c.id, resource.c.type
    current = select(*KEYS[resource], id_, type_, resource.c.deleted, resource.c.body)
    earlier = select(*KEYS[version], id_, type_, version.c.deleted, version.c.body)
    earlier = earlier.join(resource, resource.c.rid == version.c.rid)
    return (
        current.where(*asked_for(resource, query), *visible(conditions, query)),
        earlier.where(*asked_for(version, query), *visible(conditions, query)),
    )


def ordered(statement: Select[Any], query: HistoryQuery) -> Select[Any]:
    """A page and one more. Of one resource the numbers alone are the order, by its key."""
    stamp, rid, number = list(statement.selected_columns)[:3]
    keys = (stamp, rid, number) if query.rid is None else (number,)
    return statement.order_by(*(key.desc() for key in keys)).limit(query.count + 1)


def asked_for(table: Any, query: HistoryQuery) -> Iterable[ColumnElement[bool]]:
    stamp, rid, number = KEYS[table]
    if query.rid is not None:
        yield rid == query.rid
    elif query.resource_type is not None:
        yield table.c.type == query.resource_type
    elif query.without:
        yield table.c.type.not_in(query.without)
    if query.since is not None:
        yield stamp >= query.since
    if query.at is not None:
        yield stamp < query.at[1]
        yield or_(
            stamp >= query.at[0], and_(table.c.deleted.is_(False), *lasts(table, query.at[0]))
        )
    if query.after is not None and query.rid is not None:
        yield number < query.after[2]
    elif query.after is not None:
        yield tuple_(stamp, rid, number) < tuple_(*query.after)


def lasts(table: Any, moment: int) -> Iterable[ColumnElement[bool]]:
    """No later version had taken its place by then."""
    if table is resource:
        return
    later = version.alias()
    yield resource.c.last_updated > moment
    yield ~exists().where(
        later.c.rid == version.c.rid,
        later.c.version > version.c.version,
        later.c.last_updated <= moment,
    )


def visible(conditions: Conditions, query: HistoryQuery) -> Iterable[ColumnElement[bool]]:
    """Who may not see the resource as it is now sees no version of it."""
    if query.resource_type is None:
        for name in conditions.restrictions:
            shown = conditions.of(resource, name, (), driven=False)
            yield or_(resource.c.type != name, shown)
    elif query.resource_type in conditions.restrictions:
        yield conditions.of(resource, query.resource_type, (), driven=False)


def position(found: StoredResource) -> Position:
    return found.last_updated, found.rid, found.version
