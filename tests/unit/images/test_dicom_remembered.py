"""What is remembered of the files before changes nothing of what is read from the next one."""

import random
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import ImagingError
from imaging_fhir.images.dicom import CONTEXTS, MAX_SHARED_BYTES, DicomReader
from imaging_fhir.images.dicom_elements import remembered
from imaging_fhir.images.dicom_shared import MAX_REMEMBERED
from imaging_fhir.model.study import DicomInstance
from tests.dicom_samples import SERIES, ct_instance, report_instance

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom"
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
CODE = {"CodeValue": "75385009", "CodingSchemeDesignator": "SCT", "CodeMeaning": "CT of chest"}
PATIENTS: dict[str, dict[str, Any]] = {
    "another name": {"PatientName": "Other^Ann"},
    "another number": {"PatientID": "999"},
    "no number": {"PatientID": None},
    "another issuer": {"IssuerOfPatientID": "ELSEWHERE"},
    "another birth date": {"PatientBirthDate": "19800101"},
    "another visit": {"AdmissionID": "V-2"},
    "another accession number": {"AccessionNumber": "A-2"},
    "another study": {"StudyInstanceUID": "1.2.3.4"},
    "another procedure": {"ProcedureCodeSequence": [CODE | {"CodeValue": "1"}]},
    "another modality": {"Modality": "MR"},
    "an offset of time": {"TimezoneOffsetFromUTC": "+0200"},
    "a malformed date": {"StudyDate": "2024X"},
}


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    remembered.cache_clear()
    CONTEXTS.remembered.clear()


def read(file: bytes) -> DicomInstance | tuple[type, str]:
    try:
        return DicomReader().read(BytesIO(file))
    except ImagingError as error:
        return type(error), str(error)
    except Exception as error:  # the caller of a reader makes UnreadableImage of it
        return type(error), ""


def read_afresh(file: bytes) -> DicomInstance | tuple[type, str]:
    forget()
    return read(file)


@pytest.mark.parametrize("change", PATIENTS)
def test_an_image_of_a_known_series_is_read_as_what_it_says_itself(change: str) -> None:
    first = ct_instance(ProcedureCodeSequence=[CODE], PatientID="123")
    other = ct_instance(**{"ProcedureCodeSequence": [CODE], "PatientID": "123"} | PATIENTS[change])
    expected = read_afresh(other)
    assert expected != read_afresh(first)
    read(first)
    assert [read(other), read(other), read(first)] == [expected, expected, read_afresh(first)]


def test_images_of_one_series_share_what_they_all_say() -> None:
    one, other = (read(ct_instance(InstanceNumber=number)) for number in (1, 2))
    assert isinstance(one, DicomInstance)
    assert isinstance(other, DicomInstance)
    assert (one.person is other.person, one.study is other.study) == (True, True)
    assert (one.instance.instance_number, other.instance.instance_number) == (1, 2)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("sample", [ct_instance, report_instance])
def test_damaged_bytes_are_read_alike_whatever_was_read_before(
    sample: Callable[..., bytes], syntax: str
) -> None:
    whole = sample(transfer_syntax=syntax)
    header = whole[:4000]
    chance = random.Random(11)
    for _ in range(150):
        damaged = bytearray(header[: chance.randrange(132, len(header))])
        for position in chance.sample(range(132, len(damaged)), k=min(2, len(damaged) - 132)):
            damaged[position] = chance.randrange(256)
        expected = read_afresh(bytes(damaged))
        read(whole)
        assert [read(bytes(damaged)), read(bytes(damaged))] == [expected, expected]


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_a_header_cut_anywhere_is_noted_each_time(syntax: str) -> None:
    whole = ct_instance(transfer_syntax=syntax)[:3000]
    for end in range(200, len(whole), 7):
        expected = read_afresh(whole[:end])
        read(whole)
        assert read(whole[:end]) == expected
        assert read(whole[:end]) == expected


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared sample files are not here")
def test_every_shared_file_is_read_as_if_it_were_the_first() -> None:
    files = [path.read_bytes() for path in sorted(DATA.rglob("*")) if path.is_file()]
    expected = [read_afresh(file) for file in files]
    assert sum(isinstance(one, DicomInstance) for one in expected) > 100
    forget()
    for _ in range(2):
        assert [read(file) for file in files] == expected


def test_what_is_remembered_of_series_is_bounded() -> None:
    for number in range(MAX_REMEMBERED + 10):
        read(ct_instance(SeriesInstanceUID=f"1.2.{number}"))
    assert 0 < len(CONTEXTS.remembered) <= MAX_REMEMBERED
    forget()
    read(ct_instance(PatientComments="x" * MAX_SHARED_BYTES))
    assert SERIES not in CONTEXTS.remembered
