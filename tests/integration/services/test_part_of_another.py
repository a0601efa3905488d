"""A held part of a study is filed to its own Patient, while the study is somebody else's."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from imaging_fhir.errors import ImagingError, ResourceConflict
from imaging_fhir.model.link import Decision
from imaging_fhir.services.check import Check
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.services.retrieve import Retrieve
from imaging_fhir.services.splitting import Part
from tests.acting import Acting, at_house
from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, House, build_house, issued_by

STUDY = "1.2.9"
HERS = f"ImagingStudy/{STUDY}"
JOHN: dict[str, Any] = {"PatientID": "9", "PatientName": "Doe", "PatientSex": "M"}
JOAN: dict[str, Any] = {"PatientID": "5", "PatientName": "Roe", "PatientSex": ""}


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """At the end of each test all that is said twice must agree."""
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", name=[{"family": "Roe"}], gender="female")
    house.patient("john", "9", name=[{"family": "Doe"}], gender="male")
    house.patient("joan", "5", name=[{"family": "Roe"}])
    yield house
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run(deep=True)]
    of_house = ("dangling-reference", "orphan-bytes")  # it has no Endpoint, and no clean-up
    assert [one for one in found if one[0] not in of_house] == []
    house.close()


@pytest.fixture
def actor(house: House) -> Acting:
    return at_house(house)


def send(house: House, uid: str, **attributes: Any) -> Outcome:
    """An instance whose UID says in which series it is; Jane's if nothing else is said."""
    content = ct_instance(
        **{
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": uid.rpartition(".")[0],
            "SOPInstanceUID": uid,
            "InstanceNumber": uid.rpartition(".")[2],
            "PatientBirthDate": "",
            **attributes,
        }
    )
    return house.send(content)


def to(patient: str) -> Decision:
    return Decision(patient=f"Patient/{patient}")


def instances(house: House, reference: str | None) -> int:
    return int(house.read(reference)["numberOfInstances"])


def rule(outcome: Outcome) -> str:
    assert outcome.status == 202
    return outcome.filed.rule if outcome.filed else ""


def test_it_becomes_a_study_of_its_own_which_what_names_the_same_person_follows(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    held = send(house, "1.2.9.1.2", **JOHN)
    done = actor.link(held.location or "", to("john"))
    assert house.subject(done.result) == "Patient/john"
    his = house.read(done.result)
    uids = [his["id"], his["series"][0]["uid"], his["series"][0]["instance"][0]["uid"]]
    assert all(uid.startswith("2.25.") for uid in uids)
    assert house.read(held.location)["status"] == "completed"
    assert (instances(house, HERS), instances(house, done.result)) == (1, 1)
    known = send(house, "1.2.9.1.2", **JOHN)
    assert (known.status, known.location) == (200, done.result)
    for uid in ("1.2.9.1.3", "1.2.9.2.1"):
        later = send(house, uid, **JOHN)
        assert (later.status, later.location) == (201, done.result)
        assert send(house, uid, **JOHN).status == 200
    for uid in ("1.2.9.1.4", "1.2.9.2.2"):
        assert send(house, uid).location == HERS
    assert (instances(house, HERS), instances(house, done.result)) == (3, 3)
    assert rule(send(house, "1.2.9.1.5", **JOAN)) == "study-of-another-patient"


def test_one_image_under_the_same_uid_of_two_people_is_each_ones_own(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    held = send(house, "1.2.9.1.1", **JOHN)
    done = actor.link(held.location or "", to("john"))
    assert house.subject(done.result) == "Patient/john"
    hers, his = send(house, "1.2.9.1.1"), send(house, "1.2.9.1.1", **JOHN)
    assert [(one.status, one.location) for one in (hers, his)] == [(200, HERS), (200, done.result)]
    assert (instances(house, HERS), instances(house, done.result)) == (1, 1)


def test_it_is_undone_and_all_of_it_is_held_again(house: House, actor: Acting) -> None:
    send(house, "1.2.9.1.1")
    held = send(house, "1.2.9.1.2", **JOHN)
    done = actor.link(held.location or "", to("john"))
    send(house, "1.2.9.2.1", **JOHN)
    undone = actor.undo("corrections", done.provenance or "")
    assert undone.result == held.location
    assert house.read(held.location)["status"] == "requested"
    with pytest.raises(ImagingError, match="deleted"):
        house.read(done.result)
    for uid in ("1.2.9.1.2", "1.2.9.2.1", "1.2.9.1.3"):
        again = send(house, uid, **JOHN)
        assert (again.status, again.location) == (202, held.location)
    again_filed = actor.link(held.location or "", to("jane"))
    assert again_filed.result == HERS
    assert instances(house, HERS) == 4


def test_another_part_of_the_same_patient_joins_the_first(house: House, actor: Acting) -> None:
    otherwise = JOHN | {"PatientName": "Doe^J"}
    send(house, "1.2.9.1.1")
    first = actor.link(send(house, "1.2.9.2.1", **JOHN).location or "", to("john"))
    held = send(house, "1.2.9.2.2", **otherwise)
    assert actor.link(held.location or "", to("john")).result == first.result
    assert instances(house, first.result) == 2
    assert send(house, "1.2.9.2.2", **otherwise).status == 200
    assert send(house, "1.2.9.3.1", **otherwise).location == first.result


def test_it_joins_what_was_split_off_to_the_patient_though_an_image_is_there_already(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    send(house, "1.2.9.2.1")
    split = actor.split(HERS, Part(series=("1.2.9.2",)), to("john"))
    held = send(house, "1.2.9.2.1", **JOAN)
    assert held.status == 202
    another = send(house, "1.2.9.3.1", **JOAN)
    for one in (held, another):
        if house.read(one.location)["status"] == "requested":
            actor.link(one.location or "", to("john"))
            actor.work()
        assert house.read(one.location)["status"] == "completed"
    assert instances(house, split.result) == 2
    assert instances(house, HERS) == 1


def test_a_held_image_under_a_taken_uid_is_filed_once_it_has_been_compared(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    held = send(house, "1.2.9.1.1", **JOAN)
    send(house, "1.2.9.1.2", **JOAN)
    done = actor.link(held.location or "", to("jane"))
    assert done.result == held.location
    assert "compared" in done.text
    actor.work()
    assert instances(house, HERS) == 2
    assert house.read(held.location)["status"] == "completed"


def test_of_a_part_a_third_persons_images_become_a_study_of_their_own(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    send(house, "1.2.9.2.1")
    split = actor.split(HERS, Part(series=("1.2.9.2",)), to("john"))
    held = send(house, "1.2.9.2.2", **JOAN)
    done = actor.link(held.location or "", to("joan"))
    assert house.subject(done.result) == "Patient/joan"
    assert [instances(house, one) for one in (HERS, split.result, done.result)] == [1, 1, 1]
    assert send(house, "1.2.9.2.2", **JOAN).location == done.result
    assert send(house, "1.2.9.2.3", **JOAN).location == done.result
    assert send(house, "1.2.9.2.4").location == split.result
    served = first_file(house, done.result)
    assert served.PatientID == "5"
    (before,) = served.OriginalAttributesSequence[0].ModifiedAttributesSequence
    assert before.StudyInstanceUID == STUDY
    assert before.SOPInstanceUID == "1.2.9.2.2"
    actor.undo("corrections", done.provenance or "")
    assert house.read(held.location)["status"] == "requested"
    assert send(house, "1.2.9.2.3", **JOAN).location == held.location
    actor.undo("splitting", split.provenance or "")
    assert instances(house, HERS) == 3
    assert send(house, "1.2.9.2.2", **JOAN).location == held.location


def first_file(house: House, reference: str) -> pydicom.Dataset:
    """Of the ImagingStudy, as it is served."""
    study = house.read(reference)
    series = study["series"][0]
    retrieve = Retrieve(house.database, house.store)
    (found,) = retrieve.instances(study["id"], series["uid"], series["instance"][0]["uid"])
    return pydicom.dcmread(BytesIO(b"".join(retrieve.file(found).chunks())))


def test_what_was_filed_so_is_moved_and_split_as_any_study(house: House, actor: Acting) -> None:
    send(house, "1.2.9.1.1")
    held = send(house, "1.2.9.1.2", **JOHN)
    first = actor.link(held.location or "", to("john"))
    send(house, "1.2.9.1.3", **JOHN)
    (series,) = house.read(first.result)["series"]
    one = Part(instances=(series["instance"][0]["uid"],))
    second = actor.split(first.result, one, to("joan"))
    with pytest.raises(ResourceConflict, match="since"):
        actor.undo("corrections", first.provenance or "")
    assert send(house, "1.2.9.1.2", **JOHN).location == second.result
    assert send(house, "1.2.9.1.3", **JOHN).location == first.result
    assert rule(send(house, "1.2.9.1.4", **JOHN)) == "series-in-two-studies"
    assert send(house, "1.2.9.1.5").location == HERS
    actor.undo("splitting", second.provenance or "")
    assert send(house, "1.2.9.1.6", **JOHN).location == first.result
    actor.undo("corrections", first.provenance or "")
    assert send(house, "1.2.9.1.2", **JOHN).location == held.location


def test_a_provisional_patients_study_passes_to_the_known_one_as_before(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1", PatientID="unknown")
    held = send(house, "1.2.9.1.2", **JOHN | {"PatientSex": "F"})
    assert held.status == 202
    assert actor.link(held.location or "", to("john")).result == HERS
    assert house.subject(HERS) == "Patient/john"


def test_of_a_series_that_went_elsewhere_not_even_whom_it_names_says_where_it_belongs(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    send(house, "1.2.9.2.1")
    first = actor.link(send(house, "1.2.9.3.1", **JOHN).location or "", to("john"))
    split = actor.split(HERS, Part(series=("1.2.9.2",)), to("joan"))
    held = send(house, "1.2.9.2.2", **JOHN)
    assert rule(held) == "series-in-two-studies"
    assert [instances(house, one) for one in (first.result, split.result)] == [1, 1]
    assert actor.link(held.location or "", to("john")).result == first.result
    assert send(house, "1.2.9.2.2", **JOHN).location == first.result


def test_images_that_came_under_the_uids_of_a_part_are_compared_as_all_others(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    send(house, "1.2.9.2.1")
    split = actor.split(HERS, Part(series=("1.2.9.2",)), to("john"))
    part = house.read(split.result)
    series = part["series"][0]
    own = {"StudyInstanceUID": part["id"], "SeriesInstanceUID": series["uid"], **JOAN}
    held = send(house, series["instance"][0]["uid"], **own, InstanceNumber=1)
    assert held.status == 202
    assert send(house, "1.2.77", **own).location == held.location
    actor.link(held.location or "", to("john"))
    actor.work()
    assert house.read(held.location)["status"] == "completed"
    assert instances(house, split.result) == 2


def test_what_is_erased_is_refused_and_what_others_have_of_the_series_is_not(
    house: House, actor: Acting
) -> None:
    send(house, "1.2.9.1.1")
    done = actor.link(send(house, "1.2.9.1.2", **JOHN).location or "", to("john"))
    Erase(database=house.database, store=house.store).study(done.result.partition("/")[2])
    assert send(house, "1.2.9.1.2", **JOHN).status == 409
    assert send(house, "1.2.9.1.3").location == HERS
