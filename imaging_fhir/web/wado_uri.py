"""WADO-URI (PS3.18 9), for clients from before WADO-RS."""

from typing import Any

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.media_type import MediaRange
from imaging_fhir.dicomweb.rendered_parameters import rendered_parameters
from imaging_fhir.dicomweb.wado_uri import WadoUri, rendering_query, wado_uri
from imaging_fhir.model.codec import decode
from imaging_fhir.services.rendered import PRESENTATION_STATES
from imaging_fhir.services.retrieve import StoredInstance
from imaging_fhir.web.dicomweb import file_answer, require_form, retrieve, visible_instances
from imaging_fhir.web.dicomweb_answers import answer_errors
from imaging_fhir.web.dicomweb_rendered import (
    PDF,
    REPORTS,
    image_answer,
    pdf_answer,
    report_answer,
)

bp = Blueprint("wado_uri", __name__, url_prefix="/dicomweb")
answer_errors(bp)

ROWS, COLUMNS = "00280010", "00280011"


@bp.get("/wado")
def retrieve_by_parameters() -> Response:
    """Raise InvalidRequest, ResourceNotFound, NotAcceptable."""
    asked = wado_uri(request.args)
    [stored] = visible_instances(asked.study, asked.series, asked.instance)
    if asked.is_dicom or not (asked.media_types or is_shown_by_default(stored, asked)):
        require_form([stored], asked.dicom_form)
        return file_answer(stored, asked.dicom_form)
    if stored.sop_class_uid == PDF:
        return pdf_answer(stored, asked.media_types or None)
    if stored.sop_class_uid.startswith(REPORTS):
        return report_answer(stored, asked.media_types or None)
    rows, columns = size_of(stored)
    rendering = rendered_parameters(rendering_query(request.args, rows=rows, columns=columns))
    return image_answer(
        stored,
        rendering.rendering,
        (asked.frame,) if asked.frame else None,
        asked.media_types or (MediaRange(media_type="image/jpeg"),),
    )


def is_shown_by_default(stored: StoredInstance, asked: WadoUri) -> bool:
    """9.1.2.2.1: one image, a document or a report; all else, such as a clip, goes as DICOM."""
    is_text = stored.sop_class_uid == PDF or stored.sop_class_uid.startswith(REPORTS)
    is_one = asked.frame is not None or (stored.number_of_frames or 1) == 1
    is_image = stored.sop_class_uid in PRESENTATION_STATES or all(size_of(stored))
    return is_text or (is_one and is_image)


def size_of(stored: StoredInstance) -> tuple[int, int]:
    """Rows and columns; 0 where it is no image."""
    found: dict[str, Any] = decode(retrieve().metadata_of(stored))
    return first(found, ROWS), first(found, COLUMNS)


def first(found: dict[str, Any], tag: str) -> int:
    values = found.get(tag, {}).get("Value") or [0]
    return values[0] if isinstance(values[0], int) else 0
