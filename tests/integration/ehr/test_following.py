"""What changes at the EHR is followed by `_lastUpdated`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging_fhir.services.ehr_sync import EhrSync
from imaging_fhir.storage import ehr as known_of_ehr
from tests.dicom_samples import ROOT
from tests.house import HOSPITAL
from tests.integration.ehr.clinic import JANE, Clinic, ct, open_clinic, visit
from tests.odd_ehr import OddEhr


@pytest.fixture
def clinic(database_url: str, tmp_path: Path, odd_ehr: OddEhr) -> Iterator[Clinic]:
    opened = open_clinic(database_url, tmp_path, odd_ehr, ehr_sync=30, ehr_timeout=20.0)
    opened.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    yield opened
    opened.services.close()


def sync(clinic: Clinic) -> EhrSync:
    assert clinic.services.ehr is not None
    assert clinic.services.ehr.sync is not None
    return clinic.services.ehr.sync


def test_a_merge_moves_the_images(clinic: Clinic) -> None:
    clinic.send(ct())
    clinic.ehr.patient("new", "5000", system=HOSPITAL, **JANE)
    replaced = [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, link=replaced, **JANE)
    assert sync(clinic).run() == 30_000
    assert clinic.subject(f"ImagingStudy/{ROOT}.1") == "Patient/new"


def test_a_visit_that_is_registered_late_is_linked(clinic: Clinic) -> None:
    clinic.send(ct())
    clinic.ehr.put(visit("v1", "jane"))
    sync(clinic).run()
    study = clinic.read(f"ImagingStudy/{ROOT}.1")
    assert study["encounter"]["reference"] == "Encounter/v1"


def test_a_patient_who_is_waited_for_is_copied_and_others_are_not(clinic: Clinic) -> None:
    clinic.send(ct(PatientID="77"))
    clinic.ehr.patient("late", "77", system=HOSPITAL, **JANE)
    for number in range(5):
        clinic.ehr.patient(f"other{number}", f"x{number}", system=HOSPITAL)
    sync(clinic).run()
    assert clinic.subject(f"ImagingStudy/{ROOT}.1") == "Patient/late"
    with clinic.services.database.read() as connection:
        assert known_of_ehr.copies(connection, "Patient") == 1


def test_while_it_is_away_nothing_is_missed(clinic: Clinic) -> None:
    clinic.send(ct())
    sync(clinic).run()
    with clinic.services.database.read() as connection:
        before = known_of_ehr.cursor(connection, "Patient")
    clinic.ehr.mode = "error"
    clinic.ehr.put(visit("v1", "jane"))
    assert sync(clinic).run() == 30_000
    with clinic.services.database.read() as connection:
        assert known_of_ehr.cursor(connection, "Patient") == before
    clinic.ehr.mode = "well"
    sync(clinic).run()
    assert "encounter" in clinic.read(f"ImagingStudy/{ROOT}.1")


def test_nothing_that_is_the_same_makes_a_version(clinic: Clinic) -> None:
    clinic.send(ct())
    for _ in range(3):
        sync(clinic).run()
    assert clinic.versions("Patient/jane") == 1
    assert clinic.versions(f"ImagingStudy/{ROOT}.1") == 1
