"""Errors become answers, here and nowhere else (operationoutcome.html).

A blueprint with another form of answer (DICOMweb, the chart) registers its own handlers, which
come before these.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from imaging_fhir.errors import ImagingError, InvalidResource, NotSupported, StorageUnavailable
from imaging_fhir.fhir.operation_outcome import issue, operation_outcome, outcome_of
from imaging_fhir.model.codec import Resource
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
    if error.status == StorageUnavailable.status:
        response.headers["Retry-After"] = RETRY_SECONDS
    if error.status == NotSupported.status:
        response.headers["Allow"] = ", ".join(other_methods())
    return response


def other_methods() -> list[str]:
    """Of this address (RFC 9110, 15.5.6)."""
    adapter = current_app.create_url_adapter(request)
    allowed = set() if adapter is None else set(adapter.allowed_methods())
    return sorted(allowed - {request.method})


def outcome_of_error(error: ImagingError) -> Resource:
    """The OperationOutcome that says it, with every fault of an invalid resource."""
    if isinstance(error, InvalidResource) and error.issues:
        return outcome_of(
            issue(code, fault, expression=expression)
            for code, (expression, fault) in zip(error.codes, error.issues, strict=True)
        )
    return operation_outcome(error.issue_code, str(error), expression=error.expression)


def answer_http(error: HTTPException) -> Response:
    """Flask's own errors: no such address, or not by this method (with Allow)."""
    status = HTTPStatus(error.code or 500)
    outcome = operation_outcome(ISSUE_CODES.get(status, "invalid"), f"{status.phrase}.")
    response = fhir_response(outcome, status)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def answer_fault(error: Exception) -> Response:
    """A bug: the whole story to the log, nothing of it to the caller."""
    logger.error("unexpected error", exc_info=error)
    return answer_expected(ImagingError("The server failed; the fault was logged."))
