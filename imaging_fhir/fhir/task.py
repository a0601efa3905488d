"""Task: an image that is held, for a person to decide (https://hl7.org/fhir/R4/task.html)."""

from collections.abc import Mapping
from datetime import datetime

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import instant, string, without_empty
from imaging_fhir.model.codec import Resource

HELD = {
    "coding": [
        {
            "system": canonical.TASK_CODE,
            "code": "decide-held-image",
            "display": "Decide whose image this is",
        }
    ]
}


WAIT = {
    "coding": [
        {
            "system": canonical.TASK_CODE,
            "code": "wait-for-ehr",
            "display": "File this image when the EHR answers",
        }
    ]
}
WAITING = {
    "coding": [
        {
            "system": canonical.TASK_STATE,
            "code": "ehr-unavailable",
            "display": "Waits for the EHR, and is retried by itself",
        }
    ]
}


REVIEW = {
    "coding": [
        {
            "system": canonical.TASK_CODE,
            "code": "review-filed-image",
            "display": "Look again at where this image is filed",
        }
    ]
}


CODED = {"Modality": canonical.DCM, "Source": canonical.IMAGE_SOURCE}  # facts that are searched


def held_task(
    *,
    rule: str,
    reason: str,
    facts: Mapping[str, str | int | None],
    authored_on: datetime,
    identifier: Resource | None = None,
    focus: Resource | None = None,
    owner: Resource | None = None,
    priority: str = "routine",
    status: str = "requested",
    code: Resource = HELD,
) -> Resource:
    """The worklist item of a held image: `rule` is the code of the rule that held it.

    With `code` REVIEW, that of an image which stays filed: `focus` is its resource.

    It names no patient and no visit (`for`, `encounter`): a held image is in nobody's
    compartment. What the file says of them is `facts`, each an input for staff to read.
    """
    return without_empty(
        {
            "resourceType": "Task",
            "identifier": [identifier] if identifier else None,
            "status": status,
            "businessStatus": WAITING if code == WAIT else None,
            "intent": "order",
            "priority": priority,
            "code": code,
            "focus": focus,
            "authoredOn": instant(authored_on),
            "lastModified": instant(authored_on),
            "owner": owner,
            "reasonCode": {
                "coding": [{"system": canonical.HOLD_REASON, "code": rule}],
                "text": string(reason) or rule,
            },
            "input": [found for item in facts.items() if (found := _input(*item))],
        }
    )


def _input(name: str, value: str | int | None) -> Resource | None:
    type_ = {"coding": [{"system": canonical.TASK_INPUT, "code": name}], "text": name}
    if name in CODED:
        code = string(value if value is None else str(value))
        coding = {"system": CODED[name], "code": code}
        return {"type": type_, "valueCoding": coding} if code else None
    if isinstance(value, int):
        return {"type": type_, "valueInteger": value}
    text = string(value)
    return {"type": type_, "valueString": text} if text else None


def facts_of(task: Resource) -> dict[str, str | int]:
    """The facts that `held_task` was given, by name."""
    return {
        item["type"]["text"]: item["valueCoding"]["code"]
        if "valueCoding" in item
        else item.get("valueString", item.get("valueInteger"))
        for item in task.get("input", ())
    }
