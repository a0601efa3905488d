"""A held part of a study whose images' UIDs are taken where it goes, once it may be filed."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom
import pytest
from pydicom.uid import RLELossless
from sqlalchemy import select

from imaging_fhir.model.codec import Resource
from imaging_fhir.services.check import Check
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.held_parts import HeldParts
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.study_parts import JOB
from imaging_fhir.storage import schema
from tests.dicom_samples import INSTANCE, STUDY, ct_instance
from tests.house import HOSPITAL, House, build_house, copied_house, issued_by
from tests.interleaving import Gated, Scheduler, every_order

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14", "gender": "female"}
CORRECTED = {**JANE, "birthDate": "1980-01-01"}
IMAGING_STUDY = f"ImagingStudy/{STUDY}"
OTHER_STUDY = f"{STUDY}.9"


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    house.patient("jane", "4711", **JANE)
    yield house
    assert findings(house) == []
    house.close()


def findings(house: House) -> list[tuple[str, str]]:
    check = Check(database=house.database, store=house.store, recompute=entries_of)
    found = [(finding.kind, finding.subject) for finding in check.run()]
    # The house has no Endpoint, and a Task about a deleted study goes on to name it.
    return [one for one in found if "Endpoint/" not in one[1] and "Task.focus" not in one[1]]


def held_parts(house: House, scheduler: Scheduler | None = None) -> HeldParts:
    if scheduler is None:
        return HeldParts(database=house.database, store=house.store, relinking=house.relinking)
    return HeldParts(
        database=Gated(house.database, scheduler, "read", "write"),  # type: ignore[arg-type]
        store=house.store,
        relinking=house.relinking,
    )


def asked_for(house: House) -> list[int]:
    """The held parts that are to be settled."""
    with house.database.read() as connection:
        found = connection.execute(select(schema.job.c.subject).where(schema.job.c.kind == JOB))
        return [int(subject) for subject in found.scalars()]


def settle(house: House) -> None:
    parts = held_parts(house)
    for pk in asked_for(house):
        while parts.settle(pk) is not None:
            pass


def ct(**attributes: Any) -> bytes:
    return ct_instance(**{"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL), **attributes})


def ct_of_1980(**attributes: Any) -> bytes:
    """Held until Jane's date of birth is corrected."""
    return ct(PatientBirthDate="19800101", **attributes)


def rle(content: bytes) -> bytes:
    data_set = pydicom.dcmread(BytesIO(content))
    data_set.compress(RLELossless, generate_instance_uid=False)
    buffer = BytesIO()
    data_set.save_as(buffer)
    return buffer.getvalue()


def correct(house: House) -> None:
    house.patient("jane", "4711", **CORRECTED)


def kept(house: House, uid: str = INSTANCE) -> tuple[int, int]:
    """How many instances and conflicts there are under that UID."""
    with house.database.read() as connection:
        instances = connection.execute(
            select(schema.instance.c.pk).where(schema.instance.c.sop_instance_uid == uid)
        ).all()
        conflicts = connection.execute(
            select(schema.conflict.c.pk).where(schema.conflict.c.sop_instance_uid == uid)
        ).all()
    return len(instances), len(conflicts)


def conflicts(house: House) -> list[Resource]:
    with house.database.read() as connection:
        rids = connection.execute(select(schema.conflict.c.task)).scalars().all()
        ids = connection.execute(
            select(schema.resource.c.id).where(schema.resource.c.rid.in_(rids))
        ).scalars()
        return [house.read(f"Task/{one}") for one in ids]


def test_another_image_under_a_taken_uid_is_kept_beside_and_the_rest_joins(house: House) -> None:
    house.send(ct())
    held = house.send(ct_of_1980())
    assert house.send(ct_of_1980(SOPInstanceUID=f"{INSTANCE}.2")).location == held.location
    correct(house)
    assert house.read(held.location)["status"] == "requested"
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    settle(house)
    assert house.read(held.location)["status"] == "completed"
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2
    assert kept(house) == (1, 1)
    (task,) = conflicts(house)
    assert task["status"] == "requested"
    assert task["reasonCode"]["coding"][0]["code"] == "sop-instance-uid-conflict"
    again = house.send(ct_of_1980())
    assert again.location == f"Task/{task['id']}"  # the same conflict, not one more
    assert kept(house) == (1, 1)


@pytest.mark.parametrize("another_file", [bytes, rle, lambda content: b"\x01" + content[1:]])
def test_the_same_image_again_goes_and_leaves_the_study_as_it_was(
    house: House, another_file: Callable[[bytes], bytes]
) -> None:
    """The bytes, another transfer syntax without loss, and another preamble."""
    house.patient("john", "9", **JANE)
    house.send(ct())
    before = house.read(IMAGING_STUDY)
    held = house.send(another_file(ct()), patient="Patient/john")
    assert held.status == 202
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("john", "9", link=link, **JANE)
    settle(house)
    assert house.read(held.location)["status"] == "completed"
    assert house.read(IMAGING_STUDY) == before
    assert kept(house) == (1, 0)
    assert house.send(another_file(ct()), patient="Patient/john").status == 200


def test_what_a_conflict_says_does_not_count(house: House) -> None:
    """The value of the first instance that stays does, in study and series."""
    house.send(ct(InstanceNumber=5))
    house.send(ct_of_1980(InstanceNumber=1, StudyDescription="Wrong", SeriesDescription="Wrong"))
    house.send(
        ct_of_1980(
            SOPInstanceUID=f"{INSTANCE}.2",
            InstanceNumber=2,
            StudyDescription="Chest",
            SeriesDescription="Lung",
        )
    )
    correct(house)
    settle(house)
    study = house.read(IMAGING_STUDY)
    assert study["description"] == "Chest"
    assert study["series"][0]["description"] == "Lung"


def test_a_part_that_is_all_conflicts_is_no_study(house: House) -> None:
    house.send(ct())
    held = house.send(ct_of_1980(StudyInstanceUID=OTHER_STUDY))
    correct(house)
    settle(house)
    assert house.read(held.location)["status"] == "completed"
    assert kept(house) == (1, 1)
    with house.database.read() as connection:
        assert connection.execute(select(schema.study.c.pk)).all() == [(1,)]


def test_an_image_that_another_study_has_is_kept_beside_when_its_study_is_filed(
    house: House,
) -> None:
    house.send(ct())
    house.send(ct_of_1980(StudyInstanceUID=OTHER_STUDY))
    house.send(ct_of_1980(StudyInstanceUID=OTHER_STUDY, SOPInstanceUID=f"{INSTANCE}.2"))
    correct(house)
    settle(house)
    assert house.read(f"ImagingStudy/{OTHER_STUDY}")["numberOfInstances"] == 1
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 1
    assert kept(house) == (1, 1)


def test_a_part_that_takes_the_study_clashes_with_nobody(house: House) -> None:
    house.send(ct(PatientID="8", PatientName="Doe^John", PatientSex="M"))
    held = house.send(ct_of_1980())
    correct(house)
    assert house.read(held.location)["status"] == "completed"
    assert house.subject(IMAGING_STUDY) == "Patient/jane"
    assert asked_for(house) == []


def test_news_that_speaks_against_it_again_leaves_it_held(house: House) -> None:
    house.send(ct())
    held = house.send(ct_of_1980())
    correct(house)
    house.patient("jane", "4711", **JANE)
    settle(house)
    assert house.read(held.location)["status"] == "requested"
    assert kept(house) == (2, 0)
    correct(house)
    settle(house)
    assert kept(house) == (1, 1)


class Killed(BaseException):
    pass


def test_a_death_at_any_step_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.send(ct())
    house.send(ct_of_1980())
    house.send(ct_of_1980(SOPInstanceUID=f"{INSTANCE}.2"))
    correct(house)
    (pk,) = asked_for(house)
    for name in ("compare", "read_again", "file"):
        with monkeypatch.context() as patch:

            def die(*_: Any) -> None:
                raise Killed

            patch.setattr(HeldParts, name, die)
            with pytest.raises(Killed):
                held_parts(house).settle(pk)
        assert kept(house) == (2, 0)
    assert held_parts(house).settle(pk) is None
    assert held_parts(house).settle(pk) is None  # killed before it was said to be done
    assert kept(house) == (1, 1)
    assert house.read(IMAGING_STUDY)["numberOfInstances"] == 2


def more_of_the_part(house: House) -> None:
    house.send(ct_of_1980(SOPInstanceUID=f"{INSTANCE}.2"))


def more_of_the_study(house: House) -> None:
    house.send(ct(SOPInstanceUID=f"{INSTANCE}.3"))


def another_clash(house: House) -> None:
    house.send(ct(SOPInstanceUID=f"{INSTANCE}.2"))
    house.send(ct_of_1980(SOPInstanceUID=f"{INSTANCE}.2"))


def doubt(house: House) -> None:
    house.patient("jane", "4711", **JANE)


def the_study_deleted(house: House) -> None:
    house.delete(IMAGING_STUDY)


def the_study_erased(house: House) -> None:
    Erase(database=house.database, store=house.store).study(STUDY)


EVENTS: dict[str, tuple[Callable[[House], None], ...]] = {
    "uploads": (more_of_the_part, more_of_the_study),
    "another clash": (another_clash,),
    "doubt": (doubt, more_of_the_part),
    "deleted": (the_study_deleted, more_of_the_part),
    "erased": (the_study_erased, more_of_the_part),
    "twice": (correct,),
}


@pytest.mark.parametrize("events", EVENTS)
def test_whatever_comes_between_the_end_is_the_same(sqlite_template: Path, events: str) -> None:
    ends = set()

    def run(choose: Callable[[int], int]) -> None:
        with TemporaryDirectory() as folder:
            house = copied_house(sqlite_template, Path(folder))
            house.patient("jane", "4711", **JANE)
            house.send(ct())
            house.send(ct_of_1980())
            correct(house)
            scheduler = Scheduler()
            scheduler.run(actors(house, scheduler, EVENTS[events]), choose)
            if doubt in EVENTS[events]:
                correct(house)
            settle(house)
            ends.add(end(house))
            # The bytes of an upload that was refused are for clean-up.
            assert [one for one in findings(house) if one[0] != "orphan-bytes"] == []
            house.close()

    assert every_order(run) > 3
    assert len(ends) == 1, ends


def actors(
    house: House, scheduler: Scheduler, events: tuple[Callable[[House], None], ...]
) -> dict[str, Callable[[], object]]:
    (pk,) = asked_for(house)
    parts = held_parts(house, scheduler)

    def work() -> None:
        while parts.settle(pk) is not None:
            pass

    def happen() -> None:
        for event in events:
            event(house)
            scheduler.gate()

    return {"work": work, "happen": happen}


def end(house: House) -> tuple[Any, ...]:
    with house.database.read() as connection:
        instances = connection.execute(
            select(schema.study.c.state, schema.instance.c.sop_instance_uid)
            .join(schema.series, schema.series.c.study == schema.study.c.pk)
            .join(schema.instance, schema.instance.c.series == schema.series.c.pk)
            .order_by(schema.instance.c.sop_instance_uid)
        ).all()
        conflicts = connection.execute(
            select(schema.conflict.c.sop_instance_uid).order_by("sop_instance_uid")
        ).all()
    return tuple(map(tuple, instances)), tuple(map(tuple, conflicts))
