"""Sorting, and pages by key: each goes on behind the last match of the one before it.

A page's position is the last match's sort keys and rid, so that what is created or changed in
between can neither push a match over the edge of a page nor show it twice.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, false, func, or_, select
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.search import SortKey
from imaging_fhir.storage.search_values import entries_of_row, table_of

SORTED_COLUMNS = {
    "token": "folded",
    "reference": "target_id",
    "date": "low",
    "string": "folded",
    "uri": "value",
    "quantity": "low",
    "number": "low",
}


@dataclass(frozen=True, slots=True)
class OrderedBy:
    """One sort key in SQL; what has no value comes last in either direction (search.html#_sort)."""

    value: ColumnElement[Any]
    descending: bool
    nullable: bool

    def order(self) -> list[ColumnElement[Any]]:
        direction = self.value.desc() if self.descending else self.value.asc()
        return [self.value.is_(None), direction] if self.nullable else [direction]

    def behind(self, value: Any) -> ColumnElement[bool]:
        if value is None:
            return false()
        later = self.value < value if self.descending else self.value > value
        return or_(later, self.value.is_(None)) if self.nullable else later

    def level(self, value: Any) -> ColumnElement[bool]:
        return and_(self.value.is_(None) if value is None else self.value == value)

    def from_here(self, value: Any) -> ColumnElement[bool]:
        """Not before: what bounds an index on this key alone."""
        return and_(self.value <= value if self.descending else self.value >= value)


def has_value(table: FromClause, search_type: str) -> ColumnElement[bool]:
    """Is there something to sort by? A token that is only a text has no code."""
    column = table.c[SORTED_COLUMNS[search_type]]
    return column != "" if search_type == "token" else column.is_not(None)


def sort_columns(
    row: FromClause, resource_type: str, sort: Sequence[SortKey], dialect: str
) -> list[OrderedBy]:
    """The keys asked for, then the newest first: by rid, which grows with every creation."""
    keys = [sort_column(row, resource_type, key, dialect) for key in sort]
    return [*keys, OrderedBy(row.c.rid, descending=True, nullable=False)]


def sort_column(row: FromClause, resource_type: str, key: SortKey, dialect: str) -> OrderedBy:
    if key.parameter == "_id":
        return OrderedBy(row.c.id, key.descending, nullable=False)
    if key.parameter == "_lastUpdated":
        return OrderedBy(row.c.last_updated, key.descending, nullable=False)
    table = table_of(key.type).alias()
    column = table.c[SORTED_COLUMNS[key.type]]
    value = (
        select(func.max(column) if key.descending else func.min(column))
        .where(
            table.c.rid == row.c.rid,
            entries_of_row(table, f"{resource_type}.{key.parameter}", dialect),
            has_value(table, key.type),
        )
        .scalar_subquery()
    )
    return OrderedBy(value, key.descending, nullable=True)


def behind(keys: Sequence[OrderedBy], position: Sequence[Any]) -> ColumnElement[bool]:
    """Further on than the position, in the order of the keys."""
    steps = [
        and_(
            *(key.level(value) for key, value in zip(keys[:count], position, strict=False)),
            keys[count].behind(position[count]),
        )
        for count in range(len(keys))
    ]
    if keys[0].nullable:
        return or_(*steps)
    return and_(keys[0].from_here(position[0]), or_(*steps))


def position_text(position: Sequence[Any]) -> str:
    return urlsafe_b64encode(msgspec.json.encode(list(position))).decode().rstrip("=")


def position_of(text: str, sort: Sequence[SortKey]) -> list[Any]:
    """The position that a link holds; raise InvalidRequest where it is none in this order."""
    try:
        position = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise bad_position() from error
    kinds = [*(kinds_of(key) for key in sort), (int,)]
    if not isinstance(position, list) or len(position) != len(kinds):
        raise bad_position()
    if not all(fits(value, kind) for value, kind in zip(position, kinds, strict=True)):
        raise bad_position()
    return position


def kinds_of(key: SortKey) -> tuple[type, ...]:
    """The types that the sort key's values have."""
    if key.parameter in ("_id", "_lastUpdated"):
        return (int if key.parameter == "_lastUpdated" else str,)
    number = {"date": int, "quantity": float, "number": float}.get(key.type, str)
    return (number, type(None))


def fits(value: Any, kinds: tuple[type, ...]) -> bool:
    """Of that type exactly, and nothing that a database would stumble over."""
    if type(value) not in kinds:
        return False
    if isinstance(value, int):
        return abs(value) < 2**63
    return not (isinstance(value, str) and "\0" in value)


def bad_position() -> InvalidRequest:
    return InvalidRequest("The link leads to no page of this search.", expression="http._page")
