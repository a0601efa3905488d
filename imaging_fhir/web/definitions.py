"""What is defined here, read and searched as resources (http.html#read, http.html#search)."""

from functools import partial

from flask import Blueprint, Response, request

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.definition_search import DEFINED, definitions, found_definitions
from imaging_fhir.web.negotiation import require_acceptable
from imaging_fhir.web.responses import fhir_response
from imaging_fhir.web.search import parameters

bp = Blueprint("definitions", __name__, url_prefix="/fhir")


def read_definition(type_name: str, definition_id: str) -> Response:
    require_acceptable(request)
    found = definitions(type_name).get(definition_id)
    if found is None:
        raise ResourceNotFound(f"There is no {type_name} of this id that is defined here.")
    return fhir_response(found)


def search_definitions(type_name: str) -> Response:
    require_acceptable(request)
    return fhir_response(found_definitions(type_name, parameters()))


for _name in DEFINED:
    _search = partial(search_definitions, _name)
    bp.get(f"/{_name}/<definition_id>", endpoint=f"read{_name}")(partial(read_definition, _name))
    bp.get(f"/{_name}", endpoint=f"search{_name}")(_search)
    bp.post(f"/{_name}/_search", endpoint=f"search{_name}ByPost")(_search)
