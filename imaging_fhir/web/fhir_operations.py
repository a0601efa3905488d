"""The operations of `fhir.operation_definition` over HTTP (operations.html)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.correction import corrected
from imaging_fhir.fhir.link_explanation import link_explanation
from imaging_fhir.fhir.operation_definition import (
    CODES,
    Level,
    OperationDefinition,
    operation_at,
)
from imaging_fhir.fhir.parameters import (
    Given,
    read_parameters,
    reference_in,
    require_only,
    text,
    texts,
    truth,
)
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.services.once import step
from imaging_fhir.services.splitting import Part
from imaging_fhir.web.allowed import RESOURCE_ID
from imaging_fhir.web.context import caller, services, source_of_caller
from imaging_fhir.web.fhir import resource_sent
from imaging_fhir.web.gate import require_operation
from imaging_fhir.web.negotiation import require_acceptable
from imaging_fhir.web.responses import fhir_response, json_response

bp = Blueprint("fhir_operations", __name__, url_prefix="/fhir")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`resource_type` and `resource_id` are those of the level that the operation is called at."""

    resource_type: str | None
    resource_id: str | None
    given: Given

    @property
    def type(self) -> str:
        return self.resource_type or ""

    @property
    def id(self) -> str:
        return self.resource_id or ""


@bp.route("/$<code>", methods=["GET", "POST"])
def at_system(code: str) -> Response:
    return operate(code, "system", None, None)


@bp.route("/<type_name>/$<code>", methods=["GET", "POST"])
def at_type(type_name: str, code: str) -> Response:
    return operate(code, "type", type_name, None)


@bp.route("/<type_name>/<resource_id>/$<code>", methods=["GET", "POST"])
def at_instance(type_name: str, resource_id: str, code: str) -> Response:
    return operate(code, "instance", type_name, resource_id)


def operate(
    code: str, level: Level, resource_type: str | None, resource_id: str | None
) -> Response:
    operation = operation_of(code, level, resource_type)
    asked = "GET" if request.method == "HEAD" else request.method
    if asked not in operation.methods:
        raise MethodNotAllowed
    require_acceptable(request)
    if resource_id is not None and not RESOURCE_ID.fullmatch(resource_id):
        raise ResourceNotFound(f"There is no {resource_type} of this id: it is no FHIR id.")
    services().access.require(caller(), operation.interaction, resource_type or "")
    require_operation(operation.code)
    given = [*request.args.items(multi=True), *sent(operation)]
    require_only(given, operation.inputs)
    call = Call(resource_type=resource_type, resource_id=resource_id, given=given)
    answer = HANDLERS[operation.code](call)
    return json_response(answer) if isinstance(answer, bytes) else fhir_response(answer)


def operation_of(code: str, level: Level, resource_type: str | None) -> OperationDefinition:
    """Raise ResourceNotFound, which names what is not there."""
    if resource_type is not None and resource_type not in RESOURCE_TYPES:
        raise ResourceNotFound("There is no resource type of this name here.")
    operation = operation_at(code, level, resource_type)
    if operation is not None:
        return operation
    where = {"system": "the system", "type": f"the type {resource_type}"}.get(
        level, f"one {resource_type}"
    )
    if code in CODES:
        raise ResourceNotFound(f"The operation ${code} is not offered for {where}.")
    raise ResourceNotFound(f"There is no operation ${code[:64]} here.")


def sent(operation: OperationDefinition) -> list[tuple[str, object]]:
    """The parameters of the body, which may be the resource itself where one is asked for."""
    if request.method != "POST" or not has_body():
        return []
    content = resource_sent()
    if content.get("resourceType") == "Parameters":
        return read_parameters(content)
    if "resource" not in operation.inputs:
        raise InvalidRequest("The body is no Parameters resource.", expression="resourceType")
    return [("resource", content)]


def has_body() -> bool:
    """A body without a length may come in chunks, as gzip, or from XML: it says what it is."""
    if request.content_length is None:
        return bool(request.content_type)
    return request.content_length > 0


def everything(call: Call) -> bytes:
    return services().everything.everything(call.type, call.id, call.given, caller())


def docref(call: Call) -> bytes:
    return services().docref.docref(call.given, caller())


def validate(call: Call) -> Resource:
    return services().validating.validate(call.type, call.resource_id, call.given)


def meta(call: Call) -> Resource:
    if call.resource_id is None:
        return services().meta_operations.in_use(call.resource_type, caller())
    return services().meta_operations.of_resource(call.type, call.resource_id)


def meta_add(call: Call) -> Resource:
    return services().meta_operations.add(call.type, call.id, call.given)


def meta_delete(call: Call) -> Resource:
    return services().meta_operations.delete(call.type, call.id, call.given)


def match(call: Call) -> bytes:
    return services().matching.match(call.given, caller())


def link(call: Call) -> Resource:
    decision = Decision(
        patient=reference_in(call.given, "patient", "Patient", services().addresses.at_home),
        encounter=reference_in(call.given, "encounter", "Encounter", services().addresses.at_home),
    )
    if decision.patient is None:
        raise InvalidRequest("The patient is missing.", expression="http.patient")
    reference, part = f"{call.type}/{call.id}", part_named(call)
    reason, if_match = text(call.given, "reason"), request.headers.get("If-Match")
    if part is None:
        by = partial(services().corrections.link, reference, decision)
    else:
        by = partial(services().splitting.split, reference, part, decision)
    return correct(partial(by, reason=reason, caller=caller(), if_match=if_match))


def correct(work: Callable[[], Corrected]) -> Resource:
    """Done once, however often a request that is answered later is begun."""
    answer: Resource = step(0, work, lambda done, _: corrected(done))
    return answer


def part_named(call: Call) -> Part | None:
    """The series and instances of the study that are meant; None for all of it."""
    uids = {
        name: tuple(one.removeprefix("urn:oid:") for one in texts(call.given, name))
        for name in ("series", "instance")
    }
    for name, named in uids.items():
        if named and call.type != "ImagingStudy":
            raise InvalidRequest(f"{call.type} has no {name}.", expression=f"http.{name}")
    part = Part(series=uids["series"], instances=uids["instance"])
    return part if part.series or part.instances else None


def reject(call: Call) -> Resource:
    return correct(
        partial(
            services().corrections.reject,
            call.id,
            reason=text(call.given, "reason"),
            caller=caller(),
            if_match=request.headers.get("If-Match"),
        )
    )


def undo(call: Call) -> Resource:
    return correct(partial(services().undo, call.id, text(call.given, "reason"), caller()))


def merge(call: Call) -> Resource:
    return correct(
        partial(
            services().merging.merge,
            patient_named(call, "source-patient"),
            patient_named(call, "target-patient"),
            reason=text(call.given, "reason"),
            caller=caller(),
            if_match=request.headers.get("If-Match"),
            preview=truth(call.given, "preview"),
        )
    )


def patient_named(call: Call, name: str) -> str:
    """The id of the Patient that is named by reference, by identifiers, or by both."""
    reference = reference_in(call.given, name, "Patient", services().addresses.at_home)
    identifiers = [value for key, value in call.given if key == f"{name}-identifier"]
    return services().merging.named(name, reference, identifiers)


def explain_link(call: Call) -> Resource:
    """Without a file; with one, `web.explain_link` reads it."""
    services().access.require(caller(), "create", "ImagingStudy")
    explanation = services().explain_link.parameters(
        call.given,
        default=source_of_caller(),
        at_home=services().addresses.at_home,
        caller=caller(),
    )
    return link_explanation(explanation)


def subscription_status(call: Call) -> Resource:
    return services().subscription_status.status(call.resource_id, call.given, caller())


def subscription_events(call: Call) -> Resource:
    return services().subscription_status.events(call.id, call.given, caller())


HANDLERS: dict[str, Callable[[Call], bytes | Resource]] = {
    "everything": everything,
    "docref": docref,
    "validate": validate,
    "meta": meta,
    "meta-add": meta_add,
    "meta-delete": meta_delete,
    "match": match,
    "status": subscription_status,
    "events": subscription_events,
    "link": link,
    "reject": reject,
    "undo": undo,
    "merge": merge,
    "explain-link": explain_link,
}
