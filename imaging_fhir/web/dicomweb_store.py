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
from imaging_fhir.dicomweb.multipart import Part, parts, split_media_type
from imaging_fhir.dicomweb.store_response import (
    HELD,
    OTHER_STUDY,
    Failed,
    Stored,
    failure_reason,
    store_response,
    store_status,
)
from imaging_fhir.dicomweb.xml import to_xml
from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    UnsupportedImage,
    UnsupportedMediaType,
)
from imaging_fhir.images import HEAD_LENGTH
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.codec import encode
from imaging_fhir.model.study import DicomJson
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.web import streams
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.dicomweb import UID
from imaging_fhir.web.dicomweb_answers import accepted, answer, answer_errors, base
from imaging_fhir.web.dicomweb_parts import METADATA, put_aside
from imaging_fhir.web.errors import RETRY_SECONDS

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
    results = list(results_of_body(study))
    if not results:
        raise InvalidRequest("The body has no instance.")
    return results_answer(results, media_type)


def results_of_body(study: str | None) -> Iterator[Stored | Failed]:
    """Of each instance in the body; raise UnsupportedMediaType."""
    media_type, parameters = split_media_type(request.content_type or "")
    kind = parameters.get("type", DICOM).lower() if media_type == RELATED else media_type
    if media_type == DICOM:
        yield result(stored_outcome(streams.sent(request), study), study)
    elif kind == DICOM:
        for part in parts(request.stream, request.content_type or ""):
            yield result(stored_outcome(part, study), study)
    elif media_type == RELATED and kind in METADATA:
        body = parts(request.stream, request.content_type or "")
        with put_aside(body, kind, limit=services().ingest.max_bytes) as sent:
            for metadata in sent.metadata:
                yield result_of_metadata(metadata, sent.bulk, study)
    else:
        raise UnsupportedMediaType(
            f'Instances come as {RELATED}; type="{DICOM}", "{DICOM_JSON}" or "{DICOM_XML}", '
            f"or one alone as {DICOM}.",
            expression="http.Content-Type",
        )


def result_of_metadata(metadata: DicomJson, bulk: BulkParts, study: str | None) -> Stored | Failed:
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
    return result(stored_outcome(chunks_of(pieces), study), study)


def stored_outcome(sent: Part | Iterator[bytes], study: str | None) -> Outcome:
    if isinstance(sent, Part):
        if sent.content_type not in ("", DICOM):
            error = UnsupportedMediaType(f"A part is not {DICOM}.")
            return Outcome(status=error.status, error=error)
        sent = sent.chunks
    return services().ingest.ingest(
        only_dicom(sent), source=source_of_caller(), expected_study=study
    )


def only_dicom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; raise UnsupportedImage where they begin as something else than DICOM."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD_LENGTH:
            break
    if not DicomReader().recognises(head[:HEAD_LENGTH]):
        raise UnsupportedImage("It is no DICOM object.")
    yield head
    yield from chunks


def result(outcome: Outcome, study: str | None) -> Stored | Failed:
    """All that the answer says of it: of many instances no more is kept in memory."""
    return failed_instance(outcome, study) if outcome.filed is None else stored_instance(outcome)


def results_answer(results: list[Stored | Failed], media_type: str) -> Response:
    stored = [one for one in results if isinstance(one, Stored)]
    failed = [one for one in results if isinstance(one, Failed)]
    status = store_status(stored, failed)
    body = store_response(stored, failed, retrieve_url=common_address(stored))
    written = encode(body) if media_type == DICOM_JSON else to_xml(body)
    response = answer(written, status, content_type=media_type)
    if status == 503:
        response.headers["Retry-After"] = RETRY_SECONDS
    return response


def stored_instance(outcome: Outcome) -> Stored:
    instance = outcome.instance
    if instance is None:
        raise ImagingError("What is no DICOM was stored as an instance.")
    is_held = outcome.status == 202
    return Stored(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        retrieve_url=None if is_held else instance_address(outcome, instance.sop_instance_uid),
        warning_reason=HELD if is_held else None,
        comment=outcome.message if is_held else "",
    )


def failed_instance(outcome: Outcome, study: str | None) -> Failed:
    error = outcome.error or ImagingError("Nothing was kept.")
    instance = outcome.instance
    found = outcome.study_instance_uid
    is_other_study = study is not None and found is not None and found != study
    return Failed(
        error=error,
        failure_reason=OTHER_STUDY if is_other_study else failure_reason(error),
        sop_class_uid=instance.sop_class_uid if instance else None,
        sop_instance_uid=instance.sop_instance_uid if instance else None,
    )


def instance_address(outcome: Outcome, sop_instance_uid: str) -> str:
    own = (outcome.study_instance_uid, outcome.series_instance_uid, sop_instance_uid)
    study, series, instance = (outcome.filed and outcome.filed.retrieved_as) or own
    return f"{base()}/studies/{study}/series/{series}/instances/{instance}"


def common_address(stored: list[Stored]) -> str | None:
    """Of the study that all instances went to, if it can be retrieved."""
    studies = {one.retrieve_url.partition("/series/")[0] for one in stored if one.retrieve_url}
    return studies.pop() if len(studies) == 1 else None
