"""QIDO-RS (PS3.18 10.6): studies, series and instances are searched, at their level or over all."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, request

from imaging_fhir.dicomweb.media_type import data_set_type
from imaging_fhir.dicomweb.metadata import with_bulk_data_base
from imaging_fhir.dicomweb.query import Address, parse_query
from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import encode
from imaging_fhir.model.dicom_query import Level
from imaging_fhir.services.query_dicom import Found, QueryDicom
from imaging_fhir.web.context import caller, services
from imaging_fhir.web.dicomweb import UID
from imaging_fhir.web.dicomweb_answers import (
    accepted,
    answer,
    answer_errors,
    base,
    data_sets_answer,
)

bp = Blueprint("dicomweb_query", __name__, url_prefix="/dicomweb")
answer_errors(bp)

STUDY = "/studies/<study>"
Match = dict[str, dict[str, Any]]  # DICOM JSON


@bp.get("/studies")
def search_for_studies() -> Response:
    return search("study")


@bp.get("/series")
@bp.get(f"{STUDY}/series")
def search_for_series(study: str | None = None) -> Response:
    return search("series", study)


@bp.get("/instances")
@bp.get(f"{STUDY}/instances")
@bp.get(f"{STUDY}/series/<series>/instances")
def search_for_instances(study: str | None = None, series: str | None = None) -> Response:
    return search("instance", study, series)


def search(level: Level, study: str | None = None, series: str | None = None) -> Response:
    return search_answer(level, study, series, list(request.args.items(multi=True)))


def search_answer(
    level: Level,
    study: str | None,
    series: str | None,
    parameters: Sequence[tuple[str, str]],
    *,
    patient: str | None = None,
) -> Response:
    """10.6.1; 204 where nothing matches, or no more does (8.3.4.4.1), if the site says no other."""
    media_type = data_set_type(accepted())
    for uid in (study, series):
        if uid is not None and not UID.fullmatch(uid):
            raise InvalidRequest("The address has something else than a UID in the place of one.")
    settings = services().settings
    query = parse_query(
        Address(level=level, study=study, series=series),
        parameters,
        max_results=settings.max_page_size,
    )
    if patient is not None:
        services().access.require_patient(caller(), patient, "s")
    found = QueryDicom(services().database, services().access, settings).find(
        replace(query, patient=patient), caller(), base()
    )
    response = matches_answer(found, media_type)
    for text in (*query.warnings, *more(found)):
        response.headers.add("Warning", f"299 {base()}: {text}")
    return response


def matches_answer(found: Found, media_type: str) -> Response:
    if not found.count and services().settings.qido_empty_status == 204:
        response = answer(b"", 204, content_type=media_type)
        del response.headers["Content-Type"]
        return response
    items = (with_address(encode(one), one) for one in told_of(found.matches))
    return data_sets_answer(media_type, items)


def told_of(matches: Iterable[Match]) -> Iterable[Match]:
    """The audit trail is told whose they are before the first one leaves."""
    if not services().audit.is_on:
        return matches
    known = list(matches)
    g.audited_studies = list(dict.fromkeys(str(one["0020000D"]["Value"][0]) for one in known))
    return known


def with_address(json: bytes, match: Match) -> bytes:
    """Bulk data is below what is retrieved."""
    values = match["00081190"]["Value"]  # as dicomweb.query_answer has it
    assert isinstance(values, list)  # noqa: S101 - for mypy
    return with_bulk_data_base(json, str(values[0]))


def more(found: Found) -> list[str]:
    if not found.has_more:
        return []
    number = "" if found.remaining is None else f"{found.remaining} "
    return [f"There are {number}additional results that can be requested"]
