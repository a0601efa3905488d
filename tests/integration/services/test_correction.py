"""What a person decides of an image: it is filed, moved or rejected, and can be undone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from benchmarks.statements import counting
from imaging_fhir.errors import ImagingError, InvalidResource, ResourceConflict, VersionConflict
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.services.check import Check
from imaging_fhir.services.composition import new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.merging import MATCH_AGAIN, Merging
from imaging_fhir.storage.schema import instance, job, series
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, VISITS, House, build_house, issued_by
from tests.samples import SAMPLES

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14", "gender": "female"}
JOHN: dict[str, Any] = {"name": [{"family": "Doe"}], "gender": "male"}
OF_JOHN: dict[str, Any] = {
    "PatientID": "9",
    "PatientName": "Doe^John",
    "PatientSex": "M",
    "PatientBirthDate": "",
    "SOPInstanceUID": "1.2.9.2",
}
MORNING = ("2026-03-14T08:00:00+01:00", "2026-03-14T12:00:00+01:00")
IMAGING_STUDY = f"ImagingStudy/{STUDY}"


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """At the end of each test all that is said twice must agree."""
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", **JOHN)
    yield house
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    assert [one for one in found if "Endpoint/" not in one[1]] == []  # the house has none
    house.close()


@pytest.fixture
def corrections(house: House) -> Corrections:
    return Corrections(house.database, house.relinking, new_id=new_id)


@pytest.fixture
def merging(house: House) -> Merging:
    return Merging(house.database, house.relinking, new_id=new_id)


def ct(**attributes: Any) -> bytes:
    return ct_instance(**{"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL), **attributes})


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def decide(
    corrections: Corrections, reference: str | None, patient: str, encounter: str | None = None
) -> Corrected:
    return corrections.link(
        reference or "",
        Decision(
            patient=f"Patient/{patient}",
            encounter=f"Encounter/{encounter}" if encounter else None,
        ),
        reason="The wrong patient was chosen at the modality.",
        caller=LOCAL,
    )


def undo(by: Corrections | Merging, done: Corrected) -> Corrected:
    provenance_id = (done.provenance or "").partition("/")[2]
    return by.database.write(lambda one: by.undo(one, provenance_id, None, LOCAL))


def encounter_of(house: House, reference: str = IMAGING_STUDY) -> str | None:
    found = house.read(reference)
    visit = found.get("encounter") or (found.get("context", {}).get("encounter") or [{}])[0]
    return str(visit["reference"]) if visit else None


def test_a_study_moves_with_what_comes_later_and_stays_whatever_is_news(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    done = decide(corrections, IMAGING_STUDY, "john")
    assert done.result == IMAGING_STUDY
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    house.send(ct(SOPInstanceUID="1.2.9.77", InstanceNumber="77"))
    house.patient("jane", "4711", **{**JANE, "name": [{"family": "Roe"}, {"family": "Smith"}]})
    study = house.read(IMAGING_STUDY)
    assert study["subject"]["reference"] == "Patient/john"
    assert study["numberOfInstances"] == 2
    told = house.read(done.provenance)
    assert told["target"] == [{"reference": IMAGING_STUDY}]
    assert told["entity"][0]["what"]["reference"].startswith(f"{IMAGING_STUDY}/_history/")
    assert [one["subject"]["reference"] for one in house.versions(IMAGING_STUDY)][-1:] == [
        "Patient/jane"
    ]


def test_the_visit_is_looked_for_among_those_of_the_new_patient(
    house: House, corrections: Corrections
) -> None:
    house.encounter("hers", "jane", *MORNING)
    house.encounter("his", "john", *MORNING)
    house.send(ct())
    assert encounter_of(house) == "Encounter/hers"
    decide(corrections, IMAGING_STUDY, "john")
    assert encounter_of(house) == "Encounter/his"


def test_a_visit_number_of_somebody_else_counts_for_nothing(
    house: House, corrections: Corrections
) -> None:
    identifier = [{"system": VISITS, "value": "V1"}]
    house.encounter("hers", "jane", identifier=identifier)
    house.encounter("his", "john")
    house.send(
        ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS)),
    )
    decide(corrections, IMAGING_STUDY, "john", "his")
    assert encounter_of(house) == "Encounter/his"


def test_a_decided_visit_that_becomes_another_patients_goes(
    house: House, corrections: Corrections
) -> None:
    house.encounter("his", "john")
    house.send(ct())
    decide(corrections, IMAGING_STUDY, "john", "his")
    house.encounter("his", "jane")
    assert encounter_of(house) is None
    assert house.subject(IMAGING_STUDY) == "Patient/john"


def test_a_visit_of_another_patient_is_refused_and_nothing_changes(
    house: House, corrections: Corrections
) -> None:
    house.encounter("hers", "jane")
    house.send(ct())
    with pytest.raises(InvalidResource, match="another patient"):
        decide(corrections, IMAGING_STUDY, "john", "hers")
    with pytest.raises(InvalidResource, match="not known"):
        decide(corrections, IMAGING_STUDY, "nobody")
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_a_move_is_undone(house: House, corrections: Corrections) -> None:
    house.encounter("hers", "jane", *MORNING)
    house.send(ct())
    before = house.read(IMAGING_STUDY)
    done = decide(corrections, IMAGING_STUDY, "john")
    undone = undo(corrections, done)
    after = house.read(IMAGING_STUDY)
    assert {**after, "meta": None} == {**before, "meta": None}
    assert house.read(undone.provenance)["entity"][0]["what"]["reference"] == done.provenance
    with pytest.raises(ResourceConflict, match="undone already"):
        undo(corrections, done)


def test_of_two_corrections_the_first_is_undone_only_after_the_second(
    house: House, corrections: Corrections
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    first = decide(corrections, IMAGING_STUDY, "john")
    second = decide(corrections, IMAGING_STUDY, "joan")
    with pytest.raises(ResourceConflict, match="corrected again"):
        undo(corrections, first)
    undo(corrections, second)
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    undo(corrections, first)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_a_held_study_is_filed_and_held_again(house: House, corrections: Corrections) -> None:
    held = house.send(ct(PatientBirthDate="19990101"))
    assert held.status == 202
    done = decide(corrections, held.location, "jane")
    assert done.result == IMAGING_STUDY
    assert house.read(held.location)["status"] == "completed"
    undo(corrections, done)
    assert house.read(held.location)["status"] == "requested"
    with pytest.raises(ImagingError, match="deleted"):
        house.read(IMAGING_STUDY)
    decide(corrections, held.location, "jane")
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_a_held_photo_is_filed_and_held_again(house: House, corrections: Corrections) -> None:
    held = house.send(photo())
    assert held.status == 202
    done = decide(corrections, held.location, "jane")
    assert house.subject(done.result) == "Patient/jane"
    undo(corrections, done)
    assert house.read(held.location)["status"] == "requested"
    with pytest.raises(ImagingError, match="deleted"):
        house.read(done.result)
    again = decide(corrections, held.location, "jane")
    assert house.subject(again.result) == "Patient/jane"


def test_a_photo_moves_and_what_its_sender_said_is_no_news(
    house: House, corrections: Corrections
) -> None:
    sent = house.send(photo(), patient="Patient/jane")
    done = decide(corrections, sent.location, "john")
    assert house.subject(sent.location) == "Patient/john"
    again = house.send(photo(), patient="Patient/jane")
    assert (again.status, again.location) == (200, sent.location)
    house.patient("jane", "4711", **JANE, active=True)
    assert house.subject(sent.location) == "Patient/john"
    undo(corrections, done)
    assert house.subject(sent.location) == "Patient/jane"


def test_what_is_rejected_stays_held(house: House, corrections: Corrections) -> None:
    held = house.send(ct(PatientBirthDate="19990101"))
    task_id = (held.location or "").partition("/")[2]
    done = corrections.reject(task_id, reason="A phantom.", caller=LOCAL)
    assert house.read(held.location)["status"] == "rejected"
    house.patient("jane", "4711", **{**JANE, "birthDate": "1999-01-01"})
    with pytest.raises(ImagingError, match="not known"):
        house.read(IMAGING_STUDY)
    undo(corrections, done)
    assert house.read(held.location)["status"] == "requested"


def test_a_move_ends_the_dispute_and_takes_what_users_wrote_of_the_former_patient(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    house.send(ct(**OF_JOHN))
    assert house.read(IMAGING_STUDY)["meta"]["tag"]
    decide(corrections, IMAGING_STUDY, "john")
    study = house.read(IMAGING_STUDY)
    assert "tag" not in study["meta"]
    assert study["subject"]["reference"] == "Patient/john"


def test_who_was_slower_is_told(house: House, corrections: Corrections) -> None:
    held = house.send(photo())
    decision = Decision(patient="Patient/jane")
    corrections.link(held.location or "", decision, reason=None, caller=LOCAL, if_match='W/"1"')
    with pytest.raises(VersionConflict):
        corrections.link(held.location or "", decision, reason=None, caller=LOCAL, if_match='W/"1"')


def test_a_decision_about_one_study_says_nothing_of_its_number(
    house: House, corrections: Corrections
) -> None:
    house.send(ct(PatientID="unheard-of"))
    provisional = house.subject(IMAGING_STUDY)
    done = decide(corrections, IMAGING_STUDY, "john")
    other = house.send(
        ct(PatientID="unheard-of", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.9")
    )
    assert house.subject(other.location) == provisional
    undo(corrections, done)
    assert house.subject(IMAGING_STUDY) == provisional


def merge(merging: Merging, source: str, target: str) -> Corrected:
    return merging.merge(source, target, reason="One person.", caller=LOCAL)


def match_again(house: House, merging: Merging) -> None:
    """What the background does after a merge."""
    with house.database.read() as connection:
        query = select(job.c.subject).where(job.c.kind == MATCH_AGAIN)
        for patient_rid in connection.execute(query).scalars().all():
            merging.match_again(int(patient_rid))


def test_a_merge_takes_everything_along_and_is_undone(house: House, merging: Merging) -> None:
    house.patient("joan", "5", **JANE)
    house.encounter("hers", "jane", *MORNING)
    house.send(ct())
    document = house.send(photo(), patient="Patient/jane")
    before = {name: house.read(name) for name in (IMAGING_STUDY, document.location or "")}
    done = merge(merging, "jane", "joan")
    for name in (IMAGING_STUDY, document.location, "Encounter/hers"):
        assert house.subject(name) == "Patient/joan"
    joan, jane = house.read("Patient/joan"), house.read("Patient/jane")
    assert [one["value"] for one in joan["identifier"]] == ["5", "4711"]
    assert joan["identifier"][1]["use"] == "old"
    assert jane["active"] is False
    assert jane["link"][0] == {"other": {"reference": "Patient/joan"}, "type": "replaced-by"}
    match_again(house, merging)
    assert encounter_of(house) == "Encounter/hers"
    house.send(ct(StudyInstanceUID="1.2.9.900", SOPInstanceUID="1.2.9.901"))
    assert house.subject("ImagingStudy/1.2.9.900") == "Patient/joan"
    undo(merging, done)
    for name in (IMAGING_STUDY, document.location, "Encounter/hers", "ImagingStudy/1.2.9.900"):
        assert house.subject(name) == "Patient/jane", name
    for name, resource in before.items():
        assert {**house.read(name), "meta": None} == {**resource, "meta": None}
    assert house.read("Patient/jane").get("active") is None
    assert [one["value"] for one in house.read("Patient/joan")["identifier"]] == ["5"]


def test_a_merge_costs_no_more_statements_for_more_that_refer(
    house: House, merging: Merging
) -> None:
    counts = []
    for number in (1, 20, 100):  # the first one finds nobody known to the audit trail
        house.patient(f"old{number}", f"o{number}")
        for visit in range(number):
            house.encounter(f"{number}-{visit}", f"old{number}")
        with counting(house.database) as statements:
            done = merge(merging, f"old{number}", "jane")
        with counting(house.database) as undoing:
            undo(merging, done)
        counts.append((len(statements), len(undoing)))
        assert house.subject(f"Encounter/{number}-0") == f"Patient/old{number}"
    assert counts[1] == counts[2]


def test_a_merge_taken_back_by_an_update_gives_the_images_back(house: House) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    link = [{"other": {"reference": "Patient/joan"}, "type": "replaced-by"}]
    house.patient("jane", "4711", **JANE, link=link)
    assert house.subject(IMAGING_STUDY) == "Patient/joan"
    house.patient("jane", "4711", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_nobody_is_merged_twice_or_with_themself(house: House, merging: Merging) -> None:
    with pytest.raises(InvalidResource, match="one Patient"):
        merge(merging, "jane", "jane")
    merge(merging, "jane", "john")
    house.patient("joan", "5")
    with pytest.raises(ResourceConflict, match="already"):
        merge(merging, "jane", "joan")


def test_what_changed_since_a_merge_stays_when_it_is_undone(house: House, merging: Merging) -> None:
    house.patient("joan", "5")
    house.encounter("hers", "jane")
    done = merge(merging, "jane", "john")
    house.encounter("hers", "joan")
    undo(merging, done)
    assert house.subject("Encounter/hers") == "Patient/joan"


def test_a_study_of_two_who_were_one_is_told_apart_when_they_are_two_again(
    house: House, merging: Merging
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    of_joan = ct(PatientID="5", SOPInstanceUID="1.2.9.2", SeriesInstanceUID="1.2.9.1")
    held = house.send(of_joan)
    assert held.status == 202
    done = merge(merging, "joan", "jane")
    match_again(house, merging)
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
    some_blob = select(instance.c.blob).limit(1).scalar_subquery()
    house.database.write(lambda one: one.execute(update(series).values(picture=some_blob)))
    undo(merging, done)
    study = house.read(IMAGING_STUDY)
    assert (study["subject"]["reference"], study["numberOfInstances"]) == ("Patient/jane", 1)
    assert study["numberOfSeries"] == 1
    with house.database.read() as connection:
        shown = connection.execute(select(series.c.picture)).scalars().all()
    assert shown == [None, None]  # made anew: the one before may have been the other's image
    again = house.send(of_joan)
    assert again.status == 202
    assert house.read(again.location)["status"] == "requested"


def test_an_image_whose_patient_was_merged_away_for_a_while_and_contradicts_it_is_held(
    house: House,
) -> None:
    house.patient("joan", "5", birthDate="1999-01-01")
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("joan", "5", birthDate="1999-01-01", link=link)
    house.send(ct(PatientID="5"))
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    house.patient("joan", "5", birthDate="1999-01-01")
    with pytest.raises(ImagingError, match="deleted"):
        house.read(IMAGING_STUDY)


def test_what_names_whom_a_person_decided_on_belongs_to_the_study_after_it_was_told_apart(
    house: House, corrections: Corrections, merging: Merging
) -> None:
    house.patient("joan", "5", **JANE)
    house.patient("joy", "7", **JANE)
    house.send(ct())
    decide(corrections, IMAGING_STUDY, "joan")
    done = merge(merging, "joy", "joan")
    of_joy = house.send(ct(PatientID="7", SOPInstanceUID="1.2.9.2"))
    assert of_joy.location == IMAGING_STUDY
    undo(merging, done)
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    later = house.send(ct(SOPInstanceUID="1.2.9.3"))
    assert later.location == IMAGING_STUDY
    assert house.subject(IMAGING_STUDY) == "Patient/joan"


def test_a_part_that_a_person_gave_to_the_study_stays_in_it_whatever_is_news(
    house: House, corrections: Corrections
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    held = house.send(ct(PatientID="5", SOPInstanceUID="1.2.9.2"))
    assert decide(corrections, held.location, "jane").result == IMAGING_STUDY
    house.patient("jane", "4711", **{**JANE, "name": [{"family": "Roe"}, {"family": "Smith"}]})
    house.patient("joan", "5", **JANE, active=True)
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
    later = house.send(ct(PatientID="5", SOPInstanceUID="1.2.9.3"))
    assert later.location == IMAGING_STUDY


def test_a_decided_part_leaves_the_study_that_becomes_another_patients(
    house: House, corrections: Corrections
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    held = house.send(ct(PatientID="5", SOPInstanceUID="1.2.9.2"))
    decide(corrections, held.location, "jane")
    house.patient("jane", "4712", **JANE)
    house.patient("judy", "4711", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/judy"
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    house.patient("judy", "4712", **JANE)
    house.patient("jane", "4711", **JANE)
    study = house.read(IMAGING_STUDY)
    assert (study["subject"]["reference"], study["numberOfInstances"]) == ("Patient/jane", 2)


def test_all_images_of_a_study_that_a_person_moves_go_with_it(
    house: House, corrections: Corrections, merging: Merging
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    house.send(ct(PatientID="5", SOPInstanceUID="1.2.9.2"))
    merged = merge(merging, "joan", "jane")
    match_again(house, merging)
    moved = decide(corrections, IMAGING_STUDY, "john")
    undo(merging, merged)
    house.patient("john", "9", **JOHN, active=True)
    study = house.read(IMAGING_STUDY)
    assert (study["subject"]["reference"], study["numberOfInstances"]) == ("Patient/john", 2)
    undo(corrections, moved)
    study = house.read(IMAGING_STUDY)
    assert (study["subject"]["reference"], study["numberOfInstances"]) == ("Patient/jane", 1)
    assert len(house.open_tasks()) == 1


def test_a_merge_whose_target_was_merged_since_is_undone_after_that(
    house: House, merging: Merging
) -> None:
    house.patient("joan", "5", **JANE)
    house.send(ct())
    first = merge(merging, "jane", "joan")
    second = merge(merging, "joan", "john")
    with pytest.raises(ResourceConflict, match="undone first"):
        undo(merging, first)
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    undo(merging, second)
    undo(merging, first)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_images_of_two_are_told_apart_however_often_they_were_one(house: House) -> None:
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.send(ct())
    of_joan = ct(PatientID="5", SOPInstanceUID="1.2.9.2", SeriesInstanceUID="1.2.9.1")
    house.patient("joan", "5", **JANE)
    house.send(of_joan)
    for _ in range(3):
        house.patient("joan", "5", **JANE, link=link)
        assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
        house.patient("joan", "5", **JANE)
        assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
