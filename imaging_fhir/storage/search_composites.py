"""Composite parameters: two values of one repeat, in one row (search.html#combining)."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.model.search import (
    CompositeEntry,
    CompositeValue,
    Criterion,
    DateEntry,
    DateValue,
    QuantityEntry,
    QuantityValue,
    ReferenceEntry,
    ReferenceValue,
    SearchType,
    SimpleEntry,
    SimpleValue,
    StringEntry,
    TokenEntry,
    TokenValue,
    UriEntry,
)
from imaging_fhir.model.text import folded, index_key
from imaging_fhir.storage.search_values import VALUE_CONDITIONS, starts_with

Condition = ColumnElement[bool]
LONGEST_PART = 300  # characters; with the other part it must fit into a row of an index
TYPES: dict[type, SearchType] = {
    TokenValue: "token",
    ReferenceValue: "reference",
    DateValue: "date",
    QuantityValue: "quantity",
}


def composite_row(entry: CompositeEntry) -> tuple[Any, ...]:
    """The columns of composite_index after `parameter`."""
    system, value = key_of(entry.first)
    return (system, value or "", *part_of(entry.second))


def key_of(entry: SimpleEntry) -> tuple[str | None, str | None]:
    """System and value, or what a reference has instead."""
    match entry:
        case TokenEntry():
            system = None if entry.system is None else index_key(entry.system)
            return system, index_key(folded(entry.value))
        case ReferenceEntry():
            return entry.target_type, entry.target_id or index_key(entry.url or "")
        case StringEntry():
            return None, entry.folded[:LONGEST_PART]
        case UriEntry():
            return None, index_key(entry.value)
        case QuantityEntry():
            return entry.system, entry.code
        case DateEntry():
            return None, None


def part_of(entry: SimpleEntry) -> tuple[Any, ...]:
    """System, value, unit, the bounds of a quantity or a date, and those in the base unit."""
    match entry:
        case QuantityEntry():
            base = (entry.base_unit, entry.base_low, entry.base_high)
            return (*key_of(entry), entry.unit, entry.low, entry.high, *base)
        case DateEntry():
            return (*key_of(entry), None, float(entry.low), float(entry.high), None, None, None)
    return (*key_of(entry), None, None, None, None, None, None)


def composite_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    values = [value for value in criterion.values if isinstance(value, CompositeValue)]
    return or_(
        *(
            and_(
                any_of(first_part(table), value.first, dialect),
                any_of(second_part(table), value.second, dialect),
            )
            for value in values
        )
    )


def any_of(part: Any, values: tuple[SimpleValue, ...], dialect: str) -> Condition:
    """The part's alternatives are all of one type."""
    texts = [folded(value)[:LONGEST_PART] for value in values if isinstance(value, str)]
    if texts:
        return or_(*(starts_with(part.c.folded, text, dialect) for text in texts))
    type_ = TYPES[type(values[0])]
    criterion = Criterion(parameter="", type=type_, values=values)
    return VALUE_CONDITIONS[type_](part, criterion, dialect)


def first_part(table: FromClause) -> Any:
    """The columns under the names that they have in the table of their own type."""
    return SimpleNamespace(
        c=SimpleNamespace(
            system=table.c.system,
            folded=table.c.value,
            target_type=table.c.system,
            target_id=table.c.value,
            url=table.c.value,
        )
    )


def second_part(table: FromClause) -> Any:
    return SimpleNamespace(
        c=SimpleNamespace(
            system=table.c.part_system,
            folded=table.c.part_value,
            code=table.c.part_value,
            unit=table.c.part_unit,
            low=table.c.low,
            high=table.c.high,
            base_unit=table.c.base_unit,
            base_low=table.c.base_low,
            base_high=table.c.base_high,
        )
    )
