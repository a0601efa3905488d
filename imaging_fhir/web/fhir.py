"""FHIR REST of one resource (https://hl7.org/fhir/R4/http.html); each view is one interaction."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.http import parse_date

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.operation_outcome import outcome_of
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.codec import Resource, decode_sent
from imaging_fhir.services.preconditions import is_known, require_no_criteria
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.web import streams
from imaging_fhir.web.allowed import RESOURCE_ID
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.negotiation import preference, require_acceptable, require_json_body
from imaging_fhir.web.responses import (
    fhir_response,
    json_response,
    no_content,
    version_headers,
    version_location,
)

RETURNED = ("minimal", "representation", "OperationOutcome")

bp = Blueprint("fhir", __name__, url_prefix="/fhir")


def allow(interaction: str, type_name: str, resource_id: str | None = None) -> None:
    """Let this caller do it; raise ResourceNotFound, MethodNotAllowed, AccessDenied."""
    type_ = RESOURCE_TYPES.get(type_name)
    if type_ is None:
        raise ResourceNotFound("There is no resource type of this name here.")
    if interaction not in type_.interactions:
        raise MethodNotAllowed
    if resource_id is not None and not RESOURCE_ID.fullmatch(resource_id):
        raise ResourceNotFound(f"There is no {type_name} of this id: it is no FHIR id.")
    services().access.require(caller(), interaction, type_name)


def allow_one(interaction: str, type_name: str, resource_id: str | None = None) -> None:
    """The same of a write that is not conditional by its address; raise InvalidRequest too."""
    allow(interaction, type_name, resource_id)
    require_no_criteria(interaction, request.args, header="the header If-None-Exist")


@bp.get("/<type_name>/<resource_id>")
def read(type_name: str, resource_id: str) -> Response:
    """http.html#read, and cread"""
    allow("read", type_name, resource_id)
    require_acceptable(request)
    cut = cut_wanted()
    if cut is not None:
        return resource_response(*services().resources.read_cut(type_name, resource_id, *cut))
    return resource_response(*services().resources.read(type_name, resource_id))


def cut_wanted() -> tuple[str | None, list[str]] | None:
    """`_summary` and `_elements` of a read; raise InvalidRequest."""
    if not request.query_string:
        return None
    summary = request.args.get("_summary")
    elements = [name.strip() for name in request.args.get("_elements", "").split(",")]
    elements = [name for name in elements if name]
    if summary not in (None, "true", "text", "data", "false"):
        raise InvalidRequest("_summary is none of a read.", expression="http._summary")
    return (summary, elements) if elements or summary else None


@bp.get("/<type_name>/<resource_id>/_history/<version_id>")
def vread(type_name: str, resource_id: str, version_id: str) -> Response:
    """http.html#vread"""
    allow("vread", type_name, resource_id)
    require_acceptable(request)
    found = services().resources.read_version(type_name, resource_id, version_id)
    return resource_response(*found)


def resource_response(stored: StoredResource, body: bytes) -> Response:
    if is_known_to_client(stored):
        return no_content(304, version_headers(stored))
    return json_response(body, headers=version_headers(stored))


def is_known_to_client(stored: StoredResource) -> bool:
    since = parse_date(request.headers.get("If-Modified-Since"))
    return is_known(
        stored, request.headers.get("If-None-Match"), None if since is None else since.timestamp()
    )


@bp.post("/<type_name>")
def create(type_name: str) -> Response:
    """http.html#create, and ccreate"""
    allow_one("create", type_name)
    require_acceptable(request)
    condition = request.headers.get("If-None-Exist")
    if_none_exist = None
    if condition is not None:
        if_none_exist = services().search.condition(type_name, condition, caller())
    return written_response(
        services().resources.create(type_name, resource_sent(), if_none_exist=if_none_exist)
    )


@bp.put("/<type_name>/<resource_id>")
def update(type_name: str, resource_id: str) -> Response:
    """http.html#update, with upsert"""
    allow_one("update", type_name, resource_id)
    require_acceptable(request)
    written = services().resources.update(
        type_name,
        resource_id,
        resource_sent(),
        if_match=request.headers.get("If-Match"),
        if_none_match=request.headers.get("If-None-Match"),
    )
    return written_response(written)


@bp.put("/<type_name>")
def update_where(type_name: str) -> Response:
    """http.html#cond-update"""
    allow("update", type_name)
    require_acceptable(request)
    condition = services().search.condition(type_name, query_string(), caller())
    return written_response(
        services().resources.update_where(
            condition, resource_sent(), if_match=request.headers.get("If-Match")
        )
    )


@bp.delete("/<type_name>/<resource_id>")
def delete(type_name: str, resource_id: str) -> Response:
    """http.html#delete; what is gone or was never there is as deleted as it gets"""
    allow_one("delete", type_name, resource_id)
    services().resources.delete(type_name, resource_id, if_match=request.headers.get("If-Match"))
    return no_content()


@bp.delete("/<type_name>")
def delete_where(type_name: str) -> Response:
    """http.html#cond-delete (3.1.0.7.1), of one resource"""
    allow("delete", type_name)
    condition = services().search.condition(type_name, query_string(), caller())
    services().resources.delete_where(condition, if_match=request.headers.get("If-Match"))
    return no_content()


@bp.post("")
@bp.post("/")
def batch() -> Response:
    """http.html#transaction"""
    require_acceptable(request)
    returned = preference("return")
    headers = {"Preference-Applied": f"return={returned}"} if returned in RETURNED else {}
    answer = services().transactions.run(
        resource_sent(),
        caller(),
        returned=returned if returned in RETURNED else "minimal",
        strict=preference("handling") == "strict",
    )
    return fhir_response(answer, headers=headers)


def query_string() -> str:
    return request.query_string.decode(errors="replace")


def resource_sent() -> Resource:
    require_json_body(request.content_type)
    content = decode_sent(streams.body(request, services().settings.max_resource_bytes))
    if not isinstance(content, dict):
        raise InvalidRequest("The body is no FHIR resource.")
    return content


def written_response(written: Written) -> Response:
    """As `Prefer: return=` wants it (http.html#ops); by default the resource."""
    headers = version_headers(written.stored)
    if written.created or request.method == "POST":
        headers["Location"] = version_location(written.stored)
    status = 201 if written.created else 200
    match preference("return"):
        case "minimal":
            headers["Preference-Applied"] = "return=minimal"
            return no_content(status, headers)
        case "OperationOutcome":
            headers["Preference-Applied"] = "return=OperationOutcome"
            return fhir_response(outcome_of([]), status, headers)
        case _:
            return json_response(body_of(written), status, headers)


def body_of(written: Written) -> bytes:
    """What is assembled from fragments is read again: it was there before (If-None-Exist)."""
    stored = written.stored
    return stored.body or services().resources.read(stored.type, stored.id)[1]
