"""Every call of the API as OpenAPI needs it: address, parameters, bodies and statuses."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from imaging_fhir.fhir.capability_statement import SYSTEM_INTERACTIONS
from imaging_fhir.fhir.compartments import COMPARTMENTS

FHIR_JSON = "application/fhir+json"
PAGE = "text/html"
READABLE = (FHIR_JSON, PAGE)
DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
RELATED = "multipart/related"
FORM = "multipart/form-data"
URL_ENCODED = "application/x-www-form-urlencoded"

ANSWERS = {
    200: "Done.",
    201: "It was created.",
    202: "It was accepted.",
    204: "Done; there is nothing to say.",
    206: "The part asked for.",
    304: "It is as the client knows it.",
    400: "The request makes no sense.",
    403: "The caller may not do this.",
    404: "There is nothing of this name.",
    405: "This is not offered here.",
    406: "No form that the client accepts is served.",
    409: "It is in the way of something that refers to it, or of another image.",
    410: "It was deleted.",
    411: "The length of the body is not said.",
    412: "It changed meanwhile, or the condition fits several.",
    413: "The body is too large.",
    415: "The body is of a type that is not taken.",
    416: "There is no such part.",
    422: "The content breaks a rule.",
    503: "Not now: try again later.",
    507: "There is no room left.",
}
ALWAYS = (400, 403, 404, 406, 503)
WRITING = (*ALWAYS, 405, 409, 410, 412, 413, 415, 422, 507)


def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    schema = schema or {"type": "string"}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


COMMON_PARAMETERS = {
    "_format": query("_format", "The form wanted; beats Accept.", enum=["json", FHIR_JSON, "html"]),
    "_pretty": query("_pretty", "Indented for people.", enum=["true", "false"]),
    "_summary": query(
        "_summary", "A part of each resource.", enum=["true", "text", "data", "false"]
    ),
    "_elements": query("_elements", "Elements wanted, with commas."),
    "_count": query("_count", "Matches on a page.", type="integer", minimum=0),
    "_sort": query("_sort", "Parameters to sort by, with commas; - for descending."),
    "_include": query("_include", "Type:parameter: what matches refer to."),
    "_revinclude": query("_revinclude", "Type:parameter: what refers to matches."),
    "_total": query("_total", "Whether to count.", enum=["none", "estimate", "accurate"]),
    "_since": query("_since", "Versions from this instant on."),
    "_at": query("_at", "Versions that were current at some time in this."),
    "accept": query("accept", "Media types wanted; beats Accept."),
    "If-None-Match": header("If-None-Match", "Versions that the client has."),
    "If-Modified-Since": header("If-Modified-Since", "When the client read it last."),
    "If-Match": header("If-Match", "The version that may be changed."),
    "If-None-Exist": header("If-None-Exist", "A search; nothing is created where it finds one."),
    "Prefer": header("Prefer", "return=minimal, handling=strict, respond-async."),
    "Range": header("Range", "The part of the bytes wanted."),
    "url": query("url", "The canonical address of a definition."),
    "Condition": query("identifier", "A search, by any of the type's parameters."),
}
FORMAT = ("_format", "_pretty")
PARTS = (*FORMAT, "_summary", "_elements")
CONDITIONS = ("If-None-Match", "If-Modified-Since")
SEARCH = (*PARTS, "_count", "_sort", "_include", "_revinclude", "_total", "Prefer")
HISTORY = (*FORMAT, "_count", "_since", "_at")

IMAGE_FIELDS = ("patient", "encounter", "type", "bodySite", "laterality", "description", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    id: str
    method: str
    path: str
    tag: str
    summary: str
    well: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ALWAYS
    parameters: tuple[str, ...] = FORMAT
    sends: tuple[str, ...] = ()
    sent_type: str = ""
    answers: tuple[str, ...] = READABLE
    answer_type: str = ""
    is_search: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


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


def base_calls() -> Iterator[Call]:
    yield Call(
        id="capabilities",
        method="get",
        path="/fhir/metadata",
        tag="Server",
        summary="What the server can do (capabilities)",
        answer_type="CapabilityStatement",
    )
    if "history-system" in SYSTEM_INTERACTIONS:
        yield Call(
            id="historyOfEverything",
            method="get",
            path="/fhir/_history",
            tag="Server",
            summary="All versions of everything, the newest first (history)",
            parameters=HISTORY,
            answer_type="Bundle",
        )
    if "search-system" in SYSTEM_INTERACTIONS:
        yield Call(
            id="searchEverything",
            method="get",
            path="/fhir",
            tag="Server",
            summary="Search across types (_type)",
            parameters=SEARCH,
            answer_type="Bundle",
        )
        yield Call(
            id="searchPostedEverything",
            method="post",
            path="/fhir/_search",
            tag="Server",
            summary="Search across types (_type), with a form",
            errors=(*ALWAYS, 413, 415),
            parameters=SEARCH,
            sends=(URL_ENCODED,),
            answer_type="Bundle",
        )
    yield Call(
        id="batch",
        method="post",
        path="/fhir",
        tag="Server",
        summary="Several interactions at once (batch, transaction)",
        errors=WRITING,
        parameters=(*FORMAT, "Prefer"),
        sends=(FHIR_JSON,),
        sent_type="Bundle",
        answer_type="Bundle",
    )


def image_calls() -> Iterator[Call]:
    yield from import_calls()
    yield from rendering_calls()
    yield from dicomweb_calls()


def import_calls() -> Iterator[Call]:
    tag = "Images"
    said = {name: {"type": "string"} for name in IMAGE_FIELDS}
    yield Call(
        id="importImage",
        method="post",
        path="/fhir/$import-image",
        tag=tag,
        summary="Take in images of any kind",
        well=(200, 202),
        errors=(*WRITING, 411),
        parameters=("_format", "Prefer"),
        sends=(FORM, "*/*"),
        answer_type="Bundle",
        fields=said | {"file": {"type": "string", "format": "binary"}},
    )
    status = Call(
        id="importStatus",
        method="get",
        path="/fhir/$import-image/{request}",
        tag=tag,
        summary="What became of images that were sent with respond-async",
        well=(200, 202),
        answer_type="Bundle",
    )
    yield status
    yield replace(
        status,
        id="cancelImport",
        method="delete",
        summary="Take in no more of them",
        well=(202,),
    )


def rendering_calls() -> Iterator[Call]:
    for name, summary in (("thumbnail", "A small picture"), ("preview", "A large picture")):
        yield Call(
            id=f"{name}OfBinary",
            method="get",
            path=f"/fhir/Binary/{{id}}/${name}",
            tag="Images",
            summary=f"{summary} of a photo, scan or PDF",
            well=(200, 304),
            errors=(*ALWAYS, 410, 415, 422),
            parameters=(),
            answers=("image/jpeg", "image/png"),
        )


def dicomweb_calls() -> Iterator[Call]:
    study = "/dicomweb/studies/{study}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"
    yield store_call("storeInstances", "/dicomweb/studies")
    yield store_call("storeInstancesOfStudy", study)
    for name, path in (("Study", study), ("Series", series), ("Instance", instance)):
        yield retrieve_call(f"retrieve{name}", path, "DICOM, as stored", (RELATED, DICOM))
        metadata = f"{path}/metadata"
        yield retrieve_call(f"metadataOf{name}", metadata, "DICOM JSON", (DICOM_JSON,))
    bulk = f"{instance}/bulkdata/{{path}}"
    yield retrieve_call("retrieveBulkData", bulk, "A large value", (RELATED, "*/*"))


def store_call(call_id: str, path: str) -> Call:
    return Call(
        id=call_id,
        method="post",
        path=path,
        tag="DICOMweb",
        summary="Store instances (STOW-RS)",
        well=(200, 202),
        errors=(*WRITING, 411),
        parameters=("accept",),
        sends=(RELATED, DICOM),
        answers=(DICOM_JSON,),
    )


def retrieve_call(call_id: str, path: str, what: str, answers: tuple[str, ...]) -> Call:
    return Call(
        id=call_id,
        method="get",
        path=path,
        tag="DICOMweb",
        summary=f"{what} (WADO-RS)",
        well=(200, 304),
        errors=(*ALWAYS, 410),
        parameters=("accept", "If-None-Match"),
        answers=answers,
    )
