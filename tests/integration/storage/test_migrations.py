"""A database of any age becomes the one that `schema` describes."""

import subprocess
import sys

from sqlalchemy import insert, select, text

from imaging_fhir.storage import migrations
from imaging_fhir.storage.database import Database, open_engine
from imaging_fhir.storage.schema import commit_clock


def test_an_upgraded_database_has_the_tables_of_the_schema(database_url: str) -> None:
    migrations.upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert migrations.differences(connection) == []
        assert migrations.is_current(connection)
        assert connection.execute(select(commit_clock.c.stamp)).all() == [(0,)]
    engine.dispose()


def test_a_second_upgrade_changes_nothing(database_url: str) -> None:
    migrations.upgrade(database_url)
    database = Database(database_url)
    stamp = database.write(lambda transaction: transaction.now)
    migrations.upgrade(database_url)
    with database.read() as connection:
        assert connection.execute(select(commit_clock.c.stamp)).scalar_one() == stamp
    database.close()
