"""What is done around every request: it is let in, numbered, timed, counted and logged.

Logged are the method, the route's template, the status and the time: never the address as sent,
whose query and ids may say who is meant.
"""

import logging
import re
from time import perf_counter
from uuid import uuid4

from flask import Flask, Response, g, request

from imaging_fhir.logs import request_id
from imaging_fhir.services.metrics import REQUESTS
from imaging_fhir.web.context import services

logger = logging.getLogger("imaging_fhir.request")

HEADER = "X-Request-Id"
PLAUSIBLE_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


def observe_requests(app: Flask) -> None:
    app.before_request(begin)
    app.after_request(end)


def begin() -> None:
    g.started = perf_counter()
    given = request.headers.get(HEADER, "")
    request_id.set(given if PLAUSIBLE_ID.fullmatch(given) else uuid4().hex)
    services().access.admit(request.method, request.host, request.headers.get("Origin"))


def end(response: Response) -> Response:
    seconds = perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule else "unknown"
    response.headers[HEADER] = request_id.get()
    REQUESTS.labels(request.method, route, response.status_code).observe(seconds)
    logger.info(
        "%s %s %d",
        request.method,
        route,
        response.status_code,
        extra={"ms": round(seconds * 1e3, 1)},
    )
    return response
