"""AuditEvent (https://hl7.org/fhir/R4/auditevent.html): a row of the audit trail, as IHE BALP says.

https://profiles.ihe.net/ITI/BALP/ has one profile for each interaction, of a patient or of none.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import instant, without_empty
from imaging_fhir.fhir.provenance import ACTIVITIES
from imaging_fhir.model.audit import ACTIONS, SUCCESS, Agent, Event
from imaging_fhir.model.codec import Resource

Code = tuple[str, str, str]  # system, code, display

PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
ENTITY_TYPE = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
AUTHORIZATION = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
REST: Code = (canonical.AUDIT_EVENT_TYPE, "rest", "Restful Operation")
EXPORT: Code = (canonical.DCM, "110106", "Export")
AUTHENTICATION: Code = (canonical.DCM, "110114", "User Authentication")
ALERT: Code = (canonical.DCM, "110113", "Security Alert")
LOG_USED: Code = (canonical.DCM, "110101", "Audit Log Used")
SOURCE: Code = (canonical.DCM, "110153", "Source Role ID")
DESTINATION: Code = (canonical.DCM, "110152", "Destination Role ID")
APPLICATION: Code = (canonical.DCM, "110150", "Application")
RECIPIENT: Code = (canonical.PARTICIPATION_TYPE, "IRCP", "information recipient")
AUTHOR: Code = (canonical.PARTICIPATION_TYPE, "AUT", "author (originator)")
PERSON: Code = (canonical.AUDIT_ENTITY_TYPE, "1", "Person")
SYSTEM_OBJECT: Code = (canonical.AUDIT_ENTITY_TYPE, "2", "System Object")
PATIENT: Code = (canonical.OBJECT_ROLE, "1", "Patient")
DOMAIN_RESOURCE: Code = (canonical.OBJECT_ROLE, "4", "Domain Resource")
QUERY: Code = (canonical.OBJECT_ROLE, "24", "Query")
IP_ADDRESS, URI = "2", "5"  # http://hl7.org/fhir/network-type


def rest(code: str) -> Code:
    return (canonical.RESTFUL_INTERACTION, code, code)


SUBTYPES: Mapping[str, tuple[Code, ...]] = {
    "read": (rest("read"),),
    "vread": (rest("vread"),),
    "history": (rest("read"), rest("history-instance")),
    "retrieve": (
        rest("read"),
        (canonical.DCM, "110104", "DICOM Instances Transferred"),
    ),
    "view": (rest("read"), (canonical.DCM, "110103", "DICOM Instances Accessed")),
    "search": (rest("search"),),
    "create": (rest("create"),),
    "update": (rest("update"),),
    "delete": (rest("delete"),),
    "move": (rest("update"), (canonical.CORRECTION, "move", "Filed to another patient or visit")),
    "correct": (rest("update"),),
    "operation": (rest("operation"),),
    "batch": (rest("batch"),),
    "export": ((LIFECYCLE, "disclose", "Disclose Record Lifecycle Event"), rest("read")),
    "erase": (rest("delete"), (LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event")),
    "login": ((canonical.DCM, "110122", "Login"),),
    "logout": ((canonical.DCM, "110123", "Logout"),),
    "refusal": ((AUTHORIZATION, "AuthZ-Role", "Authorization Decision using only Roles"),),
    "break-the-glass": (
        (AUTHORIZATION, "AuthZ-Consent", "Authorization Decision using Roles and Consent"),
        (canonical.DCM, "110127", "Emergency Override Started"),
    ),
    "retention": ((LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event"),),
}
TYPES: Mapping[str, Code] = {
    "export": EXPORT,
    "login": AUTHENTICATION,
    "logout": AUTHENTICATION,
    "refusal": ALERT,
    "break-the-glass": ALERT,
    "retention": LOG_USED,
}
PROFILES: Mapping[str, str] = {  # of what went well, with one Patient or with none
    "read": "Read",
    "vread": "Read",
    "history": "Read",
    "retrieve": "Read",
    "search": "Query",
    "create": "Create",
    "update": "Update",
    "move": "Update",
    "delete": "Delete",
}
TO_THE_CLIENT = frozenset({"read", "vread", "history", "retrieve", "view", "export"})


def audit_event(event: Event, *, base: str) -> Resource:
    """The AuditEvent of a row; `base` is our public address."""
    agent = Agent.of_text(event.agent) if event.agent else Agent(name="Erased")
    is_seen = event.kind in TO_THE_CLIENT
    subtypes = [coded(code) for code in SUBTYPES[event.kind]]
    if event.activity:
        subtypes.append(coded((canonical.CORRECTION, event.activity, ACTIVITIES[event.activity])))
    return without_empty(
        {
            "resourceType": "AuditEvent",
            "id": event.id,
            "meta": meta(event),
            "type": coded(TYPES.get(event.kind, REST)),
            "subtype": subtypes,
            "action": ACTIONS[event.kind],
            "recorded": instant(datetime.fromtimestamp(event.recorded / 1000, UTC)),
            "outcome": event.outcome,
            "outcomeDesc": f"HTTP {event.status}" if event.status >= 400 else None,
            "purposeOfEvent": [purpose(code) for code in event.purposes],
            "agent": [
                client(event, agent, DESTINATION if is_seen else SOURCE),
                server(base, SOURCE if is_seen else DESTINATION),
                *person(event, agent, RECIPIENT if is_seen else AUTHOR),
            ],
            "source": {
                "observer": {"display": "imaging_fhir"},
                "type": [coded((SOURCE_TYPE, "4", "Application Server"))],
            },
            "entity": list(entities(event)),
        }
    )


def meta(event: Event) -> Resource:
    stamp = instant(datetime.fromtimestamp(event.recorded / 1000, UTC))
    found: Resource = {"versionId": "1", "lastUpdated": stamp}
    name = PROFILES.get(event.kind)
    if name is not None and event.outcome == SUCCESS and is_whole(event):
        found["profile"] = [f"{PROFILE}{'Patient' if event.patient else ''}{name}"]
    return found


def is_whole(event: Event) -> bool:
    """Is all there that its profile asks for? A search has its query, all others one resource."""
    if not event.address:
        return False
    return event.query is not None if event.kind == "search" else event.entity is not None


def client(event: Event, agent: Agent, role: Code) -> Resource:
    """The application, as the network knows it; without a person, it is who asked."""
    if event.kind in ("refusal", "break-the-glass"):
        role = APPLICATION
    network = {"address": event.address, "type": IP_ADDRESS} if event.address else None
    return without_empty(
        {
            "type": {"coding": [coded(role)]},
            "who": {"display": agent.client_id or (agent.name if not agent.subject else "Browser")},
            "requestor": not agent.subject,
            "network": network,
        }
    )


def server(base: str, role: Code) -> Resource:
    return {
        "type": {"coding": [coded(role)]},
        "who": {"display": "imaging_fhir"},
        "requestor": False,
        "network": {"address": base, "type": URI},
    }


def person(event: Event, agent: Agent, role: Code) -> Iterable[Resource]:
    if not agent.subject:
        return
    who: Resource = {"identifier": {"system": agent.issuer or None, "value": agent.subject}}
    if agent.fhir_user:
        who["reference"] = agent.fhir_user
    yield without_empty(
        {
            "type": {"coding": [coded(role)]},
            "role": [{"text": name} for name in agent.roles],
            "who": without_empty({**who, "identifier": without_empty(who["identifier"])}),
            "altId": agent.subject,
            "name": agent.name,
            "requestor": True,
            "purposeOfUse": [purpose(code) for code in event.purposes],
        }
    )


def entities(event: Event) -> Iterable[Resource]:
    patient = f"Patient/{event.patient}" if event.patient else None
    named = dict.fromkeys((event.entity, *event.mentions))
    for name in named:
        if name is not None and (name != patient or event.kind != "search"):
            yield about(name, is_data=name == event.entity and event.kind != "correct")
    if patient is not None and (patient not in named or event.entity == patient):
        yield entity(PERSON, {"reference": patient}, PATIENT)
    if event.query is not None:
        asked = b64encode(event.query.encode(errors="replace")).decode()
        yield {
            "type": coded(SYSTEM_OBJECT),
            "role": coded(QUERY),
            "query": asked,
        }
    if event.request:
        yield {
            "what": {"identifier": {"value": event.request}},
            "type": coded((ENTITY_TYPE, "XrequestId", "X-Request-Id")),
        }


def about(name: str, *, is_data: bool) -> Resource:
    """A Patient who was read is data, and has an entity as the patient besides."""
    is_patient = name.startswith("Patient/") and not is_data
    kind, role = (PERSON, PATIENT) if is_patient else (SYSTEM_OBJECT, DOMAIN_RESOURCE)
    if name.startswith("urn:oid:"):
        what: Resource = {"identifier": {"system": canonical.DICOM_UID, "value": name}}
    else:
        what = {"reference": name}
    return entity(kind, what, role)


def entity(kind: Code, what: Resource, role: Code) -> Resource:
    return {"what": what, "type": coded(kind), "role": coded(role)}


def purpose(code: str) -> Resource:
    return {"coding": [{"system": ACT_REASON, "code": code}]}


def coded(code: Code) -> dict[str, Any]:
    return {"system": code[0], "code": code[1], "display": code[2]}


def codes_of(kinds: Mapping[str, tuple[Code, ...]]) -> dict[str, frozenset[tuple[str, str]]]:
    """For the search by them."""
    return {
        kind: frozenset((system, code) for system, code, _ in codes)
        for kind, codes in kinds.items()
    }


TYPE_CODES = codes_of({kind: (TYPES.get(kind, REST),) for kind in ACTIONS})
SUBTYPE_CODES = codes_of(SUBTYPES)
