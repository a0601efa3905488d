"""WADO-RS (PS3.18 10.4.1.1.5): the values that the metadata stands for by an address."""

import re
from typing import BinaryIO

from flask import Blueprint, Response

from imaging_fhir.dicomweb.frame_form import FrameForm
from imaging_fhir.dicomweb.media_type import compressed_bulk_form, plain_bulk_form
from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.images.bulk_data import BulkValue
from imaging_fhir.images.pieces import chunks_of, size_of
from imaging_fhir.services.retrieve import StoredInstance
from imaging_fhir.web.dicomweb import INSTANCE, retrieve, visible_instances
from imaging_fhir.web.dicomweb_answers import (
    accepted,
    answer,
    answer_errors,
    closing,
    related_answer,
)
from imaging_fhir.web.dicomweb_frames import stored_answer, stored_frames

bp = Blueprint("dicomweb_bulk", __name__, url_prefix="/dicomweb")
answer_errors(bp)

BULK_DATA_PATH = re.compile(r"([0-9A-F]{8}/[0-9]{1,6}/){0,64}[0-9A-F]{8}")
PIXEL_DATA = "7FE00010"


@bp.get(f"{INSTANCE}/bulkdata/<path:path>")
def retrieve_bulk_data(study: str, series: str, instance: str, path: str) -> Response:
    """10.4.1.1.5: the value that a BulkDataURI of the metadata stands for."""
    [stored] = visible_instances(study, series, instance)
    if not BULK_DATA_PATH.fullmatch(path.upper()):
        raise ResourceNotFound("This is no address of bulk data.")
    stream, value = retrieve().bulk_data(stored, path.upper())
    try:
        if value.length is None and path.upper() == PIXEL_DATA:
            stream.close()
            return all_frames(stored)
        response = bulk_answer(stored, stream, value)
    except BaseException:
        stream.close()
        raise
    response.response = closing(stream, response.iter_encoded())
    response.call_on_close(stream.close)
    return response


def bulk_answer(instance: StoredInstance, stream: BinaryIO, value: BulkValue) -> Response:
    if value.length is None:
        return compressed_answer(instance, stream, value)
    form = plain_bulk_form(accepted())
    size = value.size()
    if form.is_multipart:
        headers = {"Content-Type": form.media_type}
        return related_answer(form.media_type, [(headers, value.chunks())], [(headers, size)])
    response = answer(value.chunks(), content_type=form.media_type)
    response.content_length = size
    return response


def all_frames(instance: StoredInstance) -> Response:
    """Compressed pixel data: a part for each frame; a video may be asked for alone."""
    syntax = instance.transfer_syntax_uid
    form = compressed_bulk_form(accepted(), syntax)
    frame_form = FrameForm(
        is_multipart=form.is_multipart, media_type=form.media_type, transfer_syntax=syntax
    )
    with stored_frames().opened(instance) as opened:
        response = stored_answer(opened, range(1, opened.table.number + 1), frame_form)
    response.call_on_close(opened.stream.close)
    return response


def compressed_answer(instance: StoredInstance, stream: BinaryIO, value: BulkValue) -> Response:
    """What is in the fragments of one image, such as an icon."""
    syntax = instance.transfer_syntax_uid
    form = compressed_bulk_form(accepted(), syntax)
    headers = {"Content-Type": f"{form.media_type}; transfer-syntax={syntax}"}
    pieces = value.fragments(instance.blob.size)
    return related_answer(
        form.media_type,
        [(headers, chunks_of(stream, pieces))],
        [(headers, size_of(pieces))],
    )
