"""One database, SQLite or PostgreSQL: many readers, and writes committed in groups."""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    case,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from imaging_fhir.errors import ImagingError, StorageFull, StorageUnavailable
from imaging_fhir.model.audit import ORIGIN, Origin
from imaging_fhir.model.caller import CALLER
from imaging_fhir.model.change import Change
from imaging_fhir.storage.prepared import AnyRow, Prepared
from imaging_fhir.storage.schema import commit_clock

T = TypeVar("T")
LARGEST_GROUP = 64
LATER = commit_clock.c.stamp + 1
NEXT_STAMP = Prepared(
    update(commit_clock)
    .values(stamp=case((bindparam("now") < LATER, LATER), else_=bindparam("now")))
    .returning(commit_clock.c.stamp, commit_clock.c.watching)
)
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Transaction:
    """A write in progress; `now` is its commit's stamp, in milliseconds since 1970 UTC."""

    connection: Connection
    now: int
    watching: bool = False  # is there a subscription that may want to hear of changes?
    after_commit: list[Callable[[], object]] = field(default_factory=list)
    changes: list[tuple[int, str, Change]] | None = None  # of the unit at hand, if audited

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)


ALONG: ContextVar[Callable[[Transaction, Any], object] | None] = ContextVar("along", default=None)
"""What the units of this context commit along with themselves, told their result."""
Trail = Callable[[Transaction, Origin], None]


@dataclass(slots=True)
class Unit(Generic[T]):
    run: Callable[[Transaction], T]
    is_taken: bool = False  # into a transaction
    future: "Future[T]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Committed:
    """Units whose transaction is committed, but whose log may not be on the disk yet."""

    units: list[Unit[Any]]
    results: list[Any]
    after_commit: list[Callable[[], object]]


class Database:
    """Reads see one snapshot each; writes of all threads share a transaction and its sync.

    A unit of work is a function of the transaction. Where one of a group fails, the group is
    rolled back and each unit is run again alone, so a unit must have no effect of its own
    outside the transaction (`after_commit` is for those).
    """

    def __init__(self, url: str, *, clock: Callable[[], int] | None = None) -> None:
        self.url = url
        self.engine = open_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.clock = clock or (lambda: time.time_ns() // 1_000_000)
        self.units: deque[Unit[Any]] = deque()  # that wait for a transaction
        self.writing = threading.Lock()
        self.kept: Connection | None = None  # by whoever has the lock
        self.trail: Trail | None = None  # writes into the transaction what each unit changed

    @contextmanager
    def read(self, within: Connection | None = None) -> Iterator[Connection]:
        """A connection whose statements all see the same committed state; one in use goes on."""
        if within is not None:
            yield within
            return
        with translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit in a transaction and return its result once that is durable.

        Whoever gets the lock first commits for all who wait by then. The log is synced after the
        lock is given up, so that the next transaction need not wait for the disk.
        """
        along = ALONG.get()
        if along is not None:
            unit = with_along(unit, along)
        if self.trail is not None:
            unit = with_trail(unit, self.trail, ORIGIN.get() or Origin(caller=CALLER.get()))
        waiting = Unit(unit)
        self.units.append(waiting)
        committed: list[Committed] = []
        try:
            with self.writing:
                while not waiting.is_taken:
                    committed += self.commit_group()
        finally:
            self.conclude(committed)
        return waiting.future.result()

    def ping(self) -> None:
        """Raise StorageUnavailable where the database does not answer."""
        with self.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        with self.writing:
            kept, self.kept = self.kept, None
        if kept is not None:
            kept.close()
        self.engine.dispose()

    def commit_group(self) -> list[Committed]:
        """A transaction for all who wait; where that fails, one for each of them."""
        group: list[Unit[Any]] = []
        try:
            with self.transaction() as transaction:
                group = self.next_group()  # only now: while the lock was waited for, more came
                results = [unit.run(transaction) for unit in group]
        except BaseException as error:  # handed to whoever waits for the unit
            group = group or self.next_group()
            if len(group) == 1:
                group[0].future.set_exception(error)
                return []
            alone = [one for unit in group for one in self.commit_alone(unit)]
            if not isinstance(error, Exception):
                self.conclude(alone)
                raise  # Control-C: for this thread, whatever became of its unit
            return alone
        return [Committed(group, results, transaction.after_commit)]

    def next_group(self) -> list[Unit[Any]]:
        group = [self.units.popleft() for _ in range(min(len(self.units), LARGEST_GROUP))]
        for unit in group:
            unit.is_taken = True
        return group

    def commit_alone(self, unit: Unit[Any]) -> list[Committed]:
        try:
            with self.transaction() as transaction:
                result = unit.run(transaction)
        except BaseException as error:
            unit.future.set_exception(error)
            return []
        return [Committed([unit], [result], transaction.after_commit)]

    def conclude(self, committed: list[Committed]) -> None:
        """Make them durable, do what follows, and tell all who wait."""
        if not committed:
            return
        try:
            self.sync_log()
        except BaseException as error:
            for unit in (unit for one in committed for unit in one.units):
                unit.future.set_exception(error)
            return
        for one in committed:
            for action in one.after_commit:
                run_safely(action)
            for unit, result in zip(one.units, one.results, strict=True):
                unit.future.set_result(result)

    def sync_log(self) -> None:
        """What SQLite has written ahead is on the disk; PostgreSQL's commit sees to that itself."""
        log = beside(self.url, "-wal")
        if log is None:
            return
        try:
            sync_file(log)
        except FileNotFoundError:
            return  # the last who used it has put all into the database, and synced that
        except OSError as error:
            raise StorageUnavailable(f"The log of the database: {error.strerror}.") from error

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Committed at its end."""
        with translated(), write_lock(self.url), self.writer() as connection:
            begin_writing(connection)
            clock = self.next_stamp(connection)
            transaction = Transaction(connection, clock.stamp, clock.watching)
            yield transaction
            connection.commit()

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """One that is free again afterwards, in whatever way it ends.

        SQLite's stays out of the pool from one transaction to the next: to fetch it costs as much
        as a commit. PostgreSQL's may have been cut off meanwhile, which the pool finds out.
        """
        connection = self.kept or self.engine.connect()
        self.kept = None
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self.is_sqlite:
            self.kept = connection
        else:
            connection.close()

    def next_stamp(self, connection: Connection) -> AnyRow:
        """The commit's time, later than that of every commit before it."""
        return NEXT_STAMP.one(connection, now=self.clock())


def with_along(
    unit: Callable[[Transaction], T], along: Callable[[Transaction, Any], object]
) -> Callable[[Transaction], T]:
    """It may be run by another thread, in another context."""

    def both(transaction: Transaction) -> T:
        result = unit(transaction)
        along(transaction, result)
        return result

    return both


def with_trail(
    unit: Callable[[Transaction], T], trail: Trail, origin: Origin
) -> Callable[[Transaction], T]:
    """The same of a unit that is audited, whose origin is known only here."""

    def both(transaction: Transaction) -> T:
        transaction.changes = []
        result = unit(transaction)
        if transaction.changes:
            trail(transaction, origin)
        transaction.changes = None
        return result

    return both


@lru_cache(maxsize=16)
def beside(url: str, ending: str) -> str | None:
    """The path of a file beside that of SQLite; None where the database is another."""
    parsed = make_url(url)
    return f"{parsed.database}{ending}" if parsed.get_backend_name() == "sqlite" else None


@contextmanager
def write_lock(url: str) -> Iterator[None]:
    """Between processes on one SQLite file: wait asleep, where SQLite's own wait polls."""
    path = beside(url, ".lock")
    if path is None:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def run_safely(action: Callable[[], object]) -> None:
    """What follows a commit cannot take it back: its fault must not run the units again."""
    try:
        action()
    except Exception:
        logger.exception("an action after a commit failed")


def begin_writing(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.info["begin"] = "BEGIN IMMEDIATE"
    connection.begin()


@contextmanager
def translated() -> Iterator[None]:
    """The engines' errors of connection, lock and disk as StorageUnavailable or StorageFull."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        if is_disk_full(error):
            raise StorageFull("The disk of the database is full.") from error
        raise StorageUnavailable("The database does not answer; try again.") from error


@contextmanager
def sqlite_cursor(database: Database) -> Iterator[sqlite3.Cursor]:
    """For what SQLite does only outside a transaction."""
    with translated(), closing(database.engine.raw_connection()) as connection:
        try:
            yield cast(sqlite3.Cursor, connection.cursor())
        except sqlite3.OperationalError as error:
            raise OperationalError(None, None, error) from error


def is_disk_full(error: SQLAlchemyError) -> bool:
    cause = error.__cause__
    code = getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "")
    return code in ("SQLITE_FULL", "53100")  # PostgreSQL's disk_full


def open_engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return open_sqlite(url)
    engine = create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)
    event.listen(engine, "connect", prepare_postgresql)
    return engine


def prepare_postgresql(connection: Any, record: object) -> None:
    """No parallel workers and no compiling of plans: starting them takes longer than a search."""
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SET jit = off")
    connection.commit()


def open_sqlite(url: str) -> Engine:
    path = make_url(url).database or ""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=16,
        max_overflow=16,
        connect_args={"check_same_thread": False, "timeout": 60, "isolation_level": None},
    )
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)
    return engine


def prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",  # the log is synced by whoever commits, once the lock is free again
        "foreign_keys=ON",
        "cache_size=-32000",
        "mmap_size=268435456",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_sqlite(connection: Connection) -> None:
    """By the driver itself: what SQLAlchemy does around it takes longer."""
    begin = connection.info.pop("begin", "BEGIN")
    try:
        connection.connection.cursor().execute(begin)
    except sqlite3.Error as error:
        raise DBAPIError.instance(
            begin, None, error, sqlite3.Error, dialect=connection.dialect
        ) from error


__all__ = [
    "AnyRow",
    "Connection",
    "DBAPIError",
    "Database",
    "ImagingError",
    "Transaction",
    "open_engine",
]
