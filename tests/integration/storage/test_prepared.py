"""Statements that the driver runs answer as SQLAlchemy would, on both engines."""

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import blob

ADD = Prepared(
    insert(blob).returning(blob.c.pk),
    columns=("sha256", "generation", "size", "live", "created"),
)
FIND = Prepared(select(blob).where(blob.c.sha256 == bindparam("sha256"), blob.c.size > 1))
VALUES = {"sha256": "ab", "generation": 0, "size": 2**40, "live": True, "created": 7}


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


def test_rows_have_the_names_and_types_of_their_columns(database: Database) -> None:
    pk = database.write(lambda transaction: ADD.number(transaction.connection, **VALUES))
    with database.read() as connection:
        found = FIND.first(connection, sha256="ab")
        assert FIND.first(connection, sha256="none") is None
        plain = connection.execute(select(blob)).one()
    database.close()
    assert found is not None
    assert tuple(found) == tuple(plain)
    assert (found.pk, found.live, found.size) == (pk, True, 2**40)
    assert found.live is True


def test_a_broken_constraint_is_told_as_sqlalchemy_tells_it(database: Database) -> None:
    def twice(transaction: Transaction) -> None:
        ADD.run(transaction.connection, **VALUES)
        ADD.run(transaction.connection, **VALUES)

    with pytest.raises(IntegrityError):
        database.write(twice)
    with database.read() as connection:
        assert FIND.all(connection, sha256="ab") == []
    database.close()
