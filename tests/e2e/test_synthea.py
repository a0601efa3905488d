"""Synthea's patients and visits, and real DICOM files stamped with their numbers."""

import json
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import generate_uid

from tests.e2e.processes import run
from tests.e2e.server import Server, import_statuses

HOSPITAL = "http://hospital.smarthealthit.org"  # of Synthea's medical record numbers
VISITS_OID = "2.25.318"
VISITS = f"urn:oid:{VISITS_OID}"
FILES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm")
Resource = dict[str, Any]


@dataclass(frozen=True)
class Stamped:
    """A study of one visit, or of none known by a number, as it was sent."""

    study: str
    patient: str
    encounter: str


@dataclass(frozen=True)
class Hospital:
    server: Server
    patients: list[Resource]
    encounters: dict[str, list[Resource]]  # by the Patient's id
    stamped: list[Stamped]
    authored: list[Resource]  # ImagingStudies that Synthea's Bundles bring, without images
    sources: list[Path]


@pytest.fixture(scope="module")
def hospital(
    server: Server, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Hospital:
    bundles = sorted((shared_data / "fhir/synthea_r4").rglob("*.json"))
    load(server, bundles, tmp_path_factory.mktemp("bundles"))
    patients = all_matches(server, "Patient?_count=1000")
    encounters = {
        patient["id"]: all_matches(server, f"Encounter?patient={patient['id']}&_count=1000")
        for patient in patients
    }
    authored = all_matches(server, "ImagingStudy?_count=1000")
    sources = [shared_data / "dicom/pydicom" / name for name in FILES]
    stamped = [
        send(server, sources[number % len(sources)], patient, encounter)
        for patient in patients
        for number, encounter in enumerate(encounters[patient["id"]])
        for _ in range(1 + number % 2)
    ]
    return Hospital(server, patients, encounters, stamped, authored, sources)


def load(server: Server, bundles: list[Path], folder: Path) -> None:
    """By the command, while the server runs; Synthea's visits have no number, so they get one."""
    assert len(bundles) == 3
    for path in bundles:
        bundle = json.loads(path.read_bytes())
        for entry in bundle["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "Encounter":
                resource["identifier"] = [{"system": VISITS, "value": resource["id"]}]
        (folder / path.name).write_text(json.dumps(bundle))
    loaded = run("load", *folder.iterdir(), data_dir=server.data_dir, timeout=120)
    assert loaded.exit_code == 0, loaded.stderr


def all_matches(server: Server, query: str) -> list[Resource]:
    bundle = server.fhir(query)
    return [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "match"]


def send(server: Server, source: Path, patient: Resource, encounter: Resource) -> Stamped:
    study = generate_uid()
    content = stamped_file(source, patient, study, number=encounter["identifier"][0]["value"])
    answer = server.import_image(content)
    assert import_statuses(answer) == [201], answer.body
    return Stamped(study, patient["id"], encounter["id"])


def stamped_file(
    source: Path, patient: Resource, study: str, *, number: str = "", **changes: str
) -> bytes:
    """The file as a study of that patient's; `number` is that of the visit."""
    instance = pydicom.dcmread(source)
    instance.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {**identity_of(patient), **changes}.items():
        setattr(instance, keyword, value)
    instance.IssuerOfPatientIDQualifiersSequence = Sequence([issuer(HOSPITAL, "URI")])
    instance.StudyInstanceUID, instance.SeriesInstanceUID = study, generate_uid()
    instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    if number:
        instance.AdmissionID = number
        instance.IssuerOfAdmissionIDSequence = Sequence([issuer(VISITS_OID, "ISO")])
    content = BytesIO()
    instance.save_as(content)
    return content.getvalue()


def identity_of(patient: Resource) -> dict[str, str]:
    name = patient["name"][0]
    numbers = [one["value"] for one in patient["identifier"] if one["system"] == HOSPITAL]
    return {
        "PatientID": numbers[0],
        "PatientName": f"{name['family']}^{name['given'][0]}",
        "PatientBirthDate": patient["birthDate"].replace("-", ""),
        "PatientSex": patient["gender"][0].upper(),
    }


def issuer(entity: str, kind: str) -> Dataset:
    made = Dataset()
    made.UniversalEntityID, made.UniversalEntityIDType = entity, kind
    return made


def test_a_visit_has_just_its_own_studies(hospital: Hospital) -> None:
    visits = 0
    for patient, encounters in hospital.encounters.items():
        for encounter in encounters:
            query = f"patient={patient}&encounter={encounter['id']}&_include=ImagingStudy:encounter"
            bundle = hospital.server.fhir(f"ImagingStudy?{query}")
            found = {mode: ids(bundle, mode) for mode in ("match", "include")}
            sent = {one.study for one in hospital.stamped if one.encounter == encounter["id"]}
            sent |= written(hospital, "encounter", f"Encounter/{encounter['id']}")
            assert found == {"match": sent, "include": {encounter["id"]}}
            visits += 1
    assert visits == 30


def written(hospital: Hospital, element: str, reference: str) -> set[str]:
    """Ids of the studies that Synthea wrote of that patient or visit."""
    return {one["id"] for one in hospital.authored if one[element]["reference"] == reference}


def ids(bundle: Resource, mode: str) -> set[str]:
    return {entry["resource"]["id"] for entry in bundle["entry"] if entry["search"]["mode"] == mode}


def test_a_patient_has_just_its_own_studies(hospital: Hospital) -> None:
    for patient in hospital.encounters:
        found = all_matches(hospital.server, f"ImagingStudy?patient={patient}&_count=1000")
        sent = {one.study for one in hospital.stamped if one.patient == patient}
        sent |= written(hospital, "subject", f"Patient/{patient}")
        assert {study["id"] for study in found} == sent
        assert {study["subject"]["reference"] for study in found} == {f"Patient/{patient}"}


def test_without_a_visit_number_the_time_tells_the_visit(hospital: Hospital) -> None:
    patient = hospital.patients[0]
    encounter = hospital.encounters[patient["id"]][0]
    day, time = encounter["period"]["start"].split("T")
    study = generate_uid()
    content = stamped_file(
        hospital.sources[0],
        patient,
        study,
        StudyDate=day.replace("-", ""),
        StudyTime=time[:8].replace(":", ""),
        TimezoneOffsetFromUTC=time[8:].replace(":", ""),
    )
    assert import_statuses(hospital.server.import_image(content)) == [201]
    found = hospital.server.fhir(f"ImagingStudy/{study}")
    assert found["encounter"]["reference"] == f"Encounter/{encounter['id']}"
    hospital.stamped.append(Stamped(study, patient["id"], encounter["id"]))


@pytest.mark.parametrize("wrong", [{"PatientBirthDate": "18000101"}, {"PatientName": "Doe^Jane"}])
def test_a_study_that_contradicts_the_patient_is_held(
    hospital: Hospital, wrong: dict[str, str]
) -> None:
    patient, study = hospital.patients[1], generate_uid()
    content = stamped_file(hospital.sources[1], patient, study, **wrong)
    answer = hospital.server.import_image(content)
    assert import_statuses(answer) == [202]
    location = answer.json()["entry"][0]["response"]["location"]
    assert hospital.server.fhir(location)["resourceType"] == "Task"
    assert hospital.server.get(f"/fhir/ImagingStudy/{study}").status == 404
    found = hospital.server.fhir(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study}")
    assert "entry" not in found
