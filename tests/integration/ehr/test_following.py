"""What changes at the EHR is followed by `_lastUpdated`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.services.ehr_sync import EhrSync
from imaging_fhir.storage import ehr as known_of_ehr
from tests.dicom_samples import ROOT
from tests.house import HOSPITAL, ORDERS, issued_by
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


@pytest.fixture
def registering(database_url: str, tmp_path: Path, odd_ehr: OddEhr) -> Iterator[Clinic]:
    options: dict[str, Any] = {"ehr_sync": 30, "ehr_timeout": 20.0, "registered_studies": True}
    opened = open_clinic(database_url, tmp_path, odd_ehr, **options)
    opened.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    yield opened
    opened.services.close()


def imaging_order(id_: str, number: str, **more: Any) -> dict[str, Any]:
    type_ = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    }
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "identifier": [{"type": type_, "system": ORDERS, "value": number}],
        "subject": {"reference": "Patient/jane"},
        **more,
    }


def registered(clinic: Clinic) -> list[Resource]:
    query = [("status", "registered,cancelled")]
    bundle = decode(clinic.services.search.search("ImagingStudy", query, LOCAL))
    return [one["resource"] for one in bundle.get("entry", ())]


def test_orders_of_whom_nothing_is_known_are_registered(registering: Clinic) -> None:
    registering.ehr.put(visit("v1", "jane"))
    visit_of_it = {"reference": "Encounter/v1"}
    registering.ehr.put(imaging_order("ordered", "A-1", encounter=visit_of_it))
    registering.ehr.put(imaging_order("planned", "A-2", intent="plan"))
    registering.ehr.put(imaging_order("rubbish", "A-3", identifier="A-3", category=7))
    sync(registering).run()
    (study,) = registered(registering)
    assert study["basedOn"] == [{"reference": "ServiceRequest/ordered"}]
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["encounter"] == visit_of_it
    number: dict[str, Any] = {
        "AccessionNumber": "A-1",
        "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
    }
    outcome = registering.send(ct(**number))
    assert outcome.location == f"ImagingStudy/{study['id']}"


def test_an_order_that_is_revoked_at_the_ehr_is_cancelled(registering: Clinic) -> None:
    registering.ehr.put(imaging_order("ordered", "A-1"))
    sync(registering).run()
    registering.ehr.put(imaging_order("ordered", "A-1", status="revoked"))
    sync(registering).run()
    assert [one["status"] for one in registered(registering)] == ["cancelled"]


def test_without_the_setting_orders_of_others_are_left_at_the_ehr(clinic: Clinic) -> None:
    clinic.ehr.put(imaging_order("ordered", "A-1"))
    sync(clinic).run()
    assert registered(clinic) == []
    with clinic.services.database.read() as connection:
        assert known_of_ehr.copies(connection, "ServiceRequest") == 0


def test_nothing_that_is_the_same_makes_a_version(clinic: Clinic) -> None:
    clinic.send(ct())
    for _ in range(3):
        sync(clinic).run()
    assert clinic.versions("Patient/jane") == 1
    assert clinic.versions(f"ImagingStudy/{ROOT}.1") == 1
