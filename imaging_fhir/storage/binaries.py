"""Which bytes a Binary stands for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.blob import Blob
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.schema import binary, blob


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryContent:
    blob: Blob
    content_type: str


CONTENT = (
    select(blob.c.sha256, blob.c.size, blob.c.generation, binary.c.content_type)
    .join(blob, blob.c.pk == binary.c.blob)
    .where(binary.c.rid == bindparam("rid"))
)


def content(connection: Connection, rid: int) -> BinaryContent:
    """The bytes of the Binary in that row of `resource`; raise ResourceNotFound."""
    row = connection.execute(CONTENT, {"rid": rid}).first()
    if row is None:
        raise ResourceNotFound("The bytes of this Binary were erased.")
    return BinaryContent(
        blob=Blob(sha256=row.sha256, size=row.size, generation=row.generation),
        content_type=row.content_type,
    )


def is_bound(connection: Connection, rid: int, blob_pk: int) -> bool:
    """Does the Binary stand for those bytes already?"""
    bound = select(binary.c.blob).where(binary.c.rid == rid, binary.c.blob == blob_pk)
    return connection.execute(bound).first() is not None


def put_content(transaction: Transaction, rid: int, blob_pk: int, content_type: str) -> None:
    """Bind the Binary to bytes that are live, in place of those it had."""
    put_contents(transaction, [(rid, blob_pk, content_type)])


def put_contents(transaction: Transaction, bound: Sequence[tuple[int, int, str]]) -> None:
    """The same of many: row of the Binary, key of the blob, type of its content."""
    if not bound:
        return
    for some in chunks([rid for rid, _, _ in bound]):
        transaction.execute(delete(binary).where(binary.c.rid.in_(some)))
    values = [{"rid": rid, "blob": blob_pk, "content_type": type_} for rid, blob_pk, type_ in bound]
    transaction.execute(insert(binary), values)


def remove_content(transaction: Transaction, rid: int) -> None:
    transaction.execute(delete(binary).where(binary.c.rid == rid))
