"""Merges of Patients that are undone while other news comes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.errors import ResourceConflict
from imaging_fhir.model.link import Decision
from imaging_fhir.services.check import Check
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.storage.database import Transaction
from tests.acting import Acting, at_house
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, House, build_house, issued_by
from tests.samples import SAMPLES

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14"}
MORNING = ("2026-03-14T08:00:00+01:00", "2026-03-14T12:00:00+01:00")
IMAGING_STUDY = f"ImagingStudy/{STUDY}"


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """At the end of each test all that is said twice must agree."""
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", **JANE)
    house.patient("john", "9", name=[{"family": "Doe"}])
    yield house
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    # The house has no Endpoint, and a Task about a deleted study goes on to name it.
    assert [one for one in found if "Endpoint/" not in one[1] and "focus" not in one[1]] == []
    house.close()


@pytest.fixture
def actor(house: House) -> Acting:
    return at_house(house)


def ct(**attributes: Any) -> bytes:
    return ct_instance(**{"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL), **attributes})


def test_a_visit_that_came_since_for_the_source_is_left_at_once_when_the_merge_is_undone(
    house: House, actor: Acting
) -> None:
    house.send(ct())
    merge = actor.merge("john", "jane")
    house.encounter("visit", "john", *MORNING)
    assert house.read(IMAGING_STUDY)["encounter"] == {"reference": "Encounter/visit"}
    actor.undo("merging", merge.provenance or "")
    found = house.read(IMAGING_STUDY)
    assert (found["subject"]["reference"], found.get("encounter")) == ("Patient/jane", None)


def test_what_the_merge_let_find_its_patient_leaves_them_when_that_is_undone(
    house: House, actor: Acting
) -> None:
    """Jim's own date of birth is another than the file's."""
    image = {"PatientID": "8", "PatientName": "", "PatientSex": "", "PatientBirthDate": "19800202"}
    house.send(ct(**image))
    house.patient("jim", "8", birthDate="1970-01-01")
    merge = actor.merge("jim", "jane")
    house.patient("jane", "4711", birthDate="1980-02-02")
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    actor.undo("merging", merge.provenance or "")
    assert [one["status"] for one in house.open_tasks()] == ["requested"]


def test_who_is_replaced_in_a_loop_of_links_is_not_merged_besides(
    house: House, actor: Acting
) -> None:
    """Both would stand for the first of the loop, and what they have for neither target."""
    for source, number, target in (("jane", "4711", "john"), ("john", "9", "jane")):
        link = [{"other": {"reference": f"Patient/{target}"}, "type": "replaced-by"}]
        house.patient(source, number, link=link)
    house.patient("jim", "8")
    with pytest.raises(ResourceConflict, match="leads nowhere"):
        actor.merge("jane", "jim")


def test_what_the_merge_moved_is_put_back_without_being_judged_one_by_one(
    house: House, actor: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        uids = {"StudyInstanceUID": f"1.2.{number}", "SOPInstanceUID": f"1.2.{number}.1"}
        house.send(ct(PatientID="9", PatientBirthDate="", PatientSex="", PatientName="", **uids))
    merge = actor.merge("john", "jane")
    judged: list[int] = []
    link_study = Relinking.link_study

    def counted(relinking: Relinking, transaction: Transaction, pk: int) -> None:
        judged.append(pk)
        link_study(relinking, transaction, pk)

    monkeypatch.setattr(Relinking, "link_study", counted)
    actor.undo("merging", merge.provenance or "")
    assert house.subject("ImagingStudy/1.2.2") == "Patient/john"
    assert judged == []


def decided(patient: str) -> Decision:
    return Decision(patient=f"Patient/{patient}")


def test_a_move_that_is_undone_after_the_merge_has_ended_gives_each_their_own(
    house: House, actor: Acting
) -> None:
    """By a decision, and by a number: while Jim was Jane, his images were hers."""
    one_person = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    others = {"StudyInstanceUID": "1.2.9", "SOPInstanceUID": "1.2.9.1", "PatientID": "8"}
    numbered, said = "ImagingStudy/1.2.9", IMAGING_STUDY
    house.patient("jim", "8", **JANE, link=one_person)
    house.send(ct())
    house.send(ct(**others))
    actor.link(said, decided("jim"))
    assert {house.subject(one) for one in (numbered, said)} == {"Patient/jane"}
    moves = [actor.link(one, decided("john")) for one in (numbered, said)]
    house.patient("jim", "8", **JANE)
    for move in moves:
        actor.undo("corrections", move.provenance or "")
    assert {house.subject(one) for one in (numbered, said)} == {"Patient/jim"}


def test_a_document_that_is_moved_back_after_the_merge_has_ended_is_its_own_patients(
    house: House, actor: Acting
) -> None:
    one_person = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("jim", "8", link=one_person)
    photo = house.send(SAMPLES["image/jpeg"](), patient="Patient/jim").location or ""
    assert house.subject(photo) == "Patient/jane"
    move = actor.link(photo, decided("john"))
    house.patient("jim", "8")
    actor.undo("corrections", move.provenance or "")
    assert house.subject(photo) == "Patient/jim"


def test_whoever_was_replaced_by_the_source_follows_it_at_once_both_ways(
    house: House, actor: Acting
) -> None:
    """A chain of a link, as an EHR tells of it, and a merge by a person here."""
    house.send(ct())
    link = [{"other": {"reference": "Patient/jim"}, "type": "replaced-by"}]
    house.patient("jim", "8")
    house.patient("jane", "4711", link=link, **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/jim"
    merge = actor.merge("jim", "john")
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    actor.undo("merging", merge.provenance or "")
    assert house.subject(IMAGING_STUDY) == "Patient/jim"
    house.patient("jane", "4711", **JANE)
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
