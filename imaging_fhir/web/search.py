"""Searching over HTTP (http.html#search): by GET or POST, of a type or in a compartment."""

from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from imaging_fhir.errors import ResourceNotFound, UnsupportedMediaType
from imaging_fhir.fhir.compartments import COMPARTMENTS
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.web import streams
from imaging_fhir.web.allowed import RESOURCE_ID
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.fhir import allow
from imaging_fhir.web.negotiation import preference, require_acceptable
from imaging_fhir.web.posted_search import FORM, MOST_FORM_BYTES
from imaging_fhir.web.responses import json_response

bp = Blueprint("search", __name__, url_prefix="/fhir")


@bp.get("/<type_name>")
@bp.post("/<type_name>/_search")
def search(type_name: str) -> Response:
    return found(type_name, None)


@bp.get("/<owner_type>/<owner_id>/<type_name>")
@bp.post("/<owner_type>/<owner_id>/<type_name>/_search")
def search_compartment(owner_type: str, owner_id: str, type_name: str) -> Response:
    """compartmentdefinition.html; an owner that is not there has nothing in its compartment"""
    allow_owner(owner_type, owner_id)
    return found(type_name, (owner_type, owner_id))


@bp.get("/<owner_type>/<owner_id>/*")
@bp.post("/<owner_type>/<owner_id>/*/_search")
@bp.post("/<owner_type>/<owner_id>/_search")
def search_whole_compartment(owner_type: str, owner_id: str) -> Response:
    """Over all the types that can be in it."""
    allow_owner(owner_type, owner_id)
    return found_in_all((owner_type, owner_id))


@bp.get("")
@bp.get("/")
@bp.post("/_search")
def search_system() -> Response:
    """http.html#search, of all types or those of `_type`"""
    return found_in_all(None)


def allow_owner(owner_type: str, owner_id: str) -> None:
    """A RelatedPerson is not kept here, and yet has a compartment."""
    if owner_type in RESOURCE_TYPES or owner_type not in COMPARTMENTS:
        allow("read", owner_type, owner_id)
    elif not RESOURCE_ID.fullmatch(owner_id):
        raise ResourceNotFound(f"There is no {owner_type} of this id: it is no FHIR id.")


def found_in_all(compartment: tuple[str, str] | None) -> Response:
    require_acceptable(request)
    return json_response(
        services().search.search_all(
            parameters(),
            caller(),
            compartment=compartment,
            strict=preference("handling") == "strict",
        )
    )


def found(type_name: str, compartment: tuple[str, str] | None) -> Response:
    allow("search-type", type_name)
    require_acceptable(request)
    return json_response(
        services().search.search(
            type_name,
            parameters(),
            caller(),
            compartment=compartment,
            strict=preference("handling") == "strict",
        )
    )


def parameters() -> list[tuple[str, str]]:
    """Of the address, and of the form if any; raise UnsupportedMediaType, UploadTooLarge."""
    given = list(request.args.items(multi=True))
    if request.method == "POST":
        if request.mimetype not in (FORM, ""):
            raise UnsupportedMediaType(
                f"A search is posted as {FORM}.", expression="http.Content-Type"
            )
        form = streams.body(request, MOST_FORM_BYTES).decode(errors="replace")
        given += parse_qsl(form, keep_blank_values=True)
    return given
