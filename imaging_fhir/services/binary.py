"""Binary (binary.html): any bytes under a FHIR id, streamed in and out."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.attachment import Detached, Prepared
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.services.resources import Resources
from imaging_fhir.storage import binaries, blobs, resources
from imaging_fhir.storage.binaries import BinaryContent
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.resources import StoredResource

BASE64_PIECE = 192 * 1024  # a multiple of three, so that pieces join without padding


class Binaries:
    def __init__(self, resources: Resources, *, limit: int) -> None:
        self.resources = resources
        self.database = resources.database
        self.store = resources.store
        self.limit = limit

    def put(
        self,
        chunks: Iterable[bytes],
        content_type: str,
        *,
        security_context: str | None,
        resource_id: str | None = None,
        if_match: str | None = None,
    ) -> Written:
        """Keep a stream as a new Binary, or as the next version of the one of that id."""
        chosen = resource_id or self.resources.new_id()
        content: Resource = {"resourceType": "Binary", "contentType": content_type}
        if security_context:
            content["securityContext"] = {"reference": security_context}
        content = self.resources.acceptable("Binary", content)
        one = Detached(resource_id=chosen, content=content)

        def unit(transaction: Transaction, blob: int) -> Written:
            prepared = Prepared("Binary", chosen, content, posted=resource_id is None)
            kept = [replace(one, blob=blob)]
            return self.resources.update_in(transaction, prepared, kept, if_match=if_match)

        with self.store.stage(chunks, limit=self.limit) as staged:
            return blobs.keep(self.database, staged, unit)

    def read(self, resource_id: str) -> tuple[StoredResource, BinaryContent]:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.database.read() as connection:
            self.resources.guard.require_seen(connection, "Binary", resource_id)
            stored = resources.read(connection, "Binary", resource_id)
            return stored, binaries.content(connection, stored.rid)

    def security_context(self, stored: StoredResource) -> str | None:
        """Whose rights decide who may read it."""
        content = decode(stored.body or b"{}")
        reference: str | None = content.get("securityContext", {}).get("reference")
        return reference

    def open(self, content: BinaryContent, *, start: int = 0) -> BinaryIO:
        return self.store.open(content.blob, start=start)

    def json(self, stored: StoredResource, content: BinaryContent) -> Iterator[bytes]:
        """The FHIR form, piece by piece."""
        yield (stored.body or b"{}").removesuffix(b"}") + b',"data":"'
        with self.open(content) as stream:
            while piece := stream.read(BASE64_PIECE):
                yield base64.b64encode(piece)
        yield b'"}'
