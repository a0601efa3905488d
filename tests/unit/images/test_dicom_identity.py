"""A data set with another identity: all else stays as it was, byte for byte."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.dicom_identity import dicom_identity
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.images.dicom_identity import coerced, coerced_json
from imaging_fhir.model.codec import decode
from imaging_fhir.model.dicom_attribute import is_of_identity
from tests.dicom_samples import ct_instance

JOHN: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "john",
    "identifier": [
        {"use": "old", "system": "urn:oid:1.2.3", "value": "8"},
        {"system": "urn:oid:1.2.3", "value": "9"},
    ],
    "name": [{"family": "Döe", "given": ["John", "Paul"], "prefix": ["Dr."]}],
    "birthDate": "1960-01-02",
    "gender": "male",
}
IDENTITY = dicom_identity(JOHN, {"identifier": [{"system": "urn:x:visits", "value": "V9"}]})


def served(content: bytes, identity: Any = IDENTITY) -> bytes:
    """All of the file as it would be served."""
    found = coerced(BytesIO(content), len(content), identity)
    with found.stream:
        found.stream.seek(0)
        body = found.stream.read()
    stored = content if len(found.pieces) > 1 else body
    return content[: found.offset] + b"".join(
        piece if isinstance(piece, bytes) else stored[piece[0] : piece[1]] for piece in found.pieces
    )


def read(content: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(content), force=True)


def others(data_set: pydicom.Dataset) -> dict[int, Any]:
    return {
        int(tag): data_set.get_item(tag).value
        for tag in data_set.keys()  # noqa: SIM118  a Dataset iterates elements
        if not is_of_identity(int(tag)) and tag != 0x00080005
    }


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_identity_is_the_only_thing_that_changes(syntax: str) -> None:
    content = ct_instance(
        transfer_syntax=syntax,
        OtherPatientIDs="77",
        PatientAddress="1 Main Street",
        PatientWeight="70",
        AdmissionID="V1",
        SpecificCharacterSet="ISO_IR 100",
    )
    before, after = read(content), read(served(content))
    assert others(after) == others(before)
    assert str(after.PatientName) == "Döe^John^Paul^Dr."
    assert (after.PatientID, after.PatientBirthDate, after.PatientSex) == ("9", "19600102", "M")
    [issuer] = after.IssuerOfPatientIDQualifiersSequence
    assert (issuer.UniversalEntityID, issuer.UniversalEntityIDType) == ("1.2.3", "ISO")
    assert after.AdmissionID == "V9"
    assert "OtherPatientIDs" not in after
    assert "PatientAddress" not in after
    assert after.PatientWeight == 70
    assert after.PixelData == before.PixelData
    tags = [int(tag) for tag in after.keys()]  # noqa: SIM118
    assert tags == sorted(tags)


def test_a_file_of_ascii_alone_is_utf_8_for_a_name_that_is_not() -> None:
    content = ct_instance(SpecificCharacterSet=None)
    after = read(served(content))
    assert after.SpecificCharacterSet == "ISO_IR 192"
    assert str(after.PatientName) == "Döe^John^Paul^Dr."


def test_a_name_that_the_files_characters_cannot_write_is_written_plainly() -> None:
    content = ct_instance(SpecificCharacterSet="ISO_IR 144")
    assert str(read(served(content)).PatientName) == "Doe^John^Paul^Dr."


def test_dicom_json_changes_alike() -> None:
    elements = decode(
        b'{"00080060":{"vr":"CS","Value":["CT"]},"00100010":{"vr":"PN"},'
        b'"00101000":{"vr":"LO","Value":["77"]},"00101030":{"vr":"DS","Value":[70]}}'
    )
    found = coerced_json(elements, IDENTITY)
    assert list(found) == sorted(found)
    assert found["00100020"]["Value"] == ["9"]
    assert "00101000" not in found
    assert found["00101030"]["Value"] == [70]


def test_what_is_not_known_of_the_patient_is_empty() -> None:
    after = read(served(ct_instance(), dicom_identity({}, {})))
    assert (after.PatientID, after.PatientBirthDate, after.PatientSex) == ("", "", "")
    assert str(after.PatientName) == ""


def test_real_files_keep_all_else(shared_data: Path) -> None:
    done = 0
    files = [path for path in sorted((shared_data / "dicom").rglob("*")) if path.is_file()]
    for path in files[::5]:
        content = path.read_bytes()
        try:
            DicomReader().read(BytesIO(content))
        except ImagingError:
            continue
        before, after = read(content), read(served(content))
        assert others(after) == others(before), path
        assert after.PatientID == "9", path
        done += 1
    assert done > 20
