"""Thumbnails and previews over HTTP, each at its own address, made when it is first asked for."""

from flask import Blueprint, Response, request
from markupsafe import escape
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imaging_fhir.errors import (
    InvalidRequest,
    NotAcceptable,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.services.chart_image import Position
from imaging_fhir.services.chart_words import modality_name
from imaging_fhir.services.pictures import Kind
from imaging_fhir.storage.renditions import StoredRendition
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.fhir import allow
from imaging_fhir.web.responses import Answer

bp = Blueprint("pictures", __name__)

CACHE_SECONDS = 300
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Vary": "Accept",
}
PLACEHOLDER = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256" role="img">
<rect width="256" height="256" fill="#eef1f4"/>
<rect x="76" y="56" width="104" height="104" rx="6" fill="none" stroke="#5b6875" stroke-width="4"/>
<path d="M76 136l30-32 26 26 18-18 30 30" fill="none" stroke="#5b6875" stroke-width="4"/>
<text x="128" y="196" text-anchor="middle" font-family="sans-serif" font-size="18"
 font-weight="600" fill="#33404d">{name}</text>
<text x="128" y="222" text-anchor="middle" font-family="sans-serif" font-size="15"
 fill="#5b6875">no picture</text>
</svg>
"""


@bp.get("/fhir/Binary/<resource_id>/$thumbnail")
def thumbnail_of_binary(resource_id: str) -> Response:
    return binary_picture(resource_id, "thumbnail", 0)


@bp.get("/fhir/Binary/<resource_id>/$preview")
def preview_of_binary(resource_id: str) -> Response:
    """`frame`, from 1, is a page of a PDF or a frame of an animation."""
    return binary_picture(resource_id, "preview", number("frame") or 0)


@bp.get("/chart/studies/<study_id>/series/<uid>/thumbnail")
def thumbnail_of_series(study_id: str, uid: str) -> Response:
    return series_picture(study_id, uid, "thumbnail", None)


@bp.get("/chart/studies/<study_id>/series/<uid>/preview")
def preview_of_series(study_id: str, uid: str) -> Response:
    at = Position(image=number("image") or 1, frame=number("frame") or 1)
    return series_picture(study_id, uid, "preview", at)


@bp.get("/chart/documents/<resource_id>/thumbnail")
def thumbnail_of_document(resource_id: str) -> Response:
    return document_picture(resource_id, "thumbnail", 0)


@bp.get("/chart/documents/<resource_id>/preview")
def preview_of_document(resource_id: str) -> Response:
    return document_picture(resource_id, "preview", number("page") or 1)


@bp.get("/chart/held/<task_id>/thumbnail")
def thumbnail_of_held(task_id: str) -> Response:
    services().access.require(caller(), "read", "Task")
    try:
        blob, found = services().image_pages.held_picture(task_id)
    except (UnsupportedImage, UnreadableImage):
        return placeholder("Held image")
    return picture(blob, "thumbnail", 0, found)


def binary_picture(resource_id: str, kind: Kind, frame: int) -> Response:
    """Raise ResourceNotFound where the bytes are no image, NotAcceptable, ..."""
    allow("read", "Binary", resource_id)
    with services().database.read() as connection:
        services().resources.guard.require_seen(connection, "Binary", resource_id)
    try:
        blob, found = services().image_pages.binary_picture(resource_id, kind, frame=frame)
    except UnsupportedImage as error:
        raise ResourceNotFound(f"Binary/{resource_id} has no picture: {error}") from error
    require_accepted(found.media_type)
    return picture(blob, kind, frame, found)


def document_picture(resource_id: str, kind: Kind, page: int) -> Response:
    """As of its Binary, but with a drawing where there is no picture."""
    services().access.require(caller(), "read", "DocumentReference")
    services().access.require(caller(), "read", "Binary")
    try:
        blob, found = services().image_pages.document_picture(resource_id, kind, page=page)
    except (UnsupportedImage, UnreadableImage):
        return placeholder("Document")
    return picture(blob, kind, page, found)


def series_picture(study_id: str, uid: str, kind: Kind, at: Position | None) -> Response:
    services().access.require(caller(), "read", "ImagingStudy")
    pages = services().image_pages
    try:
        blob, found = pages.series_picture(study_id, uid, kind, at=at)
    except (UnsupportedImage, UnreadableImage):
        return placeholder(modality_name(pages.modality_of(study_id, uid)))
    return picture(blob, kind, 0 if at is None else at.frame, found)


def picture(blob: int, kind: str, frame: int, found: StoredRendition) -> Response:
    """Private: a shared cache must not hand one person's images to another."""
    response = Answer(found.body, headers=SAFE, content_type=found.media_type)
    response.set_etag(f"{blob}-{kind}-{frame}")
    response.cache_control.private = True
    response.cache_control.max_age = CACHE_SECONDS
    response.make_conditional(request)
    return response


def placeholder(name: str) -> Response:
    body = PLACEHOLDER.format(name=escape(name))
    response = Answer(body, headers=SAFE, content_type="image/svg+xml")
    response.cache_control.private = True
    response.cache_control.max_age = CACHE_SECONDS
    return response


def require_accepted(media_type: str) -> None:
    accepted = parse_accept_header(request.headers.get("Accept"), MIMEAccept)
    if accepted and not accepted.best_match([media_type]):
        raise NotAcceptable(f"The picture is {media_type}.", expression="http.Accept")


def number(name: str) -> int | None:
    """A whole number of the query, from 1; raise InvalidRequest."""
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise InvalidRequest(f"{name} is a whole number from 1.", expression=f"http.{name}")
    return int(text)
