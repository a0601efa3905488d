"""WADO-RS (PS3.18 10.4.1.1.6): frames of an instance, as stored or in another form."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from flask import Blueprint, Response

from imaging_fhir.dicomweb.frame_form import FrameForm, frame_forms, own_type
from imaging_fhir.dicomweb.media_type import EXPLICIT_VR_LITTLE_ENDIAN, RELATED
from imaging_fhir.errors import InvalidRequest, NotAcceptable, ResourceNotFound, UnsupportedImage
from imaging_fhir.images.transcode import TARGETS
from imaging_fhir.services.frames import Frames, OpenFrames
from imaging_fhir.web.context import services
from imaging_fhir.web.dicomweb import (
    INSTANCE,
    address,
    etag,
    is_known_to_client,
    not_modified,
    visible_instances,
)
from imaging_fhir.web.dicomweb_answers import (
    accepted,
    answer_errors,
    base,
    closing,
    ranged_answer,
    related_answer,
)

bp = Blueprint("dicomweb_frames", __name__, url_prefix="/dicomweb")
answer_errors(bp)

FRAME_LIST = re.compile(r"[0-9]{1,10}(,[0-9]{1,10})*")
MAX_FRAMES = 10_000  # in one request


@bp.get(f"{INSTANCE}/frames/<frames>")
def retrieve_frames(study: str, series: str, instance: str, frames: str) -> Response:
    """One alone or in parts, some in parts, in the order in which they are asked for."""
    numbers = frame_numbers(frames)
    [stored] = visible_instances(study, series, instance)
    if is_known_to_client([stored]):
        return not_modified([stored])
    with stored_frames().opened(stored) as opened:
        response = frames_answer(opened, numbers)
    response.headers["ETag"] = etag([stored])
    response.call_on_close(opened.stream.close)
    return response


def stored_frames() -> Frames:
    return Frames(database=services().database, store=services().blobs)


def frame_numbers(text: str) -> list[int]:
    """Raise InvalidRequest, ResourceNotFound for a frame that no instance has."""
    if not FRAME_LIST.fullmatch(text):
        raise InvalidRequest("Frames are numbers from 1 on, separated by commas.")
    numbers = [int(number) for number in text.split(",")]
    if len(numbers) > MAX_FRAMES:
        raise InvalidRequest(f"At most {MAX_FRAMES} frames are sent at once.")
    if 0 in numbers:
        raise ResourceNotFound("There is no frame 0: the first one is 1.")
    return numbers


def frames_answer(opened: OpenFrames, numbers: Sequence[int]) -> Response:
    """In the form that is accepted best of those that can be made; raise NotAcceptable."""
    stored = opened.transfer_syntax
    for form in frame_forms(accepted(), stored, single=len(numbers) == 1):
        if form.transfer_syntax == stored:
            return stored_answer(opened, numbers, form)
        if form.transfer_syntax in TARGETS:
            with suppress(UnsupportedImage):
                return converted_answer(opened, numbers, form)
    own = FrameForm(is_multipart=True, media_type=own_type(stored), transfer_syntax=stored)
    raise NotAcceptable(
        f"These frames can be sent as {RELATED}; type={own.media_type}; "
        f"transfer-syntax={own.transfer_syntax}{', alone if it is one' * (len(numbers) == 1)}.",
        expression="http.Accept",
    )


def stored_answer(opened: OpenFrames, numbers: Sequence[int], form: FrameForm) -> Response:
    if not form.is_multipart:
        pieces, tag = opened.pieces(numbers[0]), etag([opened.instance])
        return ranged_answer(opened.stream, pieces, content_type=form.content_type, etag=tag)
    headers = [part_headers(opened, number, form) for number in numbers]
    response = related_answer(
        form.media_type,
        ((head, opened.chunks(number)) for head, number in zip(headers, numbers, strict=True)),
        zip(headers, opened.sizes(numbers), strict=True),
    )
    response.response = closing(opened.stream, response.iter_encoded())
    return response


def converted_answer(opened: OpenFrames, numbers: Sequence[int], form: FrameForm) -> Response:
    """The first frame is there before the status is said: after it, a fault can only cut."""
    made = opened.converted(numbers, form.transfer_syntax)
    frames = (frame for some in made for frame in some.frames)
    first = next(frames)
    if not form.is_multipart:
        tag = etag([opened.instance])
        return ranged_answer(opened.stream, [first], content_type=form.content_type, etag=tag)
    headers = [part_headers(opened, number, form) for number in numbers]
    is_known = form.transfer_syntax == EXPLICIT_VR_LITTLE_ENDIAN or len(numbers) == 1
    response = related_answer(
        form.media_type,
        ((head, [frame]) for head, frame in zip(headers, chain([first], frames), strict=True)),
        ((head, len(first)) for head in headers) if is_known else None,
    )
    response.response = closing(opened.stream, response.iter_encoded())
    return response


def part_headers(opened: OpenFrames, number: int, form: FrameForm) -> dict[str, str]:
    location = f"{address(base(), opened.instance)}/frames/{number}"
    return {"Content-Type": form.content_type, "Content-Location": location}
