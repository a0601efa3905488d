from datetime import datetime, timedelta
from io import BytesIO

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydicom import Dataset, dcmread

from imaging_fhir.demo import ATTACHED, PATIENTS_FILE, VISITS, demo_bundle
from imaging_fhir.images import read_image
from imaging_fhir.model.codec import Resource, encode


@pytest.fixture(scope="module")
def headers(demo_samples: dict[str, bytes]) -> dict[str, Dataset]:
    return {
        name: dcmread(BytesIO(content), stop_before_pixels=True)
        for name, content in demo_samples.items()
        if name.endswith(".dcm")
    }


def resources(type_name: str) -> list[Resource]:
    resources = [entry["resource"] for entry in demo_bundle()["entry"]]
    return [resource for resource in resources if resource["resourceType"] == type_name]


def test_every_resource_of_the_bundle_is_valid() -> None:
    for entry in demo_bundle()["entry"]:
        model = get_fhir_model_class(entry["resource"]["resourceType"])
        model.model_validate_json(encode(entry["resource"]))


def test_every_reference_of_the_bundle_is_to_something_in_it() -> None:
    known = {entry["request"]["url"] for entry in demo_bundle()["entry"]}
    for visit in resources("Encounter"):
        assert visit["subject"]["reference"] in known
        assert visit["serviceProvider"]["reference"] in known
        assert visit["participant"][0]["individual"]["reference"] in known


def test_every_image_has_an_identity_of_its_own(headers: dict[str, Dataset]) -> None:
    assert len({header.SOPInstanceUID for header in headers.values()}) == len(headers)
    studies = {header.StudyInstanceUID for header in headers.values()}
    assert len(studies) == len({header.StudyDescription for header in headers.values()}) == 6


def test_the_reader_finds_nothing_wrong_with_any_image(demo_samples: dict[str, bytes]) -> None:
    for name in demo_samples.keys() - {PATIENTS_FILE}:
        assert read_image(BytesIO(demo_samples[name])).warnings == (), name


def test_only_the_stranger_is_in_no_patient_list(headers: dict[str, Dataset]) -> None:
    known = {patient["identifier"][0]["value"] for patient in resources("Patient")}
    strangers = {name for name, header in headers.items() if header.PatientID not in known}
    assert strangers == {"dicom/stranger-us.dcm"}


def test_only_the_mistyped_birth_date_disagrees(headers: dict[str, Dataset]) -> None:
    born = {
        patient["identifier"][0]["value"]: patient["birthDate"].replace("-", "")
        for patient in resources("Patient")
    }
    wrong = {
        name
        for name, header in headers.items()
        if born.get(header.PatientID, header.PatientBirthDate) != header.PatientBirthDate
    }
    assert wrong == {"dicom/tanaka-mg-mistyped.dcm"}


def test_every_study_was_made_during_a_visit(headers: dict[str, Dataset]) -> None:
    for header in headers.values():
        started = f"{header.StudyDate}{header.StudyTime}{header.TimezoneOffsetFromUTC}"
        taken = datetime.strptime(started, "%Y%m%d%H%M%S%z")
        during = [
            visit
            for visit in VISITS
            if visit.start <= taken <= visit.start + timedelta(hours=visit.hours)
        ]
        assert len(during) == 1
        assert header.get("AdmissionID", during[0].number) == during[0].number


def test_what_is_attached_by_hand_is_made(demo_samples: dict[str, bytes]) -> None:
    assert set(ATTACHED) < set(demo_samples)
    assert next(reversed(demo_samples)) == PATIENTS_FILE
