"""Reading a rejection note from its header (PS3.3 A.35.4, C.17.6.2; IHE RAD TF-3 4.66)."""

from collections.abc import Iterator
from typing import Any

from imaging_fhir.model.codec import decode
from imaging_fhir.model.rejection import KEY_OBJECT_SELECTION, TITLES, RejectionNote
from imaging_fhir.model.study import DicomInstance, DicomJson

CONCEPT_NAME, CODE_VALUE, CODING_SCHEME = "0040A043", "00080100", "00080102"
EVIDENCE = ("0040A375", "0040A385")  # of the current requested procedure, and other
REFERENCED_SERIES, REFERENCED_SOP = "00081115", "00081199"
STUDY_INSTANCE_UID, REFERENCED_SOP_INSTANCE_UID = "0020000D", "00081155"


def rejection_note(image: DicomInstance) -> RejectionNote | None:
    """None where it is another kind of object, or names nothing."""
    if image.instance.sop_class_uid != KEY_OBJECT_SELECTION:
        return None
    elements: DicomJson = decode(image.dicom_json)
    code = next(titles(elements), None)
    named = tuple(dict.fromkeys(named_in(elements)))
    if code is None or not named:
        return None
    return RejectionNote(sop_instance_uid=image.instance.sop_instance_uid, code=code, named=named)


def titles(elements: DicomJson) -> Iterator[str]:
    for item in items(elements, CONCEPT_NAME):
        code = text(item, CODE_VALUE)
        if text(item, CODING_SCHEME) == "DCM" and code in TITLES:
            yield code


def named_in(elements: DicomJson) -> Iterator[tuple[str, str]]:
    for tag in EVIDENCE:
        for study in items(elements, tag):
            for series in items(study, REFERENCED_SERIES):
                for one in items(series, REFERENCED_SOP):
                    uids = text(study, STUDY_INSTANCE_UID), text(one, REFERENCED_SOP_INSTANCE_UID)
                    if all(uids):
                        yield uids


def items(elements: DicomJson, tag: str) -> list[DicomJson]:
    return [one for one in values(elements, tag) if isinstance(one, dict)]


def values(elements: DicomJson, tag: str) -> list[Any]:
    found = elements.get(tag, {}).get("Value")
    return found if isinstance(found, list) else []


def text(elements: DicomJson, tag: str) -> str:
    """The first value, without what pads it; empty where there is none."""
    value = next(iter(values(elements, tag)), "")
    return value.strip(" \0") if isinstance(value, str) else ""
