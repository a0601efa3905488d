"""AuditEvent: that something was done, by whom and to what (https://hl7.org/fhir/R4/auditevent.html)."""

from collections.abc import Sequence
from datetime import datetime

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import instant, without_empty
from imaging_fhir.fhir.provenance import ACTIVITIES
from imaging_fhir.model.codec import Resource

PERSON, SYSTEM_OBJECT = ("1", "Person"), ("2", "System Object")
PATIENT, DOMAIN_RESOURCE = ("1", "Patient"), ("4", "Domain Resource")
IP_ADDRESS = "2"  # http://hl7.org/fhir/network-type


def correction_event(
    activity: str, *, what: Sequence[str], recorded: datetime, agent: str, address: str | None
) -> Resource:
    """A correction that was made: `what` are the references of all that is another by it.

    A Patient among them puts the event in that Patient's compartment. Why it was done is for the
    Provenance to say. `address` is the IP address of who asked, None from within.
    """
    network = {"address": address, "type": IP_ADDRESS} if address else None
    asked_by = {
        "type": {
            "coding": [{"system": canonical.DCM, "code": "110153", "display": "Source Role ID"}]
        },
        "who": {"display": agent},
        "requestor": True,
        "network": network,
    }
    return {
        "resourceType": "AuditEvent",
        "type": {"system": canonical.AUDIT_EVENT_TYPE, "code": "rest"},
        "subtype": [
            {"system": canonical.RESTFUL_INTERACTION, "code": "update"},
            {"system": canonical.CORRECTION, "code": activity, "display": ACTIVITIES[activity]},
        ],
        "action": "U",
        "recorded": instant(recorded),
        "outcome": "0",
        "agent": [without_empty(asked_by)],
        "source": {"observer": {"display": "imaging_fhir"}},
        "entity": [entity(one) for one in what],
    }


def entity(reference: str) -> Resource:
    is_patient = reference.startswith("Patient/")
    kind, role = (PERSON, PATIENT) if is_patient else (SYSTEM_OBJECT, DOMAIN_RESOURCE)
    return {
        "what": {"reference": reference},
        "type": {"system": canonical.AUDIT_ENTITY_TYPE, "code": kind[0], "display": kind[1]},
        "role": {"system": canonical.OBJECT_ROLE, "code": role[0], "display": role[1]},
    }
