"""Where the frames of a multi-frame instance lie in its blob, once somebody has asked for one."""

from sqlalchemy import bindparam, delete, insert, select

from imaging_fhir.storage import blobs
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import frame_table

FIND = Prepared(select(frame_table.c.body).where(frame_table.c.blob == bindparam("blob")))


def find(connection: Connection, blob: int) -> bytes | None:
    row = FIND.first(connection, blob=blob)
    return None if row is None else bytes(row.body)


def put(transaction: Transaction, blob: int, body: bytes) -> None:
    """In place of the one that there was; raise BlobIsDead."""
    blobs.require_live(transaction, blob)
    transaction.execute(delete(frame_table).where(frame_table.c.blob == blob))
    transaction.execute(insert(frame_table).values(blob=blob, body=body))
