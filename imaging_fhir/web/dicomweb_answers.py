"""What all DICOMweb answers have in common: what is accepted, whose address, and errors in JSON."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from imaging_fhir.dicomweb.media_type import (
    DICOM_JSON,
    DICOM_XML,
    RELATED,
    MediaRange,
    media_ranges,
)
from imaging_fhir.dicomweb.metadata import json_array
from imaging_fhir.dicomweb.multipart import (
    Headers,
    new_boundary,
    related_body,
    related_length,
)
from imaging_fhir.dicomweb.xml import to_xml
from imaging_fhir.errors import ImagingError, StorageUnavailable
from imaging_fhir.images.pieces import Piece, chunks_of, part_of, size_of
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.web.context import services
from imaging_fhir.web.errors import RETRY_SECONDS
from imaging_fhir.web.ranges import wanted_part
from imaging_fhir.web.responses import Answer

logger = logging.getLogger(__name__)

Body = bytes | Iterator[bytes]


def base() -> str:
    """The public address of the DICOMweb base."""
    return services().settings.public_address + "/dicomweb"


def accepted() -> tuple[MediaRange, ...]:
    """The `accept` parameter beats the header (PS3.18 8.3.3.1), a `+` unescaped or not."""
    parameter = request.args.get("accept", "").replace("dicom json", "dicom+json")
    return media_ranges(parameter or request.headers.get("Accept", ""))


def answer(body: Body, status: int = 200, *, content_type: str) -> Response:
    response = Answer(body, status, content_type=content_type)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def related_answer(
    media_type: str,
    contents: Iterable[tuple[Headers, Iterable[bytes]]],
    lengths: Iterable[tuple[Headers, int]] | None,
) -> Response:
    """Streamed, with its length said before: so nobody takes one that fails half-way for whole.

    Where the length is not known, one that fails lacks the end that HTTP's chunks have.
    """
    boundary = new_boundary()
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    response = answer(related_body(boundary, contents), content_type=content_type)
    if lengths is not None:
        response.content_length = related_length(boundary, lengths)
    return response


def ranged_answer(
    stream: BinaryIO, pieces: Sequence[Piece], *, content_type: str, etag: str
) -> Response:
    """All of it, or the part that the Range header asks for; the stream is closed at its end."""
    size = size_of(pieces)
    start, stop = wanted_part(size, (etag,))
    is_part = (start, stop) != (0, size)
    wanted = part_of(pieces, start, stop) if is_part else pieces
    response = answer(
        closing(stream, chunks_of(stream, wanted)),
        206 if is_part else 200,
        content_type=content_type,
    )
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = etag
    if is_part:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response.call_on_close(stream.close)
    return response


def closing(stream: BinaryIO, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces that are read from the stream, which is closed after the last one."""
    with stream:
        yield from pieces


def data_sets_answer(media_type: str, data_sets: Iterable[bytes]) -> Response:
    """Data sets in DICOM JSON, as they are or in XML, each as it comes."""
    if media_type == DICOM_JSON:
        return answer(json_array(data_sets), content_type=DICOM_JSON)
    boundary = new_boundary()
    parts = (({"Content-Type": DICOM_XML}, [to_xml(decode(one))]) for one in data_sets)
    content_type = f'{RELATED}; type="{DICOM_XML}"; boundary={boundary}'
    return answer(related_body(boundary, parts), content_type=content_type)


def answer_errors(bp: Blueprint) -> None:
    """Of this blueprint, as `{"error": ...}`: PS3.18 leaves the form open."""
    bp.register_error_handler(ImagingError, answer_expected)
    bp.register_error_handler(HTTPException, answer_http)
    bp.register_error_handler(Exception, answer_fault)


def answer_expected(error: ImagingError) -> Response:
    response = error_answer(error.status, str(error))
    if error.status == StorageUnavailable.status:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


def answer_http(error: HTTPException) -> Response:
    """Flask's own errors, such as a body that ends too early."""
    response = error_answer(error.code or 500, error.name)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def answer_fault(error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    return answer_expected(ImagingError("The server failed; the fault was logged."))


def error_answer(status: int, message: str) -> Response:
    return answer(encode({"error": message}), status, content_type="application/json")
