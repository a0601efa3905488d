"""Errors become answers, here and nowhere else (operationoutcome.html).

A blueprint with another form of answer (DICOMweb, the chart) registers its own handlers, which
come before these.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from imaging_fhir.errors import (
    ImagingError,
    NotSupported,
    ResourceDeleted,
    ResourceNotFound,
    StorageUnavailable,
    TooManyRequests,
)
from imaging_fhir.fhir.operation_outcome import operation_outcome, outcome_of_error
from imaging_fhir.web.allowed import allowed_methods
from imaging_fhir.web.context import services
from imaging_fhir.web.responses import fhir_response

logger = logging.getLogger(__name__)

RETRY_SECONDS = "2"
ISSUE_CODES = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "not-supported",
    HTTPStatus.REQUEST_TIMEOUT: "timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not-supported",
}


def register_error_handlers(app: Flask) -> None:
    app.register_error_handler(ImagingError, answer_expected)
    app.register_error_handler(HTTPException, answer_http)
    app.register_error_handler(Exception, answer_fault)


def answer_expected(error: ImagingError) -> Response:
    response = fhir_response(outcome_of_error(error), error.status)
    if error.status in (StorageUnavailable.status, TooManyRequests.status):
        response.headers["Retry-After"] = RETRY_SECONDS
    if isinstance(error, ResourceDeleted) and error.successor is not None:
        address = f"{services().base}/{error.successor}"
        response.headers["Link"] = f'<{address}>; rel="successor-version"'  # RFC 5829
    if error.status == NotSupported.status:
        response.headers["Allow"] = ", ".join(other_methods())
    return response


def other_methods() -> list[str]:
    """Than the one that was refused: an error may be of the content, such as a resource's type."""
    return [method for method in allowed_methods() if method != request.method]


def answer_http(error: HTTPException) -> Response:
    """Flask's own errors: no such address, or not by this method (with Allow)."""
    status = HTTPStatus(error.code or 500)
    outcome = operation_outcome(ISSUE_CODES.get(status, "invalid"), f"{status.phrase}.")
    response = fhir_response(outcome, status)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        return answer_not_allowed(response)
    return response


def answer_not_allowed(response: Response) -> Response:
    """What there is not cannot be done by another method either."""
    try:
        response.headers["Allow"] = ", ".join(other_methods())
    except ResourceNotFound as error:
        return answer_expected(error)
    return response


def answer_fault(error: Exception) -> Response:
    """A bug: the whole story to the log, nothing of it to the caller."""
    logger.error("unexpected error", exc_info=error)
    return answer_expected(ImagingError("The server failed; the fault was logged."))
