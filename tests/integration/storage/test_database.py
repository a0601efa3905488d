"""Writes of many threads: grouped, durable before they are answered, told apart when one fails."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import QueuePool, select

from imaging_fhir.errors import InvalidRequest, StorageUnavailable
from imaging_fhir.storage import database as module
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import blob

WAIT_SECONDS = 30


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


def adding(number: int) -> Callable[[Transaction], int]:
    def unit(transaction: Transaction) -> int:
        transaction.execute(
            blob.insert(),
            {"sha256": f"{number:064x}", "generation": 0, "size": 1, "live": True, "created": 1},
        )
        if number % 3 == 2:
            raise InvalidRequest(f"unit {number}")
        return number

    return unit


def kept(database: Database) -> set[int]:
    with database.read() as connection:
        return {int(row.sha256, 16) for row in connection.execute(select(blob.c.sha256))}


def test_where_one_of_a_group_fails_the_others_are_kept_and_each_hears_its_own(
    database: Database,
) -> None:
    with ThreadPoolExecutor(12) as pool:
        with database.writing:
            waiting = [pool.submit(database.write, adding(number)) for number in range(12)]
            while len(database.units) < 12:
                time.sleep(0.01)
        failed = {n for n, one in enumerate(waiting) if one.exception(WAIT_SECONDS) is not None}
    assert failed == {2, 5, 8, 11}
    assert kept(database) == set(range(12)) - failed


def test_what_follows_a_commit_is_done_before_the_writer_goes_on(database: Database) -> None:
    seen: list[set[int]] = []

    def unit(transaction: Transaction) -> None:
        adding(1)(transaction)
        transaction.after_commit.append(lambda: seen.append(kept(database)))

    database.write(unit)
    assert seen == [{1}]


def test_a_log_that_cannot_be_synced_is_no_success(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL syncs its own log")

    def failing(path: str) -> None:
        raise OSError(5, "Input/output error")

    done: list[int] = []

    def unit(transaction: Transaction) -> None:
        adding(1)(transaction)
        transaction.after_commit.append(lambda: done.append(1))

    monkeypatch.setattr(module, "sync_file", failing)
    with pytest.raises(StorageUnavailable, match="log of the database"):
        database.write(unit)
    assert not done


def test_after_a_write_that_failed_the_next_begins_afresh(database: Database) -> None:
    database.write(adding(0))
    with pytest.raises(InvalidRequest):
        database.write(adding(2))
    database.write(adding(3))
    assert kept(database) == {0, 3}


def test_a_closed_database_holds_no_connection(database: Database) -> None:
    database.write(adding(0))
    pool = database.engine.pool
    database.close()
    assert database.kept is None
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0
