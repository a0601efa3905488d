"""How many SQL statements one request takes, counted in a process of our own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import event

from imaging_fhir.app import app_of, build_services
from imaging_fhir.settings import Settings
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.point_read import PointReads
from imaging_fhir.storage.prepared import Prepared


def counted_statements(database_url: str, folder: Path, path: str) -> int:
    services = build_services(Settings(database_url=database_url, data_dir=folder))
    try:
        client = app_of(services).test_client()
        base = services.settings.public_address
        client.get(path, base_url=base)  # what is read once is not counted
        with counting(services.database) as counts:
            answer = client.get(path, base_url=base)
        assert answer.status_code == 200, answer.data[:300]
        return len(counts)
    finally:
        services.database.close()


@contextmanager
def counting(database: Database) -> Iterator[list[str]]:
    """The statements that SQLAlchemy runs, and those that go to the driver directly.

    SQLAlchemy's BEGIN on SQLite is one of them.
    """
    counts: list[str] = []

    def executed(_c: object, _cursor: object, statement: str, *_: object) -> None:
        counts.append(statement)

    direct = Prepared.cursor

    def prepared(self: Prepared, *arguments: object) -> object:
        counts.append(str(self.statement))
        return direct(self, *arguments)  # type: ignore[arg-type]

    point = PointReads.fetch

    def by_key(self: PointReads, *arguments: object) -> object:
        counts.append(self.sql)
        return point(self, *arguments)

    event.listen(database.engine, "before_cursor_execute", executed)
    with patch.object(Prepared, "cursor", prepared), patch.object(PointReads, "fetch", by_key):
        yield counts
    event.remove(database.engine, "before_cursor_execute", executed)
