"""A small hospital to try the service on: three patients, their visits, and images of all kinds.

`imaging-fhir demo` is nothing but the other commands in a row: it prints each as it runs it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click

from imaging_fhir.images import sample
from imaging_fhir.model.codec import Resource, encode
from imaging_fhir.settings import Settings

Header = dict[str, Any]

# 2.16.840.1.113883.19 is HL7's root for examples
PATIENT_NUMBERS = "2.16.840.1.113883.19.5.1"
VISIT_NUMBERS = "2.16.840.1.113883.19.5.2"
WINTER, SUMMER = (timezone(timedelta(hours=hours)) for hours in (1, 2))  # of Berlin


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPatient:
    id: str
    number: str
    family: str
    given: str
    birth_date: str
    gender: str

    def header(self) -> Header:
        """PS3.3 C.7.1.1 Patient."""
        return {
            "PatientID": self.number,
            "IssuerOfPatientIDQualifiersSequence": [iso_issuer(PATIENT_NUMBERS)],
            "PatientName": f"{self.family}^{self.given}",
            "PatientBirthDate": self.birth_date.replace("-", ""),
            "PatientSex": self.gender[0].upper(),
        }

    def resource(self) -> Resource:
        return {
            "resourceType": "Patient",
            "id": self.id,
            "identifier": [identifier("MR", PATIENT_NUMBERS, self.number)],
            "name": [{"use": "official", "family": self.family, "given": [self.given]}],
            "gender": self.gender,
            "birthDate": self.birth_date,
            "managingOrganization": {"reference": "Organization/demo-hospital"},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoVisit:
    id: str
    number: str
    patient: DemoPatient
    class_code: str  # http://terminology.hl7.org/CodeSystem/v3-ActCode
    class_display: str
    reason: str
    start: datetime
    hours: float

    def header(self) -> Header:
        """PS3.3 C.3.2 Visit Identification, as a modality worklist fills it in."""
        return {
            "AdmissionID": self.number,
            "IssuerOfAdmissionIDSequence": [iso_issuer(VISIT_NUMBERS)],
        }

    def resource(self) -> Resource:
        end = self.start + timedelta(hours=self.hours)
        return {
            "resourceType": "Encounter",
            "id": self.id,
            "identifier": [identifier("VN", VISIT_NUMBERS, self.number)],
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": self.class_code,
                "display": self.class_display,
            },
            "subject": {"reference": f"Patient/{self.patient.id}"},
            "participant": [{"individual": {"reference": "Practitioner/demo-berg"}}],
            "period": {"start": self.start.isoformat(), "end": end.isoformat()},
            "reasonCode": [{"text": self.reason}],
            "serviceProvider": {"reference": "Organization/demo-hospital"},
        }


def iso_issuer(oid: str) -> Header:
    return {"UniversalEntityID": oid, "UniversalEntityIDType": "ISO"}


def identifier(type_code: str, oid: str, value: str) -> Resource:
    type_ = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": type_code}
    return {"type": {"coding": [type_]}, "system": f"urn:oid:{oid}", "value": value}


OKAFOR = DemoPatient(
    id="demo-okafor",
    number="104217",
    family="Okafor",
    given="Amara",
    birth_date="1967-03-12",
    gender="female",
)
LINDQVIST = DemoPatient(
    id="demo-lindqvist",
    number="104363",
    family="Lindqvist",
    given="Jonas",
    birth_date="1949-11-02",
    gender="male",
)
TANAKA = DemoPatient(
    id="demo-tanaka",
    number="104588",
    family="Tanaka",
    given="Mei",
    birth_date="1975-06-30",
    gender="female",
)
PATIENTS = (OKAFOR, LINDQVIST, TANAKA)

EMERGENCY = DemoVisit(
    id="demo-okafor-emergency",
    number="V-25-0117",
    patient=OKAFOR,
    class_code="EMER",
    class_display="emergency",
    reason="Chest pain",
    start=datetime(2025, 1, 17, 21, 40, tzinfo=WINTER),
    hours=7,
)
NEUROLOGY = DemoVisit(
    id="demo-okafor-neurology",
    number="V-25-0304",
    patient=OKAFOR,
    class_code="AMB",
    class_display="ambulatory",
    reason="Headache",
    start=datetime(2025, 3, 4, 9, 0, tzinfo=WINTER),
    hours=3,
)
CARDIOLOGY = DemoVisit(
    id="demo-lindqvist-cardiology",
    number="V-25-0210",
    patient=LINDQVIST,
    class_code="IMP",
    class_display="inpatient encounter",
    reason="Heart failure",
    start=datetime(2025, 2, 10, 8, 30, tzinfo=WINTER),
    hours=75,
)
FIRST_DRESSING = DemoVisit(
    id="demo-lindqvist-dressing-1",
    number="V-25-0402",
    patient=LINDQVIST,
    class_code="HH",
    class_display="home health",
    reason="Venous leg ulcer",
    start=datetime(2025, 4, 2, 10, 0, tzinfo=SUMMER),
    hours=1,
)
LAST_DRESSING = DemoVisit(
    id="demo-lindqvist-dressing-2",
    number="V-25-0514",
    patient=LINDQVIST,
    class_code="HH",
    class_display="home health",
    reason="Venous leg ulcer",
    start=datetime(2025, 5, 14, 10, 15, tzinfo=SUMMER),
    hours=1,
)
SCREENING = DemoVisit(
    id="demo-tanaka-screening",
    number="V-25-0611",
    patient=TANAKA,
    class_code="AMB",
    class_display="ambulatory",
    reason="Breast screening",
    start=datetime(2025, 6, 11, 14, 0, tzinfo=SUMMER),
    hours=1,
)
VISITS = (EMERGENCY, NEUROLOGY, CARDIOLOGY, FIRST_DRESSING, LAST_DRESSING, SCREENING)

REFERRAL = [
    "Referral",
    "",
    "Dr Ingrid Berg, general practice",
    "1 April 2025",
    "",
    "Patient: Jonas Lindqvist, born 2 November 1949, number 104363",
    "",
    "Thank you for seeing Mr Lindqvist, 75, with an ulcer of the left lower leg that",
    "has not closed for five weeks. Pulses are present. Compression was begun on",
    "24 March. He has heart failure (echocardiography of February attached).",
    "",
    "Please take over the dressings at home and send a picture at each visit.",
    "",
    "I. Berg",
]

PATIENTS_FILE = "patients.json"
WHERE_TO_LOOK = """
Open these, Ctrl-C ends:
  the chart             {base}/chart
  what is there         {base}/fhir/ImagingStudy
  one patient's images  {base}/fhir/ImagingStudy?patient=demo-okafor
  one visit's photos    {base}/fhir/DocumentReference?encounter=demo-lindqvist-dressing-1
  what is held, and why {base}/fhir/Task
  studies by DICOMweb   {base}/dicomweb/studies
"""
CT_OF_CHEST = "CT of the chest"
IN_THE_VIEWER = "  a CT in the viewer    {base}/viewer?StudyInstanceUIDs={study}"

# What names nobody inside goes to a patient and a visit by the one who sends it.
ATTACHED = {
    "wound-2025-04-02.jpg": FIRST_DRESSING,
    "wound-2025-05-14.jpg": LAST_DRESSING,
    "referral.pdf": FIRST_DRESSING,
}


def write_demo(folder: Path) -> None:
    """Samples into `folder`: `dicom/`, photos, a scan, and `patients.json`; the same each time."""
    for name, content in demo_files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def demo_files() -> Iterator[tuple[str, bytes]]:
    yield from dicom_files()
    yield "wound-2025-04-02.jpg", sample.wound_photo(at(FIRST_DRESSING, minutes=12), healed=0)
    yield "wound-2025-05-14.jpg", sample.wound_photo(at(LAST_DRESSING, minutes=9), healed=0.75)
    yield "referral.pdf", sample.scanned_letter(REFERRAL, at(FIRST_DRESSING, minutes=-1110))
    yield PATIENTS_FILE, encode(demo_bundle())  # last: where it is, all the others are


def at(visit: DemoVisit, *, minutes: int) -> datetime:
    return visit.start + timedelta(minutes=minutes)


def demo_bundle() -> Resource:
    """A transaction that leaves the same resources behind however often it is sent."""
    hospital: Resource = {
        "resourceType": "Organization",
        "id": "demo-hospital",
        "active": True,
        "name": "Demo Hospital",
    }
    physician: Resource = {
        "resourceType": "Practitioner",
        "id": "demo-berg",
        "name": [{"family": "Berg", "given": ["Ingrid"], "prefix": ["Dr"]}],
    }
    people = [patient.resource() for patient in PATIENTS]
    visits = [visit.resource() for visit in VISITS]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [put_entry(resource) for resource in (hospital, physician, *people, *visits)],
    }


def put_entry(resource: Resource) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def dicom_files() -> Iterator[tuple[str, bytes]]:
    chest = study(CT_OF_CHEST, at(EMERGENCY, minutes=75)) | EMERGENCY.header()
    chest |= OKAFOR.header() | {"SeriesDescription": "Chest with contrast", "SeriesNumber": 2}
    for number, content in enumerate(sample.ct_chest(chest), start=1):
        yield f"dicom/okafor-ct/{number:03}.dcm", content

    brain = study("MR of the head", at(NEUROLOGY, minutes=50)) | OKAFOR.header()
    brain |= {"SeriesDescription": "T2 axial", "SeriesNumber": 4}  # by its time: no visit number
    for number, content in enumerate(sample.mr_brain(brain), start=1):
        yield f"dicom/okafor-mr/{number:03}.dcm", content

    heart = study("Echocardiography", at(CARDIOLOGY, minutes=1500)) | CARDIOLOGY.header()
    heart |= LINDQVIST.header() | {"SeriesDescription": "Four chambers", "SeriesNumber": 1}
    yield "dicom/lindqvist-us.dcm", sample.ultrasound_clip(heart)

    breast = study("Screening mammography", at(SCREENING, minutes=20)) | TANAKA.header()
    for number, side in enumerate(("R", "L"), start=1):
        series = breast | {"SeriesDescription": f"{side} MLO", "SeriesNumber": number}
        yield f"dicom/tanaka-mg-{side.lower()}.dcm", sample.mammogram(series, laterality=side)
    yield from doubtful_dicom_files()


def doubtful_dicom_files() -> Iterator[tuple[str, bytes]]:
    """What must not be filed as it is: a birth date that disagrees, and a stranger."""
    mistyped = study("Mammography, repeated", at(SCREENING, minutes=45)) | TANAKA.header()
    mistyped |= {"PatientBirthDate": "19570630", "SeriesNumber": 1}
    yield "dicom/tanaka-mg-mistyped.dcm", sample.mammogram(mistyped, laterality="L")

    stranger = study("Point-of-care ultrasound", at(EMERGENCY, minutes=200))
    stranger |= {
        "PatientID": "990017",
        "IssuerOfPatientIDQualifiersSequence": [iso_issuer(PATIENT_NUMBERS)],
        "PatientName": "Moreau^Camille",
        "PatientBirthDate": "19880921",
        "PatientSex": "O",
        "SeriesNumber": 1,
    }
    yield "dicom/stranger-us.dcm", sample.ultrasound_still(stranger)


def study(description: str, started: datetime) -> Header:
    """PS3.3 C.7.2.1 General Study."""
    return {
        "StudyInstanceUID": sample.uid("study", description),
        "StudyDescription": description,
        "StudyDate": f"{started:%Y%m%d}",
        "StudyTime": f"{started:%H%M%S}",
        "TimezoneOffsetFromUTC": f"{started:%z}",
        "StudyID": "",
        "AccessionNumber": f"A{started:%y%m%d%H}",
        "ReferringPhysicianName": "Berg^Ingrid^^Dr",
        "InstitutionName": "Demo Hospital",
        "Manufacturer": "Example",
    }


@click.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Make sample images, take them in, serve them, and print where to look."""
    settings = Settings.from_environment(os.environ)
    folder = settings.data_dir / "demo"
    if not (folder / PATIENTS_FILE).exists():
        click.echo(f"Making sample images in {folder}")
        write_demo(folder)
    taken_in = folder / ".taken-in"
    if not taken_in.exists():
        take_in(context, folder)
        taken_in.touch()
    click.echo(WHERE_TO_LOOK.format(base=settings.public_address).rstrip())
    if settings.viewer_dir:
        ct = sample.uid("study", CT_OF_CHEST)
        click.echo(IN_THE_VIEWER.format(base=settings.public_address, study=ct))
    run_command(context, "serve")


def take_in(context: click.Context, folder: Path) -> None:
    run_command(context, "load", str(folder / PATIENTS_FILE))
    run_command(context, "ingest", str(folder / "dicom"))
    for name, visit in ATTACHED.items():
        options = ["--patient", f"Patient/{visit.patient.id}", "--encounter"]
        run_command(context, "ingest", *options, f"Encounter/{visit.id}", str(folder / name))


def run_command(context: click.Context, *arguments: str) -> None:
    """What a person would type; its failure is the demo's."""
    click.echo(f"$ imaging-fhir {' '.join(arguments)}")
    command = context.find_root().command
    status = command.main(list(arguments), prog_name="imaging-fhir", standalone_mode=False)
    if status:
        context.exit(status)
