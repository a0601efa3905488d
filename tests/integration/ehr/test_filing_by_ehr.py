"""Images are filed by what the EHR knows; while it is away they wait, then file themselves."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.statements import counting
from imaging_fhir.errors import NotSupported, ResourceNotFound
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import decode
from imaging_fhir.model.person import IssuedId, Issuer, Person
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import DEFAULT_SOURCE
from imaging_fhir.storage import resources as rows
from imaging_fhir.storage.database import Transaction
from tests.dicom_samples import ROOT
from tests.house import HOSPITAL, ORDERS, VISITS, issued_by
from tests.integration.ehr.clinic import JANE, Clinic, ct, open_clinic, order, visit
from tests.odd_ehr import OddEhr
from tests.samples import SAMPLES

HOUR = 3_600_000
ISSUER = Issuer(universal_entity_id="1.2.3", universal_entity_id_type="ISO")


@pytest.fixture
def clinic(database_url: str, tmp_path: Path, odd_ehr: OddEhr) -> Iterator[Clinic]:
    opened = open_clinic(database_url, tmp_path, odd_ehr)
    yield opened
    opened.services.close()


def filed(outcome: Outcome) -> tuple[str | None, str]:
    assert outcome.filed is not None, outcome.message
    return outcome.filed.patient, outcome.filed.rule


def visited(outcome: Outcome) -> tuple[str | None, str]:
    assert outcome.filed is not None, outcome.message
    return outcome.filed.encounter, outcome.filed.encounter_rule


def test_an_image_is_filed_to_the_patient_whom_the_ehr_knows(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE, photo=[{"url": "x"}])
    outcome = clinic.send(ct())
    assert outcome.status == 201
    assert filed(outcome) == ("Patient/jane", "patient-identifier")
    copy = clinic.read("Patient/jane")
    assert copy["meta"]["source"] == f"{clinic.ehr.base}/Patient/jane"
    assert copy["name"] == JANE["name"]
    assert "tag" not in clinic.read(outcome.location)["meta"]
    assert clinic.pending() == {"incomplete": 1}  # its visit may become known


def test_the_visit_is_found_by_number(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane", "V-1"))
    outcome = clinic.send(ct(AdmissionID="V-1", IssuerOfAdmissionIDSequence=issued_by(VISITS)))
    assert visited(outcome) == ("Encounter/v1", "visit-number")
    assert clinic.pending() == {}
    assert "date=" not in "".join(clinic.ehr.asked)


def test_the_visit_is_found_by_order(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane"))
    clinic.ehr.put(order("o1", "jane", "A1", encounter={"reference": "Encounter/v1"}))
    outcome = clinic.send(
        ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    )
    assert visited(outcome) == ("Encounter/v1", "order")
    assert clinic.read(outcome.location)["basedOn"] == [{"reference": "ServiceRequest/o1"}]


def test_the_visit_is_found_by_its_time(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    absolute = {"reference": f"{clinic.ehr.base}/Patient/jane"}
    clinic.ehr.put(visit("v1", "jane", subject=absolute))
    outcome = clinic.send(ct())
    assert visited(outcome) == ("Encounter/v1", "period")
    assert clinic.read("Encounter/v1")["subject"] == {"reference": "Patient/jane"}


def test_a_visit_of_another_servers_patient_of_the_same_id_is_not_taken(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    elsewhere = {"reference": "https://other.example/fhir/Patient/jane"}
    clinic.ehr.put(visit("v1", "jane", "V-1", subject=elsewhere))
    outcome = clinic.send(ct(AdmissionID="V-1", IssuerOfAdmissionIDSequence=issued_by(VISITS)))
    assert filed(outcome) == ("Patient/jane", "patient-identifier")
    assert visited(outcome)[0] is None


def test_what_a_client_writes_of_the_ehrs_patient_is_in_that_patients_chart(
    clinic: Clinic,
) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct())
    for base in (clinic.ehr.base, "https://other.example/fhir"):
        resource = {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": f"{base}/Patient/jane"},
            "content": [{"attachment": {"url": f"{base}/Binary/1"}}],
        }
        clinic.services.resources.create("DocumentReference", resource)
    found = clinic.services.search.search("DocumentReference", [("patient", "jane")], LOCAL)
    assert [one["resource"]["subject"] for one in decode(found)["entry"]] == [
        {"reference": "Patient/jane"}
    ]


def test_an_order_for_somebody_else_holds_the_image(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.patient("mary", "9", system=HOSPITAL)
    clinic.ehr.put(order("o1", "mary", "A1"))
    outcome = clinic.send(
        ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS))
    )
    assert (outcome.status, filed(outcome)[1]) == (202, "order-of-another-patient")
    assert len(clinic.tasks("decide-held-image")) == 1


def test_demographics_of_the_ehr_are_a_cross_check(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, birthDate="1990-01-01")
    assert filed(clinic.send(ct()))[1] == "demographics-disagree"


def test_a_patient_whom_the_sender_names_is_read_by_id(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    outcome = clinic.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    assert filed(outcome) == ("Patient/jane", "given-patient")
    assert clinic.send(SAMPLES["image/png"](), patient="Patient/nobody").status == 400


def test_a_merged_patient_stands_for_their_successor(clinic: Clinic) -> None:
    clinic.ehr.patient("new", "5000", system=HOSPITAL, **JANE)
    replaced = [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]
    clinic.ehr.patient("old", "4711", system=HOSPITAL, link=replaced, **JANE)
    clinic.ehr.put(visit("v1", "new"))
    outcome = clinic.send(ct())
    assert filed(outcome)[0] == "Patient/new"
    assert visited(outcome)[0] == "Encounter/v1"


def test_a_merge_that_a_look_up_sees_moves_what_was_filed(clinic: Clinic) -> None:
    clinic.ehr.patient("old", "4711", system=HOSPITAL, **JANE)
    first = clinic.send(ct(1))
    assert filed(first)[0] == "Patient/old"
    clinic.ehr.patient("new", "5000", system=HOSPITAL, **JANE)
    replaced = [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]
    clinic.ehr.patient("old", "4711", system=HOSPITAL, link=replaced, **JANE)
    clinic.forget()
    assert filed(clinic.send(ct(2)))[0] == "Patient/new"
    assert clinic.subject(first.location) == "Patient/new"


def test_merges_in_a_circle_end(clinic: Clinic) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        link = [{"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}]
        clinic.ehr.patient(one, f"4711{one}", system=HOSPITAL, link=link, **JANE)
    assert filed(clinic.send(ct(PatientID="4711b")))[0] == "Patient/a"


def test_a_deleted_patient_matches_nobody_and_keeps_the_images(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    first = clinic.send(ct(1))
    clinic.ehr.delete("Patient/jane")
    clinic.forget()
    later = clinic.send(ct(2))
    assert (later.status, filed(later)[1]) == (202, "patient-gone")
    assert clinic.subject(first.location) == "Patient/jane"
    assert clinic.read("Patient/jane")["active"] is False
    assert len(clinic.tasks("review-filed-image")) == 1
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.forget()
    assert filed(clinic.send(ct(3)))[0] == "Patient/jane"
    assert clinic.tasks("review-filed-image") == []
    assert clinic.tasks("decide-held-image") == []


def test_a_deleted_visit_is_lost(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane"))
    first = clinic.send(ct(1))
    assert visited(first)[0] == "Encounter/v1"
    clinic.ehr.delete("Encounter/v1")
    clinic.forget()
    assert visited(clinic.send(ct(2))) == (None, "no-visit")
    assert "encounter" not in clinic.read(first.location)


def test_who_is_unknown_gets_a_provisional_patient_until_the_ehr_knows(clinic: Clinic) -> None:
    first = clinic.send(ct(1))
    patient, rule = filed(first)
    assert rule == "provisional-identifier"
    assert (patient or "").startswith("Patient/provisional-")
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.forget()
    clinic.work(after=2 * HOUR)
    assert clinic.subject(first.location) == "Patient/jane"
    replaced = clinic.read(patient)["link"][0]
    assert replaced == {"other": {"reference": "Patient/jane"}, "type": "replaced-by"}


def test_copies_are_the_ehr_s_to_change(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct())
    resources = clinic.services.resources
    with pytest.raises(NotSupported, match="copy of what the EHR has"):
        resources.update("Patient", "jane", {"resourceType": "Patient", "id": "jane"})
    with pytest.raises(NotSupported, match="copy of what the EHR has"):
        resources.delete("Patient", "jane")
    with pytest.raises(NotSupported, match="might be the EHR's"):
        resources.update("Patient", "p9", {"resourceType": "Patient", "id": "p9"})
    resources.create("Patient", {"resourceType": "Patient"})
    resources.update("Device", "d1", {"resourceType": "Device", "id": "d1"})


def test_patients_of_the_ehr_are_merged_there(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.patient("mary", "4712", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.send(ct(2, PatientID="4712"))
    with pytest.raises(NotSupported, match="change it there"):
        clinic.services.merging.merge("jane", "mary", reason=None, caller=LOCAL)


def test_an_ehr_s_id_that_begins_like_a_provisional_one_is_not_used(clinic: Clinic) -> None:
    clinic.ehr.patient("provisional-1", "4711", system=HOSPITAL, **JANE)
    assert filed(clinic.send(ct()))[1] == "provisional-identifier"


def test_a_patient_that_is_not_as_r4_has_it_is_not_believed(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, birthDate="14.3.1975")
    assert filed(clinic.send(ct()))[1] == "ehr-unavailable"
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE, telecom="none")
    clinic.forget()
    clinic.work(after=HOUR)
    assert clinic.subject(f"ImagingStudy/{ROOT}.1") == "Patient/jane"
    assert "telecom" not in clinic.read("Patient/jane")


@pytest.mark.parametrize("mode", ["stopped", "error", "rubbish", "hang", "huge", "outcome"])
def test_while_the_ehr_is_away_an_image_waits(clinic: Clinic, mode: str) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane"))
    clinic.look_up.seconds = 1.0
    if mode == "stopped":
        clinic.ehr.stop()
    else:
        clinic.ehr.mode = mode
    outcome = clinic.send(ct())
    assert (outcome.status, filed(outcome)[1]) == (202, "ehr-unavailable")
    assert clinic.tasks("decide-held-image") == []
    (task,) = clinic.tasks("wait-for-ehr")
    assert task["businessStatus"]["coding"][0]["code"] == "ehr-unavailable"
    assert f"Task/{task['id']}" == outcome.location
    assert clinic.send(ct()).status == 202
    clinic.work(after=HOUR)
    assert clinic.pending() == {"waiting": 1}
    back(clinic, mode)
    clinic.work(after=2 * HOUR)
    study = f"ImagingStudy/{ROOT}.1"
    assert clinic.subject(study) == "Patient/jane"
    assert clinic.read(study)["encounter"]["reference"] == "Encounter/v1"
    assert "tag" not in clinic.read(study)["meta"]
    assert clinic.read(outcome.location)["status"] == "completed"
    assert clinic.pending() == {}


def back(clinic: Clinic, mode: str = "error") -> None:
    if mode == "stopped":
        clinic.ehr.start()
    clinic.ehr.mode = "well"
    clinic.look_up.ehr.transport.breaker.note_success()
    clinic.look_up.seconds = 20  # on a busy machine all takes long
    clinic.forget()


def test_who_turns_out_to_be_unknown_gets_a_provisional_patient_then(clinic: Clinic) -> None:
    clinic.ehr.mode = "error"
    clinic.send(ct())
    back(clinic)
    clinic.work(after=HOUR)
    subject = clinic.subject(f"ImagingStudy/{ROOT}.1")
    assert (subject or "").startswith("Patient/provisional-")
    assert clinic.pending() == {"incomplete": 1}


def test_what_then_needs_people_becomes_their_task(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, birthDate="1990-01-01")
    clinic.ehr.mode = "error"
    outcome = clinic.send(ct())
    back(clinic)
    clinic.work(after=HOUR)
    (task,) = clinic.tasks("decide-held-image")
    assert f"Task/{task['id']}" == outcome.location
    assert task["reasonCode"]["coding"][0]["code"] == "demographics-disagree"
    assert "businessStatus" not in task
    assert clinic.pending() == {}
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.forget()
    clinic.send(ct(2))
    assert clinic.subject(f"ImagingStudy/{ROOT}.1") == "Patient/jane"


def test_a_photo_waits_too(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.mode = "error"
    outcome = clinic.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    assert (outcome.status, filed(outcome)[1]) == (202, "ehr-unavailable")
    unknown = clinic.send(SAMPLES["image/png"](), patient="Patient/nobody")
    assert unknown.status == 202
    assert clinic.send(SAMPLES["image/png"](), patient="Practitioner/1").status == 400
    assert clinic.send(SAMPLES["image/gif"]()).filed is not None
    back(clinic)
    clinic.work(after=HOUR)
    again = clinic.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    assert (again.status, filed(again)[0]) == (200, "Patient/jane")
    (held,) = (
        one for one in clinic.tasks("decide-held-image") if f"Task/{one['id']}" == unknown.location
    )
    assert held["reasonCode"]["coding"][0]["code"] == "given-no-longer-holds"


def test_a_copy_of_today_files_it_unconfirmed_until_the_ehr_is_back(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.forget()
    clinic.ehr.mode = "error"
    outcome = clinic.send(ct(2))
    assert outcome.status == 201
    assert filed(outcome) == ("Patient/jane", "patient-identifier")
    assert "will be confirmed" in outcome.message
    study = f"ImagingStudy/{ROOT}.2"
    assert [tag["code"] for tag in clinic.read(study)["meta"]["tag"]] == ["unconfirmed"]
    clinic.ehr.put(visit("v1", "jane"))
    back(clinic)
    clinic.work(after=HOUR)
    assert "tag" not in clinic.read(study)["meta"]
    assert clinic.read(study)["encounter"]["reference"] == "Encounter/v1"
    assert clinic.pending() == {}


def test_a_photo_is_unconfirmed_and_confirmed_too(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.forget()
    clinic.ehr.mode = "error"
    outcome = clinic.send(SAMPLES["image/jpeg"](), patient="Patient/jane")
    assert outcome.status == 201
    assert [t["code"] for t in clinic.read(outcome.location)["meta"]["tag"]] == ["unconfirmed"]
    back(clinic)
    clinic.work(after=HOUR)
    assert "tag" not in clinic.read(outcome.location)["meta"]


def test_an_older_copy_is_not_enough(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.forget()
    clinic.ehr.mode = "error"
    clinic.look_up.clock = lambda: 25 * HOUR + time.time_ns() // 1_000_000
    assert filed(clinic.send(ct(2)))[1] == "ehr-unavailable"


def test_a_copy_with_other_demographics_is_not_enough(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.forget()
    clinic.ehr.mode = "error"
    assert filed(clinic.send(ct(2, PatientName="Moe^Max")))[1] == "ehr-unavailable"


def test_what_was_filed_by_a_copy_and_is_wrong_comes_to_people(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    clinic.forget()
    clinic.ehr.mode = "error"
    clinic.send(ct(2))
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, birthDate="1990-01-01")
    back(clinic)
    clinic.work(after=HOUR)
    reviews = {task["focus"]["reference"] for task in clinic.tasks("review-filed-image")}
    assert f"ImagingStudy/{ROOT}.2" in reviews
    assert "unconfirmed" not in str(clinic.read(f"ImagingStudy/{ROOT}.2"))


def test_they_are_linked_in_the_order_in_which_they_came(clinic: Clinic) -> None:
    clinic.ehr.mode = "error"
    for number in (3, 1, 2):
        clinic.send(ct(number, PatientID=str(number)))
    back(clinic)
    clinic.ehr.asked.clear()
    clinic.work(after=HOUR)
    numbers = [one[-1] for one in clinic.ehr.searches_for("Patient")]
    assert numbers == ["3", "1", "2"]


def test_an_image_that_names_nobody_asks_nothing(clinic: Clinic) -> None:
    assert filed(clinic.send(SAMPLES["image/jpeg"]()))[1] == "no-identity"
    assert filed(clinic.send(ct(IssuerOfPatientIDQualifiersSequence=None)))[1] == (
        "provisional-alone"
    )
    assert clinic.ehr.asked == []


def test_the_ehr_is_asked_once_for_many_images_of_a_patient(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane"))
    for number in range(1, 9):
        assert clinic.send(ct(number)).status == 201
    assert len(clinic.ehr.searches_for("Patient")) == 1
    assert len(clinic.ehr.searches_for("Encounter")) == 1


def test_news_about_a_patient_drops_what_was_looked_up(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.send(ct(1))
    assert clinic.send(ct(2)).status == 201
    asked = len(clinic.ehr.searches_for("Patient"))
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE, active=True)
    clinic.send(SAMPLES["image/jpeg"](), patient="Patient/jane")  # reads her by id, and sees it
    clinic.send(ct(3))
    assert len(clinic.ehr.searches_for("Patient")) == asked + 1


def test_a_cached_look_up_does_not_ask_the_ehr(clinic: Clinic) -> None:
    clinic.ehr.patient("jane", "4711", system=HOSPITAL, **JANE)
    clinic.ehr.put(visit("v1", "jane"))
    clinic.send(ct())
    evidence = Evidence(
        person=Person(identifiers=(IssuedId(value="4711", issuer=ISSUER),)),
        started=LocalDateTime(date="2026-03-14", time="10:15:00"),
        source=DEFAULT_SOURCE,
    )
    asked = len(clinic.ehr.asked)
    with counting(clinic.services.database) as statements:
        word = clinic.look_up.word(evidence)
    assert word is not None
    assert word.answered
    assert len(clinic.ehr.asked) == asked
    selects = [one for one in statements if one.startswith("SELECT")]
    assert len(selects) == 2  # are the copies of the patient and of the visit as they were?


@pytest.fixture
def namesake(clinic: Clinic) -> Clinic:
    """John was made here, under the id by which the EHR means Jane."""
    put_here(clinic, "john-or-jane", [{"system": HOSPITAL, "value": "9999"}])
    clinic.ehr.patient("john-or-jane", "4711", system=HOSPITAL, **JANE)
    return clinic


def put_here(clinic: Clinic, id_: str, identifier: list[dict[str, str]]) -> None:
    """As a site that has lived without an EHR has it."""

    def unit(transaction: Transaction) -> None:
        content = {"resourceType": "Patient", "id": id_, "identifier": identifier}
        rows.put(transaction, "Patient", id_, content, index_entries("Patient", content))

    clinic.services.database.write(unit)


def test_an_id_that_is_somebody_else_s_here_is_nobody_s_and_staff_see_it(namesake: Clinic) -> None:
    namesake.ehr.put(visit("v1", "john-or-jane", "V1"))
    outcomes = [
        namesake.send(ct(number, AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS)))
        for number in (1, 2)
    ]
    assert {filed(one)[1] for one in outcomes} == {
        "provisional-identifier",
        "patient-identifier",
    }
    subjects = {namesake.subject(one.location) for one in outcomes}
    assert len(subjects) == 1
    assert subjects != {"Patient/john-or-jane"}
    assert {visited(one)[0] for one in outcomes} == {None}
    with pytest.raises(ResourceNotFound):
        namesake.read("Encounter/v1")
    [task] = namesake.tasks("review-filed-image")
    assert task["reasonCode"]["coding"][0]["code"] == "id-taken"
    assert task["focus"] == {"reference": "Patient/john-or-jane"}
    assert "4711" not in str(task)
    [shown] = namesake.services.chart.reviews().items
    assert shown.rule_in_words == "The EHR has somebody or something else under this id"
    assert shown.filed == "/chart/patients/john-or-jane"


def test_what_a_person_has_seen_of_it_stays_closed(namesake: Clinic) -> None:
    namesake.send(ct(1))
    [task] = namesake.tasks("review-filed-image")
    namesake.services.chart.close_review(task["id"])
    namesake.forget()
    namesake.send(ct(2))
    assert namesake.tasks("review-filed-image") == []


def test_a_merge_into_an_id_that_is_somebody_else_s_here_is_not_followed(namesake: Clinic) -> None:
    replaced = [{"other": {"reference": "Patient/john-or-jane"}, "type": "replaced-by"}]
    namesake.ehr.patient("old", "5000", system=HOSPITAL, link=replaced, **JANE)
    outcome = namesake.send(ct(PatientID="5000"))
    assert filed(outcome)[0] == "Patient/old"
    assert "link" not in namesake.read("Patient/old")
