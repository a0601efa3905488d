"""What the server says it can do (http.html#capabilities)."""

from flask import Blueprint, Response, request

from imaging_fhir import __version__
from imaging_fhir.errors import IssuerUnavailable
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.capability_statement import Operation, capability_statement, smart_security
from imaging_fhir.fhir.operation_definition import declared
from imaging_fhir.fhir.profiles import supported_profiles
from imaging_fhir.model.codec import Resource
from imaging_fhir.web.context import services
from imaging_fhir.web.negotiation import require_acceptable
from imaging_fhir.web.responses import fhir_response

bp = Blueprint("metadata", __name__, url_prefix="/fhir")

CHANGED = "2026-12-01"  # when what is stated here changed last
OPERATIONS = (
    Operation(
        name="import-image",
        definition=f"{canonical.BASE}/OperationDefinition/import-image",
        documentation="Takes in images of any kind: see docs/api/import-image.md.",
    ),
    *declared(),
)


def security() -> Resource | None:
    """Where tokens are had; who cannot say it at present is left out, and all else is said."""
    configuration = services().smart_configuration
    if configuration is None:
        return None
    try:
        return smart_security(configuration.document())
    except IssuerUnavailable:
        return smart_security({})


@bp.get("/metadata")
def metadata() -> Response:
    require_acceptable(request)
    return fhir_response(
        capability_statement(
            base=services().base,
            software_version=__version__,
            date=CHANGED,
            operations=OPERATIONS,
            security=security(),
            profiles=supported_profiles(services().settings.profile_packs),
        )
    )
