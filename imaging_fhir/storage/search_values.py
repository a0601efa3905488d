"""What a value of a search means for the rows of the index (search.html#prefix, #modifiers)."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_
from sqlalchemy.sql.expression import FromClause, UnaryExpression
from sqlalchemy.sql.operators import custom_op

from imaging_fhir.model.search import (
    Criterion,
    DateValue,
    QuantityValue,
    ReferenceValue,
    TokenValue,
)
from imaging_fhir.model.text import folded, index_beginning, index_key
from imaging_fhir.storage.schema import (
    composite_index,
    date_index,
    quantity_index,
    reference_index,
    string_index,
    text_index,
    token_index,
    uri_index,
)

Condition = ColumnElement[bool]
PLUS: custom_op[Any] = custom_op("+")  # as a sign: `+parameter`
LAST_CHARACTER = "\U0010ffff"
TABLES: dict[str, Table] = {
    "token": token_index,
    "reference": reference_index,
    "date": date_index,
    "string": string_index,
    "uri": uri_index,
    "quantity": quantity_index,
    "number": quantity_index,
    "composite": composite_index,
    "text": text_index,
}


def table_of(search_type: str) -> Table:
    return TABLES[search_type]


def entries_of_row(table: FromClause, parameter: str | list[str], dialect: str) -> Condition:
    """The parameter's entries where `rid` is known too; of several, any.

    Without the plus, SQLite would look through all resources' entries of that parameter instead.
    """
    column = checked_only(table.c.parameter, dialect)
    return column.in_(parameter) if isinstance(parameter, list) else column == parameter


def checked_only(column: ColumnElement[str], dialect: str) -> ColumnElement[str]:
    """The column as SQLite does not look rows up by it: without statistics it takes any index."""
    return UnaryExpression(column, operator=PLUS) if dialect == "sqlite" else column


def starts_with(column: ColumnElement[str], prefix: str, dialect: str) -> Condition:
    """Index-backed on both: SQLite's LIKE uses no index, and a range on PostgreSQL depends on
    the order of its collation."""
    if dialect == "sqlite":
        return and_(column >= prefix, column < prefix + LAST_CHARACTER)
    return column.startswith(prefix, autoescape=True)


def token_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    """Tokens that differ in their value alone are one list, which an index answers."""
    if criterion.modifier == "text":
        return or_(*(starts_with(table.c.text, text, dialect) for text in texts(criterion)))
    groups: dict[tuple[str | None, ...], set[str | None]] = {}
    for token in criterion.values:
        if isinstance(token, TokenValue):
            value = None if token.value is None else index_key(folded(token.value))
            kind = (token.system, token.type_system, token.type_code)
            groups.setdefault(kind, set()).add(value)
    return or_(*(tokens_of_kind(table, kind, values) for kind, values in groups.items()))


def tokens_of_kind(
    table: FromClause, kind: tuple[str | None, ...], values: set[str | None]
) -> Condition:
    """`|code` has no system; case and accents make no difference (search.html#token)."""
    system, type_system, type_code = kind
    demands = []
    if None not in values:
        demands.append(one_of(table.c.folded, {value for value in values if value is not None}))
    if system is not None:
        is_none = table.c.system.is_(None)
        demands.append(is_none if system == "" else table.c.system == index_key(system))
    if type_system is not None:
        demands.append(table.c.type_system == type_system)
    if type_code is not None:
        demands.append(table.c.type_code == type_code)
    return and_(*demands)


def one_of(column: ColumnElement[str], values: set[str]) -> Condition:
    if len(values) == 1:
        return and_(column == next(iter(values)))
    return column.in_(sorted(values))


def texts(criterion: Criterion) -> list[str]:
    return [folded(value) for value in criterion.values if isinstance(value, str)]


def reference_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    if criterion.modifier == "text":
        return or_(*(starts_with(table.c.display, text, dialect) for text in texts(criterion)))
    identifiers = [value for value in criterion.values if isinstance(value, TokenValue)]
    references = [value for value in criterion.values if isinstance(value, ReferenceValue)]
    groups: dict[str | None, set[str]] = {}
    for value in references:
        if value.target_id is not None:
            groups.setdefault(value.target_type, set()).add(value.target_id)
    urls = {value.url for value in references if value.url is not None}
    return or_(
        *(one_identifier(table, value) for value in identifiers),
        *(targets_of_type(table, type_, ids) for type_, ids in groups.items()),
        *([one_of(table.c.url, urls)] if urls else []),
    )


def targets_of_type(table: FromClause, type_: str | None, ids: set[str]) -> Condition:
    same = one_of(table.c.target_id, ids)
    return same if type_ is None else and_(table.c.target_type == type_, same)


def one_identifier(table: FromClause, token: TokenValue) -> Condition:
    demands = []
    if token.value is not None:
        demands.append(table.c.identifier_value == index_key(token.value))
    else:
        demands.append(table.c.identifier_value.is_not(None))
    if token.system is not None:
        system = table.c.identifier_system
        demands.append(system.is_(None) if token.system == "" else system == token.system)
    return and_(*demands)


def date_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    values = [value for value in criterion.values if isinstance(value, DateValue)]
    return or_(*(one_date(table, value) for value in values))


def one_date(table: FromClause, value: DateValue) -> Condition:
    """The resource's interval [low, high) against the one searched for."""
    low, high = table.c.low, table.c.high
    match value.prefix:
        case "eq":  # the second term lets an index on `low` bound the search at both ends
            return and_(low >= value.low, low < value.high, high <= value.high)
        case "ne":
            return or_(low < value.low, high > value.high)
        case "gt":
            return high > value.high
        case "lt":
            return low < value.low
        case "ge":
            return or_(low >= value.low, high > value.high)
        case "le":
            return or_(low < value.low, and_(low < value.high, high <= value.high))
        case "sa":
            return low >= value.high
        case "eb":
            return high <= value.low
    return and_(low < value.high, high > value.low)  # ap, already widened


def string_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    values = [value for value in criterion.values if isinstance(value, str)]
    return or_(*(one_string(table, value, criterion.modifier, dialect) for value in values))


def one_string(table: FromClause, value: str, modifier: str | None, dialect: str) -> Condition:
    match modifier:
        case "exact":
            return and_(table.c.folded == index_beginning(folded(value)), table.c.value == value)
        case "contains":
            return table.c.folded.contains(folded(value), autoescape=True)
    return starts_with(table.c.folded, index_beginning(folded(value)), dialect)


def uri_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    values = [value for value in criterion.values if isinstance(value, str)]
    match criterion.modifier:
        case "below":
            return or_(*(below(table, value, dialect) for value in values))
        case "above":
            return table.c.value.in_([index_key(text) for value in values for text in above(value)])
    return table.c.value.in_([index_key(value) for value in values])


def below(table: FromClause, value: str, dialect: str) -> Condition:
    return or_(
        table.c.value == index_key(value),
        starts_with(table.c.value, value.rstrip("/") + "/", dialect),
    )


def above(value: str) -> list[str]:
    """The address itself and each that its path lies under, with and without its slash."""
    scheme, separator, path = value.partition("://")
    if not separator:
        return [value]
    segments = path.split("/")
    starts = ["/".join(segments[:count]) for count in range(1, len(segments) + 1)]
    return [scheme + separator + start + end for start in starts for end in ("", "/")]


def quantity_condition(table: FromClause, criterion: Criterion, dialect: str) -> Condition:
    values = [value for value in criterion.values if isinstance(value, QuantityValue)]
    return or_(*(one_quantity(table, value) for value in values))


def one_quantity(table: FromClause, value: QuantityValue) -> Condition:
    if value.base is not None:
        bounds = (table.c.base_low, table.c.base_high)
        return and_(table.c.base_unit == value.base.code, number_condition(*bounds, value.base))
    return and_(number_condition(table.c.low, table.c.high, value), *unit_conditions(table, value))


def number_condition(
    low: ColumnElement[Any], high: ColumnElement[Any], value: QuantityValue
) -> Condition:
    match value.prefix:
        case "eq":  # the second term lets an index on `low` bound the search at both ends
            return and_(low >= value.low, low < value.high, high < value.high)
        case "ne":
            return or_(low < value.low, high >= value.high)
        case "gt" | "sa":
            return (high if value.prefix == "gt" else low) > value.value
        case "lt" | "eb":
            return (low if value.prefix == "lt" else high) < value.value
        case "ge":
            return high >= value.value
        case "le":
            return low <= value.value
    return and_(low <= value.high, high >= value.low)


def unit_conditions(table: FromClause, value: QuantityValue) -> list[Condition]:
    """`5|system|code`; a code without a system is also the unit as written (search.html)."""
    if value.system is not None:
        demands = [table.c.system == value.system]
        return [*demands, table.c.code == value.code] if value.code else demands
    return [or_(table.c.code == value.code, table.c.unit == value.code)] if value.code else []


VALUE_CONDITIONS: dict[str, Callable[[Any, Criterion, str], Condition]] = {
    "token": token_condition,
    "reference": reference_condition,
    "date": date_condition,
    "string": string_condition,
    "uri": uri_condition,
    "quantity": quantity_condition,
    "number": quantity_condition,
}
