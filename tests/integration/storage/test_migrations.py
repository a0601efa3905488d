"""A database of any age becomes the one that `schema` describes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Connection, MetaData, insert, select, text

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage import migrations
from imaging_fhir.storage.database import Database, open_engine
from imaging_fhir.storage.schema import TEXT_MATCH, commit_clock

ROOT = Path(__file__).resolve().parents[3]


def test_an_upgraded_database_has_the_tables_of_the_schema(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    engine = open_engine(empty_database_url)
    with engine.connect() as connection:
        assert migrations.differences(connection) == []
        assert migrations.is_current(connection)
        assert connection.execute(select(commit_clock.c.stamp)).all() == [(0,)]
    engine.dispose()


def test_a_second_upgrade_changes_nothing(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    database = Database(empty_database_url)
    stamp = database.write(lambda transaction: transaction.now)
    migrations.upgrade(empty_database_url)
    with database.read() as connection:
        assert connection.execute(select(commit_clock.c.stamp)).scalar_one() == stamp
    database.close()


@pytest.mark.parametrize("revision", migrations.revisions())
def test_a_filled_database_of_each_revision_keeps_its_rows(
    revision: str, empty_database_url: str
) -> None:
    migrations.upgrade(empty_database_url, to=revision)
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        filled = fill_every_table(connection)
    migrations.upgrade(empty_database_url)
    with engine.connect() as connection:
        assert migrations.differences(connection) == []
        for table, count in filled.items():
            found = connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one()  # noqa: S608
            assert (table, found) == (table, count)
    engine.dispose()


def fill_every_table(connection: Connection) -> dict[str, int]:
    """A row in each table as the database has it, whatever its revision; how many are there."""
    tables = MetaData()
    tables.reflect(connection)
    counts = {}
    for table in tables.sorted_tables:
        if table.name != "alembic_version" and not table.name.startswith(TEXT_MATCH):
            if table.name != "commit_clock":
                values = {column.name: some_value(column) for column in table.columns}
                connection.execute(insert(table).values(values))
            counts[table.name] = 1
    return counts


def some_value(column: Column[Any]) -> Any:
    """Every key is 1, so that every reference finds its row."""
    if isinstance(column.type, Boolean):
        return True
    return {int: 1, float: 1.0, bytes: b"1"}.get(column.type.python_type, "1")


def test_processes_that_start_together_upgrade_once(empty_database_url: str) -> None:
    upgrade = "import sys; from imaging_fhir.storage import migrations as m; m.upgrade(sys.argv[1])"
    command = [sys.executable, "-c", upgrade, empty_database_url]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    engine = open_engine(empty_database_url)
    with engine.connect() as connection:
        assert connection.execute(select(commit_clock.c.stamp)).all() == [(0,)]
    engine.dispose()


def test_a_database_of_a_newer_version_is_left_alone(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'future'"))
    with pytest.raises(StorageUnavailable, match="future"):
        migrations.upgrade(empty_database_url)
    engine.dispose()
