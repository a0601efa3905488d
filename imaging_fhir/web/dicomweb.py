"""WADO-RS (PS3.18 10.4): studies, series and instances, and their metadata."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Protocol

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.archive import zip_archive
from imaging_fhir.dicomweb.media_type import (
    DICOM,
    ZIP,
    DicomForm,
    data_set_type,
    dicom_form,
)
from imaging_fhir.dicomweb.metadata import with_bulk_data_base
from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    NotAcceptable,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.services.coercion import Identity
from imaging_fhir.services.frames import Frames
from imaging_fhir.services.retrieve import Described, DicomFile, Retrieve, StoredInstance
from imaging_fhir.services.transcoding import Transcoding
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.dicomweb_answers import (
    accepted,
    answer,
    answer_errors,
    base,
    data_sets_answer,
    ranged_answer,
    related_answer,
)

bp = Blueprint("dicomweb", __name__, url_prefix="/dicomweb")
answer_errors(bp)

UID = re.compile(r"[0-9.]{1,64}")
STUDY = "/studies/<study>"
SERIES = f"{STUDY}/series/<series>"
INSTANCE = f"{SERIES}/instances/<instance>"


class HasKey(Protocol):
    @property
    def pk(self) -> int: ...


@bp.get(STUDY)
@bp.get(SERIES)
@bp.get(INSTANCE)
def retrieve_instances(
    study: str, series: str | None = None, instance: str | None = None
) -> Response:
    """10.4.1.1.1: in a multipart body or an archive, or one alone as application/dicom."""
    instances = visible_instances(study, series, instance)
    form = dicom_form(accepted(), single=instance is not None)
    if is_known_to_client(instances):
        return not_modified(instances)
    require_form(instances, form)
    if form.is_zip:
        return archive_answer(instances, form)
    return parts_answer(instances, form) if form.is_multipart else file_answer(instances[0], form)


def visible_instances(study: str, series: str | None, instance: str | None) -> list[StoredInstance]:
    """Raise AccessDenied, InvalidRequest, ResourceNotFound."""
    original = wants_original(study, series, instance)
    return retrieve().instances(study, series, instance, original=original)


def wants_original(*uids: str | None) -> bool:
    """Of a corrected study, what came instead of what is served; raise what the request is
    refused with."""
    services().access.require(caller(), "read", "ImagingStudy")
    for uid in uids:
        if uid is not None and not UID.fullmatch(uid):
            raise InvalidRequest("The address has something else than a UID in the place of one.")
    original = request.args.get("original") == "true"
    if original:
        services().access.require(caller(), "read-original", "ImagingStudy")
    return original


def retrieve() -> Retrieve:
    restrictions = services().access.restrictions(caller(), "r")
    return Retrieve(services().database, services().blobs, restrictions)


def transcoding() -> Transcoding:
    frames = Frames(database=services().database, store=services().blobs)
    return Transcoding(retrieve=retrieve(), frames=frames)


def require_form(instances: Sequence[StoredInstance], form: DicomForm) -> None:
    """Raise NotAcceptable where an instance goes into none of the transfer syntaxes asked for."""
    known = transcoding()
    for instance in instances:
        stored = instance.transfer_syntax_uid
        if form.chosen(stored, known.possible(instance)) is None:
            raise NotAcceptable(
                f"An instance in {stored} goes into none of the transfer syntaxes asked for: "
                f'ask for type="{DICOM}"; transfer-syntax=*.',
                expression="http.Accept",
            )


def file_in(known: Transcoding, instance: StoredInstance, form: DicomForm) -> tuple[DicomFile, str]:
    """The file in the form asked for, and its transfer syntax.

    What turns out not to go into it is sent as stored if that is taken too.
    """
    stored = instance.transfer_syntax_uid
    target = form.chosen(stored, known.possible(instance)) or stored
    if target != stored:
        try:
            return known.file(instance, target)
        except (UnsupportedImage, UnreadableImage) as error:
            if not form.takes_as_stored:
                raise refused(error) from error
    return known.retrieve.file(instance), stored


def refused(error: ImagingError) -> ImagingError:
    if isinstance(error, UnsupportedImage):
        return NotAcceptable(str(error), expression="http.Accept")
    return error


def parts_answer(instances: Sequence[StoredInstance], form: DicomForm) -> Response:
    known, root = transcoding(), base()  # while there is a request: the answer outlives it
    files = (file_in(known, instance, form) for instance in instances)
    first = next(files)  # before the status is said: after it, a fault can only cut the answer
    contents = zip(instances, chain([first], files), strict=True)
    response = related_answer(
        DICOM,
        (
            (part_headers(root, instance, syntax), file.chunks())
            for instance, (file, syntax) in contents
        ),
        lengths(known, root, instances) if is_as_stored(known, instances, form) else None,
    )
    response.headers["ETag"] = etag(instances)
    response.call_on_close(first[0].stream.close)
    return response


def archive_answer(instances: Sequence[StoredInstance], form: DicomForm) -> Response:
    """Of Part 10 files, a folder for each series; one that fails half-way lacks its end."""
    known = transcoding()
    files = (file_in(known, instance, form)[0] for instance in instances)
    first = next(files)  # before the status is said
    contents = zip(instances, chain([first], files), strict=True)
    response = answer(
        zip_archive((name_in_archive(one), file.chunks()) for one, file in contents),
        content_type=ZIP,
    )
    name = f"{instances[0].study_instance_uid}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["ETag"] = etag(instances)
    response.call_on_close(first.stream.close)
    return response


def name_in_archive(instance: StoredInstance) -> str:
    return f"{instance.series_instance_uid}/{instance.sop_instance_uid}.dcm"


def is_as_stored(known: Transcoding, instances: Sequence[StoredInstance], form: DicomForm) -> bool:
    return all(
        form.chosen(one.transfer_syntax_uid, known.possible(one)) == one.transfer_syntax_uid
        for one in instances
    )


def lengths(
    known: Transcoding, root: str, instances: Sequence[StoredInstance]
) -> Iterator[tuple[dict[str, str], int]]:
    return (
        (part_headers(root, one, one.transfer_syntax_uid), known.retrieve.size(one))
        for one in instances
    )


def part_headers(root: str, instance: StoredInstance, syntax: str) -> dict[str, str]:
    return {"Content-Type": content_type(syntax), "Content-Location": address(root, instance)}


def content_type(syntax: str) -> str:
    return f"{DICOM}; transfer-syntax={syntax}"


def address(root: str, instance: StoredInstance) -> str:
    return (
        f"{root}/studies/{instance.study_instance_uid}"
        f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}"
    )


def file_answer(instance: StoredInstance, form: DicomForm) -> Response:
    file, syntax = file_in(transcoding(), instance, form)
    return ranged_answer(
        file.stream, file.pieces, content_type=content_type(syntax), etag=etag([instance])
    )


@bp.get(f"{STUDY}/metadata")
@bp.get(f"{SERIES}/metadata")
@bp.get(f"{INSTANCE}/metadata")
def retrieve_metadata(
    study: str, series: str | None = None, instance: str | None = None
) -> Response:
    """10.4.1.1.2: of each instance DICOM JSON, or XML, from the index alone."""
    original = wants_original(study, series, instance)
    found = retrieve().described(study, series, instance, original=original)
    media_type, known = data_set_type(accepted()), tag(found.rows, found.identity)
    if request.if_none_match.contains_weak(known):
        return unchanged(f'W/"{known}"')
    response = data_sets_answer(media_type, metadata(found))
    response.headers["ETag"] = f'W/"{known}"'
    return response


def metadata(found: Described) -> Iterator[bytes]:
    of_study = f"{base()}/studies/{found.study_instance_uid}"
    return (
        with_bulk_data_base(
            json, f"{of_study}/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
        )
        for one, json in retrieve().metadata(found)
    )


def etag(instances: Sequence[StoredInstance]) -> str:
    return f'W/"{tag(instances, instances[0].identity)}"'


def tag(instances: Sequence[HasKey], identity: Identity | None) -> str:
    """An instance never changes, and none gets the key of another: so their number and last key.

    In a corrected study, with the identity that they are given.
    """
    known = f"{len(instances)}-{max(one.pk for one in instances)}"
    return f"{known}-{identity.digest}" if identity else known


def is_known_to_client(instances: Sequence[StoredInstance]) -> bool:
    return request.if_none_match.contains_weak(tag(instances, instances[0].identity))


def not_modified(instances: Sequence[StoredInstance]) -> Response:
    return unchanged(etag(instances))


def unchanged(known: str) -> Response:
    response = answer(b"", 304, content_type=DICOM)
    del response.headers["Content-Type"]
    response.headers["ETag"] = known
    return response
