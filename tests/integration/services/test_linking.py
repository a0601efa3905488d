"""Whose image it is, at which visit: each rule, on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.config
import pytest
from sqlalchemy import select

from imaging_fhir.model.search import TokenEntry
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.settings import Source
from imaging_fhir.storage import resources, schema
from imaging_fhir.storage.schema import token_index
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, ORDERS, VISITS, House, build_house, issued_by
from tests.samples import SAMPLES

JANE: dict[str, Any] = {
    "name": [{"family": "Roe", "given": ["Jane"]}],
    "birthDate": "1975-03-14",
    "gender": "female",
}
WARD = Source(id="ward", patient_id_system=HOSPITAL, visit_number_system=VISITS)


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path, issuers={"MAIN": HOSPITAL})
    yield house
    house.close()


def ct(**attributes: Any) -> bytes:
    """Jane Roe's CT of 14 March 2026, 10:15, with a number that the hospital issued."""
    return ct_instance(
        **{
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            **attributes,
        }
    )


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def rule(house: House, content: bytes, **options: Any) -> str:
    outcome = house.send(content, **options)
    assert outcome.filed is not None, outcome.message
    return outcome.filed.rule


def test_an_identifier_with_its_issuer_leads_to_its_patient(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    outcome = house.send(ct())
    assert outcome.status == 201
    assert outcome.filed is not None
    assert (outcome.filed.patient, outcome.filed.rule) == ("Patient/jane", "patient-identifier")
    assert house.subject(outcome.location) == "Patient/jane"


def test_an_issuer_known_by_name_is_mapped(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    content = ct_instance(IssuerOfPatientID="MAIN")
    assert rule(house, content) == "patient-identifier"


def test_a_bare_number_means_its_sources_default_issuer(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    assert rule(house, ct_instance(), source=WARD) == "patient-identifier"


def test_a_bare_number_of_an_unknown_source_names_nobody(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    outcome = house.send(ct_instance())
    assert outcome.filed is not None
    assert outcome.filed.rule == "provisional-alone"
    patient = house.read(outcome.filed.patient)
    assert "identifier" not in patient
    assert patient["id"].startswith("provisional-")


def test_two_studies_with_a_bare_number_are_two_people(house: House) -> None:
    first = house.send(ct_instance())
    second = house.send(
        ct_instance(StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1", SOPInstanceUID="1.2.9.2")
    )
    assert first.filed is not None
    assert second.filed is not None
    assert first.filed.patient != second.filed.patient


def test_the_same_number_of_another_issuer_is_somebody_else(house: House) -> None:
    house.patient("jane", "4711", system="urn:oid:9.9.9", **JANE)
    assert rule(house, ct()) == "provisional-identifier"


def test_a_wrong_birth_date_holds_the_study(house: House) -> None:
    house.patient("jane", "4711", **{**JANE, "birthDate": "1975-03-15"})
    outcome = house.send(ct())
    assert outcome.status == 202
    assert outcome.filed is not None
    assert outcome.filed.rule == "demographics-disagree"
    task = house.read(outcome.location)
    assert task["resourceType"] == "Task"
    assert "for" not in task


def test_numbers_of_two_people_hold_the_study(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("joan", "4712", **JANE)
    other = {"PatientID": "4712", "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL)}
    assert rule(house, ct(OtherPatientIDsSequence=[other])) == "identifiers-conflict"


def test_a_merged_patient_leads_to_the_one_that_replaced_it(house: House) -> None:
    house.patient("jane", "1", **JANE)
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("old", "4711", **JANE, link=link)
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.patient == "Patient/jane"


def test_a_merge_moves_what_was_filed(house: House) -> None:
    house.patient("old", "4711", **JANE)
    outcome = house.send(ct())
    house.patient("jane", "1", **JANE)
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("old", "4711", **JANE, link=link)
    assert house.subject(outcome.location) == "Patient/jane"


def test_an_unknown_number_makes_a_provisional_patient_that_others_find(house: House) -> None:
    first = house.send(ct())
    second = house.send(
        ct(StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1", SOPInstanceUID="1.2.9.2")
    )
    assert first.filed is not None
    assert second.filed is not None
    assert first.filed.patient == second.filed.patient


def test_the_real_patient_takes_over_from_the_provisional_one(house: House) -> None:
    outcome = house.send(ct())
    assert outcome.filed is not None
    house.patient("jane", "4711", **JANE)
    assert house.subject(outcome.location) == "Patient/jane"
    provisional = house.read(outcome.filed.patient)
    assert provisional["link"][0]["other"]["reference"] == "Patient/jane"


def test_a_real_patient_who_disagrees_does_not_take_over(house: House) -> None:
    outcome = house.send(ct())
    assert outcome.filed is not None
    house.patient("jane", "4711", **{**JANE, "birthDate": "1980-01-01"})
    assert house.subject(outcome.location) == outcome.filed.patient


def test_a_held_study_is_filed_when_the_chart_is_corrected(house: House) -> None:
    house.patient("jane", "4711", **{**JANE, "birthDate": "1975-03-15"})
    held = house.send(ct())
    house.patient("jane", "4711", **JANE)
    assert house.subject("ImagingStudy/" + str(held.study_instance_uid)) == "Patient/jane"
    assert house.read(held.location)["status"] == "completed"


def test_a_study_that_names_a_second_person_is_held_and_marked(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712", name=[{"family": "Doe"}], gender="male")
    filed = house.send(ct())
    other = house.send(
        ct(
            SOPInstanceUID="1.2.9.2",
            PatientID="4712",
            PatientName="Doe^John",
            PatientSex="M",
            PatientBirthDate="",
        )
    )
    assert other.filed is not None
    assert (other.status, other.filed.rule) == (202, "study-of-another-patient")
    study = house.read(filed.location)
    assert study["numberOfInstances"] == 1
    assert study["meta"]["tag"][0]["code"] == "disputed"
    assert house.read(other.location)["priority"] == "urgent"


def test_a_provisional_patient_gives_way_to_a_known_one(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    first = house.send(ct(SOPInstanceUID="1.2.9.2", PatientID="9", PatientName="Doe^John"))
    second = house.send(ct())
    assert second.status == 201
    assert house.subject(second.location) == "Patient/jane"
    assert house.read(second.location)["numberOfInstances"] == 1
    assert first.location == second.location


def test_instances_of_one_unknown_person_stay_in_one_study(house: House) -> None:
    house.send(ct_instance())
    second = house.send(ct_instance(SOPInstanceUID="1.2.9.2", PatientBirthDate=""))
    assert second.status == 201
    assert house.read(second.location)["numberOfInstances"] == 2


def test_a_visit_number_leads_to_its_encounter(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", identifier=[{"system": VISITS, "value": "V1"}])
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    outcome = house.send(content)
    assert outcome.filed is not None
    assert (outcome.filed.encounter, outcome.filed.encounter_rule) == (
        "Encounter/visit",
        "visit-number",
    )


def test_a_visit_number_nobody_knows_is_a_logical_reference_until_it_is_known(
    house: House,
) -> None:
    house.patient("jane", "4711", **JANE)
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    outcome = house.send(content)
    assert house.read(outcome.location)["encounter"]["identifier"] == {
        "system": VISITS,
        "value": "V1",
    }
    house.encounter("visit", "jane", identifier=[{"system": VISITS, "value": "V1"}])
    assert house.read(outcome.location)["encounter"]["reference"] == "Encounter/visit"


def test_a_visit_of_somebody_else_holds_the_study(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712")
    house.encounter("visit", "john", identifier=[{"system": VISITS, "value": "V1"}])
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    assert rule(house, content) == "visit-number-of-another-patient"


def test_an_order_leads_to_its_encounter(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane")
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": "order",
            "status": "active",
            "intent": "order",
            "identifier": [{"system": ORDERS, "value": "A1"}],
            "subject": {"reference": "Patient/jane"},
            "encounter": {"reference": "Encounter/visit"},
        }
    )
    content = ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    outcome = house.send(content)
    assert outcome.filed is not None
    assert outcome.filed.encounter_rule == "order"
    study = house.read(outcome.location)
    assert study["basedOn"] == [{"reference": "ServiceRequest/order"}]
    assert study["encounter"] == {"reference": "Encounter/visit"}


def order_by_uid(patient: str, **more: Any) -> dict[str, Any]:
    """An order that names the study alone, as a scheduler has given it before the images."""
    identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}]
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": identifier,
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


STUDY_UID = "1.2.826.77"


@pytest.mark.parametrize("order_first", [True, False])
def test_an_order_that_names_the_study_alone_leads_to_its_encounter(
    house: House, order_first: bool
) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane")
    order = order_by_uid("jane", encounter={"reference": "Encounter/visit"})
    if order_first:
        house.put(order)
    outcome = house.send(ct(StudyInstanceUID=STUDY_UID))
    if not order_first:
        assert "encounter" not in house.read(outcome.location)
        house.put(order)
    study = house.read(outcome.location)
    assert study["basedOn"] == [{"reference": "ServiceRequest/order"}]
    assert study["encounter"] == {"reference": "Encounter/visit"}
    other = house.read(house.send(ct(SOPInstanceUID="1.2.9")).location)
    assert all("reference" not in one for one in other["basedOn"])


def test_an_order_for_somebody_else_that_names_the_study_holds_it(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712")
    house.put(order_by_uid("john"))
    outcome = house.send(ct(StudyInstanceUID=STUDY_UID))
    assert outcome.filed is not None
    assert (outcome.status, outcome.filed.rule) == (202, "order-of-another-patient")
    house.put(order_by_uid("jane"))
    study = house.read(f"ImagingStudy/{STUDY_UID}")
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["basedOn"] == [{"reference": "ServiceRequest/order"}]


def test_a_visit_or_an_order_that_was_entered_in_error_is_evidence_of_nothing(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712")
    house.encounter("visit", "john", identifier=[{"system": VISITS, "value": "V1"}])
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": [{"system": ORDERS, "value": "A1"}],
        "subject": {"reference": "Patient/john"},
    }
    house.put(order)
    by_order = ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    by_visit = ct(
        StudyInstanceUID="1.2.77",
        SOPInstanceUID="1.2.77.1",
        AdmissionID="V1",
        IssuerOfAdmissionIDSequence=issued_by(VISITS),
    )
    held = [house.send(by_order), house.send(by_visit)]
    assert [one.status for one in held] == [202, 202]
    house.put({**order, "status": "entered-in-error"})
    visit = house.read("Encounter/visit")
    house.put({**visit, "status": "entered-in-error"})
    for uid in ("1.2.77", str(held[0].study_instance_uid)):
        study = house.read(f"ImagingStudy/{uid}")
        assert study["subject"]["reference"] == "Patient/jane"
        for reference in (*study.get("basedOn", ()), study.get("encounter", {})):
            assert "reference" not in reference


OTHER_SERVER = "https://other.example/fhir"
NOT_JANE = pytest.mark.parametrize(
    "reference",
    [
        f"{OTHER_SERVER}/Patient/jane",
        f"{OTHER_SERVER}/Patient/jane/_history/1",
        "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a",
        "#jane",
    ],
)


@NOT_JANE
def test_a_visit_of_another_servers_patient_of_the_same_id_is_somebody_elses(
    house: House, reference: str
) -> None:
    house.patient("jane", "4711", **JANE)
    number = [{"system": VISITS, "value": "V1"}]
    house.encounter("visit", "", identifier=number, subject={"reference": reference})
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    assert rule(house, content) == "visit-number-of-another-patient"
    assert rule(house, photo(), encounter="Encounter/visit") == "no-identity"
    assert house.send(photo(), patient="Patient/jane", encounter="Encounter/visit").status == 422


@NOT_JANE
def test_an_order_for_another_servers_patient_of_the_same_id_is_for_somebody_else(
    house: House, reference: str
) -> None:
    house.patient("jane", "4711", **JANE)
    house.put(order(subject=reference, encounter="Encounter/visit"))
    content = ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    assert rule(house, content) == "order-of-another-patient"


def test_an_order_at_another_servers_visit_leads_to_none_here(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane")
    house.put(order(subject="Patient/jane", encounter=f"{OTHER_SERVER}/Encounter/visit"))
    content = ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    outcome = house.send(content)
    assert outcome.filed is not None
    assert (outcome.filed.patient, outcome.filed.encounter) == ("Patient/jane", None)


@NOT_JANE
def test_a_patient_replaced_by_another_servers_is_nobody_else_here(
    house: House, reference: str
) -> None:
    house.patient("jane", "1", **JANE)
    link = [{"other": {"reference": reference}, "type": "replaced-by"}]
    house.patient("old", "4711", **JANE, link=link)
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.patient == "Patient/old"


def test_references_to_versions_lead_to_the_resource(house: House) -> None:
    house.patient("jane", "1", **JANE)
    link = [{"other": {"reference": "Patient/jane/_history/1"}, "type": "replaced-by"}]
    house.patient("old", "4711", **JANE, link=link)
    house.encounter("visit", "", subject={"reference": "Patient/jane/_history/1"})
    house.put(order(subject="Patient/old/_history/1", encounter="Encounter/visit/_history/1"))
    content = ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    outcome = house.send(content)
    assert outcome.filed is not None
    assert (outcome.filed.patient, outcome.filed.encounter) == ("Patient/jane", "Encounter/visit")


def test_visits_within_another_servers_visit_are_each_of_their_own(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("stay", "jane", "2026-03-10", "2026-03-20")
    elsewhere = {"reference": f"{OTHER_SERVER}/Encounter/stay"}
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14", partOf=elsewhere)
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.encounter_rule == "period-ambiguous"


def order(*, subject: str, encounter: str) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": [{"system": ORDERS, "value": "A1"}],
        "subject": {"reference": subject},
        "encounter": {"reference": encounter},
    }


def test_the_one_visit_of_that_time_is_the_images(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("before", "jane", "2026-03-13T08:00:00+01:00", "2026-03-13T12:00:00+01:00")
    house.encounter("visit", "jane", "2026-03-14T08:00:00+01:00", "2026-03-14T12:00:00+01:00")
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert (outcome.filed.encounter, outcome.filed.encounter_rule) == ("Encounter/visit", "period")


def test_of_two_visits_of_that_time_none_is_chosen(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    for name in ("one", "other"):
        house.encounter(name, "jane", "2026-03-14T08:00:00+01:00", "2026-03-14T12:00:00+01:00")
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert (outcome.filed.encounter, outcome.filed.encounter_rule) == (None, "period-ambiguous")


def test_of_visits_nested_in_one_another_the_innermost_is_chosen(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("stay", "jane", "2026-03-10", "2026-03-20")
    house.encounter(
        "visit",
        "jane",
        "2026-03-14T08:00:00+01:00",
        "2026-03-14T12:00:00+01:00",
        partOf={"reference": "Encounter/stay"},
    )
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.encounter == "Encounter/visit"


@pytest.mark.parametrize("status", ["planned", "cancelled", "entered-in-error", "unknown"])
def test_a_visit_that_did_not_happen_is_nobodys(house: House, status: str) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14", status=status)
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.encounter_rule == "no-visit"


def test_a_visit_that_arrives_later_takes_its_images(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    outcome = house.send(ct())
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14")
    assert house.read(outcome.location)["encounter"]["reference"] == "Encounter/visit"


def test_a_visit_that_turns_out_to_be_somebody_elses_loses_its_images(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712")
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14")
    outcome = house.send(ct())
    house.encounter("visit", "john", "2026-03-14", "2026-03-14")
    study = house.read(outcome.location)
    assert study["subject"]["reference"] == "Patient/jane"
    assert "encounter" not in study


def test_a_photo_goes_where_its_sender_says(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", "2020-01-01", "2020-01-02")
    outcome = house.send(photo(), patient="Patient/jane", encounter="Encounter/visit")
    document = house.read(outcome.location)
    assert document["resourceType"] == "DocumentReference"
    assert document["subject"]["reference"] == "Patient/jane"
    assert document["context"]["encounter"][0]["reference"] == "Encounter/visit"


def test_a_photo_of_nobody_is_held(house: House) -> None:
    assert rule(house, photo()) == "no-identity"


def test_an_unknown_patient_or_visit_is_refused_and_nothing_kept(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712")
    house.encounter("visit", "john")
    assert house.send(photo(), patient="Patient/nobody").status == 400
    assert house.send(photo(), patient="Patient/jane", encounter="Encounter/none").status == 400
    assert house.send(photo(), patient="Patient/jane", encounter="Encounter/visit").status == 422
    assert house.send(photo(), patient="Patient/jane").status == 201


def test_what_the_sender_says_does_not_overrule_the_file(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712", name=[{"family": "Doe"}])
    assert rule(house, ct(), patient="Patient/john") == "given-patient-disagrees"
    assert rule(house, ct(), patient="Patient/jane") == "given-patient-and-identifier"


def test_a_file_that_names_nobody_goes_where_its_sender_says(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    assert rule(house, ct_instance(PatientID=""), patient="Patient/jane") == "given-patient"


def test_a_placeholder_is_nobody(house: House) -> None:
    house.patient("jane", "ANONYMOUS", **JANE)
    content = ct(PatientID="ANONYMOUS", PatientName="", PatientBirthDate="", PatientSex="")
    assert rule(house, content) == "provisional-alone"


def test_the_version_before_a_move_stays_in_the_history(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    outcome = house.send(ct())
    house.encounter("visit", "jane", "2026-03-14", "2026-03-14")
    before, after = house.versions(outcome.location)[::-1]
    assert "encounter" not in before
    assert after["encounter"]["reference"] == "Encounter/visit"


def test_a_disputed_study_is_found_by_its_tag(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "4712", name=[{"family": "Doe"}])
    filed = house.send(ct())
    house.send(ct(SOPInstanceUID="1.2.9.2", PatientID="4712", PatientName="Doe^J", PatientSex=""))
    with house.database.read() as connection:
        rid = resources.read(connection, "ImagingStudy", str(filed.study_instance_uid)).rid
        found = connection.execute(
            select(token_index.c.folded).where(
                token_index.c.rid == rid, token_index.c.parameter == "ImagingStudy._tag"
            )
        )
        assert [row.folded for row in found] == ["disputed"]


def test_every_series_of_a_study_is_found_however_it_came(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    parts = [("1", "CT", "CHEST"), ("2", "CT", "HEAD"), ("3", "PT", "CHEST"), ("4", "PT", "")]
    for number, modality, part in parts[::-1]:
        house.send(
            ct(
                SeriesInstanceUID=f"1.2.3.{number}",
                SOPInstanceUID=f"1.2.3.{number}.1",
                SeriesNumber=number,
                Modality=modality,
                BodyPartExamined=part,
            )
        )
    with house.database.read() as connection:
        study = connection.execute(select(schema.study)).one()
        found = connection.execute(
            select(token_index.c.parameter, token_index.c.folded).where(
                token_index.c.rid == study.rid,
                token_index.c.parameter.in_(["ImagingStudy.modality", "ImagingStudy.bodysite"]),
            )
        )
        stored = resources.read(connection, "ImagingStudy", study.study_instance_uid)
        entries = entries_of(connection, stored)
    assert entries is not None
    expected = {
        (f"ImagingStudy.{entry.parameter}", entry.value.lower())
        for entry in entries
        if isinstance(entry, TokenEntry) and entry.parameter in ("modality", "bodysite")
    }
    assert {tuple(row) for row in found} == expected
    assert {value for name, value in expected if name.endswith("modality")} == {"ct", "pt"}


@pytest.mark.parametrize(
    "keyword", ["PatientID", "AccessionNumber", "StudyID", "Modality", "AdmissionID"]
)
def test_a_value_far_too_long_is_kept_and_does_no_harm(house: House, keyword: str) -> None:
    long = "".join(chr(65 + (number * 7919) % 26) for number in range(9000))
    issuers = {
        "AccessionNumber": {"IssuerOfAccessionNumberSequence": issued_by(ORDERS)},
        "AdmissionID": {"IssuerOfAdmissionIDSequence": issued_by(VISITS)},
    }
    with pydicom.config.disable_value_validation():
        content = ct(**{keyword: long}, **issuers.get(keyword, {}))
    outcome = house.send(content)
    assert outcome.status in (201, 202, 422), outcome.message


def test_a_long_identifier_of_a_patient_is_one_that_links(house: House) -> None:
    long = "".join(chr(65 + (number * 7919) % 26) for number in range(9000))
    house.patient("jane", "4711", long, **JANE)
    assert rule(house, ct()) == "patient-identifier"
