"""What a request is served with."""

from typing import cast

from flask import current_app, request

from imaging_fhir.services.access import Caller
from imaging_fhir.services.composition import Services

EXTENSION = "imaging_fhir"


def services() -> Services:
    return cast(Services, current_app.extensions[EXTENSION])


def caller() -> Caller:
    return Caller(address=request.remote_addr or "")
