"""An image that is filed stays when something speaks against it later: a Task asks for a look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.fhir.task import facts_of
from imaging_fhir.model.codec import Resource
from imaging_fhir.storage.people import tasks_about
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, VISITS, House, build_house, issued_by
from tests.samples import SAMPLES

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14", "gender": "female"}
OTHER_DATE = {**JANE, "birthDate": "1980-01-01"}
MORNING = ("2026-03-14T08:00:00+01:00", "2026-03-14T12:00:00+01:00")
IMAGING_STUDY = f"ImagingStudy/{STUDY}"


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", name=[{"family": "Doe"}], gender="male")
    yield house
    house.close()


def ct(**attributes: Any) -> bytes:
    return ct_instance(IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL), **attributes)


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def number(value: str) -> list[dict[str, str]]:
    return [{"system": VISITS, "value": value}]


def admitted(visit: str, **attributes: Any) -> bytes:
    issuer = issued_by(VISITS)
    return ct(AdmissionID=visit, IssuerOfAdmissionIDSequence=issuer, **attributes)


def reviews(house: House, reference: str | None = IMAGING_STUDY) -> list[Resource]:
    with house.database.read() as connection:
        return list(tasks_about(connection, reference or "").values())


def open_rules(house: House, reference: str | None = IMAGING_STUDY) -> list[str]:
    return [
        task["reasonCode"]["coding"][0]["code"]
        for task in reviews(house, reference)
        if task["status"] == "requested"
    ]


def test_a_correction_that_contradicts_a_filed_study_opens_one_task_until_it_agrees(
    house: House,
) -> None:
    house.send(ct())
    assert reviews(house) == []
    house.patient("jane", "4711", **OTHER_DATE)
    house.patient("jane", "4711", **{**OTHER_DATE, "active": True})
    (task,) = reviews(house)
    assert open_rules(house) == ["demographics-disagree"]
    assert (task["priority"], task["focus"]) == ("routine", {"reference": IMAGING_STUDY})
    assert not {"for", "encounter"} & set(task)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    house.patient("jane", "4711", **JANE)
    assert [one["status"] for one in reviews(house)] == ["completed"]
    house.patient("jane", "4711", **OTHER_DATE)
    assert open_rules(house) == ["demographics-disagree"]


def test_a_given_visit_that_becomes_somebody_elses_opens_a_task_until_it_is_theirs_again(
    house: House,
) -> None:
    house.encounter("visit", "jane")
    sent = [
        house.send(content, patient="Patient/jane", encounter="Encounter/visit")
        for content in (ct(), photo())
    ]
    house.encounter("visit", "john")
    for outcome in sent:
        assert "visit-of-another-patient" in open_rules(house, outcome.location)
        assert house.subject(outcome.location) == "Patient/jane"
    house.encounter("visit", "jane")
    study, document = (house.read(outcome.location) for outcome in sent)
    assert study["encounter"]["reference"] == "Encounter/visit"
    assert document["context"]["encounter"][0]["reference"] == "Encounter/visit"
    for outcome in sent:
        assert reviews(house, outcome.location)
        assert open_rules(house, outcome.location) == []


def test_a_visit_found_by_its_time_that_becomes_somebody_elses_opens_a_task(house: House) -> None:
    house.encounter("visit", "jane", *MORNING)
    house.send(ct())
    house.encounter("visit", "john", *MORNING)
    house.patient("jane", "4711", **{**JANE, "active": True})
    assert "encounter" not in house.read(IMAGING_STUDY)
    assert open_rules(house) == ["visit-of-another-patient"]
    house.encounter("visit", "jane", *MORNING)
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/visit"
    assert open_rules(house) == []


def test_a_merge_that_is_taken_back_takes_the_visit_of_the_other_patient(house: House) -> None:
    house.patient("old", "1", link=[replaced_by("jane")])
    house.encounter("visit", "old", *MORNING)
    house.send(ct())
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/visit"
    house.patient("old", "1")
    assert "encounter" not in house.read(IMAGING_STUDY)
    assert open_rules(house) == ["visit-of-another-patient"]


def replaced_by(patient: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{patient}"}, "type": "replaced-by"}


def test_a_held_image_is_filed_when_the_patient_that_its_sender_named_is_corrected(
    house: House,
) -> None:
    house.patient("joan", "5", **OTHER_DATE)
    held = house.send(ct_instance(), patient="Patient/joan")
    assert held.status == 202
    house.patient("joan", "5", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/joan"
    assert house.read(held.location)["status"] == "completed"


@pytest.mark.parametrize("corrected", [JANE, OTHER_DATE])
def test_a_deleted_order_is_no_longer_what_a_study_is_based_on(
    house: House, corrected: dict[str, Any]
) -> None:
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "identifier": [{"system": ORDERS, "value": "A1"}],
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/jane"},
    }
    house.put(order)
    number = {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": issued_by(ORDERS)}
    house.send(ct(**number))
    house.patient("jane", "4711", **corrected)
    assert orders(house) == ["ServiceRequest/order"]
    house.delete("ServiceRequest/order")
    assert orders(house) == []


def orders(house: House) -> list[str]:
    """Those referred to by their address; an accession number alone is none."""
    based_on = house.read(IMAGING_STUDY)["basedOn"]
    return [one["reference"] for one in based_on if "reference" in one]


def test_a_later_instance_that_names_a_visit_of_somebody_else_is_told_and_reviewed(
    house: House,
) -> None:
    house.encounter("mine", "jane", identifier=number("V1"))
    house.encounter("his", "john", identifier=number("V2"))
    house.send(admitted("V1", InstanceNumber="1"))
    later = house.send(admitted("V2", InstanceNumber="2", SOPInstanceUID="1.2.9.2"))
    assert later.status == 201
    told = [one.message for one in later.warnings if one.keyword == "AdmissionID"]
    assert "The file's visit number belongs to a visit of somebody else." in told
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/mine"
    (task,) = reviews(house)
    assert open_rules(house) == ["visit-number-of-another-patient"]
    assert facts_of(task) == {"SOPInstanceUID": "1.2.9.2"}
    house.patient("jane", "4711", **{**JANE, "active": True})
    assert open_rules(house) == ["visit-number-of-another-patient"]


def test_a_first_instance_that_comes_late_with_a_visit_of_somebody_else_changes_no_visit(
    house: House,
) -> None:
    house.encounter("mine", "jane", identifier=number("V1"))
    house.encounter("his", "john", identifier=number("V2"))
    house.send(admitted("V1", InstanceNumber="2"))
    house.send(admitted("V2", InstanceNumber="1", SOPInstanceUID="1.2.9.2"))
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/mine"
    assert open_rules(house) == ["visit-number-of-another-patient"]
    house.encounter("his", "jane", identifier=number("V2"))
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/his"
    assert open_rules(house) == []
