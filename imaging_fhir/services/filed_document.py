"""What no client may write of a document: into whose chart it was filed, and which bytes it is."""

from collections.abc import Collection
from typing import Any

from imaging_fhir.errors import InvalidResource, ResourceConflict, ResourceDeleted
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import id_in, local_id
from imaging_fhir.services.superseding import DOCUMENT, person
from imaging_fhir.storage import documents, resources
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource

BINARY = "Binary"
OF_BYTES = ("url", "contentType", "size", "hash")
FILED = "is of an image that was taken in: it cannot be edited."


def require_right_chart(
    connection: Connection,
    current: StoredResource | None,
    document: Resource,
    *,
    brought: Collection[str] = (),
) -> None:
    """Raise InvalidResource for bytes of another patient, and for what moves a filed image.

    Raise ResourceDeleted for a filed image that was deleted: a write does not bring it back.
    `brought` are ids of Binaries that came inside the document: these are nobody else's.
    """
    for index, content in enumerate(document["content"]):
        url = content["attachment"].get("url", "")
        if id_in(url, BINARY) not in brought and is_of_another(connection, url, document):
            refuse(f"content[{index}].attachment.url", "leads to an image of another patient.")
    if current is None or documents.by_resource(connection, current.rid) is None:
        return
    if current.body is None:
        raise ResourceDeleted(f"{current.reference} was deleted.")
    before: Resource = decode(current.body)
    for path, told in {
        "subject": (subject_of(before), subject_of(document)),
        "context.encounter": (visits_of(before), visits_of(document)),
        "content": (bytes_of(before), bytes_of(document)),
    }.items():
        if told[0] != told[1]:
            refuse(path, FILED)


def require_own_bytes(connection: Connection, current: StoredResource) -> None:
    """Raise ResourceConflict for a Binary that is to change, and is the bytes of a filed image."""
    owner = None if current.deleted else owner_of(connection, current.id)
    if owner is None or owner.deleted:
        return
    if documents.by_resource(connection, owner.rid) is not None:
        raise ResourceConflict(
            f"{current.reference} is the bytes of {owner.reference}, which was taken in: "
            "it goes when that is deleted, and does not change."
        )


def is_of_another(connection: Connection, url: str, document: Resource) -> bool:
    """Is it a Binary here that belongs to a document of somebody else?"""
    binary = id_in(url, BINARY)
    owner = None if binary is None else owner_of(connection, binary)
    if owner is None or owner.body is None or owner.id == document.get("id"):
        return False
    return person(connection, decode(owner.body)) != person(connection, document)


def owner_of(connection: Connection, binary_id: str) -> StoredResource | None:
    """The DocumentReference whose access is the Binary's too."""
    binary = resources.find_content(connection, BINARY, binary_id) or {}
    owner = local_id(binary.get("securityContext"), DOCUMENT)
    return None if owner is None else resources.find(connection, DOCUMENT, owner)


def subject_of(document: Resource) -> Any:
    return document.get("subject", {}).get("reference")


def visits_of(document: Resource) -> list[Any]:
    return [
        (visit.get("reference"), visit.get("identifier"))
        for visit in document.get("context", {}).get("encounter", ())
    ]


def bytes_of(document: Resource) -> list[Any]:
    return [[one["attachment"].get(name) for name in OF_BYTES] for one in document["content"]]


def refuse(path: str, fault: str) -> None:
    expression = f"{DOCUMENT}.{path}"
    raise InvalidResource(f"{expression} {fault}", expression=expression)
