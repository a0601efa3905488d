"""CT instances of 512 kB without end: one file in memory whose UIDs are changed in their places."""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.uid import UID, CTImageStorage

from imaging_fhir.images.sample import axial_position, dicom_file

SIDE = 512
SAME_PATIENT = 10_000_000  # so far apart are the numbers of a patient's studies
ROOT = "1.2.826.0.1.3680043.10.1593"
HEADER = {
    "SOPClassUID": CTImageStorage,
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "StudyDate": "20240305",
    "SeriesDate": "20240305",
    "AcquisitionDate": "20240305",
    "ContentDate": "20240305",
    "StudyTime": "101530.5",
    "SeriesTime": "101610.25",
    "AcquisitionTime": "101622.75",
    "ContentTime": "101622.75",
    "AccessionNumber": "A240305-17",
    "Modality": "CT",
    "Manufacturer": "Example Medical",
    "InstitutionName": "Example Hospital",
    "ReferringPhysicianName": "Ward^Rosa^^Dr",
    "StationName": "CT3",
    "StudyDescription": "CT chest with contrast",
    "ProcedureCodeSequence": [
        {
            "CodeValue": "75385009",
            "CodingSchemeDesignator": "SCT",
            "CodeMeaning": "CT of chest with contrast",
        }
    ],
    "SeriesDescription": "Lung 1.25 mm",
    "PerformingPhysicianName": "Scan^Otto",
    "OperatorsName": "Tech^Tina",
    "ManufacturerModelName": "Slicer 64",
    "PatientName": "Bench^Mark^A",
    "IssuerOfPatientID": "BENCH",
    "PatientBirthDate": "19610203",
    "PatientSex": "O",
    "PatientAge": "063Y",
    "PatientWeight": "71.5",
    "ContrastBolusAgent": "Iodine",
    "BodyPartExamined": "CHEST",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "DeviceSerialNumber": "000123",
    "SoftwareVersions": "4.1.2",
    "ProtocolName": "Chest routine",
    "ReconstructionDiameter": "360",
    "ExposureTime": "600",
    "XRayTubeCurrent": "310",
    "ConvolutionKernel": "LUNG",
    "PatientPosition": "HFS",
    "StudyID": "17",
    "SeriesNumber": 4,
    "AcquisitionNumber": 1,
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["400", "1500"],
    "RequestedProcedureDescription": "CT chest",
}


def uid(kind: int, study: int, number: int = 0) -> str:
    """Of even length, and of the same length whatever the numbers are."""
    return f"{ROOT}.{kind}.{1_000_000_000 + study}.{10_000_000 + number}"


def patient_id(study: int) -> str:
    return f"B{study % SAME_PATIENT:07d}"


def study_uid(study: int) -> str:
    return uid(1, study)


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where a text stands in the body, to be written over by another of the same length."""

    places: tuple[int, ...]

    def write(self, body: bytearray, text: str) -> None:
        for place in self.places:
            body[place : place + len(text)] = text.encode()


class Template:
    """The body of a request, or a file, that holds one instance."""

    def __init__(self, before: bytes = b"", after: bytes = b"") -> None:
        content = instance_file()
        self.body = bytearray(before + content + after)
        self.study = self.offsets(study_uid(0))
        self.series = self.offsets(uid(2, 0))
        self.instance = self.offsets(uid(3, 0))
        self.patient = self.offsets(patient_id(0))
        self.number = self.offsets("7777777 ")

    def offsets(self, text: str) -> Offsets:
        sought, places, at = text.encode(), [], -1
        while (at := self.body.find(sought, at + 1)) >= 0:
            places.append(at)
        if not places:
            raise ValueError(f"The sample has no {text!r}.")
        return Offsets(tuple(places))

    def set(self, study: int, number: int) -> bytearray:
        """The body, holding that instance until this is called again."""
        self.study.write(self.body, study_uid(study))
        self.series.write(self.body, uid(2, study))
        self.instance.write(self.body, uid(3, study, number))
        self.patient.write(self.body, patient_id(study))
        self.number.write(self.body, f"{number + 1:<8}")
        return self.body


@lru_cache(maxsize=1)
def instance_file() -> bytes:
    chance = np.random.default_rng(17)
    pixels = chance.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    header = {
        **HEADER,
        "PatientID": patient_id(0),
        "StudyInstanceUID": study_uid(0),
        **axial_position(7, spacing=0.7, thickness=1.25),
    }
    content = dicom_file(header, pixels, number=7_777_777, bits=12)
    return with_uids(content)


def with_uids(content: bytes) -> bytes:
    """The file as it is, its series and instance named in our own fixed form."""
    read = dcmread(BytesIO(content))
    read.SeriesInstanceUID = uid(2, 0)
    read.SOPInstanceUID = uid(3, 0)
    read.file_meta.MediaStorageSOPInstanceUID = UID(uid(3, 0))
    target = BytesIO()
    dcmwrite(target, read, enforce_file_format=True)
    return target.getvalue()
