"""Brings a database from any earlier state to the tables of `schema`."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.storage.database import begin_writing, open_engine, translated, write_lock
from imaging_fhir.storage.schema import TEXT_MATCH, metadata

LOCK_KEY = 0x696D6167  # of PostgreSQL's advisory lock: any number that is ours alone


def upgrade(database_url: str, *, to: str = "head") -> None:
    """Bring the database to the revision; processes that start together wait for one another.

    Raise StorageUnavailable for a database that a newer version has already moved on.
    """
    engine = open_engine(database_url)
    try:
        with translated(), write_lock(database_url), engine.connect() as connection:
            lock(connection)
            require_known(current_revision(connection))
            command.upgrade(configuration(connection), to)
            require_sound_references(connection)
            connection.commit()
    finally:
        engine.dispose()


def lock(connection: Connection) -> None:
    """Keep other upgrades out; on SQLite a table that is changed is copied and dropped."""
    if connection.dialect.name == "sqlite":
        raw = connection.connection.cursor()
        raw.execute("PRAGMA foreign_keys=OFF")  # has no effect once a transaction has begun
        raw.close()
        begin_writing(connection)
    else:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_KEY})"))


def require_sound_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise StorageUnavailable(f"After the upgrade a row of {broken[0]} refers to nothing.")


def configuration(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))


def revisions() -> tuple[str, ...]:
    """All of them, the first one first."""
    return tuple(script.revision for script in scripts().walk_revisions())[::-1]


def current_revision(connection: Connection) -> str | None:
    """The revision of the database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def is_current(connection: Connection) -> bool:
    return current_revision(connection) == scripts().get_current_head()


def require_known(revision: str | None) -> None:
    if revision is not None and revision not in revisions():
        raise StorageUnavailable(
            f"The database is of revision {revision}, which this version does not know: "
            "use the version that made it, or a newer one."
        )


def differences(connection: Connection) -> list[object]:
    """Where the tables are not those of `schema`; nothing after an upgrade."""
    options = {"compare_type": True, "include_object": is_ours}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def is_ours(thing: Any, name: str | None, *_: Any) -> bool:
    """The full-text index is another on each engine, and on SQLite has tables of its own."""
    return not (name or "").startswith((TEXT_MATCH, "ix_text_index_words"))
