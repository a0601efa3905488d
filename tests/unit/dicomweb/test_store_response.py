import json
from typing import Any

import pydicom
import pytest

from imaging_fhir.dicomweb.store_response import (
    HELD,
    Failed,
    Stored,
    failure_reason,
    store_response,
    store_status,
)
from imaging_fhir.errors import (
    ImagingError,
    ResourceConflict,
    StorageFull,
    StorageUnavailable,
    UnreadableImage,
    UploadTooLarge,
)
from imaging_fhir.model.codec import encode

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
KEPT = Stored(sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.2", retrieve_url="https://a/1.2")
HELD_BACK = Stored(
    sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.3", warning_reason=HELD, comment="Held."
)


def failed(error: ImagingError, **identity: str) -> Failed:
    return Failed(error=error, failure_reason=failure_reason(error), **identity)


UNREADABLE = failed(UnreadableImage("The DICOM file has no SOPInstanceUID."))
NAMED = failed(ResourceConflict("No."), sop_class_uid=CT_IMAGE_STORAGE, sop_instance_uid="1.4")
FULL = failed(StorageFull("Full."))
LARGE = failed(UploadTooLarge("Large."))


@pytest.mark.parametrize(
    ("stored", "not_stored", "status"),
    [
        ([KEPT], [], 200),
        ([KEPT, HELD_BACK], [], 202),
        ([KEPT], [UNREADABLE], 202),
        ([KEPT], [FULL], 202),
        ([], [UNREADABLE], 409),
        ([], [UNREADABLE, FULL], 409),
        ([], [FULL, failed(StorageUnavailable("Busy."))], 503),
        ([], [LARGE], 413),
        ([], [LARGE, FULL], 409),
    ],
)
def test_the_status_says_all_some_or_none(
    stored: list[Stored], not_stored: list[Failed], status: int
) -> None:
    assert store_status(stored, not_stored) == status


def answered(stored: list[Stored], not_stored: list[Failed], url: str | None) -> pydicom.Dataset:
    body: dict[str, Any] = json.loads(encode(store_response(stored, not_stored, retrieve_url=url)))
    return pydicom.Dataset.from_json(body)


def test_each_instance_stands_in_the_sequence_of_its_outcome() -> None:
    answer = answered([KEPT, HELD_BACK], [UNREADABLE, NAMED], "https://a")
    kept, held = answer.ReferencedSOPSequence
    [known] = answer.FailedSOPSequence
    [unknown] = answer.OtherFailuresSequence
    assert answer.RetrieveURL == "https://a"
    assert (kept.ReferencedSOPInstanceUID, kept.RetrieveURL) == ("1.2", "https://a/1.2")
    assert "WarningReason" not in kept
    assert (held.WarningReason, held.RetrieveURL, held.ErrorComment) == (0xB100, "", "Held.")
    assert (known.ReferencedSOPInstanceUID, known.FailureReason) == ("1.4", 0x0124)
    assert (unknown.FailureReason, "ReferencedSOPInstanceUID" in unknown) == (0xC000, False)


def test_an_empty_sequence_is_left_out_and_an_absent_address_is_empty() -> None:
    answer = answered([HELD_BACK], [], None)
    assert answer.RetrieveURL == ""
    assert "FailedSOPSequence" not in answer
    assert "OtherFailuresSequence" not in answer


def test_a_comment_has_the_length_that_its_vr_allows() -> None:
    error = UnreadableImage("x" * 100)
    [item] = answered([], [failed(error)], None).OtherFailuresSequence
    assert item.ErrorComment == "x" * 64


def test_an_error_of_no_known_reason_is_a_failure_in_processing() -> None:
    assert failure_reason(ImagingError("A fault.")) == 0x0110
