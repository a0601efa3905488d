"""`/fhir/.well-known/smart-configuration`: open to everybody, and to pages of any origin.

Always application/json, whatever is accepted.
"""

from flask import Blueprint, Response

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.model.codec import encode
from imaging_fhir.web.context import services
from imaging_fhir.web.responses import Answer

bp = Blueprint("smart_configuration", __name__, url_prefix="/fhir")


@bp.get("/.well-known/smart-configuration")
def smart_configuration() -> Response:
    """Raise ResourceNotFound where there is no log-in, IssuerUnavailable."""
    configuration = services().smart_configuration
    if configuration is None:
        raise ResourceNotFound("There is no log-in here: IMAGING_FHIR_AUTH is none.")
    return Answer(encode(configuration.document()), content_type="application/json")
