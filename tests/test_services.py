import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest


@pytest.mark.parametrize("turn", range(2))
def test_each_test_has_an_empty_database_of_its_own(postgresql_url: str, turn: int) -> None:
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM resource").fetchone() == (0,)
        connection.execute(f"CREATE TABLE only_in_{turn} (id int)")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'only%'")
        assert tables.fetchall() == [(f"only_in_{turn}",)]
        name = connection.info.dbname
        databases = connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname = %s", [name]
        )
        assert databases.fetchone() == (1,)


def test_redis_starts_empty_and_keeps_what_it_is_given(redis_url: str) -> None:
    assert redis_cli(redis_url, "DBSIZE") == "0"
    assert redis_cli(redis_url, "SET", "word", "kept") == "OK"
    assert redis_cli(redis_url, "GET", "word") == "kept"


def redis_cli(url: str, *arguments: str) -> str:
    command = ["redis-cli", "-u", url, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("program", ["newman", "chromium"])
def test_the_programs_that_tests_drive_start(program: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(program)
    done = subprocess.run([path, "--version"], check=True, capture_output=True, text=True)
    assert any(character.isdigit() for character in done.stdout)


def test_the_dicom_tools_start(dcmtk: Path) -> None:
    assert shutil.which("dcmdump", path=str(dcmtk))
