"""The OpenAPI 3.1 document of the FHIR API, from the tables that the server works by.

Every resource type has addresses of its own, so that each says which search parameters it knows.
The addresses that stand in no table (batch, `$import-image`, DICOMweb) are in `openapi_calls`.
"""

from collections.abc import Iterator
from typing import Any

from imaging_fhir.fhir import openapi_call
from imaging_fhir.fhir.openapi_call import (
    ANSWERS,
    COMMON_PARAMETERS,
    FHIR_JSON,
    FHIR_XML,
    URL_ENCODED,
    Call,
    with_preferences,
)
from imaging_fhir.fhir.openapi_calls import base_calls, image_calls
from imaging_fhir.fhir.openapi_operations import (
    OPERATION_PARAMETERS,
    definition_call,
    operation_calls,
)
from imaging_fhir.fhir.openapi_types import type_calls
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.search import SearchParameter

Json = dict[str, Any]

SCHEMA_NAMES = (
    *RESOURCE_TYPES,
    "Bundle",
    "CapabilityStatement",
    "OperationOutcome",
    "Parameters",
)
DESCRIPTION = (
    "Every clinical image, linked to its Patient and Encounter, as FHIR R4. "
    "The same is said in FHIR's own form by the CapabilityStatement at /fhir/metadata."
)
FHIR_ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
UID = {"type": "string", "pattern": r"^[0-9.]{1,64}$"}
PLACES = {
    "id": FHIR_ID,
    "version": FHIR_ID,
    "request": FHIR_ID,
    "type": {"type": "string", "enum": sorted(RESOURCE_TYPES)},
    "study": UID,
    "series": UID,
    "instance": UID,
    "path": {"type": "string", "pattern": r"^[0-9A-F]{8}$"},
    "frames": {"type": "string", "pattern": r"^[1-9][0-9]{0,5}(,[1-9][0-9]{0,5})*$"},
}


def openapi(*, root: str, version: str) -> Json:
    """`root` is the public address, below which are /fhir and /dicomweb."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imaging_fhir",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root}],
        "tags": [{"name": name} for name in dict.fromkeys(call.tag for call in calls())],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "responses": {str(status): answer(text) for status, text in ANSWERS.items()},
            "parameters": COMMON_PARAMETERS | OPERATION_PARAMETERS,
        },
    }


def calls() -> Iterator[Call]:
    yield from map(with_preferences, calls_at_once())


def calls_at_once() -> Iterator[Call]:
    yield from base_calls()
    yield from image_calls()
    yield from operation_calls()
    yield from definition_call()
    for type_ in RESOURCE_TYPES.values():
        yield from type_calls(type_.name, type_.interactions)


def paths() -> Json:
    found: Json = {}
    for call in calls():
        item = found.setdefault(call.path, {})
        if "{" in call.path:
            item["parameters"] = places(call.path)
        item[call.method] = operation(call)
    return found


def places(path: str) -> list[Json]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    return [
        {"name": name, "in": "path", "required": True, "schema": PLACES[name]} for name in names
    ]


def operation(call: Call) -> Json:
    searched = RESOURCE_TYPES[call.tag].search_parameters if call.is_search else ()
    parameters = [{"$ref": f"#/components/parameters/{name}"} for name in call.parameters]
    if call.method == "get":
        parameters += [search_parameter(one) for one in searched]
    described: Json = {
        "operationId": call.id,
        "tags": [call.tag],
        "summary": call.summary,
        "parameters": parameters,
        "responses": responses(call),
    }
    if body := form_of(searched) if call.is_search else sent(call):
        described["requestBody"] = body
    return {name: said for name, said in described.items() if said}


def search_parameter(parameter: SearchParameter) -> Json:
    return {
        "name": parameter.name,
        "in": "query",
        "description": described(parameter),
        "schema": {"type": "string"},
    }


def described(parameter: SearchParameter) -> str:
    targets = f" to {', '.join(sorted(parameter.targets))}" if parameter.targets else ""
    return f"{parameter.type}{targets}. {parameter.documentation}".strip()


def form_of(searched: tuple[SearchParameter, ...]) -> Json | None:
    """Of a search that is posted; `searched` is empty where it is asked by address."""
    if not searched:
        return None
    properties = {one.name: {"type": "string", "description": described(one)} for one in searched}
    schema = {"type": "object", "properties": properties}
    return {"content": {URL_ENCODED: {"schema": schema}}}


def sent(call: Call) -> Json | None:
    if not call.sends:
        return None
    xml = (FHIR_XML,) if FHIR_JSON in call.sends else ()
    content = {
        media_type: {"schema": body_schema(call, media_type)} for media_type in (*call.sends, *xml)
    }
    return {"required": True, "content": content}


def body_schema(call: Call, media_type: str) -> Json:
    match media_type:
        case "application/fhir+json" | "application/json":
            return schema_of(call.sent_type or call.tag)
        case "application/json-patch+json":
            return {"type": "array", "items": {"type": "object", "required": ["op", "path"]}}
        case openapi_call.FORM | openapi_call.URL_ENCODED:
            return {"type": "object", "properties": call.fields}
        case _:
            return {"type": "string", "format": "binary"}


def responses(call: Call) -> Json:
    """What goes well with what it brings, and each error by its name."""
    well: Json = {}
    for status in call.well:
        content = {name: {"schema": answer_schema(call, name)} for name in call.answers}
        is_empty = status in (202, 204, 304)
        well[str(status)] = {"description": ANSWERS[status]} | (
            {} if is_empty else {"content": content}
        )
    errors = {str(one): {"$ref": f"#/components/responses/{one}"} for one in call.errors}
    return dict(sorted((well | errors).items()))


def answer_schema(call: Call, media_type: str) -> Json:
    if media_type == FHIR_JSON:
        return schema_of(call.answer_type or call.tag)
    if media_type == "application/dicom+json":
        return {"type": ["array", "object"]}
    return {"type": "string"}


def schema_of(name: str) -> Json:
    """Of the calls of several types, any resource."""
    return {"$ref": f"#/components/schemas/{name if name in SCHEMA_NAMES else 'Resource'}"}


def schemas() -> Json:
    return {name: resource_schema(name) for name in SCHEMA_NAMES} | {
        "Resource": resource_schema(None)
    }


def resource_schema(name: str | None) -> Json:
    """The outer form alone: what R4 says of the rest is at the address given."""
    told = {"const": name} if name else {"type": "string"}
    return {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": told},
        "externalDocs": {"url": f"https://hl7.org/fhir/R4/{(name or 'resource').lower()}.html"},
    }


def answer(description: str) -> Json:
    """DICOMweb has errors in a form of its own."""
    content = {
        FHIR_JSON: {"schema": schema_of("OperationOutcome")},
        FHIR_XML: {"schema": {"type": "string"}},
        "application/json": {"schema": {"type": "object"}},
        "text/html": {"schema": {"type": "string"}},
    }
    return {"description": description, "content": content}
