"""What a request is served with."""

from typing import cast

from flask import current_app, request

from imaging_fhir.model.caller import Caller
from imaging_fhir.services.composition import Services
from imaging_fhir.settings import Source
from imaging_fhir.web.authentication import authenticate

EXTENSION = "imaging_fhir"


def services() -> Services:
    return cast(Services, current_app.extensions[EXTENSION])


def caller() -> Caller:
    return authenticate(request.environ, services())


def source_of_caller() -> Source:
    """Told by the client's address, never by what it says of itself."""
    return services().site.source_of_address(request.remote_addr or "")
