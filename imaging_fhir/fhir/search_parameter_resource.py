"""SearchParameter resources: what our own parameters mean, made from their table."""

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import EXTENSIONS
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import SearchParameter


def search_parameter(parameter_id: str) -> Resource:
    """Of the id TYPE-NAME; raise ResourceNotFound: those of R4 are published by HL7."""
    type_name, _, name = parameter_id.partition("-")
    type_ = RESOURCE_TYPES.get(type_name)
    parameter = type_.by_name.get(name) if type_ else None
    if parameter is None or not parameter.own:
        raise ResourceNotFound("There is no SearchParameter of this id that is defined here.")
    return {
        "resourceType": "SearchParameter",
        "id": parameter_id,
        "url": parameter.url,
        "name": type_name + "".join(word.capitalize() for word in name.split("-")),
        "status": "active",
        "description": parameter.documentation,
        "code": parameter.name,
        "base": [type_name],
        "type": parameter.type,
        "expression": expression_of(type_name, parameter),
    }


def expression_of(type_name: str, parameter: SearchParameter) -> str:
    """In FHIRPath."""
    return " | ".join(
        ".".join([type_name, *(step_of(step) for step in path.split("."))]) + filters_of(parameter)
        for path in parameter.paths
    )


def step_of(step: str) -> str:
    stem, at, name = step.partition("@")
    stem = "value" if stem.startswith("value") else stem
    return f"{stem}.where(url='{EXTENSIONS.get(name, name)}')" if at else stem


def filters_of(parameter: SearchParameter) -> str:
    filters = [f".where({name}='{value}')" for name, value in filter(None, [parameter.where])]
    if parameter.typed:
        any_of = " or ".join(f"code='{code}'" for code in parameter.typed)
        filters.append(f".where(type.coding.where({any_of}).exists())")
    return "".join(filters)
