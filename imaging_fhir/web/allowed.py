"""What may be done at an address (RFC 9110, 10.2.1): `Allow` by the tables, not by the routes.

The routes are the same for every resource type; which interactions it has, its table says.
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import HTTPException

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.operation_definition import Level, operation_at
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES

INTERACTIONS = {  # by the endpoint
    "fhir.read": "read",
    "fhir.vread": "vread",
    "fhir.create": "create",
    "fhir.update": "update",
    "fhir.update_where": "update",
    "fhir.delete": "delete",
    "fhir.delete_where": "delete",
    "patch.patch": "patch",
    "patch.patch_where": "patch",
    "search.search": "search-type",
    "search.search_compartment": "search-type",
    "history.history_of_resource": "history-instance",
    "history.history_of_type": "history-type",
    "binary.read": "read",
    "binary.vread": "vread",
    "binary.create": "create",
    "binary.update": "update",
}
RESOURCE_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
LEVELS: dict[str, Level] = {
    "fhir_operations.at_system": "system",
    "fhir_operations.at_type": "type",
    "fhir_operations.at_instance": "instance",
}


def allowed_methods() -> list[str]:
    """Of the address of this request; raise ResourceNotFound where nothing can be there."""
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return ["OPTIONS"]
    routed = set(adapter.allowed_methods()) - {"HEAD", "OPTIONS"}
    found = {method for method in routed if is_offered(method, adapter)}
    if not found:
        raise ResourceNotFound("There is nothing of this name here.")
    return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))


def is_offered(method: str, adapter: Any) -> bool:
    try:
        endpoint, values = adapter.match(method=method)
    except HTTPException:  # an address of another form, which redirects
        return False
    if endpoint in LEVELS:
        return method in operation_methods(LEVELS[endpoint], values)
    interaction = INTERACTIONS.get(endpoint)
    if interaction is None:
        return True
    type_ = RESOURCE_TYPES.get(values.get("type_name", "Binary"))
    is_id = RESOURCE_ID.fullmatch(values.get("resource_id", "1"))
    return type_ is not None and is_id is not None and interaction in type_.interactions


def operation_methods(level: Level, values: Mapping[str, str]) -> tuple[str, ...]:
    operation = operation_at(values["code"], level, values.get("type_name"))
    return operation.methods if operation else ()
