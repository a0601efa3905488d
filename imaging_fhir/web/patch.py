"""Patch over HTTP (https://hl7.org/fhir/R4/http.html#patch): JSON Patch and FHIRPath Patch."""

from flask import Blueprint, Response, request

from imaging_fhir.errors import UnsupportedMediaType
from imaging_fhir.model.codec import decode_sent
from imaging_fhir.services.patching import (
    JSON_PATCH,
    Change,
    fhirpath_change,
    json_patch_change,
)
from imaging_fhir.web import streams
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.errors import answer_expected
from imaging_fhir.web.fhir import allow, allow_one, query_string, resource_sent, written_response
from imaging_fhir.web.negotiation import (
    FHIR_JSON,
    JSON_TYPES,
    require_acceptable,
    split_type,
)

bp = Blueprint("patch", __name__, url_prefix="/fhir")
ACCEPTED = f"{JSON_PATCH}, {FHIR_JSON}, application/fhir+xml"


@bp.patch("/<type_name>/<resource_id>")
def patch(type_name: str, resource_id: str) -> Response:
    allow_one("patch", type_name, resource_id)
    require_acceptable(request)
    return written_response(
        services().patching.patch(
            type_name, resource_id, change_sent(), if_match=request.headers.get("If-Match")
        )
    )


@bp.patch("/<type_name>")
def patch_where(type_name: str) -> Response:
    allow("patch", type_name)
    require_acceptable(request)
    condition = services().search.condition(type_name, query_string(), caller())
    return written_response(
        services().patching.patch_where(
            condition, change_sent(), if_match=request.headers.get("If-Match")
        )
    )


def change_sent() -> Change:
    """By the Content-Type; raise UnsupportedMediaType, InvalidRequest, UploadTooLarge.

    As `application/json` some clients send a resource in part, to be merged: R4 has no such patch.
    """
    name, _ = split_type(request.content_type or "")
    if name == JSON_PATCH:
        return json_patch_change(
            decode_sent(streams.body(request, services().settings.max_resource_bytes))
        )
    if name in JSON_TYPES:
        sent = resource_sent()
        if name == FHIR_JSON or sent.get("resourceType") == "Parameters":
            return fhirpath_change(sent)
    raise UnsupportedMediaType(
        f"A patch is {JSON_PATCH}, or a Parameters as {FHIR_JSON}.", expression="http.Content-Type"
    )


@bp.errorhandler(UnsupportedMediaType)
def answer_unsupported(error: UnsupportedMediaType) -> Response:
    """RFC 5789, 2.2: with the types that would have done."""
    response = answer_expected(error)
    response.headers["Accept-Patch"] = ACCEPTED
    return response
