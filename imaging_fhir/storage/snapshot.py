"""The whole database as one file, taken while it is in use, and back."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import inspect, select
from sqlalchemy.engine import make_url

from imaging_fhir.errors import InvalidSetting, StorageUnavailable
from imaging_fhir.storage.database import Database, open_engine, sqlite_cursor, translated
from imaging_fhir.storage.schema import commit_clock

FILES = {"sqlite": "database.sqlite", "postgresql": "database.pgdump"}


def backend(database_url: str) -> str:
    return make_url(database_url).get_backend_name()


def take(database: Database, folder: Path) -> Path:
    """Write a consistent snapshot into the folder, synced; raise StorageUnavailable."""
    path = folder / FILES[backend(database.url)]
    if database.is_sqlite:
        with sqlite_cursor(database) as cursor:
            cursor.execute("VACUUM INTO ?", (str(path),))
    else:
        run("pg_dump", "--format=custom", f"--file={path}", server=database.url)
    path.chmod(0o600)
    sync(path)
    return path


def put(path: Path, database_url: str) -> None:
    """Fill an empty database from the snapshot; raise InvalidSetting where it is not empty."""
    if path.name != FILES[backend(database_url)]:
        raise InvalidSetting(f"The backup is of another engine: it has {path.name}.")
    require_empty(database_url)
    if backend(database_url) == "sqlite":
        target = make_url(database_url).database or ""
        shutil.copyfile(path, target)
        sync(Path(target))
        return
    options = ("--no-owner", "--exit-on-error", "--single-transaction")
    run("pg_restore", *options, str(path), server=database_url)


def require_empty(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with translated(), engine.connect() as connection:
            if inspect(connection).get_table_names():
                raise InvalidSetting("The database is not empty: restore makes a new one.")
    finally:
        engine.dispose()


def stamp(database: Database) -> int:
    """The last commit's time, milliseconds since 1970 UTC."""
    with database.read() as connection:
        return int(connection.execute(select(commit_clock.c.stamp)).scalar_one())


def run(program: str, *arguments: str, server: str) -> None:
    """Run one of PostgreSQL's programs; raise StorageUnavailable with what it says."""
    found = shutil.which(program)
    if found is None:
        raise StorageUnavailable(
            f"{program} is not installed: a backup of PostgreSQL needs its client programs."
        )
    url = make_url(server).set(drivername="postgresql")
    database = url._replace(password=None).render_as_string()
    password = {"PGPASSWORD": url.password} if url.password else {}  # no other user may read it
    done = subprocess.run(  # noqa: S603
        [found, *arguments, f"--dbname={database}"],
        env={**os.environ, **password},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StorageUnavailable(f"{program}: {done.stderr.strip()[:500]}")


def sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
