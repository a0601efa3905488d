"""One database, SQLite or PostgreSQL: many readers, and writes committed in groups."""

import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine, Row, create_engine, event, func, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from imaging_fhir.errors import ImagingError, StorageFull, StorageUnavailable
from imaging_fhir.storage.schema import commit_clock

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
LARGEST_GROUP = 64
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Transaction:
    """A write in progress; `now` is its commit's stamp, in milliseconds since 1970 UTC."""

    connection: Connection
    now: int
    after_commit: list[Callable[[], object]] = field(default_factory=list)

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)


@dataclass(slots=True)
class Unit(Generic[T]):
    run: Callable[[Transaction], T]
    future: "Future[T]"


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
        self.units: queue.SimpleQueue[Unit[Any] | None] = queue.SimpleQueue()
        self.writer: threading.Thread | None = None
        self.starting = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose statements all see the same committed state."""
        with translated(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run the unit in a transaction and return its result once that is durable."""
        future: Future[T] = Future()
        self.start_writer()
        self.units.put(Unit(unit, future))
        return future.result()

    def ping(self) -> None:
        """Raise StorageUnavailable where the database does not answer."""
        with self.read() as connection:
            connection.execute(select(1))

    def close(self) -> None:
        with self.starting:
            if self.writer is not None:
                self.units.put(None)
                self.writer.join()
                self.writer = None
        self.engine.dispose()

    def start_writer(self) -> None:
        if self.writer is None:
            with self.starting:
                if self.writer is None:
                    self.writer = threading.Thread(
                        target=self.commit_groups, name="database-writer", daemon=True
                    )
                    self.writer.start()

    def commit_groups(self) -> None:
        while (first := self.units.get()) is not None:
            group = [first]
            stop = self.fill(group)
            self.commit(group)
            if stop:
                return

    def fill(self, group: list[Unit[Any]]) -> bool:
        """Add what else is waiting; say whether the end was asked for."""
        while len(group) < LARGEST_GROUP:
            try:
                unit = self.units.get_nowait()
            except queue.Empty:
                return False
            if unit is None:
                return True
            group.append(unit)
        return False

    def commit(self, group: list[Unit[Any]]) -> None:
        try:
            results = self.run_in_transaction(group)
        except BaseException as error:  # handed to whoever waits for the unit
            if len(group) == 1:
                group[0].future.set_exception(error)
                return
            for unit in group:
                self.commit([unit])
            return
        for unit, result in zip(group, results, strict=True):
            unit.future.set_result(result)

    def run_in_transaction(self, group: list[Unit[Any]]) -> list[Any]:
        with translated(), write_lock(self.url), self.engine.connect() as connection:
            begin_writing(connection)
            transaction = Transaction(connection, self.next_stamp(connection))
            results = [unit.run(transaction) for unit in group]
            connection.commit()
        for action in transaction.after_commit:
            run_safely(action)
        return results

    def next_stamp(self, connection: Connection) -> int:
        """The commit's time, later than that of every commit before it."""
        stamp = connection.execute(
            update(commit_clock)
            .values(stamp=latest_of(connection, commit_clock.c.stamp + 1, self.clock()))
            .returning(commit_clock.c.stamp)
        ).scalar_one()
        return int(stamp)


@contextmanager
def write_lock(url: str) -> Iterator[None]:
    """Between processes on one SQLite file: wait asleep, where SQLite's own wait polls."""
    if make_url(url).get_backend_name() != "sqlite":
        yield
        return
    descriptor = os.open(f"{make_url(url).database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def run_safely(action: Callable[[], object]) -> None:
    """What follows a commit cannot take it back: its fault must not run the units again."""
    try:
        action()
    except Exception:
        logger.exception("an action after a commit failed")


def latest_of(connection: Connection, one: Any, other: Any) -> Any:
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    return greatest(one, other)


def begin_writing(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.info["begin"] = "BEGIN IMMEDIATE"
    connection.execute(select(1))  # SQLAlchemy begins with the first statement


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
    return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)


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
        "synchronous=FULL",  # a commit is on the disk before its sender hears of it
        "foreign_keys=ON",
        "cache_size=-32000",
        "mmap_size=268435456",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.info.pop("begin", "BEGIN"))


__all__ = ["Connection", "DBAPIError", "Database", "ImagingError", "Transaction", "open_engine"]
