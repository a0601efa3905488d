"""The calls of a resource type, by the interactions that its table has."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from imaging_fhir.fhir.compartments import COMPARTMENTS
from imaging_fhir.fhir.openapi_call import (
    ALWAYS,
    CONDITIONS,
    FHIR_JSON,
    FORMAT,
    HISTORY,
    PARTS,
    READABLE,
    SEARCH,
    URL_ENCODED,
    WRITING,
    Call,
)


def type_calls(name: str, interactions: Iterable[str]) -> Iterator[Call]:
    """What is offered of a resource type; KeyError for an interaction that is not known here."""
    offered = sorted(interactions, key=list(INTERACTIONS).index)
    for interaction in offered:
        for call in INTERACTIONS[interaction](name):
            yield adapted(call) if name == "Binary" else call
    if name in COMPARTMENTS:
        yield from compartment_search(name)


def adapted(call: Call) -> Call:
    """A Binary is sent and answered as the bytes that it stands for, too (binary.html#rest)."""
    if call.id in ("readBinary", "vreadBinary"):
        return replace(
            call,
            answers=(*READABLE, "*/*"),
            well=(200, 206, 304),
            errors=(*call.errors, 416),
            parameters=(*call.parameters, "Range"),
        )
    if call.id in ("createBinary", "updateBinary"):
        return replace(call, sends=(*call.sends, "*/*"), errors=(*call.errors, 411))
    return call


def read(name: str) -> Iterator[Call]:
    yield Call(
        id=f"read{name}",
        method="get",
        path=f"/fhir/{name}/{{id}}",
        tag=name,
        summary="Read the current version (read, conditional read)",
        well=(200, 304),
        errors=(*ALWAYS, 410),
        parameters=(*PARTS, *CONDITIONS),
    )


def vread(name: str) -> Iterator[Call]:
    yield Call(
        id=f"vread{name}",
        method="get",
        path=f"/fhir/{name}/{{id}}/_history/{{version}}",
        tag=name,
        summary="Read a version (vread)",
        well=(200, 304),
        errors=(*ALWAYS, 410),
        parameters=(*FORMAT, *CONDITIONS),
    )


def history_instance(name: str) -> Iterator[Call]:
    yield Call(
        id=f"history{name}",
        method="get",
        path=f"/fhir/{name}/{{id}}/_history",
        tag=name,
        summary="All versions, the newest first (history)",
        parameters=HISTORY,
        is_long=True,
        answer_type="Bundle",
    )


def history_type(name: str) -> Iterator[Call]:
    yield Call(
        id=f"historyOf{name}",
        method="get",
        path=f"/fhir/{name}/_history",
        tag=name,
        summary="All versions of the type, the newest first (history)",
        parameters=HISTORY,
        is_long=True,
        answer_type="Bundle",
    )


def search_type(name: str) -> Iterator[Call]:
    by_address = Call(
        id=f"search{name}",
        method="get",
        path=f"/fhir/{name}",
        tag=name,
        summary="Search",
        parameters=SEARCH,
        is_long=True,
        answer_type="Bundle",
        is_search=True,
    )
    yield by_address
    yield replace(
        by_address,
        id=f"searchPosted{name}",
        method="post",
        path=f"/fhir/{name}/_search",
        summary="Search, with the parameters in the body",
        errors=(*ALWAYS, 413, 415),
    )


def create(name: str) -> Iterator[Call]:
    yield Call(
        id=f"create{name}",
        method="post",
        path=f"/fhir/{name}",
        tag=name,
        summary="Create (also conditionally, If-None-Exist)",
        well=(200, 201),
        errors=WRITING,
        parameters=(*FORMAT, "If-None-Exist", "Prefer"),
        sends=(FHIR_JSON,),
    )


def update(name: str) -> Iterator[Call]:
    one = Call(
        id=f"update{name}",
        method="put",
        path=f"/fhir/{name}/{{id}}",
        tag=name,
        summary="Update, or create under this id",
        well=(200, 201),
        errors=WRITING,
        parameters=(*FORMAT, "If-Match", "If-None-Match", "Prefer"),
        sends=(FHIR_JSON,),
    )
    yield one
    yield replace(
        one,
        id=f"updateFound{name}",
        path=f"/fhir/{name}",
        summary="Update the one that a search finds (conditional update)",
        parameters=(*FORMAT, "Condition", "If-Match", "Prefer"),
    )


def patch(name: str) -> Iterator[Call]:
    one = Call(
        id=f"patch{name}",
        method="patch",
        path=f"/fhir/{name}/{{id}}",
        tag=name,
        summary="Change parts (JSON Patch, FHIRPath Patch)",
        errors=WRITING,
        parameters=(*FORMAT, "If-Match", "Prefer"),
        sends=("application/json-patch+json", FHIR_JSON),
        sent_type="Parameters",
    )
    yield one
    yield replace(
        one,
        id=f"patchFound{name}",
        path=f"/fhir/{name}",
        summary="Change parts of the one that a search finds",
        parameters=(*FORMAT, "Condition", "If-Match", "Prefer"),
    )


def delete(name: str) -> Iterator[Call]:
    one = Call(
        id=f"delete{name}",
        method="delete",
        path=f"/fhir/{name}/{{id}}",
        tag=name,
        summary="Delete",
        well=(200, 204),
        errors=(*ALWAYS, 405, 409, 410, 412),
        parameters=("If-Match",),
        answer_type="OperationOutcome",
    )
    yield one
    yield replace(
        one,
        id=f"deleteFound{name}",
        path=f"/fhir/{name}",
        summary="Delete the one that a search finds (conditional delete)",
        parameters=("Condition",),
    )


INTERACTIONS: dict[str, Callable[[str], Iterator[Call]]] = {
    "search-type": search_type,
    "read": read,
    "vread": vread,
    "history-instance": history_instance,
    "history-type": history_type,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
}


def compartment_search(owner: str) -> Iterator[Call]:
    by_address = Call(
        id=f"searchIn{owner}",
        method="get",
        path=f"/fhir/{owner}/{{id}}/{{type}}",
        tag=owner,
        summary=f"Search in the compartment of one {owner}",
        errors=(*ALWAYS, 405, 410),
        parameters=SEARCH,
        is_long=True,
        answer_type="Bundle",
    )
    yield by_address
    yield replace(
        by_address,
        id=f"searchPostedIn{owner}",
        method="post",
        path=f"{by_address.path}/_search",
        errors=(*by_address.errors, 413, 415),
        sends=(URL_ENCODED,),
    )
    yield replace(
        by_address,
        id=f"searchPostedInAllOf{owner}",
        method="post",
        path=f"/fhir/{owner}/{{id}}/_search",
        errors=(*by_address.errors, 413, 415),
        sends=(URL_ENCODED,),
    )
