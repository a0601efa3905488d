"""Rejection notes hide the images that they name, whichever comes first, and can be taken back."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Decision
from imaging_fhir.model.rejection import KEY_OBJECT_SELECTION, TITLES
from imaging_fhir.policy import Policy
from imaging_fhir.services.check import Check
from imaging_fhir.services.composition import new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.services.rejecting import Rejecting
from imaging_fhir.services.relinking import REJECTION_NOTE
from imaging_fhir.settings import Source
from imaging_fhir.storage.dicom_retrieval import visible_instances
from imaging_fhir.storage.schema import job, resource
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance, data_set, dicom_file
from tests.house import HOSPITAL, House, build_house, issued_by

IMAGING_STUDY = f"ImagingStudy/{STUDY}"
NOTE, OTHER_NOTE = "1.2.9.100", "1.2.9.101"
ISSUED = {"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL)}
UNTRUSTED = Source(id="unknown")


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """At the end of each test all that is said twice must agree."""
    policy = Policy(trusted_sources=frozenset({"default"}))
    house = build_house(database_url, tmp_path, policy=policy)
    house.patient("jane", "4711")
    house.patient("john", "9")
    yield house
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    assert [one for one in found if "Endpoint/" not in one[1]] == []  # the house has none
    house.close()


def uid(number: int) -> str:
    return f"{INSTANCE}.{number}"


def ct(number: int = 1, **attributes: Any) -> bytes:
    return ct_instance(**{**ISSUED, "SOPInstanceUID": uid(number), **attributes})


def note(
    *named: str, sop: str = NOTE, code: str = "113001", study: str = STUDY, **attributes: Any
) -> bytes:
    """Of Jane, by default in the study of the images that it names."""
    images = [
        {"ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "ReferencedSOPInstanceUID": one}
        for one in named
    ]
    series = {"SeriesInstanceUID": SERIES, "ReferencedSOPSequence": items(images)}
    evidence = {"StudyInstanceUID": STUDY, "ReferencedSeriesSequence": items([series])}
    title = {"CodeValue": code, "CodingSchemeDesignator": "DCM", "CodeMeaning": "Rejected"}
    return dicom_file(
        data_set(
            {
                **ISSUED,
                "SOPClassUID": KEY_OBJECT_SELECTION,
                "Modality": "KO",
                "StudyInstanceUID": study,
                "SeriesInstanceUID": f"{sop}.1",
                "SOPInstanceUID": sop,
                "ConceptNameCodeSequence": items([title]),
                "CurrentRequestedProcedureEvidenceSequence": items([evidence]),
                **attributes,
            }
        )
    )


def items(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return described


def shown(house: House, study: str = STUDY) -> set[str]:
    """By FHIR and by DICOMweb, which tell the same."""
    with house.database.read() as connection:
        found = visible_instances(connection, study)
        uids = {row.sop_instance_uid for row in found}
        query = select(resource.c.deleted).where(
            resource.c.type == "ImagingStudy", resource.c.id == study
        )
        deleted = connection.execute(query).scalar()
    if deleted is not False:
        assert not uids
        return uids
    told = house.read(f"ImagingStudy/{study}")
    listed = [one["uid"] for series in told.get("series", ()) for one in series["instance"]]
    assert sorted(listed) == sorted(uids)
    assert told["numberOfInstances"] == len(uids)
    assert told["numberOfSeries"] == len(told.get("series", ()))
    return uids


def rule(outcome: Outcome) -> str:
    assert outcome.filed is not None, outcome.message
    return outcome.filed.rule


def hidden_task(house: House) -> Resource:
    with house.database.read() as connection:
        query = select(resource.c.id).where(resource.c.type == "Task")
        ids = connection.execute(query).scalars().all()
    [found] = [one for one in map(house.read, (f"Task/{id_}" for id_ in ids)) if is_hidden(one)]
    return found


def is_hidden(task: Resource) -> bool:
    code = task["reasonCode"]["coding"][0]["code"]
    return bool(code == "rejected-by-note" and task["status"] == "rejected")


def told(house: House) -> list[Resource]:
    with house.database.read() as connection:
        query = select(resource.c.id).where(resource.c.type == "Provenance")
        ids = connection.execute(query).scalars().all()
    found = [house.read(f"Provenance/{id_}") for id_ in ids]
    return [one for one in found if one["activity"]["coding"][0]["code"] == "reject-by-note"]


@pytest.mark.parametrize("code", TITLES)
def test_what_a_note_names_is_hidden_and_the_rest_stays(house: House, code: str) -> None:
    for number in (1, 2, 3):
        house.send(ct(number))
    outcome = house.send(note(uid(1), uid(2), code=code))
    assert (outcome.status, rule(outcome)) == (202, "rejected-by-note")
    assert shown(house) == {uid(3)}
    assert house.open_tasks() == []
    task = hidden_task(house)
    assert TITLES[code] in task["reasonCode"]["text"]
    [provenance] = told(house)
    assert [one["reference"] for one in provenance["target"]] == [
        IMAGING_STUDY,
        f"Task/{task['id']}",
    ]
    assert provenance["agent"][0]["who"] == {"display": "Source default"}
    assert provenance["reason"] == [{"text": TITLES[code]}]
    before = house.versions(IMAGING_STUDY)[1]
    assert before["numberOfInstances"] == 4
    assert [one["subject"]["reference"] for one in (before, house.read(IMAGING_STUDY))] == [
        "Patient/jane"
    ] * 2


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_order_of_coming_makes_no_difference(house: House, order: tuple[int, ...]) -> None:
    files = [ct(1), ct(2), ct(3, SeriesInstanceUID="1.2.9.3"), note(uid(1), uid(3))]
    for position in order:
        house.send(files[position])
    assert shown(house) == {uid(2)}
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    assert house.open_tasks() == []
    for content in files:  # all of it again
        house.send(content)
    assert shown(house) == {uid(2)}


def test_a_study_of_which_all_is_rejected_is_in_no_chart_until_another_image_comes(
    house: House,
) -> None:
    house.send(ct(1))
    house.send(note(uid(1), code="113037"))
    assert shown(house) == set()
    again = house.send(ct(1))
    assert (again.status, rule(again)) == (202, "rejected-by-note")
    assert house.send(ct(2)).status == 201
    assert shown(house) == {uid(2)}
    assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_a_note_that_is_rejected_itself_rejects_nothing_more(house: House) -> None:
    for number in (1, 2):
        house.send(ct(number))
    house.send(note(uid(1)))
    assert shown(house) == {uid(2)}
    house.send(note(NOTE, sop=OTHER_NOTE))
    assert shown(house) == {uid(1), uid(2)}
    house.send(ct(3))
    assert shown(house) == {uid(1), uid(2), uid(3)}


def test_the_rest_of_what_was_hidden_stays_so(house: House) -> None:
    for number in (1, 2):
        house.send(ct(number))
    house.send(note(uid(1), uid(2)))
    house.send(note(uid(2), sop=OTHER_NOTE))
    house.send(note(NOTE, sop="1.2.9.102"))
    assert shown(house) == {uid(1)}


def test_a_person_shows_it_again(house: House) -> None:
    for number in (1, 2):
        house.send(ct(number))
    house.send(note(uid(1)))
    corrections = Corrections(house.database, house.relinking, new_id=new_id)
    task = f"Task/{hidden_task(house)['id']}"
    corrections.link(task, Decision(patient="Patient/jane"), reason=None, caller=LOCAL)
    assert shown(house) == {uid(1), uid(2), NOTE}
    for content in (ct(1), note(uid(1))):
        assert house.send(content).status == 200
    assert shown(house) == {uid(1), uid(2), NOTE}


def test_what_a_person_shows_again_is_hidden_when_that_is_undone(house: House) -> None:
    house.send(ct(1))
    house.send(note(uid(1)))
    corrections = Corrections(house.database, house.relinking, new_id=new_id)
    task = f"Task/{hidden_task(house)['id']}"
    done = corrections.link(task, Decision(patient="Patient/jane"), reason=None, caller=LOCAL)
    assert shown(house) == {uid(1), NOTE}
    provenance_id = str(done.provenance).partition("/")[2]
    house.database.write(lambda one: corrections.undo(one, provenance_id, None, LOCAL))
    house.patient("jane", "4711", gender="female")
    assert shown(house) == set()
    assert house.send(ct(1)).status == 202


@pytest.mark.parametrize("note_first", [True, False])
def test_a_note_of_somebody_else_hides_nothing(house: House, note_first: bool) -> None:
    of_john = note(uid(1), study="1.2.9.50", PatientID="9")
    files = [of_john, ct(1)] if note_first else [ct(1), of_john]
    for content in files:
        house.send(content)
    assert shown(house) == {uid(1)}


@pytest.mark.parametrize("note_first", [True, False])
def test_a_note_in_another_study_of_the_patient_counts(house: House, note_first: bool) -> None:
    in_another = note(uid(1), study="1.2.9.50")
    files = [in_another, ct(1), ct(2)] if note_first else [ct(1), ct(2), in_another]
    for content in files:
        house.send(content)
    assert shown(house) == {uid(2)}
    assert shown(house, "1.2.9.50") == set()


def test_a_held_note_hides_nothing_until_it_is_known_whose_it_is(house: House) -> None:
    for number in (1, 2):
        house.send(ct(number))
    held = house.send(note(uid(1), PatientID="9"))
    assert held.status == 202
    assert shown(house) == {uid(1), uid(2)}
    corrections = Corrections(house.database, house.relinking, new_id=new_id)
    decision = Decision(patient="Patient/jane")
    corrections.link(str(held.location), decision, reason=None, caller=LOCAL)
    work(house)
    assert shown(house) == {uid(2)}


def work(house: House) -> None:
    """What the background does with notes."""
    with house.database.read() as connection:
        due = select(job.c.subject).where(job.c.kind == REJECTION_NOTE)
        subjects = connection.execute(due).scalars().all()
    assert subjects
    for subject in subjects:
        Rejecting(database=house.database, relinking=house.relinking).late(int(subject))


def test_a_source_without_trust_hides_nothing(house: House) -> None:
    house.send(ct(1))
    assert house.send(note(uid(1)), source=UNTRUSTED).status == 201
    assert uid(1) in shown(house)


def test_another_key_object_is_no_rejection_note(house: House) -> None:
    house.send(ct(1))
    assert house.send(note(uid(1), code="113000")).status == 201  # Of Interest
    assert shown(house) == {uid(1), NOTE}


def test_a_study_that_a_person_moved_stays_theirs_while_all_of_it_is_hidden(house: House) -> None:
    house.send(ct(1))
    corrections = Corrections(house.database, house.relinking, new_id=new_id)
    decision = Decision(patient="Patient/john")
    corrections.link(IMAGING_STUDY, decision, reason=None, caller=LOCAL)
    house.send(note(uid(1), PatientID="4711"))
    assert shown(house) == set()
    house.send(ct(2))
    assert shown(house) == {uid(2)}
    assert house.subject(IMAGING_STUDY) == "Patient/john"


def test_news_of_the_patient_does_not_show_what_is_hidden(house: House) -> None:
    house.send(ct(1))
    house.send(note(uid(1)))
    house.patient("jane", "4711", gender="female")
    assert shown(house) == set()
