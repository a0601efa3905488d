"""Bytes that come inside a resource leave it: each becomes a Binary (ITI-105, binary.html)."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir.attachment import has_inline_data, with_attachments
from imaging_fhir.model.caller import CALLER, Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource
from imaging_fhir.storage import blobs as blob_rows
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.ports import BlobStore, StagedBlob

T = TypeVar("T")
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """The bytes of a Binary that is to be stored, and the Binary without them."""

    resource_id: str
    content: Resource
    octets: bytes = b""
    blob: int = 0  # key of the row once they are kept


@dataclass(frozen=True, slots=True)
class Prepared:
    """A resource as it may be stored, with the bytes that came inside it, and whose it is.

    The transaction that stores it may be run by another thread than the caller's.
    """

    resource_type: str
    resource_id: str
    content: Resource
    detached: tuple[Detached, ...] = ()
    posted: bool = False  # if it is not there yet: the server chose the id
    caller: Caller = field(default_factory=CALLER.get)


def prepare(
    resource_type: str, resource_id: str, content: Resource, new_id: Callable[[], str]
) -> Prepared:
    """Raise InvalidResource where the bytes are not what is said of them."""
    if resource_type == "Binary":
        one = detached_from_binary(content, resource_id)
        return Prepared(resource_type, resource_id, one.content, (one,))
    if not has_inline_data(content):
        return Prepared(resource_type, resource_id, content)
    content, detached = detached_from_resource(content, new_id)
    return Prepared(resource_type, resource_id, content, tuple(detached))


def detached_from_resource(
    resource: Resource, new_id: Callable[[], str]
) -> tuple[Resource, list[Detached]]:
    """A resource whose inline attachments became addresses; raise InvalidResource."""
    binaries: list[Detached] = []

    def detach(where: str, attachment: Resource) -> Resource:
        if "data" not in attachment:
            return attachment
        kept, one = detached_attachment(attachment, where, new_id())
        binaries.append(one)
        return kept

    return with_attachments(resource, detach), binaries


def detached_attachment(
    attachment: dict[str, Any], where: str, resource_id: str
) -> tuple[dict[str, Any], Detached]:
    octets = decoded(attachment["data"], f"{where}.data")
    # FHIR R4 says that the hash of an Attachment is SHA-1
    digest = base64.b64encode(hashlib.sha1(octets, usedforsecurity=False).digest()).decode()
    require_equal(attachment.get("hash", digest), digest, f"{where}.hash")
    require_equal(attachment.get("size", len(octets)), len(octets), f"{where}.size")
    kept = {key: value for key, value in attachment.items() if key not in ("data", "_data")}
    kept |= {"url": f"{BASE_PLACEHOLDER}/Binary/{resource_id}", "hash": digest, "size": len(octets)}
    content = {"resourceType": "Binary", "contentType": attachment.get("contentType", OCTETS)}
    return kept, Detached(resource_id=resource_id, content=content, octets=octets)


def require_equal(said: object, found: object, where: str) -> None:
    if said != found:
        raise InvalidResource("This is not that of the data.", expression=where)


def detached_from_binary(content: Resource, resource_id: str) -> Detached:
    octets = decoded(content.get("data", ""), "Binary.data")
    kept = {key: value for key, value in content.items() if key not in ("data", "_data")}
    return Detached(resource_id=resource_id, content=kept, octets=octets)


def decoded(text: str, where: str) -> bytes:
    """base64Binary, in which R4 allows white space."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidResource("This is no base64.", expression=where) from error


def keep(
    database: Database,
    store: BlobStore,
    binaries: Sequence[Detached],
    unit: Callable[[Transaction, list[Detached]], T],
) -> T:
    """Place all bytes, then run the unit in the transaction that claims them."""
    if not binaries:
        return database.write(lambda transaction: unit(transaction, []))
    with staged(store, binaries) as arrived:
        while True:
            placed = [one.place(generation(database, one)) for one in arrived]

            def claimed(transaction: Transaction, placed: Sequence[Any] = placed) -> T:
                rows = [blob_rows.claim(transaction, one) for one in placed]
                return unit(
                    transaction,
                    [replace(one, blob=pk) for one, pk in zip(binaries, rows, strict=True)],
                )

            try:
                return database.write(claimed)
            except blob_rows.BlobIsDead:
                continue


def keep_within(
    transaction: Transaction, store: BlobStore, binaries: Sequence[Detached]
) -> list[Detached]:
    """The same within a transaction that has begun, of bytes that were not known before it.

    What it places and does not commit is what nothing refers to.
    """
    with staged(store, binaries) as arrived:
        return [
            replace(one, blob=claimed_within(transaction, bytes_))
            for one, bytes_ in zip(binaries, arrived, strict=True)
        ]


def claimed_within(transaction: Transaction, one: StagedBlob) -> int:
    while True:
        placed = one.place(blob_rows.generation_for(transaction.connection, one.sha256))
        try:
            return blob_rows.claim(transaction, placed)
        except blob_rows.BlobIsDead:  # cleaned up meanwhile: it is placed anew
            continue


@contextmanager
def staged(store: BlobStore, binaries: Sequence[Detached]) -> Iterator[list[StagedBlob]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(store.stage([one.octets], limit=len(one.octets)))
            for one in binaries
        ]


def generation(database: Database, one: StagedBlob) -> int:
    with database.read() as connection:
        return blob_rows.generation_for(connection, one.sha256)
