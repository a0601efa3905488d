"""The parameters of an operation, from a Parameters resource or a query (parameters.html)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import Resource

Given = Sequence[tuple[str, Any]]  # a parameter's name, and its value or resource


def read_parameters(content: Resource) -> list[tuple[str, Any]]:
    """Names and values in their order; raise InvalidRequest where it is of another shape."""
    listed = content.get("parameter", [])
    if not isinstance(listed, list):
        raise InvalidRequest("Parameters.parameter is no array.", expression="Parameters.parameter")
    return [read_parameter(one, index) for index, one in enumerate(listed)]


def read_parameter(one: Any, index: int) -> tuple[str, Any]:
    where = f"Parameters.parameter[{index}]"
    name = one.get("name") if isinstance(one, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest("A parameter has no name.", expression=where)
    values = [value for key, value in one.items() if key == "resource" or key.startswith("value")]
    if len(values) != 1:
        raise InvalidRequest(f"The parameter {name[:80]} has not one value.", expression=where)
    return name, values[0]


def texts(given: Given, name: str) -> list[str]:
    """All values of a parameter as a query would have them, a Coding as `system|code`."""
    return [text_of(name, value) for key, value in given if key == name]


def text(given: Given, name: str) -> str | None:
    """The one value; raise InvalidRequest where there are several."""
    found = texts(given, name)
    if len(found) > 1:
        raise refused(name, "it must be there only once")
    return found[0] if found else None


def truth(given: Given, name: str, *, default: bool = False) -> bool:
    found = text(given, name)
    if found not in (None, "true", "false"):
        raise refused(name, "it is neither true nor false")
    return default if found is None else found == "true"


def whole_number(given: Given, name: str) -> int | None:
    found = text(given, name)
    if found is not None and not (found.isascii() and found.isdecimal() and len(found) < 10):
        raise refused(name, "it is no whole number")
    return None if found is None else int(found)


def resource_in(given: Given, name: str) -> Resource | None:
    """The resource or complex value of that name."""
    found = [value for key, value in given if key == name]
    if len(found) > 1 or not all(isinstance(value, dict) for value in found):
        raise refused(name, "it must be there once, and be an object")
    return found[0] if found else None


def reference_in(
    given: Given, name: str, resource_type: str, at_home: Callable[[str], str]
) -> str | None:
    """Type/id of the one literal reference of that name, a Reference or its text.

    `at_home` takes off the addresses that lead here. Raise InvalidRequest for another type, or
    another server's.
    """
    found = [value for key, value in given if key == name]
    if not found:
        return None
    value = found[0].get("reference") if isinstance(found[0], dict) else found[0]
    text = at_home(value) if isinstance(value, str) else ""
    type_, _, id_ = text.partition("/")
    if len(found) > 1 or type_ != resource_type or not id_ or "/" in id_:
        raise refused(name, f"it must be one reference to {resource_type}/ID of this server")
    return text


def text_of(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, dict) and isinstance(value.get("code"), str):
        system = value.get("system")
        return f"{system}|{value['code']}" if isinstance(system, str) else value["code"]
    raise refused(name, "it is of another type")


def require_only(given: Given, known: Iterable[str]) -> None:
    """Raise InvalidRequest for a parameter that the operation does not have: it could be one
    that narrows, misspelled."""
    allowed = {*known, "_format", "_pretty"}
    for name, _ in given:
        if name not in allowed:
            raise refused(name[:80], "the operation has no such parameter")


def refused(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{name} is refused: {why}.", expression=f"http.{name}")
