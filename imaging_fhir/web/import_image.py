"""`POST /fhir/$import-image`: any image, from any door that speaks HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.multipart import Part, parts
from imaging_fhir.errors import ImagingError, InvalidRequest
from imaging_fhir.fhir.import_result import ImportedImage, import_result
from imaging_fhir.fhir.operation_outcome import issue
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.link import Given
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import Source
from imaging_fhir.storage.ports import StagedBlob
from imaging_fhir.web import streams
from imaging_fhir.web.chart_address import chart_address
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.negotiation import require_json_accepted
from imaging_fhir.web.responses import fhir_response

bp = Blueprint("import_image", __name__, url_prefix="/fhir")

FIELDS = {
    "patient": "patient",
    "encounter": "encounter",
    "type": "type",
    "bodySite": "body_site",
    "laterality": "laterality",
    "description": "description",
    "date": "date",
}
LARGEST_BATCH = 200  # files whose bytes wait for the fields that may stand behind them


@bp.post("/$import-image")
def import_image() -> Response:
    """Operation import-image; see docs/api/import-image.md."""
    services().access.require(caller(), "create", "ImagingStudy")
    services().access.require(caller(), "create", "DocumentReference")
    require_json_accepted(request)
    if request.mimetype == "multipart/form-data":
        outcomes = list(import_form())
    else:
        outcomes = list(import_body())
    if not outcomes:
        raise InvalidRequest("The request has no file.")
    return answer(outcomes)


def answer(outcomes: list[Outcome]) -> Response:
    """A single refused file answers with its own status; else 200 with an entry per file."""
    if len(outcomes) == 1 and (error := outcomes[0].error) is not None:
        raise error
    return fhir_response(import_result(imported(outcome) for outcome in outcomes))


def import_body() -> Iterator[Outcome]:
    given = Given(**{FIELDS[name]: request.args[name] for name in FIELDS if name in request.args})
    ingest = services().ingest
    with ingest.store.stage(streams.sent(request), limit=ingest.max_bytes) as staged:
        if not staged.size:
            return
        yield from ingest.ingest_staged(staged, source=source_of_caller(), given=given)


def import_form() -> Iterator[Outcome]:
    form = Form(source=source_of_caller())
    with ExitStack() as stack:
        for part in parts(request.stream, request.content_type or ""):
            if part.filename is None:
                form.take_field(part)
            else:
                form.take_file(part, stack)
            if len(form.waiting) >= LARGEST_BATCH:
                yield from form.ingest()
                stack.close()
        yield from form.ingest()


@dataclass(slots=True)
class Form:
    """A form as it comes in: its fields count for all its files, wherever they stand."""

    source: Source
    fields: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[str, StagedBlob | ImagingError]] = field(default_factory=list)
    begun: bool = False

    def take_field(self, part: Part) -> None:
        name = part.name or ""
        if name not in FIELDS:
            raise InvalidRequest(
                f"The form has a field that is none of {', '.join(FIELDS)}.",
                expression="http.body",
            )
        if self.begun:
            raise InvalidRequest(
                f"A field must stand before the first {LARGEST_BATCH} files.",
                expression=f"http.{name}",
            )
        if value := part.text().strip():
            self.fields[FIELDS[name]] = value

    def take_file(self, part: Part, stack: ExitStack) -> None:
        ingest = services().ingest
        try:
            staged = stack.enter_context(ingest.store.stage(part.chunks, limit=ingest.max_bytes))
        except InvalidRequest:
            raise  # the body itself is broken: there is no next part
        except ImagingError as error:
            self.waiting.append((part.filename or "", error))
        else:
            self.waiting.append((part.filename or "", staged))

    def ingest(self) -> Iterator[Outcome]:
        given = Given(**self.fields)
        self.begun = True
        for name, staged in self.waiting:
            if isinstance(staged, ImagingError):
                yield Outcome(status=staged.status, error=staged, name=name)
            else:
                yield from services().ingest.ingest_staged(
                    staged, source=self.source, given=given, name=name
                )
        self.waiting.clear()


def imported(outcome: Outcome) -> ImportedImage:
    if outcome.filed is None:
        error = outcome.error or ImagingError("Nothing was kept.")
        return ImportedImage(
            status=outcome.status,
            name=outcome.name,
            error=issue(error.issue_code, str(error), expression=error.expression),
        )
    filed = outcome.filed
    return ImportedImage(
        status=outcome.status,
        location=f"{BASE_PLACEHOLDER}/{filed.location}",
        rule=filed.rule,
        reason=filed.reason,
        encounter_rule=filed.encounter_rule,
        encounter_reason=filed.encounter_reason,
        name=outcome.name,
        links=links(outcome),
        warnings=[(warning.keyword, warning.message) for warning in outcome.warnings],
    )


def links(outcome: Outcome) -> dict[str, str]:
    filed = outcome.filed
    if filed is None:
        return {}
    found = {"chart": chart_address(filed.location)}
    if filed.patient:
        found["subject"] = f"{BASE_PLACEHOLDER}/{filed.patient}"
    if filed.encounter:
        found["encounter"] = f"{BASE_PLACEHOLDER}/{filed.encounter}"
    return found
