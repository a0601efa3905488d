"""Changing a part of a resource (https://hl7.org/fhir/R4/http.html#patch)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from imaging_fhir.errors import (
    InvalidRequest,
    InvalidResource,
    ResourceConflict,
    ResourceNotFound,
    UnsupportedMediaType,
)
from imaging_fhir.fhir.fhirpath_patch import fhirpath_operations, fhirpath_patched
from imaging_fhir.fhir.json_patch import json_patch_operations, json_patched
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.search import Condition
from imaging_fhir.services.attachment import Detached, Prepared, decoded, keep_within
from imaging_fhir.services.preconditions import require_match
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.services.resources import Resources
from imaging_fhir.storage import resources as resource_rows
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.resources import StoredResource

JSON_PATCH = "application/json-patch+json"
ATTEMPTS = 20  # each that fails means that another writer was done

Change = Callable[[Resource], Any]


class Overtaken(Exception):
    """Another write came between the reading and the writing."""


def json_patch_change(document: object) -> Change:
    """Raise InvalidRequest, UploadTooLarge."""
    return partial(json_patched, operations=json_patch_operations(document))


def fhirpath_change(parameters: Any) -> Change:
    """Raise InvalidRequest, UploadTooLarge."""
    return partial(fhirpath_patched, operations=fhirpath_operations(parameters))


def change_in_bundle(resource: Resource) -> Change:
    """A patch as an entry has it (http.html#patch): Parameters, or a Binary of JSON Patch."""
    match resource.get("resourceType"):
        case "Parameters":
            return fhirpath_change(resource)
        case "Binary" if resource.get("contentType") == JSON_PATCH:
            data = resource.get("data")
            if not isinstance(data, str):
                raise InvalidRequest("The Binary of a patch has no data.")
            return json_patch_change(decode(decoded(data, "Binary.data")))
        case "Binary":
            raise UnsupportedMediaType(f"A patch in a Binary is {JSON_PATCH}.")
        case _:
            raise InvalidRequest("A patch in a Bundle is a Parameters, or a Binary.")


class Patching:
    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def patch(
        self, resource_type: str, resource_id: str, change: Change, *, if_match: str | None = None
    ) -> Written:
        """The next version; raise ResourceNotFound, ResourceDeleted, VersionConflict.

        What it makes is checked like any update; raise InvalidResource.
        """
        return self.attempts(resource_type, lambda _: resource_id, change, if_match)

    def patch_where(
        self, condition: Condition, change: Change, *, if_match: str | None = None
    ) -> Written:
        """http.html#patch, conditional; raise ResourceNotFound, MultipleMatches."""

        def found(connection: Connection) -> str:
            return required(self.resources.only_match(connection, condition), condition)

        return self.attempts(condition.resource_type, found, change, if_match)

    def attempts(
        self,
        resource_type: str,
        find: Callable[[Connection], str],
        change: Change,
        if_match: str | None,
    ) -> Written:
        """Patch and check outside the transaction; once more where another write came between."""
        for _ in range(ATTEMPTS):
            try:
                return self.attempt(resource_type, find, change, if_match)
            except Overtaken:
                continue
        raise ResourceConflict(f"The {resource_type} changes all the time: try again later.")

    def attempt(
        self,
        resource_type: str,
        find: Callable[[Connection], str],
        change: Change,
        if_match: str | None,
    ) -> Written:
        with self.resources.database.read() as connection:
            stored, body = self.resources.fetch(
                connection, resource_type, find(connection), letters="u"
            )
        prepared = self.prepared(stored, body, change, if_match)

        def unit(transaction: Transaction, kept: list[Detached]) -> Written:
            current = resource_rows.find(transaction.connection, resource_type, stored.id)
            if current is None or current.version != stored.version:
                raise Overtaken
            return self.resources.update_in(
                transaction, prepared, kept, if_match=str(stored.version)
            )

        return self.resources.write(prepared, unit)

    def patch_in(
        self,
        transaction: Transaction,
        resource_type: str,
        resource_id: str,
        change: Change,
        *,
        if_match: str | None = None,
    ) -> Written:
        """The same within a transaction; bytes that the patch brings are placed in it."""
        connection = transaction.connection
        stored, body = self.resources.fetch(connection, resource_type, resource_id, letters="u")
        prepared = self.prepared(stored, body, change, if_match)
        kept = keep_within(transaction, self.resources.store, prepared.detached)
        return self.resources.update_in(transaction, prepared, kept, if_match=str(stored.version))

    def prepared(
        self, stored: StoredResource, body: bytes, change: Change, if_match: str | None
    ) -> Prepared:
        """What the patch makes of it, as it may be stored; raise VersionConflict too."""
        require_match(if_match, stored)
        content = self.patched(body, change)
        return self.resources.prepared(stored.type, stored.id, content)

    def patched(self, body: bytes, change: Change) -> Resource:
        """What the client would read, changed; raise InvalidResource."""
        before = decode(self.resources.addresses.served(body))
        after = require_object(change(before))
        require_untouched(before, after)
        return after


def required(known: str | None, condition: Condition) -> str:
    if known is None:
        raise ResourceNotFound(f"No {condition.resource_type} fulfils the condition.")
    return known


def require_object(patched: Any) -> Resource:
    """A JSON Patch can put anything in the place of the whole; raise InvalidResource."""
    if not isinstance(patched, dict):
        raise InvalidResource("The patch leaves no resource.")
    return patched


def require_untouched(before: Resource, after: Resource) -> None:
    """What the server owns is no patch's to change; raise InvalidResource, naming each."""
    type_ = before["resourceType"]
    owned = [("resourceType",), ("id",), ("meta", "versionId"), ("meta", "lastUpdated")]
    changed = [names for names in owned if element(before, names) != element(after, names)]
    if changed:
        issues = tuple(
            (".".join((type_, *names)), "is set by the server: a patch cannot change it.")
            for names in changed
        )
        expression, fault = issues[0]
        raise InvalidResource(f"{expression} {fault}", expression=expression, issues=issues)


def element(resource: Any, names: Sequence[str]) -> Any:
    for name in names:
        resource = resource.get(name) if isinstance(resource, dict) else None
    return resource
