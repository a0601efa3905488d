"""Orders without images as registered ImagingStudies, and what their images, news and merges do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.errors import ResourceDeleted
from imaging_fhir.model.codec import Resource
from imaging_fhir.services.check import Check
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.storage import registered_studies, resources
from tests.dicom_samples import ROOT, STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, House, build_house, issued_by
from tests.judges import faults

ACCESSION = {
    "type": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
    },
    "system": ORDERS,
    "value": "A-1",
}
UNTYPED = {"system": ORDERS, "value": "A-1"}
CHEST = {"coding": [{"system": "http://loinc.org", "code": "30746-2"}], "text": "Chest CT"}


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path, issuers={"MAIN": HOSPITAL}, registers=True)
    house.patient("jane", "4711", name=[{"family": "Doe", "given": ["Jane"]}])
    house.patient("john", "9", name=[{"family": "Smith"}])
    yield house
    assert findings(house) == []
    house.close()


def findings(house: House) -> list[tuple[str, str]]:
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    elsewhere = ("Endpoint/", "Practitioner/", "Patient/nobody", "Group/")
    return [one for one in found if not any(name in one[1] for name in elsewhere)]


def order(house: House, id_: str = "order", **more: Any) -> None:
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": id_,
            "status": "active",
            "intent": "order",
            "identifier": [ACCESSION],
            "code": CHEST,
            "subject": {"reference": "Patient/jane"},
            **more,
        }
    )


def studies(house: House) -> list[Resource]:
    """All ImagingStudies that are there, the oldest first."""
    with house.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id FROM resource WHERE type = 'ImagingStudy' AND NOT deleted ORDER BY rid"
        )
        ids = [row.id for row in rows]
    return [house.read(f"ImagingStudy/{id_}") for id_ in ids]


def the_study(house: House) -> Resource:
    found = studies(house)
    assert len(found) == 1
    assert faults(found[0]) == []
    return found[0]


def ct(**attributes: Any) -> bytes:
    return ct_instance(
        **{
            "PatientID": "4711",
            "PatientName": "Doe^Jane",
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "AccessionNumber": "A-1",
            "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
            **attributes,
        }
    )


def other_study(number: int, **attributes: Any) -> bytes:
    uid = f"{ROOT}.{number}"
    return ct(
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.1",
        **attributes,
    )


def test_an_order_without_images_is_a_registered_study(house: House) -> None:
    house.encounter("visit", "jane")
    requester = {"reference": "Practitioner/referrer", "display": "Dr Referrer"}
    order(
        house,
        encounter={"reference": "Encounter/visit"},
        reasonCode=[{"text": "Cough"}],
        requester=requester,
        meta={
            "security": [
                {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
            ]
        },
    )
    study = the_study(house)
    assert study["status"] == "registered"
    assert study["identifier"] == [ACCESSION]
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["subject"]["display"] == "Jane Doe"
    assert study["encounter"] == {"reference": "Encounter/visit"}
    assert study["basedOn"] == [{"reference": "ServiceRequest/order"}]
    assert study["procedureCode"] == [CHEST]
    assert study["reasonCode"] == [{"text": "Cough"}]
    assert study["referrer"] == requester
    assert study["meta"]["security"][0]["code"] == "R"
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (0, 0)
    assert "series" not in study


@pytest.mark.parametrize(
    ("more", "is_registered"),
    [
        ({}, True),
        ({"intent": "plan"}, False),
        ({"intent": "proposal"}, False),
        ({"status": "draft"}, False),
        ({"status": "revoked"}, False),  # nothing was registered that could be cancelled
        ({"status": "completed"}, True),
        ({"status": "on-hold"}, True),
        ({"doNotPerform": True}, False),
        ({"identifier": []}, False),
        ({"identifier": [{**ACCESSION, "system": ""}]}, False),
        ({"identifier": [{"system": ORDERS, "value": "P-1"}]}, False),
        ({"subject": {"reference": "Patient/nobody"}}, False),
        ({"subject": {"reference": "Group/several"}}, False),
    ],
)
def test_only_orders_of_imaging_with_an_accession_number_are_registered(
    house: House, more: dict[str, Any], is_registered: bool
) -> None:
    content = {name: value for name, value in more.items() if value != []}
    identifiers = more.get("identifier", [ACCESSION])
    clean = [{k: v for k, v in one.items() if v} for one in identifiers]
    order(house, **{**content, "identifier": clean})
    assert len(studies(house)) == is_registered


@pytest.mark.parametrize(
    ("code", "numbers", "is_registered"),
    [
        ("363679005", [{"system": ORDERS, "value": "A-1"}], True),
        (
            "363679005",
            [{"system": ORDERS, "value": "A-1"}, {"system": ORDERS, "value": "2"}],
            False,
        ),
        ("108252007", [ACCESSION], False),  # a specimen has an accession number too
        ("387713003", [ACCESSION], True),
    ],
)
def test_the_category_tells_what_a_number_is(
    house: House, code: str, numbers: list[Resource], is_registered: bool
) -> None:
    coding = {"system": "http://snomed.info/sct", "code": code}
    order(house, category=[{"coding": [coding]}], identifier=numbers)
    found = studies(house)
    assert [one["identifier"][0]["type"]["coding"][0]["code"] for one in found] == (
        ["ACSN"] if is_registered else []
    )


def test_images_fill_the_registered_study_under_its_id(house: House) -> None:
    order(house)
    registered = the_study(house)
    outcome = house.send(ct())
    assert outcome.location == f"ImagingStudy/{registered['id']}"
    filled = the_study(house)
    assert filled["id"] == registered["id"]
    assert filled["status"] == "available"
    assert filled["numberOfInstances"] == 1
    assert filled["basedOn"] == [{"reference": "ServiceRequest/order"}]
    assert {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"} in filled["identifier"]
    assert "procedureCode" not in filled  # it says what its images say
    statuses = [one["status"] for one in house.versions(outcome.location)]
    assert statuses == ["available", "registered"]
    house.send(ct(SOPInstanceUID=f"{STUDY}.1.2", InstanceNumber=2))
    assert the_study(house)["numberOfInstances"] == 2


def test_an_order_that_comes_after_its_images_registers_nothing(house: House) -> None:
    sent = house.send(ct())
    order(house)
    assert the_study(house)["id"] == STUDY
    assert house.read(sent.location)["basedOn"] == [{"reference": "ServiceRequest/order"}]


def test_the_number_of_another_assigner_fills_nothing(house: House) -> None:
    order(house)
    house.send(ct(IssuerOfAccessionNumberSequence=issued_by("urn:oid:1.2.3.77")))
    assert [one["status"] for one in studies(house)] == ["registered", "available"]


def test_images_of_another_patient_are_held_and_the_order_stays_registered(house: House) -> None:
    order(house)
    outcome = house.send(ct(PatientID="9", PatientName="Smith"))
    assert outcome.filed is not None
    assert outcome.filed.rule == "order-of-another-patient"
    assert the_study(house)["status"] == "registered"


def test_the_second_study_of_an_order_is_one_of_its_own(house: House) -> None:
    order(house)
    house.send(ct())
    house.send(other_study(2))
    first, second = studies(house)
    assert first["id"] != STUDY
    assert second["id"] == f"{ROOT}.2"
    assert first["basedOn"] == second["basedOn"]


def test_a_study_of_two_orders_fills_one_and_the_other_leads_to_it(house: House) -> None:
    order(house, "first")
    order(house, "second", identifier=[{**ACCESSION, "value": "A-2"}])
    first, second = studies(house)
    other = {
        "AccessionNumber": "A-2",
        "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
    }
    house.send(ct(RequestAttributesSequence=[other]))
    study = the_study(house)
    assert study["id"] == first["id"]
    assert {one["reference"] for one in study["basedOn"]} == {
        "ServiceRequest/first",
        "ServiceRequest/second",
    }
    with pytest.raises(ResourceDeleted, match=f"images are in ImagingStudy/{first['id']}"):
        house.read(f"ImagingStudy/{second['id']}")


def test_an_order_that_comes_to_have_images_leads_to_them_and_back(house: House) -> None:
    """Its accession number is corrected to that of images that are there, and again."""
    house.send(ct())
    order(house, identifier=[{**ACCESSION, "value": "A-2"}])
    registered = studies(house)[1]
    order(house)
    assert the_study(house)["id"] == STUDY
    with pytest.raises(ResourceDeleted, match=f"images are in ImagingStudy/{STUDY}"):
        house.read(f"ImagingStudy/{registered['id']}")
    order(house, identifier=[{**ACCESSION, "value": "A-2"}])
    again = studies(house)
    assert [one["id"] for one in again] == [STUDY, registered["id"]]
    assert again[1]["status"] == "registered"
    assert "ServiceRequest/order" not in str(again[0].get("basedOn"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [("revoked", "cancelled"), ("entered-in-error", "entered-in-error"), ("active", "registered")],
)
def test_the_status_follows_the_order(house: House, status: str, expected: str) -> None:
    order(house)
    order(house, status=status)
    assert the_study(house)["status"] == expected
    order(house)
    assert the_study(house)["status"] == "registered"


def test_images_of_a_cancelled_order_fill_it_all_the_same(house: House) -> None:
    order(house)
    order(house, status="revoked")
    registered = the_study(house)["id"]
    house.send(ct())
    assert (the_study(house)["id"], the_study(house)["status"]) == (registered, "available")


def test_an_update_of_the_order_is_one_of_the_study_and_no_change_is_none(house: House) -> None:
    order(house)
    first = the_study(house)
    order(house)
    assert the_study(house)["meta"] == first["meta"]
    order(house, code={"text": "Chest and abdomen CT"})
    second = the_study(house)
    assert second["procedureCode"] == [{"text": "Chest and abdomen CT"}]
    assert (second["id"], second["meta"]["versionId"]) == (first["id"], "2")


def test_a_deleted_order_takes_it_along_and_comes_back_under_its_id(house: House) -> None:
    order(house)
    registered = the_study(house)["id"]
    house.delete("ServiceRequest/order")
    assert studies(house) == []
    with pytest.raises(ResourceDeleted, match="was deleted"):
        house.read(f"ImagingStudy/{registered}")
    order(house)
    assert the_study(house)["id"] == registered


def test_an_order_that_is_none_of_imaging_any_more_is_not_registered(house: House) -> None:
    order(house)
    order(house, identifier=[{"system": ORDERS, "value": "P-1"}])
    assert studies(house) == []


def test_it_waits_for_its_patient_and_follows_a_merge_and_its_end(house: House) -> None:
    order(house, subject={"reference": "Patient/late"})
    assert studies(house) == []
    house.patient("late", "12", name=[{"family": "Late"}])
    assert the_study(house)["subject"]["display"] == "Late"
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("late", "12", name=[{"family": "Late"}], link=link)
    assert the_study(house)["subject"]["reference"] == "Patient/jane"
    house.patient("late", "12", name=[{"family": "Late"}])
    assert the_study(house)["subject"]["reference"] == "Patient/late"


def test_a_merge_lets_images_of_the_one_fill_an_order_of_the_other(house: House) -> None:
    order(house, subject={"reference": "Patient/john"})
    registered = the_study(house)["id"]
    held = house.send(ct())
    assert held.filed is not None
    assert held.filed.rule == "order-of-another-patient"
    house.patient(
        "john",
        "9",
        name=[{"family": "Smith"}],
        link=[{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}],
    )
    study = the_study(house)
    assert (study["id"], study["status"]) == (registered, "available")
    assert study["subject"]["reference"] == "Patient/jane"


def test_a_visit_of_somebody_else_is_none_of_it(house: House) -> None:
    house.encounter("visit", "jane")
    order(house, encounter={"reference": "Encounter/visit"})
    assert "encounter" in the_study(house)
    house.encounter("visit", "john")
    assert "encounter" not in the_study(house)


def test_images_that_are_deleted_leave_the_order_registered_again(house: House) -> None:
    order(house)
    sent = house.send(ct())
    house.delete(sent.location)
    study = the_study(house)
    assert study["status"] == "registered"
    assert f"ImagingStudy/{study['id']}" != sent.location


def test_a_filled_study_that_was_held_again_is_filed_under_its_id(house: House) -> None:
    """Its number turns out to be somebody else's, and then its own again."""
    order(house)
    sent = house.send(ct())
    house.patient("jane", name=[{"family": "Doe", "given": ["Jane"]}])
    house.patient("other", "4711", name=[{"family": "Else"}])
    waiting = the_study(house)
    assert waiting["status"] == "registered"
    house.patient("other", "12", name=[{"family": "Else"}])
    house.patient("jane", "4711", name=[{"family": "Doe", "given": ["Jane"]}])
    study = the_study(house)
    assert f"ImagingStudy/{study['id']}" == sent.location
    with pytest.raises(ResourceDeleted, match="images are in"):
        house.read(f"ImagingStudy/{waiting['id']}")


def test_what_a_client_wrote_of_the_order_counts_as_its_study(house: House) -> None:
    order(house)
    registered = the_study(house)["id"]
    house.put(
        {
            "resourceType": "ImagingStudy",
            "id": "elsewhere",
            "status": "available",
            "subject": {"reference": "Patient/jane"},
            "basedOn": [{"reference": "ServiceRequest/order"}],
        }
    )
    assert the_study(house)["id"] == "elsewhere"
    with pytest.raises(ResourceDeleted, match="images are in ImagingStudy/elsewhere"):
        house.read(f"ImagingStudy/{registered}")
    house.delete("ImagingStudy/elsewhere")
    assert the_study(house)["id"] == registered


def test_without_the_setting_nothing_new_is_registered(database_url: str, tmp_path: Path) -> None:
    with_it = build_house(database_url, tmp_path, registers=True)
    with_it.patient("jane", "4711")
    order(with_it)
    with_it.close()
    house = build_house(database_url, tmp_path)
    order(house, "second", identifier=[{**ACCESSION, "value": "A-2"}])
    order(house, status="revoked")
    assert the_study(house)["status"] == "cancelled"
    house.close()


def test_rows_lead_from_the_order_to_the_study(house: House) -> None:
    order(house)
    registered = the_study(house)["id"]
    assert row_of(house, registered) == ("order", None)
    house.send(ct())
    assert row_of(house, registered) == (None, STUDY)


def row_of(house: House, id_: str) -> tuple[str | None, str | None]:
    with house.database.read() as connection:
        stored = resources.read(connection, "ImagingStudy", id_)
        row = registered_studies.of_resource(connection, stored.rid)
    assert row is not None
    return row.service_request, row.study_instance_uid


def test_an_erased_patient_leaves_no_order_and_nothing_registered(house: House) -> None:
    order(house)
    order(house, "filled", identifier=[{**ACCESSION, "value": "A-2"}])
    house.send(ct(AccessionNumber="A-2"))
    assert len(studies(house)) == 2
    Erase(database=house.database, store=house.store).patient("jane")
    assert studies(house) == []
    with house.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM registered_study").scalar() == 0


def test_what_leads_to_an_erased_study_leads_nowhere(house: House) -> None:
    house.send(ct())
    order(house, identifier=[{**ACCESSION, "value": "A-2"}])
    registered = studies(house)[1]["id"]
    order(house)
    Erase(database=house.database, store=house.store).study(STUDY)
    with pytest.raises(ResourceDeleted, match="was deleted"):
        house.read(f"ImagingStudy/{registered}")
    order(house, code={"text": "Chest CT, once more"})
    assert the_study(house)["status"] == "registered"
