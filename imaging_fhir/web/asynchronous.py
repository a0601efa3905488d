"""`Prefer: respond-async` (RFC 7240, FHIR R4 async.html) of whatever may take long.

The request is kept as it came and asked of the same application by a worker, so that validation,
access policy and answer are those of a request that is answered at once. What is answered quickly
anyway, such as the read of a resource, ignores the preference, as RFC 7240 allows.
"""

import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context
from io import BytesIO

from flask import Blueprint, Flask, Response, request
from werkzeug.http import http_date
from werkzeug.wrappers import Response as Answer

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.logs import request_id as log_id
from imaging_fhir.services.asynchronous import Answered, Asked, Perform
from imaging_fhir.web import streams
from imaging_fhir.web.authentication import KNOWN
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.negotiation import FHIR_JSON, preference, require_acceptable
from imaging_fhir.web.responses import json_response, no_content
from imaging_fhir.web.wsgi import Environ

bp = Blueprint("asynchronous", __name__, url_prefix="/fhir")

PREFERENCE = "respond-async"
POLL_SECONDS = "2"
KEPT = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "HTTP_HOST",
    "HTTP_IF_MATCH",
)


def resource_sent() -> Iterable[bytes]:
    return [streams.body(request, services().settings.max_resource_bytes)]


def images_sent() -> Iterable[bytes]:
    """A form says itself where it ends."""
    if request.mimetype == "multipart/form-data":
        return streams.chunks(request.stream)
    return streams.sent(request)


BODIES: dict[str, Callable[[], Iterable[bytes]]] = {  # by the endpoint
    "fhir.batch": resource_sent,
    "search.search": resource_sent,
    "search.search_compartment": resource_sent,
    "search.search_whole_compartment": resource_sent,
    "search.search_system": resource_sent,
    "history.history_of_resource": resource_sent,
    "history.history_of_type": resource_sent,
    "history.history_of_everything": resource_sent,
    "fhir_operations.at_system": resource_sent,
    "fhir_operations.at_type": resource_sent,
    "fhir_operations.at_instance": resource_sent,
    "import_image.import_image": images_sent,
    "explain_link.explain_link": images_sent,
}


def answer_later() -> Response | None:
    """Before any view: accept the request, where it is to be answered later."""
    if "Prefer" not in request.headers or preference(PREFERENCE) is None:
        return None
    body = BODIES.get(request.endpoint or "")
    if body is None or request.method == "HEAD":
        return None
    require_acceptable(request)
    if "_outputFormat" in request.args:
        raise InvalidRequest("Bulk data is not offered here.", expression="http._outputFormat")
    headers = {
        "Content-Location": f"{services().base}/_async/{accepted(body())}",
        "Preference-Applied": PREFERENCE,
        "Retry-After": POLL_SECONDS,
    }
    return no_content(202, headers)


def accepted(body: Iterable[bytes]) -> str:
    asynchronous, limit = services().asynchronous, services().settings.max_upload_bytes
    with services().database.read() as connection:
        asynchronous.require_room(connection)  # before the bytes are taken in
    if request.method == "GET":
        return asynchronous.accept(as_it_came(), caller(), None)
    with services().blobs.stage(body, limit=limit) as staged:
        return asynchronous.accept(as_it_came(), caller(), staged if staged.size else None)


def as_it_came() -> dict[str, str]:
    environ = {name: request.environ[name] for name in KEPT if name in request.environ}
    others = [part.strip() for part in ",".join(request.headers.getlist("Prefer")).split(",")]
    kept = ", ".join(one for one in others if one.partition(";")[0].lower() != PREFERENCE)
    return environ | {"HTTP_PREFER": kept, "HTTP_X_REQUEST_ID": log_id.get()}


@bp.get("/_async/<request_id>")
def status(request_id: str) -> Response:
    """202 until it is done, then the answer."""
    require_acceptable(request)
    found = services().asynchronous.status(request_id, caller())
    if found.answer is None:
        return no_content(202, {"Retry-After": POLL_SECONDS, "X-Progress": found.progress})
    return json_response(found.answer, headers={"Expires": http_date(found.expires / 1000)})


@bp.delete("/_async/<request_id>")
def cancel(request_id: str) -> Response:
    """What is not done by now will not be."""
    services().asynchronous.cancel(request_id, caller())
    return no_content(202)


def performing(app: Flask) -> Perform:
    """Asks the application as the client did, for JSON."""

    def perform(asked: Asked) -> Answered:
        asking = copy_context()  # who asks is of this request alone, not of what the thread does
        answer = asking.run(Answer.from_app, app.wsgi_app, environ_of(asked))
        return Answered(status=answer.status_code, body=answer.get_data())

    return perform


def environ_of(asked: Asked) -> Environ:
    return {
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        **asked.environ,
        "REMOTE_ADDR": asked.caller.address,
        KNOWN: asked.caller,
        "HTTP_ACCEPT": FHIR_JSON,
        "CONTENT_LENGTH": str(asked.size),
        "wsgi.url_scheme": "http",
        "wsgi.input": asked.body or BytesIO(),
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
