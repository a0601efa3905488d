import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.images.sop_identity import SopIdentity, sop_identity
from tests.dicom_samples import INSTANCE, data_set, dicom_file

IDENTITY = SopIdentity(sop_class_uid=CTImageStorage, sop_instance_uid=INSTANCE)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_an_instance_is_known_by_its_first_bytes(syntax: str) -> None:
    instance = data_set({"SOPClassUID": CTImageStorage, "ImageComments": "long" * 2000})
    assert sop_identity(dicom_file(instance, transfer_syntax=syntax)[:1000]) == IDENTITY


def test_what_has_not_arrived_is_not_guessed() -> None:
    file = dicom_file(data_set({"SOPClassUID": CTImageStorage}))
    end = file.rindex(INSTANCE.encode()) + len(INSTANCE) + len(INSTANCE) % 2
    assert sop_identity(file[:end]) == IDENTITY
    for shorter in range(end):
        assert sop_identity(file[:shorter]).sop_instance_uid is None


def test_an_instance_that_says_nothing_is_nobody() -> None:
    file = dicom_file(data_set({"SOPClassUID": CTImageStorage}))
    head = file[: file.index(b"\x08\x00")]
    assert sop_identity(head + b"\x10\x00\x10\x00PN\x04\x00Roe^") == SopIdentity()
    assert sop_identity(b"nothing") == SopIdentity()
