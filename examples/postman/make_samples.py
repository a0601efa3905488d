"""Make the files that the Postman collection sends, and an environment that fits them.

    python examples/postman/make_samples.py FOLDER --number PM-1001

Another number makes images of other patients, so that the collection can be run again on the
same server: studies and patients stay where they were filed.
"""

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

HERE = Path(__file__).parent
ENVIRONMENT = "imaging_fhir.postman_environment.json"
MADE = datetime(2025, 3, 4, 9, 50)  # noqa: DTZ001 - DICOM keeps the offset apart
OFFSET = "+0100"
# 2.16.840.1.113883.19 is HL7's root for examples
PATIENT_NUMBERS, VISIT_NUMBERS = "2.16.840.1.113883.19.5.1", "2.16.840.1.113883.19.5.2"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", default="PM-1001", help="of the first patient")
    parser.add_argument("--base", default="http://127.0.0.1:8080", help="of the server")
    arguments = parser.parse_args()
    number, folder = arguments.number, arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "base": arguments.base,
        "patientNumber": number,
        "visitNumber": f"V-{number}",
        "studyInstanceUid": uid(number, "study"),
        "otherSeriesUid": uid(number, "study", "other series"),
        "secondPatientNumber": f"{number}-2",
        "heldStudyInstanceUid": uid(number, "held study"),
    }
    photo().save(folder / "photo.jpg", quality=85)
    ct = ct_instance(number, "study", values["patientNumber"], "Virtanen^Aino", "19670312")
    ct.AdmissionID = values["visitNumber"]
    ct.IssuerOfAdmissionIDSequence = [issuer(VISIT_NUMBERS)]
    ct.save_as(folder / "ct.dcm", enforce_file_format=True)
    ct.SeriesInstanceUID = values["otherSeriesUid"]
    ct.SOPInstanceUID = uid(number, "study", "other instance")
    ct.SeriesNumber = 2
    ct.save_as(folder / "other_series.dcm", enforce_file_format=True)
    second = values["secondPatientNumber"]
    held = ct_instance(number, "held study", second, "Novak^Petra", "19880921")
    held.save_as(folder / "held.dcm", enforce_file_format=True)
    (folder / ENVIRONMENT).write_text(environment(values))
    print(f"newman run {HERE / 'imaging_fhir.postman_collection.json'}", end=" ")
    print(f"-e {folder / ENVIRONMENT} --working-dir {folder}")
    return 0


def environment(values: dict[str, str]) -> str:
    described = json.loads((HERE / ENVIRONMENT).read_text())
    described["values"] = [
        {"key": key, "value": value, "enabled": True} for key, value in values.items()
    ]
    return json.dumps(described, indent=2) + "\n"


def photo() -> Image.Image:
    """A red spot on skin."""
    y, x = numpy.mgrid[0:480, 0:640]
    spot = ((x - 320) / 120) ** 2 + ((y - 240) / 80) ** 2 < 1
    pixels = numpy.full((480, 640, 3), (226, 180, 150), dtype=numpy.uint8)
    pixels[spot] = (170, 60, 50)
    return Image.fromarray(pixels)


def ct_instance(number: str, study: str, patient_id: str, name: str, born: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = uid(number, study, "instance")
    image.StudyInstanceUID = uid(number, study)
    image.SeriesInstanceUID = uid(number, study, "series")
    image.PatientID, image.PatientName, image.PatientBirthDate = patient_id, name, born
    image.PatientSex = "F"
    image.IssuerOfPatientIDQualifiersSequence = [issuer(PATIENT_NUMBERS)]
    image.Modality, image.StudyDescription = "CT", "CT of the chest"
    image.BodyPartExamined = "CHEST"
    image.StudyDate, image.StudyTime = f"{MADE:%Y%m%d}", f"{MADE:%H%M%S}"
    image.TimezoneOffsetFromUTC = OFFSET
    image.StudyID, image.AccessionNumber = "", ""
    image.SeriesNumber, image.InstanceNumber = 1, 1
    return with_pixels(image)


def with_pixels(image: Dataset) -> Dataset:
    pixels = numpy.add.outer(numpy.arange(64), numpy.arange(64)).astype("<u2")
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelData = pixels.tobytes()
    return image


def issuer(oid: str) -> Dataset:
    item = Dataset()
    item.UniversalEntityID, item.UniversalEntityIDType = oid, "ISO"
    return item


def uid(number: str, *words: str) -> str:
    """The same for the same number; 2.25 is the root of UIDs made from UUIDs (PS3.5 B.2)."""
    return f"2.25.{uuid5(NAMESPACE_OID, ' '.join((number, *words))).int}"


if __name__ == "__main__":
    sys.exit(main())
