"""`POST /fhir/$import-image`: any image, from any door that speaks HTTP."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from flask import Blueprint, Response, request

from imaging_fhir.dicomweb.multipart import Part, parts
from imaging_fhir.errors import ImagingError, InvalidRequest
from imaging_fhir.model.link import Given
from imaging_fhir.services.import_answer import import_answer
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.storage.ports import StagedBlob
from imaging_fhir.web import streams
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.negotiation import require_acceptable
from imaging_fhir.web.responses import fhir_response
from imaging_fhir.web.wsgi import TAKEN

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
NamedFile = tuple[str, StagedBlob | ImagingError]  # its name, and its bytes or why there are none
LARGEST_BATCH = 200  # files whose bytes wait for the fields that may stand behind them


@bp.post("/$import-image")
def import_image() -> Response:
    """Operation import-image; see docs/api/import-image.md."""
    services().access.require(caller(), "create", "ImagingStudy")
    services().access.require(caller(), "create", "DocumentReference")
    require_acceptable(request)
    taken = request.environ.get(TAKEN)
    if taken is not None:
        return answer(taken.results())
    here = Receiver()
    receive(here)
    return answer(here.outcomes)


def answer(outcomes: list[Outcome]) -> Response:
    """A single refused file answers with its own status; else 200 with an entry per file."""
    if not outcomes:
        raise InvalidRequest("The request has no file.")
    if len(outcomes) == 1 and (error := outcomes[0].error) is not None:
        raise error
    return fhir_response(import_answer(outcomes))


@dataclass(slots=True)
class Receiver:
    """Takes in the files of a request, a batch at a time, with what the form says of them all."""

    outcomes: list[Outcome] = field(default_factory=list)

    def take(self, files: list[NamedFile], given: Given) -> None:
        patient = services().access.patient_to_file(caller(), given.patient)
        given = replace(given, patient=patient)
        for name, staged in files:
            if isinstance(staged, ImagingError):
                self.outcomes.append(Outcome(status=staged.status, error=staged, name=name))
            else:
                self.outcomes += services().ingest.ingest_staged(
                    staged, source=source_of_caller(), given=given, name=name
                )


def receive(receiver: Receiver) -> None:
    if request.mimetype == "multipart/form-data":
        receive_form(receiver)
    else:
        receive_body(receiver)


def receive_body(receiver: Receiver) -> None:
    said = {FIELDS[name]: request.args[name] for name in FIELDS if name in request.args}
    given = services().addresses.given(said)
    ingest = services().ingest
    with ingest.store.stage(streams.sent(request), limit=ingest.max_bytes) as staged:
        if staged.size:
            receiver.take([("", staged)], given)


def receive_form(receiver: Receiver) -> None:
    form = Form()
    with ExitStack() as stack:
        for part in parts(request.stream, request.content_type or ""):
            if part.filename is None:
                form.take_field(part)
            else:
                form.take_file(part, stack)
            if len(form.waiting) >= LARGEST_BATCH:
                form.hand_over(receiver)
                stack.close()
        form.hand_over(receiver)


@dataclass(slots=True)
class Form:
    """A form as it comes in: its fields count for all its files, wherever they stand."""

    fields: dict[str, str] = field(default_factory=dict)
    waiting: list[NamedFile] = field(default_factory=list)
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

    def hand_over(self, receiver: Receiver) -> None:
        self.begun = True
        receiver.take(self.waiting, services().addresses.given(self.fields))
        self.waiting.clear()
