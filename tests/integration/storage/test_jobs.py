"""What is to be done is done once, and again where it was asked for while it was being done."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from imaging_fhir.storage import jobs
from imaging_fhir.storage.database import Database, Transaction


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


def due(database: Database, *, later: int = 0) -> tuple[int, str, str, int] | None:
    with database.read() as connection:
        return jobs.next_due(connection, database.clock() + later)


def ask(after: int = 0) -> Callable[[Transaction], None]:
    return lambda transaction: jobs.enqueue(transaction, "clean-up", "0", after=after)


def take(database: Database) -> int:
    found = due(database)
    assert found is not None
    assert database.write(partial(jobs.take, pk=found[0], attempts=found[3]))
    return found[0]


def test_it_is_there_once_however_often_it_is_asked_for(database: Database) -> None:
    database.write(ask())
    database.write(ask(after=60_000))
    take(database)
    assert due(database) is None


def test_what_is_finished_is_gone(database: Database) -> None:
    database.write(ask())
    pk = take(database)
    database.write(partial(jobs.finish, pk=pk, attempts=1))
    assert due(database, later=10**9) is None


def test_only_one_of_two_takes_it(database: Database) -> None:
    database.write(ask())
    pk = take(database)
    assert not database.write(partial(jobs.take, pk=pk, attempts=0))


@pytest.mark.parametrize("end", [jobs.finish, partial(jobs.postpone, milliseconds=10**6)])
def test_what_is_asked_for_while_it_is_done_is_done_again(
    database: Database, end: Callable[..., None]
) -> None:
    database.write(ask())
    pk = take(database)
    database.write(ask())
    database.write(partial(end, pk=pk, attempts=1))
    assert due(database) is not None


def test_who_dies_leaves_it_to_another_after_a_pause(database: Database) -> None:
    database.write(ask())
    pk = take(database)
    assert due(database) is None
    found = due(database, later=jobs.PAUSE + 1000)
    assert found == (pk, "clean-up", "0", 1)
