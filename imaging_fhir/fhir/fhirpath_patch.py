"""FHIRPath Patch: a Parameters resource of operations (https://hl7.org/fhir/R4/fhirpatch.html)."""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NoReturn

from imaging_fhir.errors import InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.fhir.definitions import Element, TypeDefinition, definition
from imaging_fhir.fhir.element_path import (
    ElementPath,
    Place,
    Visits,
    element_path,
    json_names,
    knows,
    list_length,
    put_beside,
)
from imaging_fhir.model.codec import Resource

MOST_OPERATIONS = 1000
DEEPEST_VALUE = 20  # of value parts within value parts
PARTS = {  # what an operation must have, beside its type
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
VALUE = re.compile(r"part|resource|value[A-Z]\w*")
BESIDE = re.compile(r"_value[A-Z]\w*")
STRINGS = ("valueString", "valueCode")
NUMBERS = ("valueInteger", "valueUnsignedInt", "valuePositiveInt")

Part = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    type: str
    path: ElementPath
    name: str = ""
    value: Part | None = None  # a part with value[x], resource, or parts of its own
    index: int = 0  # of insert; of move, where from
    destination: int = 0


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value with the JSON name that its type gives it, and what stands beside a primitive."""

    name: str
    element: Element
    value: Any
    beside: Any = None


def fhirpath_operations(parameters: Resource) -> tuple[Operation, ...]:
    """The operations of a Parameters; raise InvalidRequest, UploadTooLarge."""
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise InvalidRequest("A FHIRPath Patch is a Parameters resource.")
    given = parameters.get("parameter", [])
    if not isinstance(given, list):
        raise InvalidRequest("Its parameter is no JSON array.", expression="Parameters.parameter")
    if len(given) > MOST_OPERATIONS:
        raise UploadTooLarge(f"A FHIRPath Patch may have at most {MOST_OPERATIONS} operations.")
    return tuple(operation_at(index, parameter) for index, parameter in enumerate(given))


def operation_at(index: int, parameter: object) -> Operation:
    """Raise InvalidRequest, naming the parameter that is no operation."""
    try:
        return operation_of(parameter)
    except InvalidRequest as error:
        where = f"Parameters.parameter[{index}]"
        raise InvalidRequest(f"{where}: {error}", expression=where) from error


def operation_of(parameter: object) -> Operation:
    if not isinstance(parameter, dict) or parameter.get("name") != "operation":
        raise InvalidRequest("A parameter of a FHIRPath Patch has the name operation.")
    parts = parts_by_name(parameter.get("part"))
    type_ = text_of(parts, "type")
    if type_ not in PARTS:
        raise InvalidRequest(f"The type of an operation is one of {', '.join(PARTS)}.")
    for name in PARTS[type_]:
        if name not in parts:
            raise InvalidRequest(f"An operation of type {type_} has a part {name}.")
    for name in parts.keys() - {"type", *PARTS[type_]}:
        raise InvalidRequest(f"An operation of type {type_} has no part {name[:64]!r}.")
    path = element_path(text_of(parts, "path"))
    if type_ in ("insert", "move") and path.last_name is None:
        raise InvalidRequest(f"The path of an {type_} ends in the name of a list.")
    return Operation(
        type=type_,
        path=path,
        name=text_of(parts, "name") if type_ == "add" else "",
        value=parts.get("value"),
        index=number_of(parts, {"insert": "index", "move": "source"}.get(type_)),
        destination=number_of(parts, "destination" if type_ == "move" else None),
    )


def parts_by_name(parts: object) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for part in parts if isinstance(parts, list) else ():
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise InvalidRequest("A part has no name.")
        if name in found:
            raise InvalidRequest(f"The part {name[:64]!r} is there more than once.")
        found[name] = part
    return found


def text_of(parts: Mapping[str, Part], name: str) -> str:
    part = parts.get(name, {})
    found = next((part[key] for key in STRINGS if key in part), None)
    if not isinstance(found, str):
        raise InvalidRequest(f"The part {name} is not there, or is no valueString or valueCode.")
    return found


def number_of(parts: Mapping[str, Part], name: str | None) -> int:
    if name is None:
        return 0
    found = next((parts[name][key] for key in NUMBERS if key in parts[name]), None)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise InvalidRequest(f"The part {name} is no valueInteger of 0 or more.")
    return found


def fhirpath_patched(resource: Resource, operations: Sequence[Operation]) -> Resource:
    """A copy of the resource with all operations applied, one after the other.

    Raise InvalidResource with the path of the operation that cannot be applied.
    """
    patched, visits = deepcopy(resource), Visits()
    for operation in operations:
        try:
            APPLY[operation.type](patched, operation, visits)
        except (AttributeError, LookupError, TypeError) as error:  # where a list is none, and such
            raise InvalidResource(
                f"The {operation.type} meets an element of the wrong shape.",
                expression=operation.path.text,
            ) from error
    return patched


def add(resource: Resource, operation: Operation, visits: Visits) -> None:
    place = only(operation.path.places(resource, visits), operation)
    new = new_value(place.definition, operation.name, operation.value or {}, operation, depth=0)
    inside = place.opened()
    if new.element.is_list:
        put_into_list(inside, new, list_length(inside, new.name))
        return
    names = json_names(place.definition, operation.name)
    if any(name in inside or f"_{name}" in inside for name in names):
        refuse(operation, f"{operation.name[:64]} is there already, and does not repeat.")
    put(inside, new)


def insert(resource: Resource, operation: Operation, visits: Visits) -> None:
    inside, new = in_list(resource, operation, visits)
    if operation.index > list_length(inside, new.name):
        refuse(operation, f"The list has no place {operation.index}.")
    put_into_list(inside, new, operation.index)


def in_list(
    resource: Resource, operation: Operation, visits: Visits
) -> tuple[dict[str, Any], NewValue]:
    """The object whose list is meant, and the value for it."""
    place = only(operation.path.parents(resource, visits), operation)
    name = operation.path.last_name or ""
    if not knows(place.definition, name):
        refuse(operation, f"R4 has no element {name[:64]!r} in {place.definition.name}.")
    new = new_value(place.definition, name, operation.value or {}, operation, depth=0)
    if not new.element.is_list:
        refuse(operation, "This element does not repeat.")
    return place.opened(), new


def delete(resource: Resource, operation: Operation, visits: Visits) -> None:
    """What is not there is as deleted as it gets; of several, nobody can tell which was meant."""
    places = operation.path.places(resource, visits)
    if places:
        remove(only(places, operation), operation)


def remove(place: Place, operation: Operation) -> None:
    """With the list or object that is left empty, for R4 has none."""
    if place.owner is None:
        refuse(operation, "A patch does not delete the resource itself.")
    keys = [key for key in (place.name, f"_{place.name}") if key in place.parent]
    for key in keys:
        found = place.parent[key]
        if place.index is not None and isinstance(found, list):
            del found[place.index : place.index + 1]
        if place.index is None or found == [] or not any_left(found):
            del place.parent[key]
    owner = place.owner
    if not place.parent and owner.owner is not None:
        remove_emptied(owner, operation)


def any_left(found: Any) -> bool:
    return not isinstance(found, list) or any(one is not None for one in found)


def remove_emptied(owner: Place, operation: Operation) -> None:
    """An element without content; a primitive that has its value loses only what was beside it."""
    if not owner.element.is_primitive or owner.value is None:
        remove(owner, operation)
    elif owner.index is None:
        del owner.parent[f"_{owner.name}"]
    else:
        owner.parent[f"_{owner.name}"][owner.index] = None
        if not any_left(owner.parent[f"_{owner.name}"]):
            del owner.parent[f"_{owner.name}"]


def replace(resource: Resource, operation: Operation, visits: Visits) -> None:
    place = only(operation.path.places(resource, visits), operation)
    if place.owner is None:
        refuse(operation, "A patch does not replace the resource itself.")
    name = place.element.choice or place.name
    new = new_value(place.owner.definition, name, operation.value or {}, operation, depth=0)
    if place.index is not None:
        place_in_list(place.parent, new, place.index)
        return
    for key in (place.name, f"_{place.name}"):
        place.parent.pop(key, None)
    put(place.parent, new)


def move(resource: Resource, operation: Operation, visits: Visits) -> None:
    """The destination counts in the list without what is moved."""
    place = only(operation.path.parents(resource, visits), operation)
    names = [place.name for place in operation.path.places(resource, visits)]
    length = len(names)
    if operation.index >= length or operation.destination >= length:
        refuse(operation, f"The list has {length} elements only.")
    inside = place.contents or {}
    if not isinstance(inside.get(names[0], inside.get(f"_{names[0]}")), list):
        refuse(operation, "This element does not repeat.")
    for key in (names[0], f"_{names[0]}"):
        found = inside.get(key)
        if isinstance(found, list):
            found += [None] * (length - len(found))
            found.insert(operation.destination, found.pop(operation.index))


APPLY: Mapping[str, Callable[[Resource, Operation, Visits], None]] = {
    "add": add,
    "insert": insert,
    "delete": delete,
    "replace": replace,
    "move": move,
}


def only(places: Sequence[Place], operation: Operation) -> Place:
    if len(places) != 1:
        found = "nothing" if not places else f"{len(places)} elements"
        refuse(operation, f"The path leads to {found}, and must lead to one.")
    return places[0]


def refuse(operation: Operation, why: str) -> NoReturn:
    raise InvalidResource(
        f"The {operation.type} cannot be done: {why}", expression=operation.path.text
    )


def new_value(
    type_: TypeDefinition, name: str, part: Part, operation: Operation, *, depth: int
) -> NewValue:
    """What a part says, as an element of that type; raise InvalidResource."""
    if depth > DEEPEST_VALUE or not knows(type_, name):
        refuse(operation, f"R4 has no element {name[:64]!r} in {type_.name}.")
    keys = [key for key in part if VALUE.fullmatch(key)]
    besides = [key for key in part if BESIDE.fullmatch(key)]
    if len({*keys, *(key[1:] for key in besides)}) != 1:
        refuse(operation, f"A value for {name[:64]} is one value[x], or parts.")
    key = keys[0] if keys else besides[0][1:]
    json_name = name
    if name in type_.choices:
        json_name = name + key.removeprefix("value")
        if json_name not in type_.choices[name]:
            refuse(operation, f"{name} cannot be a {key.removeprefix('value')[:64]}.")
    element = type_.elements[json_name]
    if key == "part" and element.is_primitive:
        refuse(operation, f"{name[:64]} has a value, and no parts.")
    if key == "part":
        made = complex_value(definition(element.type), part["part"], operation, depth=depth)
        return NewValue(json_name, element, made)
    beside = deepcopy(part.get(f"_{key}"))
    return NewValue(json_name, element, deepcopy(part.get(key)), beside)


def complex_value(
    type_: TypeDefinition, parts: object, operation: Operation, *, depth: int
) -> dict[str, Any]:
    """A datatype or backbone element, given part by part."""
    made: dict[str, Any] = {}
    for part in parts if isinstance(parts, list) else ():
        name = part.get("name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            refuse(operation, "A part of the value has no name.")
        new = new_value(type_, name, part, operation, depth=depth + 1)
        if new.element.is_list:
            put_into_list(made, new, list_length(made, new.name))
        elif new.name in made:
            refuse(operation, f"{name[:64]} does not repeat.")
        else:
            put(made, new)
    return made


def put(parent: dict[str, Any], new: NewValue) -> None:
    if new.value is not None:
        parent[new.name] = new.value
    if new.beside is not None:
        parent[f"_{new.name}"] = new.beside


def put_into_list(parent: dict[str, Any], new: NewValue, index: int) -> None:
    """At that place of the list; what was there moves on."""
    length = list_length(parent, new.name)
    for key in (new.name, f"_{new.name}"):
        if isinstance(parent.get(key), list):
            parent[key] += [None] * (length - len(parent[key]))
            parent[key].insert(index, None)
    if not length:
        parent[new.name] = [None]
    place_in_list(parent, new, index)


def place_in_list(parent: dict[str, Any], new: NewValue, index: int) -> None:
    """In place of what the list has there."""
    length = list_length(parent, new.name)
    values = parent.setdefault(new.name, [])
    values += [None] * (length - len(values))
    values[index] = new.value
    if not any_left(values):
        del parent[new.name]
    if new.beside is not None:
        put_beside(parent, new.name, index, new.beside)
    elif isinstance(parent.get(f"_{new.name}"), list):
        put_beside(parent, new.name, index, None)
        if not any_left(parent[f"_{new.name}"]):
            del parent[f"_{new.name}"]
