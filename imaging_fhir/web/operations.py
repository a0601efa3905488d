"""What operators ask: does it live, can it serve, how is it doing."""

from flask import Blueprint, Response, jsonify

from imaging_fhir.services.metrics import exposition
from imaging_fhir.web.context import services

bp = Blueprint("operations", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """The process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> Response:
    """Database and blobs answer; 503 with what does not."""
    states = services().readiness()
    response = jsonify(states)
    response.status_code = 200 if all(state == "ok" for state in states.values()) else 503
    return response


@bp.get("/metrics")
def metrics() -> Response:
    return Response(
        exposition(services().worklist.ageing),
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )
