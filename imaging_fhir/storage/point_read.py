"""The current version of one resource, by one statement on a connection kept ready.

This is the read that FHIR clients do most. A statement alone is its own snapshot, so it needs
neither a transaction nor what SQLAlchemy does around one, which costs more than the read itself.
"""

from collections import deque
from typing import Any

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage.database import Database, DBAPIError
from imaging_fhir.storage.resources import BY_ID, StoredResource


class PointReads:
    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        self.errors = (self.engine.dialect.loaded_dbapi.Error, DBAPIError)
        compiled = BY_ID.compile(dialect=self.engine.dialect)
        self.sql = str(compiled)
        self.order = compiled.positiontup  # None where parameters have names
        self.ready: deque[Any] = deque()  # as many connections as threads ever read at once

    def find(self, resource_type: str, resource_id: str) -> StoredResource | None:
        """The current version, deleted or not; raise StorageUnavailable."""
        row = self.row({"type": resource_type, "id": resource_id})
        if row is None:
            return None
        rid, type_, id_, version, last_updated, deleted, body = row
        return StoredResource(
            rid=rid,
            type=type_,
            id=id_,
            version=version,
            last_updated=last_updated,
            deleted=bool(deleted),
            body=body,
        )

    def row(self, given: dict[str, str]) -> Any:
        parameters = [given[name] for name in self.order] if self.order else given
        while self.ready:  # one may be stale: the database was restarted
            try:
                return self.fetch(self.ready.pop(), parameters)
            except (IndexError, *self.errors):
                continue
        try:
            return self.fetch(self.connect(), parameters)
        except self.errors as error:
            raise StorageUnavailable("The database does not answer; try again.") from error

    def fetch(self, connection: Any, parameters: Any) -> Any:
        """The row; the connection is ready again after it, or closed where it failed."""
        try:
            row = connection.execute(self.sql, parameters).fetchone()
        except BaseException:
            connection.close()
            raise
        self.ready.append(connection)
        return row

    def connect(self) -> Any:
        """A driver's connection that commits by itself, opened as the engine opens its own."""
        pooled = self.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        if self.engine.dialect.name == "postgresql":
            connection.autocommit = True
        return connection

    def close(self) -> None:
        while self.ready:
            self.ready.pop().close()
