"""History over HTTP (http.html#history): of one resource, of a type, of everything."""

from flask import Blueprint, Response, request

from imaging_fhir.web.context import caller, services
from imaging_fhir.web.fhir import allow
from imaging_fhir.web.negotiation import preference, require_acceptable
from imaging_fhir.web.responses import json_response

bp = Blueprint("history", __name__, url_prefix="/fhir")


@bp.get("/<type_name>/<resource_id>/_history")
def history_of_resource(type_name: str, resource_id: str) -> Response:
    allow("history-instance", type_name, resource_id)
    require_acceptable(request)
    found = services().history.of_resource(
        type_name, resource_id, parameters(), caller(), strict=is_strict()
    )
    return json_response(found)


@bp.get("/<type_name>/_history")
@bp.get("/Binary/_history", defaults={"type_name": "Binary"})  # no id of a Binary
def history_of_type(type_name: str) -> Response:
    allow("history-type", type_name)
    require_acceptable(request)
    return json_response(
        services().history.of_type(type_name, parameters(), caller(), strict=is_strict())
    )


@bp.get("/_history")
def history_of_everything() -> Response:
    require_acceptable(request)
    return json_response(
        services().history.of_everything(parameters(), caller(), strict=is_strict())
    )


def parameters() -> list[tuple[str, str]]:
    return list(request.args.items(multi=True))


def is_strict() -> bool:
    return preference("handling") == "strict"
