"""The ImagingStudy of an order without images yet: status `registered`.

https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.status
"""

from typing import Any

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import identifier_type, local_references, without_empty
from imaging_fhir.model.codec import Resource

ACCESSION = (canonical.IDENTIFIER_TYPE, "ACSN")
SERVICE_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
SERVICE_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
IMAGING_SECTIONS = ("CTH", "CT", "CUS", "NMR", "NMS", "OUS", "RAD", "RUS", "RX", "VUS", "XRC")
LABORATORY_SECTIONS = ("CH", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "SP")
IMAGING = frozenset(
    {
        (canonical.SNOMED_CT, "363679005"),  # Imaging, as US Core has it
        (SERVICE_CATEGORY, "imaging"),
        *((SERVICE_SECTION, code) for code in IMAGING_SECTIONS),
    }
)
LABORATORY = frozenset(  # whose specimens have accession numbers too
    {
        (canonical.SNOMED_CT, "108252007"),
        (SERVICE_CATEGORY, "laboratory"),
        *((SERVICE_SECTION, code) for code in LABORATORY_SECTIONS),
    }
)
ORDERED = frozenset(
    {"order", "original-order", "reflex-order", "filler-order", "instance-order", "directive"}
)  # of ServiceRequest.intent: proposals, plans and options are none yet
STATUS = {
    "active": "registered",
    "on-hold": "registered",
    "completed": "registered",  # it was made, and its images are not here
    "unknown": "registered",
    "revoked": "cancelled",
    "entered-in-error": "entered-in-error",
}  # by ServiceRequest.status; a draft is no order yet
REFERRERS = frozenset({"Practitioner", "PractitionerRole"})


def study_status(order: Resource) -> str | None:
    """What an ImagingStudy without images is, going by its order; None where there is none."""
    if order.get("intent") not in ORDERED or order.get("doNotPerform") is True:
        return None
    return STATUS.get(order.get("status", "")) if accession_numbers(order) else None


def accession_numbers(order: Resource) -> list[Resource]:
    """The identifiers that its images carry, with the assigner's system; of no imaging, none.

    They are typed so; in an order that says that it is one of imaging, the only number of no type
    is one too.
    """
    categories = codes_of(order.get("category", ()))
    if categories & LABORATORY and not categories & IMAGING:
        return []
    numbers = [one for one in order.get("identifier", ()) if "system" in one and "value" in one]
    typed = [one for one in numbers if ACCESSION in codes_of([one.get("type", {})])]
    plain = [one for one in numbers if "type" not in one]
    if typed or len(plain) != 1 or not categories & IMAGING:
        return typed
    return [{**plain[0], "type": identifier_type("ACSN")}]


def codes_of(concepts: Any) -> set[tuple[str, str]]:
    return {
        (one.get("system", ""), one.get("code", ""))
        for concept in concepts
        for one in concept.get("coding", ())
    }


def registered_study(
    order: Resource, *, status: str, subject: Resource, encounter: Resource | None
) -> Resource:
    """Without id. What it says is the order's, but for whose it is and at which visit."""
    said: Resource = {
        "resourceType": "ImagingStudy",
        "meta": without_empty({"security": order.get("meta", {}).get("security")}),
        "identifier": accession_numbers(order),
        "status": status,
        "subject": subject,
        "encounter": encounter,
        "basedOn": [{"reference": f"ServiceRequest/{order['id']}"}],
        "referrer": referrer(order),
        "numberOfSeries": 0,
        "numberOfInstances": 0,
        "procedureCode": [order["code"]] if order.get("code") else None,
        "reasonCode": order.get("reasonCode"),
        "reasonReference": order.get("reasonReference"),
    }
    used = set(local_references(said))
    own = [one for one in order.get("contained", ()) if f"#{one.get('id')}" in used]
    return without_empty({**said, "contained": own})


def referrer(order: Resource) -> Resource | None:
    """Who asked for it; R4 has room for a Practitioner here, and for no Organization or Patient."""
    requester: Resource = order.get("requester", {})
    text = requester.get("reference", "")
    contained = {f"#{one.get('id')}": one["resourceType"] for one in order.get("contained", ())}
    address = text.rpartition("/_history/")[0] or text
    type_ = contained.get(text) or requester.get("type") or "".join(address.split("/")[-2:-1])
    return requester if requester and type_ in {"", *REFERRERS} else None
