"""Statements of every upload and read, compiled once and run by the driver itself.

What SQLAlchemy does around an execution takes several times as long as the execution of a
statement that finds one row by its key. An upload takes a dozen of them.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Row
from sqlalchemy.exc import DBAPIError

AnyRow = Row[*tuple[Any, ...]]
Parameters = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One statement in the words of one engine."""

    dialect: Dialect
    sql: str
    defaults: Parameters  # of parameters that have a value in the statement itself
    in_order: Callable[[Parameters], Any]  # as they are where parameters have names
    row: Callable[..., Any] | None  # None where no rows come back
    converters: tuple[tuple[int, Callable[[Any], Any]], ...]

    def parameters(self, given: Parameters) -> Any:
        return self.in_order(self.defaults | given)

    def as_row(self, values: Sequence[Any]) -> AnyRow:
        if self.converters:
            values = list(values)
            for position, convert in self.converters:
                values[position] = convert(values[position])
        return cast(AnyRow, self.row(*values) if self.row else values)


@dataclass(slots=True)
class Prepared:
    """A statement without expanding parameters; `columns` are those that an INSERT is given.

    Rows have their columns as attributes. It raises what SQLAlchemy would.
    """

    statement: Any
    columns: tuple[str, ...] | None = None
    compiled: dict[str, Compiled] = field(default_factory=dict)

    def all(self, connection: Connection, /, **given: Any) -> list[AnyRow]:
        found = self.cursor(connection, given).fetchall()
        if not found:
            return []
        as_row = self.of(connection.dialect).as_row
        return [as_row(values) for values in found]

    def first(self, connection: Connection, /, **given: Any) -> AnyRow | None:
        found = self.all(connection, **given)
        return found[0] if found else None

    def one(self, connection: Connection, /, **given: Any) -> AnyRow:
        found = self.first(connection, **given)
        if found is None:
            raise LookupError("A row that must be there is not.")
        return found

    def run(self, connection: Connection, /, **given: Any) -> int:
        """The number of rows that changed."""
        return int(self.cursor(connection, given).rowcount)

    def number(self, connection: Connection, /, **given: Any) -> int:
        """The one number that comes back, such as an INSERT's key."""
        return int(self.cursor(connection, given).fetchall()[0][0])

    def cursor(self, connection: Connection, given: Parameters) -> Any:
        dialect = connection.dialect
        compiled = self.of(dialect)
        if not connection.in_transaction():
            connection.begin()
        cursor = connection.connection.cursor()
        try:
            cursor.execute(compiled.sql, compiled.parameters(given))
        except dialect.loaded_dbapi.Error as error:
            raise translated(error, compiled) from error
        return cursor

    def of(self, dialect: Dialect) -> Compiled:
        return self.compiled.get(dialect.name) or self.compile(dialect)

    def compile(self, dialect: Dialect) -> Compiled:
        compiled = self.statement.compile(dialect=dialect, column_keys=self.columns)
        columns = list(self.statement.exported_columns)
        found = self.compiled[dialect.name] = Compiled(
            dialect=dialect,
            sql=str(compiled),
            defaults=dict(compiled.params),
            in_order=in_order(compiled.positiontup),
            row=namedtuple("Row", [column.name for column in columns]) if columns else None,
            converters=converters(columns, dialect),
        )
        return found


def in_order(names: Sequence[str] | None) -> Callable[[Parameters], Any]:
    """From named parameters to those that a statement takes by position."""
    match names:
        case None:
            return lambda named: named
        case [_, _, *_]:
            return itemgetter(*names)
    return lambda named: [named[name] for name in names]


def converters(
    columns: Sequence[Any], dialect: Dialect
) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
    """From what the driver answers to what the columns' types promise, where these differ."""
    found = (
        (position, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for position, column in enumerate(columns)
    )
    return tuple((position, processor) for position, processor in found if processor)


def translated(error: Exception, compiled: Compiled) -> BaseException:
    """The driver's error as SQLAlchemy's."""
    return DBAPIError.instance(
        compiled.sql, None, error, compiled.dialect.loaded_dbapi.Error, dialect=compiled.dialect
    )
