"""STOW-RS (PS3.18 10.5): instances come in, each judged by itself.

They come as DICOM, or as metadata in JSON or XML with their bulk data in parts of their own.
"""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.assembly import BulkParts, assembled, chunks_of, uid_in
from imaging_fhir.dicomweb.media_type import (
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    RELATED,
    data_set_type,
)
from imaging_fhir.dicomweb.multipart import parts, split_media_type
from imaging_fhir.dicomweb.store_response import Failed, failure_reason
from imaging_fhir.errors import ImagingError, InvalidRequest, UnsupportedMediaType
from imaging_fhir.model.link import Given
from imaging_fhir.model.study import DicomJson
from imaging_fhir.web import streams
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.dicomweb import UID
from imaging_fhir.web.dicomweb_answers import accepted, answer, answer_errors
from imaging_fhir.web.dicomweb_parts import METADATA, put_aside
from imaging_fhir.web.errors import RETRY_SECONDS
from imaging_fhir.web.storing import Result, Storing, written
from imaging_fhir.web.wsgi import TAKEN

bp = Blueprint("dicomweb_store", __name__, url_prefix="/dicomweb")
answer_errors(bp)


@bp.post("/studies")
@bp.post("/studies/<study>")
def store_instances(study: str | None = None) -> Response:
    """10.5.1; with a study in the address, instances of another one fail."""
    services().access.require(caller(), "create", "ImagingStudy")
    media_type = data_set_type(accepted())
    if study is not None and not UID.fullmatch(study):
        raise InvalidRequest("The address has something else than a UID in the place of one.")
    taken = request.environ.get(TAKEN)
    results = list(results_of_body(study)) if taken is None else taken.results()
    if not results:
        raise InvalidRequest("The body has no instance.")
    return results_answer(results, media_type)


def results_of_body(study: str | None) -> Iterator[Result]:
    """Of each instance in the body; raise UnsupportedMediaType."""
    patient = services().access.patient_to_file(caller(), None)
    store = Storing(services(), source_of_caller(), study, Given(patient=patient))
    media_type, parameters = split_media_type(request.content_type or "")
    kind = parameters.get("type", DICOM).lower() if media_type == RELATED else media_type
    if media_type == DICOM:
        yield store.alone(streams.sent(request))
    elif kind == DICOM:
        yield from store.related(request.stream, request.content_type or "")
    elif media_type == RELATED and kind in METADATA:
        body = parts(request.stream, request.content_type or "")
        with put_aside(body, kind, limit=services().ingest.max_bytes) as sent:
            for metadata in sent.metadata:
                yield result_of_metadata(store, metadata, sent.bulk)
    else:
        raise UnsupportedMediaType(
            f'Instances come as {RELATED}; type="{DICOM}", "{DICOM_JSON}" or "{DICOM_XML}", '
            f"or one alone as {DICOM}.",
            expression="http.Content-Type",
        )


def result_of_metadata(store: Storing, metadata: DicomJson, bulk: BulkParts) -> Result:
    """The instance is put together, and taken in as if it had come so."""
    try:
        pieces = assembled(metadata, bulk)
    except ImagingError as error:
        return Failed(
            error=error,
            failure_reason=failure_reason(error),
            sop_class_uid=uid_in(metadata, "00080016"),
            sop_instance_uid=uid_in(metadata, "00080018"),
        )
    return store.alone(chunks_of(pieces))


def results_answer(results: list[Result], media_type: str) -> Response:
    status, body = written(results, media_type)
    response = answer(body, status, content_type=media_type)
    if status == 503:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response
