"""One owner at a time, and none for ever."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage import leases
from imaging_fhir.storage.database import Database, Transaction


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Clock) -> Iterator[Database]:
    with closing(Database(database_url, clock=clock)) as database:
        yield database


def take(holder: str, transaction: Transaction) -> bool:
    return leases.take(transaction, "backup", holder, seconds=10)


def test_a_lease_has_one_owner_until_it_is_released(database: Database) -> None:
    with leases.held(database, "backup"):
        assert not database.write(partial(take, "another"))
        with pytest.raises(StorageUnavailable), leases.held(database, "backup"):
            pass
    assert database.write(partial(take, "another"))


def test_the_lease_of_a_dead_owner_runs_out(database: Database, clock: Clock) -> None:
    assert database.write(partial(take, "dies"))
    assert not database.write(partial(take, "another"))
    clock.now += 11_000
    assert database.write(partial(take, "another"))


def test_work_whose_lease_ran_out_is_told_so(database: Database, clock: Clock) -> None:
    with (
        pytest.raises(StorageUnavailable, match="ran out"),
        leases.held(database, "backup", seconds=300),
    ):
        clock.now += 301_000
