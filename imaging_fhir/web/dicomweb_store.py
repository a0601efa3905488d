"""STOW-RS (PS3.18 10.5): instances come in as application/dicom, each judged by itself."""

from collections.abc import Iterator

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.media_type import DICOM, DICOM_JSON, RELATED, require_dicom_json
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
from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    UnsupportedImage,
    UnsupportedMediaType,
)
from imaging_fhir.images import HEAD_LENGTH
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.model.codec import encode
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.web import streams
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.dicomweb import UID
from imaging_fhir.web.dicomweb_answers import accepted, answer, answer_errors, base
from imaging_fhir.web.errors import RETRY_SECONDS

bp = Blueprint("dicomweb_store", __name__, url_prefix="/dicomweb")
answer_errors(bp)


@bp.post("/studies")
@bp.post("/studies/<study>")
def store_instances(study: str | None = None) -> Response:
    """10.5.1; with a study in the address, instances of another one fail."""
    services().access.require(caller(), "create", "ImagingStudy")
    require_dicom_json(accepted())
    if study is not None and not UID.fullmatch(study):
        raise InvalidRequest("The address has something else than a UID in the place of one.")
    results = [result(stored_outcome(part, study), study) for part in instances_sent()]
    if not results:
        raise InvalidRequest("The body has no instance.")
    return results_answer(results)


def instances_sent() -> Iterator[Part | Iterator[bytes]]:
    """The parts of the body, or the one instance that it is; raise UnsupportedMediaType."""
    media_type, parameters = split_media_type(request.content_type or "")
    if media_type == DICOM:
        yield streams.sent(request)
    elif media_type == RELATED and parameters.get("type", DICOM).lower() == DICOM:
        yield from parts(request.stream, request.content_type or "")
    else:
        raise UnsupportedMediaType(
            f'Instances come as {RELATED}; type="{DICOM}", or one alone as {DICOM}.',
            expression="http.Content-Type",
        )


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


def results_answer(results: list[Stored | Failed]) -> Response:
    stored = [one for one in results if isinstance(one, Stored)]
    failed = [one for one in results if isinstance(one, Failed)]
    status = store_status(stored, failed)
    body = store_response(stored, failed, retrieve_url=common_address(stored))
    response = answer(encode(body), status, content_type=DICOM_JSON)
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
