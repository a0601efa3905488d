"""The one checker of R4: of what comes in, and of what this service builds.

It walks the JSON beside the definitions: structure, types, cardinalities, required bindings,
primitive formats and references here; the rules of single types in `invariants`.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir.definitions import Element, TypeDefinition, definition
from imaging_fhir.fhir.faults import Fault, Faults, Issue, TooManyFaults
from imaging_fhir.fhir.invariants import INVARIANTS, check_contained, check_reference
from imaging_fhir.fhir.primitives import CHECKS
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES, UNDEFINED
from imaging_fhir.model.codec import Resource

MAX_DEPTH = 60  # of elements within elements; real resources stay under 20
_KNOWN = frozenset(RESOURCE_NAMES)
_EXTENSION_ONLY = frozenset({"id", "extension"})

__all__ = ["Issue", "check", "require_valid"]


def check(resource: Any) -> list[Issue]:
    """Everything found, up to a limit; warnings are of what R4 only advises against."""
    faults = Faults()
    with suppress(TooManyFaults):
        _Walk(faults).resource(resource, path="", depth=0)
    return faults.issues


def require_valid(resource: Any) -> None:
    """Raise InvalidResource with every error; its message names the first and where it is."""
    errors = [issue for issue in check(resource) if issue.severity == "error"]
    if not errors:
        return
    first = errors[0]
    raise InvalidResource(
        f"{first.expression}: {first.message}",
        expression=first.expression,
        issues=tuple((issue.expression, issue.message) for issue in errors),
        codes=tuple(issue.code for issue in errors),
    )


class _Walk:
    """One pass over a resource; `contained` and `bundle` are what references need to know."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.contained: dict[str, str] = {}
        self.in_transaction = False

    def resource(self, value: Any, *, path: str, depth: int) -> None:
        name = value.get("resourceType") if isinstance(value, dict) else None
        here = path or (name if isinstance(name, str) else "Resource")
        if not isinstance(value, dict):
            self.faults.error(here, "must be a JSON object", "structure")
        elif not isinstance(name, str) or name not in _KNOWN:
            self.faults.error(f"{here}.resourceType", "names no R4 resource type", "structure")
        elif name in UNDEFINED:
            self.faults.error(here, "is of a type that this server cannot check", "not-supported")
        else:
            self._known_resource(value, name, here, depth)

    def _known_resource(self, value: Resource, name: str, here: str, depth: int) -> None:
        outer = self.contained, self.in_transaction
        if ".contained[" not in here:
            self.contained = check_contained(value, here, self.faults)
        if name == "Bundle":
            self.in_transaction = value.get("type") in ("transaction", "batch")
        self.elements(value, definition(name), here, depth)
        self.contained, self.in_transaction = outer

    def elements(self, value: Any, type_: TypeDefinition, path: str, depth: int) -> None:
        """One object, be it a resource, a datatype or a backbone element."""
        if not isinstance(value, dict):
            self.faults.error(path, f"must be a JSON object ({type_.name})", "structure")
            return
        if not value:
            self.faults.error(path, "must not be empty", "invariant")
            return
        if depth > MAX_DEPTH:
            self.faults.error(path, "is nested too deeply", "too-long")
            return
        for name, found in value.items():
            self._element(name, found, value, type_, path, depth)
        self._cardinalities(value, type_, path)
        if type_.name == "Reference":
            check_reference(value, path, self)
        for invariant in INVARIANTS.get(type_.name, ()):
            self._invariant(invariant(value), path)

    def _invariant(self, found: Iterator[Fault], path: str) -> None:
        try:
            for fault in found:
                where = f"{path}.{fault.element}" if fault.element else path
                self.faults.add(where, fault.message, "invariant", fault.severity)
        except (ArithmeticError, AttributeError, KeyError, TypeError):
            # of the wrong shape, which the walk reports: an invariant presumes the right one
            return

    def _element(
        self,
        name: str,
        found: Any,
        parent: Resource,
        type_: TypeDefinition,
        path: str,
        depth: int,
    ) -> None:
        element = type_.elements.get(name)
        if element is None:
            self._other(name, found, parent, type_, path, depth)
            return
        here = f"{path}.{element.choice or name}"
        if element.is_list:
            self._list(found, element, here, parent.get(f"_{name}"), depth)
        else:
            self._single(found, element, here, depth)

    def _list(self, found: Any, element: Element, path: str, beside: Any, depth: int) -> None:
        if not isinstance(found, list):
            self.faults.error(path, "repeats: must be a JSON array", "structure")
            return
        if not found:
            self.faults.error(path, "must not be an empty array", "structure")
        for index, item in enumerate(found):
            if item is None and element.is_primitive and _has(beside, index):
                continue
            self._single(item, element, f"{path}[{index}]", depth)

    def _single(self, found: Any, element: Element, path: str, depth: int) -> None:
        if isinstance(found, list):
            self.faults.error(path, "does not repeat: must not be a JSON array", "structure")
        elif found is None:
            self.faults.error(path, "must not be null", "structure")
        elif element.is_primitive:
            self._primitive(found, element, path)
        elif element.type == "Resource":
            self.resource(found, path=path, depth=depth + 1)
        else:
            self._complex(found, element, path, depth)

    def _complex(self, found: Any, element: Element, path: str, depth: int) -> None:
        self.elements(found, definition(element.type), path, depth + 1)
        if element.targets and isinstance(found, dict):
            self._target(found, element.targets, path)

    def _primitive(self, found: Any, element: Element, path: str) -> None:
        fault = CHECKS[element.type](found)
        if fault:
            self.faults.error(path, fault, "value")
        elif element.codes is not None and found not in element.codes:
            allowed = ", ".join(sorted(element.codes)[:20])
            self.faults.error(path, f"has a code that is none of {allowed}", "code-invalid")

    def _target(self, found: Resource, targets: frozenset[str], path: str) -> None:
        type_ = self.type_of_target(found)
        if type_ and type_ not in targets:
            allowed = " or ".join(sorted(targets))
            self.faults.error(path, f"must refer to {allowed}, not to {type_}", "structure")

    def type_of_target(self, found: Resource) -> str | None:
        """The resource type that a Reference leads to, as far as it says so."""
        target = found.get("reference")
        if isinstance(target, str):
            if target.startswith("#"):
                return self.contained.get(target[1:])
            parts = target.partition("?")[0].partition("/_history/")[0].split("/")
            type_ = parts[-1] if "?" in target else "".join(parts[-2:-1])
            if type_ in _KNOWN:
                return type_
        named = found.get("type")
        return named if isinstance(named, str) and named in _KNOWN else None

    def _other(
        self,
        name: str,
        found: Any,
        parent: Resource,
        type_: TypeDefinition,
        path: str,
        depth: int,
    ) -> None:
        """A name that is no element: of a resource its type, of a primitive its extensions."""
        plain = type_.elements.get(name[1:]) if name.startswith("_") else None
        if plain is not None and plain.is_primitive:
            here = f"{path}.{plain.choice or name[1:]}"
            self._beside(found, parent.get(name[1:]), plain, here, depth)
        elif name != "resourceType" or type_.name not in _KNOWN:
            self.faults.error(path, f"has no element {name[:64]!r} in R4", "structure")

    def _beside(self, found: Any, value: Any, plain: Element, path: str, depth: int) -> None:
        """https://hl7.org/fhir/R4/json.html#primitive: id and extensions of a primitive."""
        if not plain.is_list:
            self._element_of(found, path, depth)
        elif not isinstance(found, list) or not found:
            self.faults.error(path, "repeats: its extensions must be a JSON array", "structure")
        elif value is not None and isinstance(value, list) and len(value) != len(found):
            self.faults.error(path, "has not as many extensions as values", "structure")
        else:
            for index, item in enumerate(found):
                if item is not None:
                    self._element_of(item, f"{path}[{index}]", depth)

    def _element_of(self, found: Any, path: str, depth: int) -> None:
        if isinstance(found, dict) and not found.keys() - _EXTENSION_ONLY:
            self.elements(found, definition("Element"), path, depth + 1)
        else:
            self.faults.error(path, "may have only id and extension beside it", "structure")

    def _cardinalities(self, value: Resource, type_: TypeDefinition, path: str) -> None:
        for name in type_.required:
            if name not in value and f"_{name}" not in value:
                self.faults.error(f"{path}.{name}", "is missing", "required")
        if type_.choices:
            stems = {name.removeprefix("_") for name in value}
            self._choices(stems, type_, path)

    def _choices(self, stems: set[str], type_: TypeDefinition, path: str) -> None:
        for choice, names in type_.choices.items():
            count = len(stems & names)
            if count > 1:
                self.faults.error(f"{path}.{choice}", "has more than one type", "structure")
            elif not count and choice in type_.required_choices:
                self.faults.error(f"{path}.{choice}", "is missing", "required")


def _has(beside: Any, index: int) -> bool:
    return isinstance(beside, list) and index < len(beside) and beside[index] is not None
