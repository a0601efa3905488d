"""`POST /fhir/$explain-link`: why an image would be linked as it would; nothing is written."""

from contextlib import ExitStack

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.multipart import parts
from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.link_explanation import link_explanation
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Given
from imaging_fhir.storage.ports import StagedBlob
from imaging_fhir.web import fhir_operations, streams
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.negotiation import JSON_TYPES, require_acceptable
from imaging_fhir.web.responses import fhir_response

bp = Blueprint("explain_link", __name__, url_prefix="/fhir")

CODE = "explain-link"
FIELDS = ("patient", "encounter", "date", "source")


@bp.post("/$explain-link")
def explain_link() -> Response:
    """Operation explain-link; see docs/api/explain-link.md."""
    if request.mimetype in JSON_TYPES:
        return fhir_operations.operate(CODE, "system", None, None)
    policy, asking = services().access, caller()
    policy.require(asking, "create", "ImagingStudy")
    policy.require(asking, "create", "DocumentReference")
    require_acceptable(request)
    with ExitStack() as stack:
        if request.mimetype == "multipart/form-data":
            return fhir_response(explained(*form(stack)))
        fields = {name: request.args[name] for name in FIELDS if name in request.args}
        ingest = services().ingest
        chunks = streams.sent(request)
        staged = stack.enter_context(ingest.store.stage(chunks, limit=ingest.max_bytes))
        return fhir_response(explained(staged, fields))


def form(stack: ExitStack) -> tuple[StagedBlob, dict[str, str]]:
    """The one file of the form, and its fields."""
    ingest = services().ingest
    fields: dict[str, str] = {}
    files: list[StagedBlob] = []
    for part in parts(request.stream, request.content_type or ""):
        name = part.name or ""
        if part.filename is not None and not files:
            staged = ingest.store.stage(part.chunks, limit=ingest.max_bytes)
            files.append(stack.enter_context(staged))
        elif part.filename is not None:
            raise InvalidRequest("One file is explained at a time.", expression="http.body")
        elif name in FIELDS:
            fields[name] = part.text().strip()
        else:
            raise InvalidRequest(
                f"The form has a field that is none of {', '.join(FIELDS)}.",
                expression="http.body",
            )
    if not files:
        raise InvalidRequest("The request has no file.", expression="http.body")
    return files[0], fields


def explained(staged: StagedBlob, fields: dict[str, str]) -> Resource:
    if not staged.size:
        raise InvalidRequest("The request has no file.", expression="http.body")
    given = Given(**{name: value for name, value in fields.items() if value and name != "source"})
    explaining = services().explain_link
    source = explaining.source(fields.get("source"), source_of_caller())
    return link_explanation(explaining.file(staged, source=source, given=given, caller=caller()))
