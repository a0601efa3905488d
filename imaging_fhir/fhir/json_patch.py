"""JSON Patch of a resource (RFC 6902, https://hl7.org/fhir/R4/http.html#patch)."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from jsonpatch import (
    InvalidJsonPatch,
    JsonPatch,
    JsonPatchException,
    JsonPatchTestFailed,
)
from jsonpointer import EndOfList, JsonPointer, JsonPointerException

from imaging_fhir.errors import InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.model.codec import Resource, encode

MOST_OPERATIONS = 1000
MOST_COPIED_BYTES = 4 * 1024 * 1024  # a `copy` of all could double a resource each time
OPERATIONS = frozenset({"add", "remove", "replace", "move", "copy", "test"})

Operation = dict[str, Any]


def json_patch_operations(document: object) -> tuple[Operation, ...]:
    """The operations of a patch document; raise InvalidRequest, UploadTooLarge."""
    if not isinstance(document, list):
        raise InvalidRequest("A JSON Patch is a JSON array of operations (RFC 6902).")
    if len(document) > MOST_OPERATIONS:
        raise UploadTooLarge(f"A JSON Patch may have at most {MOST_OPERATIONS} operations.")
    for index, operation in enumerate(document):
        fault = fault_of(operation)
        if fault:
            raise InvalidRequest(f"Operation {index} of the JSON Patch {fault} (RFC 6902).")
    return tuple(document)


def fault_of(operation: object) -> str | None:
    """What is wrong with one operation as such, whatever it is applied to."""
    if not isinstance(operation, dict):
        return "is no JSON object"
    name = operation.get("op")
    if not isinstance(name, str) or name not in OPERATIONS:
        return f"has an op that is none of {', '.join(sorted(OPERATIONS))}"
    if not is_pointer(operation.get("path")):
        return "has a path that is no JSON Pointer"
    if name in ("move", "copy") and not is_pointer(operation.get("from")):
        return "has a from that is no JSON Pointer"
    if name in ("add", "replace", "test") and "value" not in operation:
        return "has no value"
    return None


def is_pointer(text: object) -> bool:
    """RFC 6901"""
    if not isinstance(text, str):
        return False
    try:
        JsonPointer(text)
    except JsonPointerException:
        return False
    return True


def json_patched(resource: Resource, operations: Sequence[Operation]) -> Any:
    """A copy of the resource with all operations applied, one after the other.

    Raise InvalidResource, naming the operation, where one cannot be applied or a test fails.
    """
    patched: Any = deepcopy(resource)
    copied = 0
    for index, operation in enumerate(operations):
        if operation["op"] in ("copy", "move"):
            copied += size_at(patched, operation["from"])
            if copied > MOST_COPIED_BYTES:
                raise UploadTooLarge(
                    f"The patch copies and moves more than {MOST_COPIED_BYTES} bytes."
                )
        patched = applied(patched, deepcopy(operation), index)
    drop_emptied(patched, operations)
    return patched


def size_at(document: Any, pointer: str) -> int:
    """Of what is copied or moved, in bytes; where nothing is, the operation itself will say so."""
    return len(encode(found_at(document, JsonPointer(pointer).parts)))


def applied(document: Any, operation: Operation, index: int) -> Any:
    what = f"Operation {index} of the JSON Patch ({operation['op']})"
    try:
        patched = JsonPatch([operation]).apply(document, in_place=True)
    except JsonPatchTestFailed as error:
        raise InvalidResource(f"{what}: the test fails.", expression=operation["path"]) from error
    except InvalidJsonPatch as error:
        raise InvalidRequest(f"{what} is malformed.") from error
    except (
        JsonPatchException,
        JsonPointerException,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:  # the library meets a scalar where a path goes on with all of these
        raise InvalidResource(
            f"{what}: the path leads nowhere in this resource.", expression=operation["path"]
        ) from error
    return patched


def drop_emptied(document: Any, operations: Sequence[Operation]) -> None:
    """R4 has no empty arrays: one whose last member was taken out goes too."""
    taken = {"remove": "path", "move": "from"}
    for operation in operations:
        if operation["op"] in taken:
            parts = JsonPointer(operation[taken[operation["op"]]]).parts[:-1]
            holder = found_at(document, parts[:-1]) if parts else None
            if isinstance(holder, dict) and holder.get(parts[-1]) == []:
                del holder[parts[-1]]


def found_at(document: Any, parts: Sequence[str]) -> Any:
    """What is there; None where nothing is."""
    try:
        found = JsonPointer.from_parts(parts).resolve(document)
    except (JsonPointerException, LookupError, TypeError, ValueError):
        return None
    return None if isinstance(found, EndOfList) else found
