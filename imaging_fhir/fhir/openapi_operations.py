"""The calls of `operation_definition` as OpenAPI needs them."""

from collections.abc import Iterator
from typing import Any

from imaging_fhir.fhir.capability_statement import DEFINITIONS
from imaging_fhir.fhir.openapi_call import (
    ALWAYS,
    FHIR_JSON,
    FORMAT,
    URL_ENCODED,
    WRITING,
    Call,
    query,
)
from imaging_fhir.fhir.operation_definition import (
    OPERATIONS,
    Level,
    OperationDefinition,
    OperationParameter,
)

SIMPLE = frozenset({"boolean", "canonical", "code", "Coding", "date", "id", "instant", "integer"})
FORM_FIELDS: dict[str, Any] = {
    "file": {"type": "string", "format": "binary"},
    **{name: {"type": "string"} for name in ("patient", "encounter", "date", "source")},
}
OPERATION_PARAMETERS: dict[str, dict[str, Any]] = {
    f"{operation.id}.{one.name}": query(one.name, one.documentation or f"A {one.type}.")
    for operation in OPERATIONS
    for one in operation.parameters
    if one.use == "in" and one.type in SIMPLE | {"string", "uri"}
}


def operation_calls() -> Iterator[Call]:
    for operation in OPERATIONS:
        for level in operation.levels:
            for method in operation.methods:
                yield from calls_at(operation, level, method)


def calls_at(operation: OperationDefinition, level: Level, method: str) -> Iterator[Call]:
    """An operation of every type has one address, with the type in it."""
    for resource_type in operation.types or ("",):
        owner = f"/{resource_type or '{type}'}"
        name = f"{resource_type}-{operation.code}" if resource_type else operation.id
        path = {"system": "", "type": owner, "instance": f"{owner}/{{id}}"}[level]
        yield Call(
            id="-".join((name, level, method.lower())),
            method=method.lower(),
            path=f"/fhir{path}/${operation.code}",
            tag=resource_type or "Operations",
            summary=operation.title,
            errors=errors(operation),
            is_long=True,
            parameters=(*FORMAT, *by_address(operation, method)),
            sends=(FHIR_JSON, *operation.also_sent) if method == "POST" else (),
            sent_type="Parameters",
            fields=FORM_FIELDS if operation.also_sent else {},
            answer_type=answer_type(operation),
        )


def errors(operation: OperationDefinition) -> tuple[int, ...]:
    return WRITING if operation.affects_state else (*ALWAYS, 410, 413, 415, 422)


def by_address(operation: OperationDefinition, method: str) -> Iterator[str]:
    if method == "GET":
        names = (f"{operation.id}.{name}" for name in operation.inputs)
        yield from (name for name in names if name in OPERATION_PARAMETERS)


def answer_type(operation: OperationDefinition) -> str:
    """A resource of the name `return` is answered as such, all else in Parameters."""
    found = [one for one in operation.parameters if is_answer(one)]
    is_resource = [one.name for one in found] == ["return"] and found[0].type != "Meta"
    return found[0].type if is_resource else "Parameters"


def is_answer(parameter: OperationParameter) -> bool:
    return parameter.use == "out"


def definition_call() -> Iterator[Call]:
    """Of what is defined here, read and searched."""
    for name in DEFINITIONS:
        yield Call(
            id=f"read{name}",
            method="get",
            path=f"/fhir/{name}/{{id}}",
            tag="Operations",
            summary=f"A {name} of this server's own",
            answer_type=name,
        )
        yield Call(
            id=f"search{name}",
            method="get",
            path=f"/fhir/{name}",
            tag="Operations",
            summary=f"The {name}s of this server's own",
            parameters=(*FORMAT, "url"),
            answer_type="Bundle",
        )
        yield Call(
            id=f"search{name}ByPost",
            method="post",
            path=f"/fhir/{name}/_search",
            tag="Operations",
            summary=f"The {name}s of this server's own",
            errors=(*ALWAYS, 415),
            answer_type="Bundle",
            sends=(URL_ENCODED,),
        )
