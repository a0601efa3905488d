"""An authoritative source moves a study that it sends again for another Patient, undoably."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.model.audit import Agent
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.correction import Corrected
from imaging_fhir.model.link import Decision
from imaging_fhir.policy import Policy
from imaging_fhir.services.composition import new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.held_parts import HeldParts
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import Site, Source
from imaging_fhir.storage import audit_search
from imaging_fhir.storage.schema import resource
from imaging_fhir.storage.schema import study as study_table
from tests.dicom_samples import INSTANCE, STUDY, ct_instance
from tests.house import HOSPITAL, House, build_house, issued_by

IMAGING_STUDY = f"ImagingStudy/{STUDY}"
PACS, ARCHIVE, WARD = Source(id="pacs"), Source(id="archive"), Source(id="ward")
POLICY = Policy(authoritative_sources=frozenset({"pacs", "archive"}))
NUMBERS = {"jane": "4711", "john": "9", "jim": "12"}


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path, policy=POLICY)
    for name, number in NUMBERS.items():
        house.patient(name, number)
    yield house
    house.close()


@pytest.fixture
def corrections(house: House) -> Corrections:
    return Corrections(house.database, house.relinking, new_id=new_id)


def ct(whose: str = "jane", number: int = 0, **attributes: Any) -> bytes:
    return ct_instance(
        **{
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "PatientID": NUMBERS.get(whose, whose),
            "SOPInstanceUID": f"{INSTANCE}.{number}" if number else INSTANCE,
            **attributes,
        }
    )


def rule(outcome: Outcome) -> str:
    assert outcome.filed is not None, outcome.message
    return outcome.filed.rule


def settle(house: House) -> None:
    """What the background does with parts whose images are to be compared."""
    parts = HeldParts(database=house.database, store=house.store, relinking=house.relinking)
    with house.database.read() as connection:
        query = select(study_table.c.pk).where(study_table.c.state == "held")
        held = connection.execute(query).scalars().all()
    for pk in held:
        assert parts.settle(pk) is None


def is_disputed(house: House) -> bool:
    tags = house.read(IMAGING_STUDY)["meta"].get("tag", ())
    return any(tag["code"] == "disputed" for tag in tags)


def all_of(house: House, type_: str) -> list[Resource]:
    with house.database.read() as connection:
        ids = connection.execute(select(resource.c.id).where(resource.c.type == type_)).scalars()
        return [house.read(f"{type_}/{id_}") for id_ in ids.all()]


def told(house: House) -> list[Resource]:
    """The Provenances of automatic moves."""
    return [
        one
        for one in all_of(house, "Provenance")
        if one["activity"]["coding"][0]["code"] == "correct-by-source"
    ]


def undo(corrections: Corrections, provenance_id: str) -> Corrected:
    return corrections.database.write(lambda one: corrections.undo(one, provenance_id, None, LOCAL))


def test_what_an_authoritative_source_sends_again_moves_the_study_and_says_so(house: House) -> None:
    first, second = house.send(ct()), house.send(ct(number=2))
    again = house.send(ct("john"), source=PACS)
    assert again.status == 202
    assert "was moved" in again.message
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    assert not is_disputed(house)
    settle(house)
    assert house.open_tasks() == []
    assert house.send(ct("john", 2), source=PACS).status == 200
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
    assert first.location == second.location == IMAGING_STUDY
    [provenance] = told(house)
    assert provenance["agent"][0]["who"] == {"display": "Source pacs"}
    with house.database.read() as connection:
        [event] = audit_search.between(connection, since=None, until=None)
    assert Agent.of_text(event.agent).name == "Source pacs"
    assert (event.kind, event.activity) == ("correct", "correct-by-source")
    assert (event.patient, event.entity, event.mentions) == (
        "john",
        IMAGING_STUDY,
        ("Patient/john",),
    )
    assert rule(house.send(ct(number=3))) == "authoritative-source"


def test_the_move_is_undone_by_a_person_and_not_made_again(
    house: House, corrections: Corrections
) -> None:
    house.send(ct())
    house.send(ct("john"), source=PACS)
    settle(house)
    [provenance] = told(house)
    undo(corrections, provenance["id"])
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    for content in (ct("john"), ct("john", 2)):
        outcome = house.send(content, source=PACS)
        assert (outcome.status, rule(outcome)) == (202, "study-of-another-patient")
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    assert is_disputed(house)
    assert len(told(house)) == 1


def test_no_source_undoes_what_a_person_decided(house: House, corrections: Corrections) -> None:
    house.send(ct())
    decision = Decision(patient="Patient/jim")
    corrections.link(IMAGING_STUDY, decision, reason=None, caller=LOCAL)
    outcome = house.send(ct("john"), source=PACS)
    assert rule(outcome) == "study-of-another-patient"
    assert house.subject(IMAGING_STUDY) == "Patient/jim"
    assert is_disputed(house)


def test_a_person_overrules_a_source(house: House, corrections: Corrections) -> None:
    house.send(ct())
    house.send(ct("john"), source=PACS)
    decision = Decision(patient="Patient/jane")
    corrections.link(IMAGING_STUDY, decision, reason=None, caller=LOCAL)
    for source in (PACS, ARCHIVE):
        house.send(ct("jim"), source=source)
        assert house.subject(IMAGING_STUDY) == "Patient/jane"


def test_two_sources_that_disagree_move_it_once(house: House) -> None:
    house.send(ct())
    for _ in range(2):
        house.send(ct("john"), source=PACS)
        house.send(ct("jim"), source=ARCHIVE)
        house.send(ct("jane"), source=ARCHIVE)
        settle(house)
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    assert is_disputed(house)
    assert len(told(house)) == 1


def test_the_same_source_may_correct_itself(house: House) -> None:
    house.send(ct())
    house.send(ct("john"), source=PACS)
    settle(house)
    house.send(ct("jim"), source=PACS)
    assert house.subject(IMAGING_STUDY) == "Patient/jim"
    assert len(told(house)) == 2


@pytest.mark.parametrize(
    ("content", "source"),
    [
        pytest.param(ct("john"), WARD, id="a source without authority"),
        pytest.param(ct("john", 2), PACS, id="an image that the study does not have"),
        pytest.param(ct("5000"), PACS, id="a number that nobody here has"),
    ],
)
def test_what_proves_less_is_held_as_ever(house: House, content: bytes, source: Source) -> None:
    house.send(ct())
    assert house.send(content, source=source).status == 202
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    assert told(house) == []


def test_what_was_held_before_goes_with_it(house: House) -> None:
    house.send(ct())
    held = house.send(ct("john", 2), source=WARD)
    assert held.status == 202
    house.send(ct("john"), source=PACS)
    settle(house)
    assert house.subject(IMAGING_STUDY) == "Patient/john"
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
    assert house.open_tasks() == []


def test_a_copy_that_says_more_than_another_name_is_kept_beside(house: House) -> None:
    house.send(ct())
    house.send(ct("john", StudyDescription="Another one"), source=PACS)
    settle(house)
    [task] = house.open_tasks()
    assert task["reasonCode"]["coding"][0]["code"] == "sop-instance-uid-conflict"


def test_another_name_alone_is_no_news_only_where_the_study_is_corrected(house: House) -> None:
    house.send(ct())
    assert house.send(ct(PatientComments="Spelled anew")).status == 202
    [task] = house.open_tasks()
    assert task["reasonCode"]["coding"][0]["code"] == "sop-instance-uid-conflict"


@pytest.mark.parametrize("named", ["nobody", "default"])
def test_a_site_names_its_own_sources_alone(tmp_path: Path, named: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f"[linking]\nauthoritative_sources = [{named!r}]\n")
    with pytest.raises(InvalidSetting, match=named):
        Site.from_file(str(path))
