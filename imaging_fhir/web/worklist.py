"""The held worklist in a browser: looked through, and decided about, one image or many.

Every form carries the version that its page was made from: of two people who decide about one
image, the second gets a page that says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, Response, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    InvalidResource,
    ResourceConflict,
    ResourceDeleted,
    ResourceNotFound,
    VersionConflict,
)
from imaging_fhir.model.correction import Corrected
from imaging_fhir.services.chart import page_of
from imaging_fhir.services.chart_card import PatientCard
from imaging_fhir.services.chart_words import modality_name, rule_in_words
from imaging_fhir.services.splitting import Part
from imaging_fhir.services.worklist import DAYS, FILTERS, MOST_AT_ONCE, Asked, Told
from imaging_fhir.web.chart import (
    LONGEST_INPUT,
    expected,
    fault,
    http_error,
    may_read,
    page,
)
from imaging_fhir.web.context import caller, services

bp = Blueprint("worklist", __name__, template_folder="templates")
bp.register_error_handler(ImagingError, expected)
bp.register_error_handler(HTTPException, http_error)
bp.register_error_handler(Exception, fault)

TYPES = {"held": "Task", "studies": "ImagingStudy", "documents": "DocumentReference"}
MOST_FOUND = 10
LONGEST_KEY = 18  # digits
LONGEST_UID = 128
FASTER = (
    "Somebody else was faster, or it was decided by itself: this is how it stands now. "
    "Nothing that you chose was done."
)
WORDS: dict[str, Callable[[str], str]] = {"reason": rule_in_words, "modality": modality_name}


@bp.get("/chart/held")
def held() -> Response:
    may_read("Task", interaction="search-type")
    asked = asked_in(request.args)
    found = services().worklist.page(asked)
    return page(
        "held.html",
        worklist=found,
        asked=asked,
        days=DAYS,
        filters=filters(found.choices),
        reviews=services().chart.reviews(),
    )


@bp.post("/chart/held")
def decide_many() -> Response:
    """Those that are chosen, or all that the filter finds."""
    may_read("Task", interaction="update")
    action = request.form.get("action", "")
    if action not in ("file", "reject"):
        raise InvalidRequest("Say whether to file or to reject.", expression="action")
    if request.form.get("all"):
        asked = asked_in(request.form)
        if asked.last is None:
            raise InvalidRequest("Say up to which image: what came since is not meant.")
        found = services().worklist.page(asked, limit=MOST_AT_ONCE)
        chosen = [(one.item.id, str(one.version)) for one in found.items]
    else:
        pairs = (value.rpartition(".") for value in request.form.getlist("task"))
        chosen = [(task_id, version) for task_id, _, version in pairs]
    results = services().worklist.decide_many(chosen, action, reason=reason(), caller=caller())
    return page("decided.html", results=results, done=sum(one.is_done for one in results))


@bp.get("/chart/held/<task_id>")
def held_item(task_id: str) -> Response:
    may_read("Task")
    return decision_page("held", task_id)


@bp.post("/chart/held/<task_id>")
def close_review(task_id: str) -> AnyResponse:
    """The filed image is right where it is: nobody need look at it again."""
    may_read("Task", interaction="update")
    services().chart.close_review(task_id)
    return redirect("/chart/held", code=HTTPStatus.SEE_OTHER)


@bp.get("/chart/<any(studies, documents):kind>/<resource_id>/move")
def move(kind: str, resource_id: str) -> Response:
    may_read(TYPES[kind], interaction="update")
    return decision_page(kind, resource_id)


@bp.get("/chart/studies/<study_id>/series/<uid>/images")
def choose_images(study_id: str, uid: str) -> Response:
    """Single images of a series, to be moved."""
    may_read("ImagingStudy", interaction="update")
    may_read("Patient")
    found = services().image_pages.images(study_id, uid)
    return page("images.html", page=found, patient=found.patient)


@bp.post("/chart/studies/<study_id>/move")
def move_images(study_id: str) -> Response:
    """By POST: there may be more of them than an address can name."""
    may_read("ImagingStudy", interaction="update")
    if part_meant("studies") is None:
        raise InvalidRequest("Choose one image at least.", expression="instance")
    return decision_page("studies", study_id)


@bp.post("/chart/<any(held, studies, documents):kind>/<resource_id>/candidates")
def find_candidates(kind: str, resource_id: str) -> Response:
    """By POST: what is looked for names a patient, and addresses end up in logs."""
    may_read(TYPES[kind], "Patient", interaction="search-type")
    names = ("name", "identifier", "birth_date")
    asked = {name: request.form.get(name, "").strip()[:LONGEST_INPUT] for name in names}
    if not any(asked.values()):
        return decision_page(kind, resource_id)
    try:
        found = services().chart.find(caller(), **asked)
    except InvalidRequest as error:
        return decision_page(kind, resource_id, problem=error, searched=asked)
    ids = [patient.id for patient in found.patients]
    return decision_page(
        kind, resource_id, searched=asked, ids=ids[:MOST_FOUND], is_cut=len(ids) > MOST_FOUND
    )


@bp.post("/chart/<any(held, studies, documents):kind>/<resource_id>/file")
def file(kind: str, resource_id: str) -> AnyResponse:
    return acted(
        kind,
        resource_id,
        lambda: services().worklist.file(
            f"{TYPES[kind]}/{resource_id}",
            request.form.get("version", ""),
            patient=request.form.get("patient", ""),
            encounter=request.form.get("encounter", ""),
            reason=reason(),
            caller=caller(),
            part=part_meant(kind),
        ),
    )


@bp.post("/chart/<any(held, studies, documents):kind>/<resource_id>/patient")
def file_to_new_patient(kind: str, resource_id: str) -> AnyResponse:
    may_read("Patient", interaction="create")
    return acted(
        kind,
        resource_id,
        lambda: services().worklist.file_to_new_patient(
            f"{TYPES[kind]}/{resource_id}",
            request.form.get("version", ""),
            reason=reason(),
            caller=caller(),
        ),
    )


@bp.post("/chart/held/<task_id>/reject")
def reject(task_id: str) -> AnyResponse:
    return acted(
        "held",
        task_id,
        lambda: services().worklist.reject(
            task_id, request.form.get("version", ""), reason=reason(), caller=caller()
        ),
    )


@bp.get("/chart/corrections/<provenance_id>")
def correction(provenance_id: str) -> Response:
    """What was done, and how to undo it."""
    may_read("Provenance")
    told = services().worklist.correction(provenance_id)
    addresses = [address for one in told.targets if (address := address_of(one))]
    return page("correction.html", told=told, addresses=addresses, patient=patient_now(told))


@bp.post("/chart/corrections/<provenance_id>/undo")
def undo(provenance_id: str) -> AnyResponse:
    may_read("Provenance", interaction="update")
    done = services().undo(provenance_id, reason() or None, caller())
    return redirect(address_of(done.result) or "/chart/held", code=HTTPStatus.SEE_OTHER)


def acted(kind: str, resource_id: str, act: Callable[[], Corrected]) -> AnyResponse:
    """What was done; where it could not be, the page again as things stand now."""
    may_read(TYPES[kind], interaction="update")
    try:
        done = act()
    except (VersionConflict, ResourceConflict, InvalidResource) as error:
        return decision_page(kind, resource_id, problem=error)
    told = (done.provenance or "").rpartition("/")[2]
    return redirect(f"/chart/corrections/{told}", code=HTTPStatus.SEE_OTHER)


def decision_page(
    kind: str,
    resource_id: str,
    *,
    problem: ImagingError | None = None,
    searched: dict[str, str] | None = None,
    ids: list[str] | None = None,
    is_cut: bool = False,
) -> Response:
    reference = f"{TYPES[kind]}/{resource_id}"
    decision = services().worklist.decision(reference, caller(), searched=ids or ())
    decision = replace(decision, part=part_meant(kind))
    values = {
        "decision": decision,
        "address": f"/chart/{kind}/{resource_id}",
        "problem": FASTER if isinstance(problem, VersionConflict) else str(problem or ""),
        "searched": searched or {},
        "is_cut": is_cut,
        "found": len(ids or ()),
    }
    status = problem.status if problem else HTTPStatus.OK
    if kind == "held":
        held_page = services().image_pages.held(resource_id)
        return page("held_item.html", status, page=held_page, **values)
    return page("move.html", status, patient=patient_at(kind, resource_id), **values)


def patient_now(told: Told) -> PatientCard | None:
    """Whose chart the image is in since, as far as it still is."""
    resource_type, _, resource_id = told.targets[0].partition("/")
    kind = next((kind for kind, type_ in TYPES.items() if type_ == resource_type), "held")
    if told.is_undone or kind == "held":
        return None
    try:
        return patient_at(kind, resource_id)
    except (ResourceNotFound, ResourceDeleted):
        return None


def patient_at(kind: str, resource_id: str) -> PatientCard:
    """Whose chart a filed image is in."""
    pages = services().image_pages
    if kind == "studies":
        return pages.study(resource_id).patient
    return pages.document(resource_id, page=1).patient


def address_of(reference: str) -> str:
    resource_type, _, resource_id = reference.partition("/")
    return f"/chart/held/{resource_id}" if resource_type == "Task" else page_of(reference)


def asked_in(given: Mapping[str, str]) -> Asked:
    tokens = {name: given[name][:LONGEST_INPUT] for name in FILTERS if given.get(name)}
    days, last = given.get("days", ""), given.get("last", "")
    return Asked(
        tokens=tokens,
        days=int(days) if days in map(str, DAYS) else 0,
        last=int(last) if last.isdecimal() and len(last) < LONGEST_KEY else None,
    )


def filters(choices: Mapping[str, Sequence[str]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each filter with its values, and these in words."""
    return [
        (name, [(value, WORDS.get(name, str)(value)) for value in values])
        for name, values in choices.items()
    ]


def reason() -> str:
    return request.form.get("reason", "").strip()[:LONGEST_INPUT]


def part_meant(kind: str) -> Part | None:
    """The series or single images of a study that are to be moved alone."""
    if kind != "studies":
        return None
    series, instances = (
        tuple(uid[:LONGEST_UID] for uid in request.values.getlist(name) if uid)
        for name in ("series", "instance")
    )
    return Part(series=series, instances=instances) if series or instances else None
