"""The chart in a browser: pages rendered here, that work without scripts."""

import logging
from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Response, redirect, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as AnyResponse

from imaging_fhir.errors import ImagingError
from imaging_fhir.services.chart_order import order_page
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.errors import RETRY_SECONDS
from imaging_fhir.web.page_headers import HEADERS
from imaging_fhir.web.pictures import number

bp = Blueprint("chart", __name__, template_folder="templates")

STATIC = Path(__file__).parent / "static"
LONGEST_INPUT = 200
TITLES = {
    400: "This request cannot be answered",
    403: "You may not see this",
    404: "There is nothing here",
    409: "This is decided already",
    410: "This was deleted",
    412: "Somebody else was faster",
    503: "The service is busy",
}
logger = logging.getLogger(__name__)


def may_read(*resource_types: str, interaction: str = "read") -> None:
    for resource_type in resource_types:
        services().access.require(caller(), interaction, resource_type)


def page(template: str, status: int = 200, **values: object) -> Response:
    """With patient data in it: nobody keeps a copy."""
    body = render_template(f"chart/{template}", **values)
    headers = HEADERS | {"Cache-Control": "no-store"}
    return Response(body, status, headers, content_type="text/html; charset=utf-8")


@bp.get("/")
def root() -> AnyResponse:
    return redirect("/chart")


@bp.get("/chart/static/<path:name>")
def static_file(name: str) -> AnyResponse:
    response = send_from_directory(STATIC, name, max_age=3600)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@bp.get("/chart")
def patients() -> Response:
    may_read("Patient", "ImagingStudy", "DocumentReference", "Task", interaction="search-type")
    chart = services().chart
    return page("patients.html", recent=chart.recent(), held=chart.count_held(), asked={})


@bp.post("/chart")
def find_patients() -> Response:
    """By POST: what is looked for names a patient, and addresses end up in logs."""
    may_read("Patient", "Task", interaction="search-type")
    names = ("name", "identifier", "birth_date")
    asked = {name: request.form.get(name, "").strip()[:LONGEST_INPUT] for name in names}
    if not any(asked.values()):
        return patients()
    chart = services().chart
    try:
        found = chart.find(caller(), **asked)
    except ImagingError as error:
        values = {"recent": chart.recent(), "held": chart.count_held()}
        return page("patients.html", error.status, asked=asked, problem=str(error), **values)
    return page("patients.html", found=found, held=chart.count_held(), asked=asked)


@bp.get("/chart/patients/<patient_id>")
def patient(patient_id: str) -> AnyResponse:
    may_read(
        *("Patient", "Encounter", "ImagingStudy", "DocumentReference"),
        *("DiagnosticReport", "ServiceRequest"),
    )
    timeline = services().chart.timeline(
        patient_id,
        show=request.args.get("show", ""),
        with_all_visits=request.args.get("visits") == "all",
    )
    if timeline.patient.id != patient_id:  # merged into another
        return redirect(f"/chart/patients/{timeline.patient.id}")
    return page(
        "patient.html",
        timeline=timeline,
        patient=timeline.patient,
        with_all_visits=request.args.get("visits") == "all",
    )


@bp.get("/chart/studies/<study_id>")
def study(study_id: str) -> Response:
    may_read("Patient", "Encounter", "ImagingStudy", "DiagnosticReport", "ServiceRequest")
    order = order_page(services().chart, study_id)
    if order is not None:
        return page("order.html", page=order, patient=order.patient)
    found = services().image_pages.study(study_id)
    told = services().worklist.of(f"ImagingStudy/{found.study.id}")
    return page("study.html", page=found, patient=found.patient, told=told)


@bp.get("/chart/studies/<study_id>/series/<uid>")
def series(study_id: str, uid: str) -> Response:
    may_read("Patient", "ImagingStudy", "DiagnosticReport")
    found = services().image_pages.series(
        study_id, uid, image=number("image"), frame=number("frame")
    )
    return page("series.html", page=found, patient=found.patient)


@bp.get("/chart/documents/<document_id>")
def document(document_id: str) -> Response:
    may_read("Patient", "Encounter", "DocumentReference", "Binary")
    found = services().image_pages.document(document_id, page=number("page") or 1)
    told = services().worklist.of(f"DocumentReference/{document_id}")
    return page("document.html", page=found, patient=found.patient, told=told)


@bp.get("/chart/<path:_rest>")
def nothing(_rest: str) -> Response:
    raise NotFound


@bp.errorhandler(ImagingError)
def expected(error: ImagingError) -> Response:
    response = problem(error.status, str(error))
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


@bp.errorhandler(HTTPException)
def http_error(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    return problem(status, status.description or status.phrase)


@bp.errorhandler(Exception)
def fault(error: Exception) -> Response:
    """A bug: the whole story to the log, nothing of it to the reader."""
    logger.error("unexpected error", exc_info=error)
    return problem(500, "The server failed; the fault was logged.")


def problem(status: int, text: str) -> Response:
    title = TITLES.get(status, "Something went wrong")
    return page("problem.html", status, title=title, text=text, status_code=status)
