"""Attachments wherever they stand in a resource (datatypes.html#Attachment)."""

from collections.abc import Callable, Iterator
from typing import Any

from imaging_fhir.fhir.definitions import TypeDefinition, definition
from imaging_fhir.model.codec import Resource

Change = Callable[[str, Resource], Resource]  # of the FHIRPath expression and the Attachment


def attachments(resource: Resource) -> Iterator[Resource]:
    found: list[Resource] = []

    def note(_: str, attachment: Resource) -> Resource:
        found.append(attachment)
        return attachment

    with_attachments(resource, note)
    yield from found


def has_inline_data(value: Any) -> bool:
    """Is there any element `data` with text? A quick look, before the definitions are asked."""
    left = [value]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            if isinstance(found.get("data"), str):
                return True
            left.extend(one for one in found.values() if isinstance(one, dict | list))
        elif isinstance(found, list):
            left.extend(one for one in found if isinstance(one, dict | list))
    return False


def with_attachments(resource: Resource, change: Change) -> Resource:
    """The resource with each Attachment as `change` gives it, also in extensions and contained.

    Presumes what is right by R4.
    """
    return _resource(resource, resource["resourceType"], change)


def _resource(value: Resource, path: str, change: Change) -> Resource:
    return _elements(value, definition(value["resourceType"]), path, change)


def _elements(value: Resource, type_: TypeDefinition, path: str, change: Change) -> Resource:
    return {
        name: _member(name, found, type_, path, change) if isinstance(found, dict | list) else found
        for name, found in value.items()
    }


def _member(name: str, found: Any, type_: TypeDefinition, path: str, change: Change) -> Any:
    element = type_.elements.get(name)
    if element is None and not name.startswith("_"):
        return found
    inner = "Element" if element is None else element.type
    here = f"{path}.{(element.choice if element else None) or name.removeprefix('_')}"
    if isinstance(found, list):
        return [_value(one, inner, f"{here}[{n}]", change) for n, one in enumerate(found)]
    return _value(found, inner, here, change)


def _value(found: Any, type_name: str, path: str, change: Change) -> Any:
    if not isinstance(found, dict):
        return found
    if type_name == "Resource":
        return _resource(found, path, change)
    if type_name == "Attachment":
        found = change(path, found)
    return _elements(found, definition(type_name), path, change)
