"""Where the elements are that a FHIRPath of element names, indexes and filters leads to.

What a patch needs is not values but places, and a path misread is an element lost: so this reads a
small part of FHIRPath strictly, and refuses the rest. Understood are element names, `[n]`,
`first()`, `last()`, `where(path = literal and ...)`, `extension('url')` and `ofType(Type)`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from imaging_fhir.errors import InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.fhir.definitions import Element, TypeDefinition, definition
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.model.codec import Resource

LONGEST_PATH = 1000
MOST_VISITS = 500_000  # a second or two; a patch of many filters on a large resource is harm
_RESOURCES = frozenset(RESOURCE_NAMES)
_NAME = r"[A-Za-z][A-Za-z0-9]*"
_TEXT = r"'(?:[^'\\]|\\.)*'"
_LITERAL = rf"(?:{_TEXT}|-?\d+(?:\.\d+)?|true|false)"
_EQUALITY = rf"\s*(?:\$this|{_NAME}(?:\.{_NAME})*)\s*=\s*{_LITERAL}\s*"
_EACH_EQUALITY = re.compile(rf"\s*(?P<path>\$this|[A-Za-z0-9.]+)\s*=\s*(?P<literal>{_LITERAL})\s*")
_STEP = re.compile(
    rf"\[\s*(?P<index>\d{{1,9}})\s*\]"
    rf"|\.where\((?P<where>{_EQUALITY}(?:\band\b{_EQUALITY})*)\)"
    rf"|\.extension\(\s*(?P<extension>{_TEXT})\s*\)"
    rf"|\.ofType\(\s*(?:FHIR\.)?(?P<type>{_NAME})\s*\)"
    r"|\.(?P<end>first|last)\(\s*\)"
    rf"|\.(?P<name>{_NAME})(?!\w|\s*\()"
)


@dataclass(slots=True)
class Visits:
    """How many elements were looked at; one for all the paths of a patch."""

    left: int = MOST_VISITS

    def count(self, places: int) -> None:
        self.left -= places
        if self.left < 0:
            raise UploadTooLarge(f"The paths lead past more than {MOST_VISITS} elements.")


@dataclass(frozen=True, slots=True)
class Place:
    """An element: in `parent` under its JSON name, of a list the one at `index`."""

    parent: dict[str, Any]
    name: str  # as in JSON: valueString
    element: Element
    index: int | None = None
    owner: "Place | None" = None  # the element that has this one; None of the resource itself
    visits: Visits = field(default_factory=Visits, repr=False, compare=False)

    @property
    def value(self) -> Any:
        return _member(self.parent.get(self.name), self.index)

    @property
    def beside(self) -> Any:
        """Id and extensions of a primitive (json.html#primitive)."""
        return _member(self.parent.get(f"_{self.name}"), self.index)

    @property
    def type(self) -> str:
        """Of what is there: of a Resource (contained), its own type."""
        value = self.value
        named = value.get("resourceType") if isinstance(value, dict) else None
        if self.element.type == "Resource" and isinstance(named, str) and named in _RESOURCES:
            return named
        return self.element.type

    @property
    def definition(self) -> TypeDefinition:
        return definition("Element" if self.element.is_primitive else self.type)

    @property
    def contents(self) -> dict[str, Any] | None:
        """The object that has the element's own elements; None where it has none yet."""
        found = self.beside if self.element.is_primitive else self.value
        return found if isinstance(found, dict) else None

    def opened(self) -> dict[str, Any]:
        """The same; made where a primitive has no extensions so far."""
        inside = self.contents
        if inside is None:
            inside = {}
            put_beside(self.parent, self.name, self.index, inside)
        return inside


Step = Callable[[Sequence[Place]], Sequence[Place]]


@dataclass(frozen=True, slots=True)
class ElementPath:
    """A path that was understood; `last_name` is its last step, where that is a plain name."""

    text: str
    type: str | None
    steps: tuple[Step, ...]
    last_name: str | None

    def places(self, resource: Resource, visits: Visits) -> Sequence[Place]:
        """In the order of the resource; raise InvalidResource for what R4 does not know.

        Raise UploadTooLarge where there are too many elements on the way.
        """
        return self._reached(resource, self.steps, visits)

    def parents(self, resource: Resource, visits: Visits) -> Sequence[Place]:
        """The elements that `last_name` is an element of."""
        return self._reached(resource, self.steps[:-1], visits)

    def _reached(
        self, resource: Resource, steps: Sequence[Step], visits: Visits
    ) -> Sequence[Place]:
        if self.type not in (None, resource["resourceType"], "Resource", "DomainResource"):
            raise InvalidResource(f"This is no {self.type}.", expression=self.text)
        found: Sequence[Place] = [place_of(resource, visits)]
        try:
            for step in steps:
                found = step(found)
        except _NoSuchElement as error:
            raise InvalidResource(str(error), expression=self.text) from error
        return found


class _NoSuchElement(Exception):
    """R4 has no element of that name there."""


def element_path(text: str) -> ElementPath:
    """Raise InvalidRequest where the path is none that is understood here."""
    left = text.strip()
    if not left or len(left) > LONGEST_PATH:
        raise InvalidRequest("The path is empty or too long.")
    root = re.match(r"[A-Z][A-Za-z0-9]*", left)
    position = 0 if root is None else root.end()
    left = f".{left}" if root is None else left
    steps: list[Step] = []
    last: re.Match[str] | None = None
    while position < len(left):
        last = _STEP.match(left, position)
        if last is None:
            raise InvalidRequest(
                f"The path is not understood here from {left[position:][:40]!r} on."
            )
        steps.append(_step(last))
        position = last.end()
    return ElementPath(
        text=text,
        type=None if root is None else root[0],
        steps=tuple(steps),
        last_name=None if last is None else last["name"],
    )


def place_of(resource: Resource, visits: Visits) -> Place:
    root = Element(type=resource["resourceType"], is_primitive=False, is_list=False)
    return Place({"": resource}, "", root, visits=visits)


def _step(found: re.Match[str]) -> Step:
    kind = found.lastgroup or ""
    match kind:
        case "index":
            index = int(found["index"])
            return lambda places: places[index : index + 1]
        case "where":
            tests = [_test(one) for one in _EACH_EQUALITY.finditer(found["where"])]
            return lambda places: [one for one in places if all(test(one) for test in tests)]
        case "extension":
            url = _literal(found["extension"])
            return lambda places: [
                one
                for one in _children(places, "extension")
                if isinstance(one.value, dict) and one.value.get("url") == url
            ]
        case "type":
            type_ = found["type"]
            return lambda places: [one for one in places if one.type == type_]
        case "end":
            return _ends[found["end"]]
        case _:
            name = found["name"]
            return lambda places: _children(places, name)


_ends: Mapping[str, Step] = {
    "first": lambda places: places[:1],
    "last": lambda places: places[-1:],
}


def _test(found: re.Match[str]) -> Callable[[Place], bool]:
    wanted = _literal(found["literal"])
    names = [] if found["path"] == "$this" else found["path"].split(".")

    def holds(place: Place) -> bool:
        reached: Sequence[Place] = [place]
        for name in names:
            reached = _children(reached, name)
        return any(_equals(one.value, wanted) for one in reached)

    return holds


def _equals(value: Any, wanted: str | bool | Decimal) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def _literal(text: str) -> str | bool | Decimal:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("'"):
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1])
    return Decimal(text)


def _children(places: Sequence[Place], name: str) -> list[Place]:
    return [child for place in places for child in children(place, name)]


def children(place: Place, name: str) -> Iterator[Place]:
    """The elements of that name that are there; `value` is the value[x] of whichever type."""
    names = json_names(place.definition, name)
    inside = place.contents
    place.visits.count(1)
    if inside is None:
        return
    for json_name in names:
        element = place.definition.elements[json_name]
        if not element.is_list:
            if json_name in inside or f"_{json_name}" in inside:
                yield Place(inside, json_name, element, None, place, place.visits)
            continue
        length = list_length(inside, json_name)
        place.visits.count(length)
        for index in range(length):
            yield Place(inside, json_name, element, index, place, place.visits)


def json_names(type_: TypeDefinition, name: str) -> Sequence[str]:
    """The JSON names of an element; raise _NoSuchElement."""
    if name in type_.choices:
        return sorted(type_.choices[name])
    if name in type_.elements:
        return (name,)
    raise _NoSuchElement(f"R4 has no element {name[:64]!r} in {type_.name}.")


def knows(type_: TypeDefinition, name: str) -> bool:
    return name in type_.choices or name in type_.elements


def list_length(parent: Mapping[str, Any], name: str) -> int:
    """Of a list of primitives the longer of its values and what is beside them."""
    lists = (parent.get(name), parent.get(f"_{name}"))
    return max(len(found) if isinstance(found, list) else 0 for found in lists)


def _member(found: Any, index: int | None) -> Any:
    if index is None:
        return found
    return found[index] if isinstance(found, list) and index < len(found) else None


def put_beside(parent: dict[str, Any], name: str, index: int | None, beside: Any) -> None:
    """What stands beside a primitive; the list of such is as long as that of the values."""
    if index is None:
        parent[f"_{name}"] = beside
        return
    length = list_length(parent, name)
    besides = parent.setdefault(f"_{name}", [])
    besides += [None] * (length - len(besides))
    besides[index] = beside
