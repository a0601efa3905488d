"""What STOW-RS answers (PS3.18 10.5.3, I.2): which instances are kept, and why others are not."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_fhir.errors import (
    ImagingError,
    InvalidRequest,
    ResourceConflict,
    StorageFull,
    StorageUnavailable,
    UnreadableImage,
    UnsupportedImage,
    UnsupportedMediaType,
    UploadTooLarge,
)
from imaging_fhir.model.study import DicomJson

OUT_OF_RESOURCES = 0xA700
OTHER_STUDY = 0xA901  # of our own in A9xx, data set does not match: another StudyInstanceUID
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110
NOT_AUTHORIZED = 0x0124
HELD = 0xB100  # of our own in Bxxx, warning: kept, and held until someone has looked at it
MAX_COMMENT_CHARACTERS = 64  # of LO

FAILURE_REASONS: dict[type[ImagingError], int] = {
    StorageFull: OUT_OF_RESOURCES,
    StorageUnavailable: OUT_OF_RESOURCES,
    UploadTooLarge: OUT_OF_RESOURCES,
    UnreadableImage: CANNOT_UNDERSTAND,
    UnsupportedImage: CANNOT_UNDERSTAND,
    UnsupportedMediaType: CANNOT_UNDERSTAND,
    InvalidRequest: CANNOT_UNDERSTAND,  # a DICOMDIR
    ResourceConflict: NOT_AUTHORIZED,  # erased here, and refused when it is sent again
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An instance that is kept; a held one has a warning, and no address to retrieve it from."""

    sop_class_uid: str
    sop_instance_uid: str
    retrieve_url: str | None = None
    warning_reason: int | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A part that is not kept; the UIDs are None where it could not be told what it was."""

    error: ImagingError
    failure_reason: int
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None


def failure_reason(error: ImagingError) -> int:
    return FAILURE_REASONS.get(type(error), PROCESSING_FAILURE)


def store_status(stored: Sequence[Stored], failed: Sequence[Failed]) -> int:
    """Table 10.5.3-1: all, some or none; none for want of room is 503, for its size 413."""
    if stored:
        is_clean = not failed and not any(one.warning_reason for one in stored)
        return 200 if is_clean else 202
    errors = [one.error for one in failed]
    if errors and all(isinstance(error, StorageFull | StorageUnavailable) for error in errors):
        return 503
    if errors and all(isinstance(error, UploadTooLarge) for error in errors):
        return 413
    return 409


def store_response(
    stored: Sequence[Stored], failed: Sequence[Failed], *, retrieve_url: str | None
) -> DicomJson:
    """The Store Instances Response Module (Table I.2-1) in DICOM JSON."""
    known = [failed_item(one) for one in failed if one.sop_instance_uid]
    other = [failed_item(one) for one in failed if not one.sop_instance_uid]
    sequences = {
        "00081198": known,
        "00081199": [stored_item(one) for one in stored],
        "0008119A": other,
    }
    return {
        "00081190": element("UR", retrieve_url),
        **{tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items},
    }


def stored_item(one: Stored) -> DicomJson:
    item = {
        "00081150": element("UI", one.sop_class_uid),
        "00081155": element("UI", one.sop_instance_uid),
        "00081190": element("UR", one.retrieve_url),
    }
    if one.warning_reason is not None:
        item["00081196"] = element("US", one.warning_reason)
    return {**item, **comment(one.comment)}


def failed_item(one: Failed) -> DicomJson:
    identity: DicomJson = {}
    if one.sop_instance_uid:
        identity = {
            "00081150": element("UI", one.sop_class_uid),
            "00081155": element("UI", one.sop_instance_uid),
        }
    reason = {"00081197": element("US", one.failure_reason)}
    return {**identity, **reason, **comment(str(one.error))}


def comment(text: str) -> DicomJson:
    """ErrorComment, as other archives send it too: the reason in words."""
    return {"00000902": element("LO", text[:MAX_COMMENT_CHARACTERS])} if text else {}


def element(vr: str, value: str | int | None) -> dict[str, object]:
    """An element of one value; an absent one is empty."""
    return {"vr": vr} if value is None else {"vr": vr, "Value": [value]}
