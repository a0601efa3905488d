"""What of a request goes into the audit trail: every one of every door, but for those listed here.

A write that was committed has its events already; all others are spooled before they are answered,
and where that fails the answer is 503 instead.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from flask import Response, g, request

from imaging_fhir.errors import AccessDenied, StorageUnavailable, Unauthenticated
from imaging_fhir.logs import request_id
from imaging_fhir.model.audit import ORIGIN
from imaging_fhir.model.caller import CALLER
from imaging_fhir.services.audit import Asked
from imaging_fhir.web.context import services
from imaging_fhir.web.errors import answer_expected

NOT_ABOUT_ANYBODY = frozenset(  # blueprints: what is the same for all, and how the server is
    {"definitions", "metadata", "openapi", "operations", "static", "smart_configuration"}
    | {"sign_in"}  # which says itself who logged in and out
)
SHELLS = frozenset(  # without data of their own, which is asked for by further requests
    {"authorization.jwks", "authorization.discovery"}
    | {"chart.root", "chart.static_file", "chart.nothing", "viewer.viewer", "viewer.configuration"}
)
KINDS: Mapping[str, str] = {  # by blueprint, or by endpoint
    "fhir.read": "read",
    "fhir.vread": "vread",
    "binary.read": "read",
    "binary.vread": "vread",
    "history": "history",
    "search": "search",
    "fhir.create": "create",
    "binary.create": "create",
    "import_image": "create",
    "dicomweb_store": "create",
    "fhir.update": "update",
    "fhir.update_where": "update",
    "binary.update": "update",
    "patch": "update",
    "fhir.delete": "delete",
    "fhir.delete_where": "delete",
    "fhir.batch": "batch",
    "dicomweb_query": "search",
    "viewer_query": "search",
    "dicomweb": "retrieve",
    "dicomweb_bulk": "retrieve",
    "dicomweb_frames": "retrieve",
    "dicomweb_rendered": "retrieve",
    "wado_uri": "retrieve",
    "pictures": "retrieve",
    "fhir_operations": "operation",
    "explain_link": "operation",
}
EXPORTS = frozenset({"everything"})  # operations that give out a whole record
PATIENT = re.compile(rb"Patient/([A-Za-z0-9\-.]{1,64})")
PAGE_OF_PATIENT = re.compile(rb"/chart/patients/([A-Za-z0-9\-.]{1,64})")
TYPES_OF_CHART = {
    "study_id": "ImagingStudy",
    "document_id": "DocumentReference",
    "task_id": "Task",
    "patient_id": "Patient",
    "provenance_id": "Provenance",
}
OF_KIND = {"studies": "ImagingStudy", "documents": "DocumentReference", "held": "Task"}


def audited(response: Response) -> Response:
    """The answer, once it is in the trail; else that it cannot be given."""
    audit = services().audit
    if not audit.is_on or request.method == "OPTIONS":
        return response
    origin = ORIGIN.get()
    if origin is not None and origin.events and response.status_code < 400:
        return response
    asked = asked_for(response)
    if asked is None:
        return response
    try:
        audit.note(CALLER.get(), asked, request=request_id.get())
    except StorageUnavailable as error:
        response.close()
        return answer_expected(error)
    return response


def asked_for(response: Response) -> Asked | None:
    endpoint = request.endpoint or ""
    blueprint = endpoint.partition(".")[0]
    status = response.status_code
    if status not in (Unauthenticated.status, AccessDenied.status) and (
        not endpoint or blueprint in NOT_ABOUT_ANYBODY or endpoint in SHELLS
    ):
        return None
    entity = entity_named()
    patients: list[str] = []
    if status < 400 and not entity.startswith("AuditEvent") and not is_of_the_trail():
        patients = patients_in(body_of(response))
    return Asked(
        kind=kind_of(endpoint, status),
        status=status,
        entity=entity,
        patients=patients,
        studies=studies_named(),
        query=query_asked(entity),
    )


def kind_of(endpoint: str, status: int) -> str:
    if status in (Unauthenticated.status, AccessDenied.status):
        return "refusal"
    blueprint = endpoint.partition(".")[0]
    kind = KINDS.get(endpoint) or KINDS.get(blueprint)
    if kind == "operation" and (request.view_args or {}).get("code") in EXPORTS:
        return "export"
    return kind or ("view" if request.method in ("GET", "HEAD") else "operation")


def entity_named() -> str:
    """The one resource that the address names."""
    given = request.view_args or {}
    resource_id = given.get("resource_id")
    if resource_id and (request.endpoint or "").startswith(("binary.", "pictures.", "worklist.")):
        chart = request.path.startswith("/chart/")
        kind = str(given.get("kind", "documents"))
        return f"{OF_KIND[kind] if chart else 'Binary'}/{resource_id}"
    if resource_id and given.get("type_name"):
        return f"{given['type_name']}/{resource_id}"
    if given.get("owner_type"):
        return f"{given['owner_type']}/{given['owner_id']}"
    for name, type_ in TYPES_OF_CHART.items():
        if given.get(name):
            return f"{type_}/{given[name]}"
    return ""


def query_asked(entity: str) -> str:
    """The address and what it asks for, unless it is one resource by its name."""
    if request.query_string or not entity:
        return unquote(request.full_path.rstrip("?"))
    return ""


def body_of(response: Response) -> bytes:
    """What is in memory of the answer, where it is text that names people."""
    if not isinstance(response.response, list) or not is_text(response.mimetype or ""):
        return b""
    return b"".join(response.response) if len(response.response) != 1 else response.response[0]


def is_text(mimetype: str) -> bool:
    return mimetype.endswith(("json", "html", "xml"))


def patients_in(body: bytes) -> list[str]:
    """Ids of all Patients whom the answer names."""
    found = dict.fromkeys(PATIENT.findall(body)) if b"Patient/" in body else {}
    if b"/chart/patients/" in body:
        found |= dict.fromkeys(PAGE_OF_PATIENT.findall(body))
    return [one.decode() for one in found]


def is_of_the_trail() -> bool:
    """Whom events name is not told again for each of them."""
    return (request.view_args or {}).get("type_name") == "AuditEvent"


def studies_named() -> list[str]:
    """StudyInstanceUIDs in the address, or of what QIDO-RS has found."""
    named = (request.view_args or {}).get("study") or request.args.get("studyUID")
    return [str(named)] if named else g.get("audited_studies", [])
