"""Fixtures for the servers and programs that `make test` provides; without one, a test is skipped
and says what it lacked.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "IMAGING_FHIR_TEST_"


def provided(name: str) -> str:
    value = os.environ.get(PREFIX + name)
    if not value:
        pytest.skip(f"{PREFIX}{name} is not set: `make test` provides it")
    return value


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """An empty database of this test's own, as an SQLAlchemy URL."""
    server = provided("POSTGRESQL_URL")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield f"{server.replace('postgresql:', 'postgresql+psycopg:').rpartition('/')[0]}/{name}"
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each engine, as an SQLAlchemy URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def redis_url() -> str:
    """An empty Redis database; each worker of pytest-xdist has a number of its own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = f"{provided('REDIS_URL')}/{worker}"
    subprocess.run(["redis-cli", "-u", url, "FLUSHDB"], check=True, capture_output=True)
    return url


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
