"""News of patients, visits and orders in any order: what is filed and held follows, and agrees."""

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from imaging_fhir.services.check import Check
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.storage import resources
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, VISITS, House, build_house, copied_house, issued_by
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
    house = build_house(database_url, tmp_path, issuers={"MAIN": HOSPITAL})
    yield house
    assert findings(house) == []
    house.close()


def findings(house: House) -> list[tuple[str, str]]:
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    return [one for one in found if "Endpoint/" not in one[1]]  # the house has none


def ct(**attributes: Any) -> bytes:
    return ct_instance(**{"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL), **attributes})


def photo() -> bytes:
    return SAMPLES["image/jpeg"]()


def merged(house: House, old: str, into: str, *numbers: str, **more: Any) -> None:
    link = [{"other": {"reference": f"Patient/{into}"}, "type": "replaced-by"}]
    house.patient(old, *numbers, link=link, **more)


def test_a_held_image_whose_task_was_deleted_is_filed_all_the_same(house: House) -> None:
    house.patient("jane", "4711", **{**JANE, "birthDate": "1975-03-15"})
    held = house.send(ct())
    house.delete(held.location)
    house.patient("jane", "4711", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_a_given_visit_that_becomes_somebody_elses_loses_its_images(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", **JOHN)
    house.encounter("visit", "jane")
    study = house.send(ct(), patient="Patient/jane", encounter="Encounter/visit")
    document = house.send(photo(), patient="Patient/jane", encounter="Encounter/visit")
    house.encounter("visit", "john")
    for outcome in (study, document):
        found = house.read(outcome.location)
        assert found["subject"]["reference"] == "Patient/jane"
        assert "encounter" not in found
        assert "encounter" not in found.get("context", {})


def test_news_is_taken_in_though_a_given_patient_is_gone(house: House) -> None:
    house.patient("joan", "1", **JANE)
    held = house.send(ct(), patient="Patient/joan")
    assert held.status == 202
    house.delete("Patient/joan")
    house.patient("jane", "4711", **JANE)
    assert house.read(held.location)["status"] == "requested"


def test_a_corrected_birth_date_leaves_a_filed_image_at_its_visit(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", *MORNING)
    house.send(ct())
    house.patient("jane", "4711", **{**JANE, "birthDate": "1980-01-01"})
    study = house.read(IMAGING_STUDY)
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["encounter"]["reference"] == "Encounter/visit"


def test_a_held_part_joins_its_study_in_a_new_version(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.send(ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS)))
    house.encounter("visit", "jane", identifier=[{"system": VISITS, "value": "V1"}])
    held = house.send(
        ct(SOPInstanceUID="1.2.9.2", SeriesInstanceUID="1.2.9", PatientBirthDate="19800101")
    )
    assert held.status == 202
    house.patient("jane", "4711", **{**JANE, "birthDate": "1980-01-01"})
    study = house.read(IMAGING_STUDY)
    assert study["numberOfInstances"] == 2
    assert study["numberOfSeries"] == 2
    assert study["encounter"]["reference"] == "Encounter/visit"


def test_a_held_part_that_joins_is_seen_in_a_study_kept_whole(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.send(ct())
    held = house.send(ct(SOPInstanceUID="1.2.9.2", PatientBirthDate="19800101"))
    assert held.status == 202

    def keep(transaction: Any) -> None:
        stored = resources.read(transaction.connection, "ImagingStudy", STUDY)
        body = house.relinking.assembler.body(transaction.connection, stored)
        resources.keep_assembled(transaction, stored.rid, body)

    house.database.write(keep)
    before = house.read(IMAGING_STUDY)
    house.patient("jane", "4711", **{**JANE, "birthDate": "1980-01-01"})
    after = house.read(IMAGING_STUDY)
    assert after["numberOfInstances"] == 2
    assert after["meta"]["versionId"] != before["meta"]["versionId"]


def test_a_known_persons_held_images_take_the_study_from_a_provisional_one(house: House) -> None:
    house.send(ct())
    held = house.send(ct(**OF_JOHN))
    assert held.status == 202
    house.patient("john", "9", **JOHN)
    study = house.read(IMAGING_STUDY)
    assert study["subject"]["reference"] == "Patient/john"
    assert study["numberOfInstances"] == 1
    assert house.read(held.location)["status"] == "completed"
    house.patient("jane", "4711", **JANE)
    study = house.read(IMAGING_STUDY)
    assert study["subject"]["reference"] == "Patient/john"
    assert study["meta"]["tag"][0]["code"] == "disputed"


def test_a_study_that_brings_nothing_but_a_conflict_is_no_study(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.send(ct())
    first = house.send(ct(StudyInstanceUID="1.2.9"))
    again = house.send(ct(StudyInstanceUID="1.2.9"))
    assert (first.status, again.status) == (202, 202)
    assert first.location == again.location
    with house.database.read() as connection:
        assert resources.find(connection, "ImagingStudy", "1.2.9") is None
    assert house.send(ct(StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.2")).status == 201


def test_visits_under_an_old_number_of_the_patient_count(house: House) -> None:
    house.patient("old", "1", **JANE)
    house.encounter("visit", "old", *MORNING)
    house.patient("jane", "4711", **JANE)
    merged(house, "old", "jane", "1", **JANE)
    outcome = house.send(ct())
    assert outcome.filed is not None
    assert outcome.filed.encounter == "Encounter/visit"


def test_a_patient_whose_successor_is_missing_keeps_their_images(house: House) -> None:
    house.patient("old", "4711", **JANE)
    house.send(ct())
    merged(house, "old", "jane", "4711", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/old"
    house.patient("jane", "1", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_patients_that_replace_one_another_keep_their_images(house: House) -> None:
    house.patient("one", "4711", **JANE)
    house.send(ct())
    house.patient("other", "1", **JANE)
    merged(house, "one", "other", "4711", **JANE)
    merged(house, "other", "one", "1", **JANE)
    assert house.subject(IMAGING_STUDY) in ("Patient/one", "Patient/other")


def test_photos_move_with_the_studies_of_a_provisional_patient(house: House) -> None:
    outcome = house.send(ct())
    assert outcome.filed is not None
    document = house.send(photo(), patient=outcome.filed.patient)
    house.patient("jane", "4711", **JANE)
    assert house.subject(document.location) == "Patient/jane"


def test_a_photo_given_a_visit_alone_goes_to_its_patient(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane")
    document = house.read(house.send(photo(), encounter="Encounter/visit").location)
    assert document["subject"]["reference"] == "Patient/jane"
    assert document["context"]["encounter"][0]["reference"] == "Encounter/visit"
    assert house.send(photo(), encounter="Encounter/none").status == 400


def test_a_file_that_names_another_than_the_given_visits_patient_is_kept_and_held(
    house: House,
) -> None:
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", **JOHN)
    house.encounter("visit", "jane")
    outcome = house.send(ct(**OF_JOHN), encounter="Encounter/visit")
    assert outcome.status == 202
    assert outcome.filed is not None
    assert outcome.filed.rule == "given-patient-disagrees"


def test_the_same_number_of_another_issuer_does_not_join_a_study(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.send(ct())
    other = {
        "IssuerOfPatientIDQualifiersSequence": issued_by("urn:oid:9.9"),
        "PatientName": "",
        "PatientBirthDate": "",
        "PatientSex": "",
    }
    assert house.send(ct(SOPInstanceUID="1.2.9.2", **other)).status == 202
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1


@pytest.mark.parametrize("moment", ["9999-12-31", "9999-12", "9999", "0001-01-01"])
def test_a_visit_or_an_image_at_the_end_of_time_is_taken_in(house: House, moment: str) -> None:
    house.patient("jane", "4711", **JANE)
    house.encounter("visit", "jane", "2026-03-14", moment)
    house.encounter("other", "jane", moment, "2016-12-31T23:59:60Z")
    assert house.send(ct()).status == 201
    assert (
        house.send(
            ct(
                StudyInstanceUID="1.2.9",
                SOPInstanceUID="1.2.9.2",
                StudyDate="99991231",
                StudyTime="",
            )
        ).status
        == 201
    )


def a_study(house: House) -> None:
    house.send(ct())


def jane(house: House) -> None:
    house.patient("jane", "1", **JANE)


def old_jane(house: House) -> None:
    merged(house, "old", "jane", "4711", **JANE)


def visit(house: House) -> None:
    house.encounter("visit", "jane", *MORNING)


def old_visit(house: House) -> None:
    house.encounter("visit", "old", *MORNING)


def stay(house: House) -> None:
    house.encounter("stay", "jane", "2026-03-10", "2026-03-20")


def part_of_stay(house: House) -> None:
    house.encounter("visit", "jane", *MORNING, partOf={"reference": "Encounter/stay"})


def jane_herself(house: House) -> None:
    house.patient("jane", "4711", **JANE)


def a_bare_part(house: House) -> None:
    house.send(ct_instance(SOPInstanceUID="1.2.9.2"))


STORIES: dict[str, tuple[Callable[[House], None], ...]] = {
    "a merged patient": (a_study, jane, old_jane, visit),
    "a visit of the merged patient": (a_study, jane, old_jane, old_visit),
    "two visits of that time": (a_study, jane_herself, visit, stay),
    "nested visits": (a_study, jane_herself, part_of_stay, stay),
    "a part without issuer": (a_study, jane_herself, a_bare_part, visit),
}


@pytest.mark.parametrize("story", STORIES)
def test_whatever_comes_first_the_end_is_the_same(sqlite_template: Path, story: str) -> None:
    ends = {}
    for events in permutations(STORIES[story]):
        with TemporaryDirectory() as folder:
            house = copied_house(sqlite_template, Path(folder))
            for event in events:
                event(house)
            ends[" ".join(event.__name__ for event in events)] = end(house)
            assert findings(house) == []
            house.close()
    assert len(set(ends.values())) == 1, ends


def end(house: House) -> tuple[Any, ...]:
    study = house.read(IMAGING_STUDY)
    version = study["meta"]["versionId"]
    house.send(ct())  # again: nothing changes
    assert house.read(IMAGING_STUDY)["meta"]["versionId"] == version
    visit = study.get("encounter", {}).get("reference")
    return study["subject"]["reference"], visit, study["numberOfInstances"]


def test_a_visit_is_news_only_for_the_images_that_it_touches(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.patient("jane", "4711", **JANE)
    for day in range(10, 20):
        uids = {"StudyInstanceUID": f"1.2.{day}", "SOPInstanceUID": f"1.2.{day}.1"}
        house.send(ct(StudyDate=f"202603{day}", **uids))
        house.send(photo() + bytes([day]), patient="Patient/jane", date=f"2026-03-{day}")
    relinked: list[str] = []
    for name in ("link_study", "link_document"):
        monkeypatch.setattr(Relinking, name, counting(getattr(Relinking, name), relinked))
    house.encounter("visit", "jane", "2026-03-10", "2026-03-10")
    assert house.read("ImagingStudy/1.2.10")["encounter"]["reference"] == "Encounter/visit"
    assert sorted(relinked) == ["link_document"] * 4 + ["link_study"] * 3
    relinked.clear()
    house.encounter("visit", "jane", "2026-03-19", "2026-03-19")
    assert "encounter" not in house.read("ImagingStudy/1.2.10")
    assert house.read("ImagingStudy/1.2.19")["encounter"]["reference"] == "Encounter/visit"
    assert sorted(relinked) == ["link_document"] * 7 + ["link_study"] * 6
    relinked.clear()
    house.encounter("undated", "jane")
    assert relinked == []


def counting(link: Callable[..., None], calls: list[str]) -> Callable[..., None]:
    """The same, and its name is noted at each call."""

    def counted(*arguments: Any) -> None:
        calls.append(link.__name__)
        link(*arguments)

    return counted


def test_a_study_follows_its_order_to_a_visit_that_is_known_later(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": "order",
            "identifier": [{"system": ORDERS, "value": "A1"}],
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/jane"},
            "encounter": {"reference": "Encounter/visit"},
        }
    )
    house.send(ct(AccessionNumber="A1", IssuerOfAccessionNumberSequence=issued_by(ORDERS)))
    assert "encounter" not in house.read(IMAGING_STUDY)
    house.encounter("visit", "jane")
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/visit"


def test_a_visit_that_gives_up_its_number_leaves_it_to_the_other(house: House) -> None:
    house.patient("jane", "4711", **JANE)
    number = [{"system": VISITS, "value": "V1"}]
    house.encounter("one", "jane", identifier=number)
    house.encounter("other", "jane", identifier=number)
    house.send(ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS)))
    assert "encounter" not in house.read(IMAGING_STUDY)
    house.encounter("one", "jane")
    assert house.read(IMAGING_STUDY)["encounter"]["reference"] == "Encounter/other"
