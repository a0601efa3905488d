"""Fixtures for the servers and programs that `make test` provides; without one, a test is skipped
and says what it lacked.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
import requests
from psycopg.sql import SQL, Identifier

from imaging_fhir.storage.migrations import upgrade

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "IMAGING_FHIR_TEST_"

# The same examples each time, so that a change is judged by what it changed; the long run searches.
hypothesis.settings.register_profile("repeated", derandomize=True)
hypothesis.settings.register_profile("searching", derandomize=False)


def provided(name: str) -> str:
    value = os.environ.get(PREFIX + name)
    if not value:
        pytest.skip(f"{PREFIX}{name} is not set: `make test` provides it")
    return value


@contextmanager
def postgresql_database(template: str = "template1") -> Iterator[str]:
    """A database of its own, as an SQLAlchemy URL; it is gone afterwards."""
    server, name = provided("POSTGRESQL_URL"), f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        create = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")  # a third of the time
        connection.execute(create.format(Identifier(name), Identifier(template)))
        yield f"{server.replace('postgresql:', 'postgresql+psycopg:').rpartition('/')[0]}/{name}"
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables without a row, made once; a test gets a copy."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    with postgresql_database() as url:
        upgrade(url)
        yield url.rpartition("/")[2]


@pytest.fixture
def postgresql_url(postgresql_template: str) -> Iterator[str]:
    """A database with all tables and no row, as an SQLAlchemy URL."""
    with postgresql_database(postgresql_template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables and no row, once of each engine, as an SQLAlchemy URL."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "test.db")
        return f"sqlite:///{tmp_path}/test.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table, once of each engine, as an SQLAlchemy URL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
    else:
        with postgresql_database() as url:
            yield url


@pytest.fixture
def redis_url() -> str:
    """An empty Redis database; each worker of pytest-xdist has a number of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = f"{provided('REDIS_URL')}/{worker}"
    subprocess.run(["redis-cli", "-u", url, "FLUSHDB"], check=True, capture_output=True)
    return url


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket's name; the AWS variables lead to its server."""
    address, name = provided("S3_URL"), f"test-{uuid4().hex}"
    requests.put(f"{address}/{name}", timeout=30).raise_for_status()
    for variable, value in (
        ("ENDPOINT_URL", address),
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{variable}", value)
    return name


@pytest.fixture
def chromium() -> str:
    """The browser's path; as root it runs only with `--no-sandbox`."""
    return provided("CHROMIUM")


@pytest.fixture
def newman() -> str:
    return provided("NEWMAN")


@pytest.fixture
def dcmtk() -> Path:
    """The folder of DCMTK's programs (storescu, dcmdump, dcmqrscp, ...)."""
    found = shutil.which("storescu")
    if not found:
        pytest.skip("DCMTK is not installed: `make test` installs it")
    return Path(found).parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images beside the repository; they are not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there")
    return folder


@pytest.fixture(scope="session")
def demo_samples() -> dict[str, bytes]:
    """The sample files of `imaging-fhir demo` by their path."""
    from imaging_fhir.demo import demo_files  # here: most tests need no image library

    return dict(demo_files())
