"""What is done around every request: it is let in, numbered, timed, counted and logged.

Logged are the method, the route's template, the status and the time: never the address as sent,
whose query and ids may say who is meant.
"""

import logging
import re
from functools import lru_cache
from os import urandom
from time import perf_counter

from flask import Flask, Response, g, request
from prometheus_client import Histogram

from imaging_fhir.errors import UnsupportedMediaType
from imaging_fhir.logs import request_id
from imaging_fhir.model.audit import ORIGIN, Origin
from imaging_fhir.model.caller import CALLER, Caller
from imaging_fhir.services.metrics import REQUESTS
from imaging_fhir.web.auditing import audited
from imaging_fhir.web.compression import DOORS
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.responses import ANY_CACHE

logger = logging.getLogger("imaging_fhir.request")

HEADER = "X-Request-Id"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
PLAUSIBLE_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


def observe_requests(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(end)


def begin() -> None:
    g.started = perf_counter()
    begin_request(request.headers.get(HEADER, ""))
    origin = Origin(caller=Caller(address=request.remote_addr or ""), request=request_id.get())
    ORIGIN.set(origin)
    CALLER.set(origin.caller)  # should it turn out that they may not come in
    origin.caller = caller()
    CALLER.set(origin.caller)
    services().access.admit(request.method, request.host, request.headers.get("Origin"))
    if is_encoded():
        raise UnsupportedMediaType(
            "A body is sent as it is, or as gzip.", expression="http.Content-Encoding"
        )


def is_encoded() -> bool:
    """Otherwise than by gzip, which is no more here."""
    return request.headers.get("Content-Encoding", "identity").lower() != "identity"


def end(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else "unknown"
    response = audited(response)
    response.headers[HEADER] = request_id.get()
    if request.path.startswith(DOORS):
        for name, value in ANY_CACHE.items():
            response.headers.setdefault(name, value)
    if response.status_code == UnsupportedMediaType.status and is_encoded():
        response.headers["Accept-Encoding"] = "gzip"
    seconds = perf_counter() - g.started
    end_request(request.method, route, response.status_code, seconds)
    return response


def begin_request(given_id: str) -> str:
    """The id of the request: the client's own where it is plausible."""
    chosen = given_id if PLAUSIBLE_ID.fullmatch(given_id) else urandom(8).hex()
    request_id.set(chosen)
    return chosen


def end_request(method: str, route: str, status: int, seconds: float) -> None:
    counter(method, route, status).observe(seconds)
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s %s %d", method, route, status, extra={"ms": round(seconds * 1e3, 1)})


@lru_cache(maxsize=4096)
def counter(method: str, route: str, status: int) -> Histogram:
    """Few: methods, routes and statuses are ours, not the client's."""
    return REQUESTS.labels(method if method in METHODS else "other", route, status)
