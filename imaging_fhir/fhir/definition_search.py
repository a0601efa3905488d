"""What is defined here (operations, search parameters, extensions), listed and searched.

They are few, and made from the tables that the server works by; they are kept in no database.
"""

from collections.abc import Callable, Sequence
from functools import cache

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.operation_definition import OPERATIONS, operation_definition
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_parameter_resource import search_parameter
from imaging_fhir.fhir.structure_definition import EXTENSIONS, structure_definition
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource

SEARCHED = ("_id", "url", "name", "status")
WITHOUT_MEANING = frozenset({"_format", "_pretty", "_count"})  # they are all on one page


def operation_definitions() -> list[Resource]:
    return [operation_definition(operation) for operation in OPERATIONS]


def search_parameters() -> list[Resource]:
    return [
        search_parameter(parameter.url.rpartition("/")[2])
        for type_ in RESOURCE_TYPES.values()
        for parameter in type_.search_parameters
        if parameter.own
    ]


def structure_definitions() -> list[Resource]:
    return [structure_definition(extension) for extension in EXTENSIONS]


DEFINED: dict[str, Callable[[], list[Resource]]] = {
    "OperationDefinition": operation_definitions,
    "SearchParameter": search_parameters,
    "StructureDefinition": structure_definitions,
}


@cache
def definitions(type_name: str) -> dict[str, Resource]:
    """By id."""
    return {one["id"]: one for one in DEFINED[type_name]()}


def found_definitions(type_name: str, parameters: Sequence[tuple[str, str]]) -> Resource:
    """A searchset: each parameter must fit, of alternatives one; raise InvalidRequest."""
    found = list(definitions(type_name).values())
    for name, text in parameters:
        if name not in (*SEARCHED, *WITHOUT_MEANING):
            raise InvalidRequest(
                f"{name[:80]}: {type_name} is searched by {', '.join(SEARCHED)}.",
                expression=f"http.{name[:80]}",
            )
        if name in SEARCHED:
            alternatives = text.split(",")
            found = [one for one in found if fits(one, name, alternatives)]
    bundle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "entry": [
            {
                "fullUrl": f"{BASE_PLACEHOLDER}/{type_name}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in found
        ],
    }
    return without_empty(bundle)


def fits(resource: Resource, name: str, alternatives: Sequence[str]) -> bool:
    """A name by its beginning, in any case; all else as it is."""
    value = str(resource[name.removeprefix("_")])
    if name == "name":
        return any(value.lower().startswith(one.lower()) for one in alternatives)
    return value in alternatives
