from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.images.dicom_stream import start_of_file
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
    beginning = encoded(instance, syntax)[:1000]
    found = sop_identity(beginning, is_deflated=syntax == DeflatedExplicitVRLittleEndian)
    assert found == IDENTITY


def encoded(instance: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    file = dicom_file(instance, transfer_syntax=syntax)
    return file[start_of_file(BytesIO(file)).offset :]


def test_what_has_not_arrived_is_not_guessed() -> None:
    whole = encoded(data_set({"SOPClassUID": CTImageStorage}))
    end = whole.index(INSTANCE.encode()) + len(INSTANCE) + len(INSTANCE) % 2
    assert sop_identity(whole[:end], is_deflated=False) == IDENTITY
    for shorter in range(end):
        assert sop_identity(whole[:shorter], is_deflated=False).sop_instance_uid is None


@pytest.mark.parametrize("beginning", [b"", b"nothing", b"\x10\0\x10\0PN\4\0Roe^", b"\xff" * 99])
@pytest.mark.parametrize("is_deflated", [False, True])
def test_an_instance_that_says_nothing_is_nobody(beginning: bytes, *, is_deflated: bool) -> None:
    assert sop_identity(beginning, is_deflated=is_deflated) == SopIdentity()
