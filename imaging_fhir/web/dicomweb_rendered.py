"""WADO-RS (PS3.18 10.4.1.1.3 and 10.4.1.1.4): rendered pictures and thumbnails."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.media_type import MediaRange
from imaging_fhir.dicomweb.rendered_parameters import (
    rendered_form,
    rendered_parameters,
    thumbnail_viewport,
)
from imaging_fhir.errors import (
    InvalidRequest,
    NotAcceptable,
    StorageUnavailable,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.images.decode import DecodingEnded, run_limited
from imaging_fhir.images.rendering import PATIENCE_SECONDS, can_make_video
from imaging_fhir.images.report_html import report_html
from imaging_fhir.model.rendering import CINE_TYPES, STILL_TYPES, Rendering, Viewport
from imaging_fhir.services.pictures import DICOM, SIZES
from imaging_fhir.services.rendered import PRESENTATION_STATES, Question, Rendered
from imaging_fhir.services.representative import NONE_STANDS_FOR_IT
from imaging_fhir.services.retrieve import StoredInstance
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.dicomweb import INSTANCE, SERIES, STUDY, UID, retrieve, visible_instances
from imaging_fhir.web.dicomweb_answers import (
    accepted,
    answer,
    answer_errors,
    base,
    closing,
    related_answer,
)
from imaging_fhir.web.dicomweb_frames import frame_numbers

T = TypeVar("T")
MediaTypes = Sequence[MediaRange] | None  # the best first; None: those that Accept has

bp = Blueprint("dicomweb_rendered", __name__, url_prefix="/dicomweb")
answer_errors(bp)

MAX_STILLS = 100  # in one answer
THUMBNAIL = Viewport(width=SIZES["thumbnail"], height=SIZES["thumbnail"])
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # what all structured reports' classes begin with
ENCAPSULATED_DOCUMENT = "00420011"
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
NO_FFMPEG = " video/mp4 needs the program ffmpeg, which is not installed on this server."


@bp.get(f"{STUDY}/rendered")
@bp.get(f"{SERIES}/rendered")
def retrieve_rendered_representative(study: str, series: str | None = None) -> Response:
    """The picture of the one instance that stands for the study or series."""
    stored = representative(study, series)
    return rendered_answer(stored, None)


@bp.get(f"{INSTANCE}/rendered")
def retrieve_rendered_instance(study: str, series: str, instance: str) -> Response:
    [stored] = visible_instances(study, series, instance)
    return rendered_answer(stored, None)


@bp.get(f"{INSTANCE}/frames/<frames>/rendered")
def retrieve_rendered_frames(study: str, series: str, instance: str, frames: str) -> Response:
    numbers = tuple(frame_numbers(frames))
    [stored] = visible_instances(study, series, instance)
    return rendered_answer(stored, numbers)


@bp.get(f"{STUDY}/thumbnail")
@bp.get(f"{SERIES}/thumbnail")
def retrieve_thumbnail_of_representative(study: str, series: str | None = None) -> Response:
    return thumbnail_answer(representative(study, series), 0)


@bp.get(f"{INSTANCE}/thumbnail")
def retrieve_thumbnail_of_instance(study: str, series: str, instance: str) -> Response:
    [stored] = visible_instances(study, series, instance)
    return thumbnail_answer(stored, 0)


@bp.get(f"{INSTANCE}/frames/<frames>/thumbnail")
def retrieve_thumbnail_of_frames(study: str, series: str, instance: str, frames: str) -> Response:
    """Of the first frame of the list: a thumbnail is one picture."""
    number = frame_numbers(frames)[0]
    [stored] = visible_instances(study, series, instance)
    return thumbnail_answer(stored, number)


def representative(study: str, series: str | None) -> StoredInstance:
    """Raise AccessDenied, InvalidRequest, ResourceNotFound."""
    services().access.require(caller(), "read", "ImagingStudy")
    for uid in (study, series):
        if uid is not None and not UID.fullmatch(uid):
            raise InvalidRequest("The address has something else than a UID in the place of one.")
    with services().database.read() as connection:
        retrieve().require_open(connection, study, NONE_STANDS_FOR_IT)
    in_series, instance = rendering_service().representative(study, series)
    [stored] = visible_instances(study, in_series, instance)
    return stored


def rendering_service() -> Rendered:
    return Rendered(database=services().database, store=services().blobs)


def rendered_answer(stored: StoredInstance, frames: tuple[int, ...] | None) -> Response:
    asked = rendered_parameters(request.args)
    response = (
        pdf_answer(stored)
        if stored.sop_class_uid == PDF
        else report_answer(stored)
        if stored.sop_class_uid.startswith(REPORTS)
        else image_answer(stored, asked.rendering, frames)
    )
    for ignored in asked.ignored:
        warning = f'299 {base()} "{ignored} is not supported and has been ignored."'
        response.headers.add("Warning", warning)
    return response


def image_answer(
    stored: StoredInstance,
    rendering: Rendering,
    frames: tuple[int, ...] | None,
    media_types: MediaTypes = None,
) -> Response:
    is_movie = (stored.number_of_frames or 1) > 1 and (frames is None or len(frames) > 1)
    makes_video = can_make_video()
    form = rendered_form(
        media_types or accepted(),
        offers(is_movie=is_movie, makes_video=makes_video),
        without=NO_FFMPEG if is_movie and not makes_video else "",
    )
    is_cine = is_movie and form.media_type in CINE_TYPES
    if frames is not None and not is_cine and len(frames) > MAX_STILLS:
        raise InvalidRequest(f"At most {MAX_STILLS} pictures are sent at once.")
    question = rendering_service().question(
        stored,
        replace(rendering, media_type=form.media_type),
        frames=frames,
        state=presentation_state(stored),
        is_cine=is_cine,
    )
    return pictures_answer(question, is_multipart=form.is_multipart)


def offers(*, is_movie: bool, makes_video: bool) -> tuple[str, ...]:
    video = CINE_TYPES if makes_video else CINE_TYPES[:1]
    return tuple(dict.fromkeys((*STILL_TYPES, *video))) if is_movie else STILL_TYPES


def presentation_state(stored: StoredInstance) -> StoredInstance | None:
    """The one that the query names as WADO-URI does (PS3.18 9.1.2.3.9), both its UIDs."""
    instance = request.args.get("presentationUID")
    series = request.args.get("presentationSeriesUID")
    if instance is None and series is None:
        return None
    if not instance or not series:
        raise InvalidRequest(
            "presentationUID and presentationSeriesUID are given together.",
            expression="http.presentationUID",
        )
    [state] = visible_instances(stored.study_instance_uid, series, instance)
    if state.sop_class_uid not in PRESENTATION_STATES:
        raise InvalidRequest(
            "presentationUID is of no presentation state that is shown here.",
            expression="http.presentationUID",
        )
    return state


def pictures_answer(question: Question, *, is_multipart: bool) -> Response:
    etag = question.etag
    if etag in request.if_none_match:
        return with_headers(answer(b"", 304, content_type=""), etag)
    service = rendering_service()
    answered = made(lambda: service.answer(question))
    pictures = answered.pictures
    if is_multipart or len(pictures) > 1:
        media_type = pictures[0].media_type
        parts = [({"Content-Type": media_type}, picture.content) for picture in pictures]
        response = related_answer(
            media_type,
            ((headers, [content]) for headers, content in parts),
            ((headers, len(content)) for headers, content in parts),
        )
    else:
        response = answer(pictures[0].content, content_type=pictures[0].media_type)
    if answered.is_new:
        response.call_on_close(answered.keep)
    return with_headers(response, etag)


def made(make: Callable[[], T]) -> T:
    """What cannot be shown in any media type is 406; what may go well another time is 503."""
    try:
        return make()
    except DecodingEnded as error:
        raise StorageUnavailable(str(error)) from error
    except (UnsupportedImage, UnreadableImage) as error:
        raise NotAcceptable(f"It cannot be rendered: {error}") from error


def with_headers(response: Response, etag: str) -> Response:
    """For one person alone, and asked about each time: a 304 is judged like the picture."""
    if response.status_code == 304:
        del response.headers["Content-Type"]
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Security-Policy"] = SANDBOX
    return response


def pdf_answer(stored: StoredInstance, media_types: MediaTypes = None) -> Response:
    """The document of an Encapsulated PDF as it is."""
    form = rendered_form(media_types or accepted(), ("application/pdf",))
    etag = f"{stored.pk}-pdf"
    if etag in request.if_none_match:
        return with_headers(answer(b"", 304, content_type=""), etag)
    stream, value = retrieve().bulk_data(stored, ENCAPSULATED_DOCUMENT)
    response = answer(closing(stream, value.chunks()), content_type=form.media_type)
    response.content_length = value.size()
    response.call_on_close(stream.close)
    return with_headers(response, etag)


def report_answer(stored: StoredInstance, media_types: MediaTypes = None) -> Response:
    """A structured report as a page of text."""
    form = rendered_form(media_types or accepted(), ("text/html",))
    is_corrected = stored.identity is not None
    etag = f"{stored.pk}-html-{'corrected' if is_corrected else 'own'}"
    if etag in request.if_none_match:
        return with_headers(answer(b"", 304, content_type=""), etag)
    with services().blobs.local(stored.blob) as path:
        page = made(lambda: run_limited(report_html, path, is_corrected, patience=PATIENCE_SECONDS))
    response = answer(page, content_type=f"{form.media_type}; charset=utf-8")
    return with_headers(response, etag)


def thumbnail_answer(stored: StoredInstance, frame: int) -> Response:
    """A small picture, made once and kept; of another size or type, as `/rendered` makes it."""
    viewport = thumbnail_viewport(request.args)
    media_type = rendered_form(accepted(), STILL_TYPES).media_type
    if stored.sop_class_uid in PRESENTATION_STATES or not (
        viewport is None and media_type == STILL_TYPES[0]
    ):
        rendering = Rendering(media_type=media_type, viewport=viewport or THUMBNAIL)
        question = rendering_service().question(
            stored, rendering, frames=(frame,) if frame else None
        )
        return pictures_answer(question, is_multipart=False)
    etag = f"{stored.pk}-thumbnail-{frame}"
    if etag in request.if_none_match:
        return with_headers(answer(b"", 304, content_type=""), etag)
    pictures = services().image_pages.pictures
    found = made(lambda: pictures.picture(stored.blob_pk, DICOM, "thumbnail", frame=frame))
    return with_headers(answer(found.body or b"", content_type=found.media_type), etag)
