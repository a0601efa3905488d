"""Images, news, merges, corrections, splits and undoing, against a small model of the truth.

Whatever happens: an image is in the chart of whom its number or a person's decision leads to
today, or in none; its visit is the same patient's; and nothing that was taken in is lost.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from imaging_fhir.errors import InvalidResource, ResourceConflict
from imaging_fhir.model.link import Decision
from imaging_fhir.services.check import Check
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.splitting import Part
from imaging_fhir.storage import resources
from imaging_fhir.storage.schema import conflict, instance, minted_uid, series, study
from tests.acting import Actor, Elsewhere, another_process, at_house
from tests.conftest import postgresql_database
from tests.dicom_samples import ct_instance
from tests.house import (
    HOSPITAL,
    VISITS,
    House,
    copied_house,
    encounter_of,
    issued_by,
    open_house,
    patient_of,
)

PEOPLE = ("ann", "bea", "cia")
VISIT_NUMBERS = ("v1", "v2")
BIRTH_DATES = ("1970-01-01", "1980-02-02")
person, birth_date = st.sampled_from(PEOPLE), st.sampled_from(BIRTH_DATES)
visit = st.sampled_from(VISIT_NUMBERS)
study_number, two = st.integers(1, 3), st.integers(1, 2)
Said = tuple[str, str]  # a Provenance, and the patient
Today = tuple[str, ...]  # UIDs of the series and of the instance


@dataclass
class Image:
    """What the model knows of one: whom it names in which study, and what people said of it."""

    study: int
    owner: str
    said: list[Said] = field(default_factory=list)


@dataclass
class Chart:
    """A Patient resource: whose place was taken, and which numbers it has."""

    numbers: set[str]
    birth_date: str
    replaced_by: str | None = None


@dataclass(frozen=True)
class Stage:
    """Where a history happens: those who act in turn, and what they have in common."""

    house: House
    actors: tuple[Actor, ...]


Place = Callable[..., AbstractContextManager[Stage]]  # of those who act; none: the house does


class Histories(RuleBasedStateMachine):
    staged: Place

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        stage = self.opened.enter_context(type(self).staged())
        self.house, self.actors = stage.house, cycle(stage.actors)
        self.charts: dict[str, Chart] = {}
        self.images: dict[str, Image] = {}  # by SOP Instance UID of their bytes
        self.birth_dates: dict[tuple[int, str], str] = {}  # in the files of a study of a person
        self.merges: list[tuple[str, str, str]] = []  # Provenance, source, target
        self.visits: dict[str, str | None] = {}  # that a file names
        self.decided: list[Said] = []
        self.splits: list[Said] = []

    @property
    def actor(self) -> Actor:
        """Whoever's turn it is."""
        return next(self.actors)

    def teardown(self) -> None:
        with self.opened:
            check = Check(
                database=self.house.database, store=self.house.store, recompute=entries_of
            )
            found = [(one.kind, one.subject) for one in check.run()]
        wrong = [one for one in found if one[0] != "dangling-reference"]
        assert wrong == [], wrong

    def today(self, name: str) -> str:
        """Whom a Patient stands for, by the model."""
        seen = [name]
        while (chart := self.charts.get(seen[-1])) and chart.replaced_by:
            if chart.replaced_by in seen:
                return min(seen[seen.index(chart.replaced_by) :])
            seen.append(chart.replaced_by)
        return seen[-1]

    @rule(name=person, born=birth_date)
    def a_patient_is_written(self, name: str, born: str) -> None:
        """As an EHR writes it: whole, so that a merge is taken back."""
        self.charts[name] = Chart({name}, born)
        self.actor.put(patient_of(name, name, birthDate=born))

    @precondition(lambda self: len(self.charts) > 1)
    @rule(data=st.data())
    def a_merge_is_told_by_its_link(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.charts)))
        target = data.draw(st.sampled_from(sorted(set(self.charts) - {source})))
        if self.today(target) == source:
            return
        chart = self.charts[source]
        self.charts[source] = Chart({source}, chart.birth_date, target)
        link = [{"other": {"reference": f"Patient/{target}"}, "type": "replaced-by"}]
        self.actor.put(patient_of(source, source, birthDate=chart.birth_date, link=link))

    @precondition(lambda self: len(self.charts) > 1)
    @rule(data=st.data())
    def a_person_merges(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.charts)))
        target = data.draw(st.sampled_from(sorted(set(self.charts) - {source})))
        is_replaced = self.charts[source].replaced_by is not None  # in a loop, they may be today's
        if is_replaced or self.today(target) != target:
            with pytest.raises(ResourceConflict):
                self.actor.merge(source, target)
            return
        done = self.actor.merge(source, target)
        self.charts[source].replaced_by = target
        self.charts[target].numbers |= self.charts[source].numbers
        self.merges.append((done.provenance or "", source, target))

    @precondition(lambda self: self.merges)
    @rule(data=st.data())
    def a_merge_is_undone(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.merges) - 1))
        done = self.merges[at]
        provenance, source, target = done
        merged_again = source in (later for _, later, _ in self.merges[at + 1 :])
        is_so = self.charts[source].replaced_by == target and self.today(target) == target
        if merged_again or not is_so:
            with pytest.raises(ResourceConflict):
                self.actor.undo("merging", provenance)
            return
        self.actor.undo("merging", provenance)
        self.merges.remove(done)
        self.charts[source].replaced_by = None
        stored = self.house.read(f"Patient/{target}")
        self.charts[target].numbers = {one["value"] for one in stored["identifier"]}

    @rule(number=visit, name=person, day=st.integers(13, 15), planned=st.booleans())
    def a_visit_is_written(self, number: str, name: str, day: int, planned: bool) -> None:
        moment = f"2026-03-{day}"
        self.actor.put(
            encounter_of(
                number,
                name,
                moment,
                moment,
                identifier=[{"system": VISITS, "value": number}],
                status="planned" if planned else "finished",
            )
        )

    @rule(
        number=study_number,
        of_series=two,
        which=two,
        name=person,
        born=birth_date,
        of_visit=st.none() | visit,
    )
    def an_image_comes(
        self, number: int, of_series: int, which: int, name: str, born: str, of_visit: str | None
    ) -> None:
        if self.birth_dates.setdefault((number, name), born) != born:
            return  # one person's files agree with one another
        series_uid = f"1.2.{number}.{PEOPLE.index(name)}.{of_series}"
        uid = f"{series_uid}.{which}"
        of_visit = self.visits.setdefault(uid, of_visit)  # sent again, it is the same file
        attributes: dict[str, Any] = {
            "StudyInstanceUID": f"1.2.{number}",
            "SeriesInstanceUID": series_uid,
            "SOPInstanceUID": uid,
            "PatientID": name,
            "PatientName": "",
            "PatientSex": "",
            "PatientBirthDate": born.replace("-", ""),
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
        }
        if of_visit is not None:
            attributes["AdmissionID"] = of_visit
            attributes["IssuerOfAdmissionIDSequence"] = issued_by(VISITS)
        outcome = self.actor.send(ct_instance(**attributes))
        assert outcome.status in (200, 201, 202), outcome.message
        if uid not in self.images:
            self.images[uid] = Image(number, name)
            self.is_said_as_of_others([uid], self.at(outcome.location or ""))
        else:
            assert outcome.status != 201, "known already"

    def is_said_as_of_others(self, uids: list[str], together: Mapping[str, object]) -> None:
        """What comes for others that name the same person in the study belongs to them."""
        for uid in uids:
            image = self.images[uid]
            image.said += [
                one
                for other in together
                if other not in uids
                and (self.images[other].study, self.images[other].owner)
                == (image.study, image.owner)
                for one in self.images[other].said
                if one not in image.said
            ]

    def rows(self) -> list[Any]:
        with self.house.database.read() as connection:
            return list(connection.execute(select(study)).all())

    def at(self, reference: str) -> dict[str, Today]:
        """The images of that ImagingStudy, or that its Task holds."""
        resource_type, _, resource_id = reference.partition("/")
        with self.house.database.read() as connection:
            stored = resources.find(connection, resource_type, resource_id)
        of_resource = [row for row in self.rows() if stored and row.rid == stored.rid]
        return self.of_row(of_resource[0]) if of_resource else {}

    def of_row(self, row: Any) -> dict[str, Today]:
        """Its images by the UID of their bytes."""
        with self.house.database.read() as connection:
            found = connection.execute(
                select(
                    func.coalesce(minted_uid.c.original, instance.c.sop_instance_uid),
                    series.c.series_instance_uid,
                    instance.c.sop_instance_uid,
                )
                .join(series, series.c.pk == instance.c.series)
                .outerjoin(minted_uid, minted_uid.c.uid == instance.c.sop_instance_uid)
                .where(series.c.study == row.pk)
            )
            return {uid: (*today,) for uid, *today in found if uid in self.images}

    def drawn_row(self, data: st.DataObject) -> tuple[str, bool, dict[str, Today]]:
        """A study: where it is, whether it is filed, and its images."""
        rows = sorted(self.rows(), key=lambda one: int(one.pk))
        row = rows[data.draw(st.integers(0, len(rows) - 1))]
        with self.house.database.read() as connection:
            reference = resources.find_by_rid(connection, row.rid).reference
        return reference, row.state == "filed", self.of_row(row)

    @precondition(lambda self: self.images and self.charts)
    @rule(data=st.data())
    def a_person_decides(self, data: st.DataObject) -> None:
        reference, _, images = self.drawn_row(data)
        name = data.draw(st.sampled_from(sorted(self.charts)))
        done = self.actor.link(reference, Decision(patient=f"Patient/{name}"))
        self.decided.append((done.provenance or "", name))
        for uid in images:
            self.images[uid].said.append(self.decided[-1])

    @precondition(lambda self: self.decided)
    @rule(data=st.data())
    def a_decision_is_undone(self, data: st.DataObject) -> None:
        chosen = self.decided[data.draw(st.integers(0, len(self.decided) - 1))]
        try:
            done = self.actor.undo("corrections", chosen[0])
        except ResourceConflict:
            return
        self.decided.remove(chosen)
        for image in self.images.values():
            if chosen in image.said:
                image.said.remove(chosen)
        assert done.result

    @precondition(lambda self: self.images and self.charts)
    @rule(data=st.data())
    def a_series_is_split_off(self, data: st.DataObject) -> None:
        reference, is_filed, images = self.drawn_row(data)
        chosen = data.draw(st.sampled_from(sorted(images)))
        of_series, uid_today = images[chosen]
        by_series = data.draw(st.booleans())
        part = Part(series=(of_series,)) if by_series else Part(instances=(uid_today,))
        meant = {uid for uid, (one, _) in images.items() if by_series and one == of_series}
        meant |= {chosen}
        name = data.draw(st.sampled_from(sorted(self.charts)))
        decision = Decision(patient=f"Patient/{name}")
        if not is_filed or meant == images.keys():
            with pytest.raises(InvalidResource if is_filed else ResourceConflict):
                self.actor.split(reference, part, decision)
            return
        done = self.actor.split(reference, part, decision)
        self.splits.append((done.provenance or "", name))
        moved = self.at(done.result)
        assert moved.keys() == meant
        for uid in moved:
            self.images[uid].said.append(self.splits[-1])

    @precondition(lambda self: self.splits)
    @rule(data=st.data())
    def a_split_is_undone(self, data: st.DataObject) -> None:
        chosen = self.splits[data.draw(st.integers(0, len(self.splits) - 1))]
        try:
            done = self.actor.undo("splitting", chosen[0])
        except ResourceConflict:
            return
        self.splits.remove(chosen)
        back = [uid for uid, image in self.images.items() if chosen in image.said]
        for uid in back:
            self.images[uid].said.remove(chosen)
        self.is_said_as_of_others(back, self.at(done.result))

    @rule()
    def the_background_works(self) -> None:
        self.actor.work()

    def supported(self, image: Image) -> set[str]:
        """Who may have the image: whom a person said last, else whom the number leads to."""
        if image.said:
            return {self.today(image.said[-1][1])}
        holders = {name for name, chart in self.charts.items() if image.owner in chart.numbers}
        return {self.today(name) for name in holders}

    @invariant()
    def an_image_is_where_something_says_so(self) -> None:
        for row in self.rows():
            if row.state != "filed":
                continue
            shown = self.actor.read(f"ImagingStudy/{row.study_instance_uid}")
            subject = shown["subject"]["reference"].removeprefix("Patient/")
            images = self.of_row(row)
            assert len(images) == shown["numberOfInstances"]
            for uid in images:
                if not subject.startswith("provisional-"):
                    image = self.images[uid]
                    assert subject in self.supported(image), (subject, uid, image, self.charts)
            visit_of = shown.get("encounter", {}).get("reference")
            if visit_of is not None:
                whose = str(self.house.subject(visit_of)).removeprefix("Patient/")
                assert self.today(whose) == subject, (whose, subject)

    @invariant()
    def nothing_is_lost(self) -> None:
        kept = [uid for row in self.rows() for uid in self.of_row(row)]
        assert sorted(kept) == sorted(self.images)
        with self.house.database.read() as connection:
            assert connection.execute(select(func.count()).select_from(conflict)).scalar() == 0


@contextmanager
def on_sqlite(template: Path, *others: Elsewhere) -> Iterator[Stage]:
    """The house acts, or all of the others do."""
    with (
        TemporaryDirectory() as folder,
        closing(copied_house(template, Path(folder))) as house,
        acting(house, Path(folder), others) as stage,
    ):
        yield stage


@contextmanager
def on_postgresql(template: str, *others: Elsewhere) -> Iterator[Stage]:
    with (
        TemporaryDirectory() as folder,
        postgresql_database(template) as url,
        closing(open_house(url, Path(folder))) as house,
        acting(house, Path(folder), others) as stage,
    ):
        yield stage


@contextmanager
def acting(house: House, folder: Path, others: tuple[Elsewhere, ...]) -> Iterator[Stage]:
    for one in others:
        one.asked("open", house.database.url, folder)
    try:
        yield Stage(house, (*others,) or (at_house(house),))
    finally:
        for one in others:
            one.asked("close")


def run(staged: Place, histories: int) -> None:
    machine = type("On", (Histories,), {"staged": staticmethod(staged)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def staged(request: pytest.FixtureRequest) -> Place:
    template = request.getfixturevalue(f"{request.param}_template")
    return partial(on_sqlite if request.param == "sqlite" else on_postgresql, template)


def test_whatever_happens_an_image_is_where_something_says_so(sqlite_template: Path) -> None:
    run(partial(on_sqlite, sqlite_template), 60)


def test_it_is_so_on_postgresql(postgresql_template: str) -> None:
    run(partial(on_postgresql, postgresql_template), 40)


def test_it_is_so_where_two_processes_act_in_turn(staged: Place) -> None:
    with another_process() as one, another_process() as other:
        run(partial(staged, one, other), 20)


@pytest.mark.long
@pytest.mark.timeout(0)  # it takes hours
def test_whatever_happens_in_ten_thousand_histories(sqlite_template: Path) -> None:
    run(partial(on_sqlite, sqlite_template), 10_000)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_it_is_so_in_thousands_on_postgresql(postgresql_template: str) -> None:
    run(partial(on_postgresql, postgresql_template), 2_000)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_it_is_so_in_thousands_where_two_processes_act_in_turn(staged: Place) -> None:
    with another_process() as one, another_process() as other:
        run(partial(staged, one, other), 2_000)
