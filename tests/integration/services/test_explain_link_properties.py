"""Over people, charts, files and policies: what is explained is what filing then does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imaging_fhir.linking_rules import SWITCHES
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.explanation import LinkExplanation
from imaging_fhir.model.link import Given
from imaging_fhir.policy import Policy, Tolerance
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.explain_link import ExplainLink
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import Settings, Source
from imaging_fhir.storage.schema import metadata
from tests.conftest import postgresql_database
from tests.house import House, copied_house, open_house
from tests.integration.services.test_linking_properties import (
    SYSTEMS,
    Header,
    Human,
    file_of,
    fill_chart,
    headers,
    humans,
)
from tests.samples import SAMPLES

SOURCES = (Source(id="ward", patient_id_system=SYSTEMS[0]), Source(id="other"))
A_DAY = Tolerance(before_admission=1440, after_discharge=1440)
policies = st.builds(
    Policy,
    off=st.frozensets(st.sampled_from(sorted(SWITCHES)), max_size=2),
    trusted_issuers=st.sampled_from((None, None, frozenset(SYSTEMS[:1]))),
    trusted_sources=st.sampled_from((None, None, frozenset({"ward"}))),
    tolerance=st.sampled_from(
        (Tolerance(), Tolerance(before_admission=1440, after_discharge=1440))
    ),
)


@dataclass(frozen=True)
class Sent:
    """A file, in one of few studies; of None, a photo."""

    header: Header | None
    study: int
    instance: int
    source: Source
    patient: str | None
    encounter: str | None

    def content(self, people: list[Human]) -> bytes:
        if self.header is None:
            return SAMPLES["image/jpeg"]()
        content = file_of(self.header, people, self.study)
        uid = f"1.2.{self.study}.1."
        return content.replace(f"{uid}1".encode(), f"{uid}{self.instance}".encode())


@dataclass(frozen=True)
class World:
    people: list[Human]
    files: list[Sent]
    before: int  # how many come in before the chart is filled
    policy: Policy


@st.composite
def worlds(draw: st.DrawFn) -> World:
    people: list[Human] = []
    taken: set[tuple[str, str]] = set()
    for human in draw(st.lists(humans, min_size=1, max_size=3)):
        if own := human.numbers - taken:
            taken |= own
            people.append(replace(human, numbers=own))
    of_person = [f"Patient/p{index}" for index in range(len(people))]
    of_visit = [f"Encounter/e{index}-0" for index in range(len(people))]
    sent = st.builds(
        Sent,
        header=st.one_of(*[headers(len(people))] * 5, st.none()),
        study=st.integers(1, 2),
        instance=st.integers(1, 2),
        source=st.sampled_from(SOURCES),
        patient=st.sampled_from([*[None] * 9, *of_person]),
        encounter=st.sampled_from([*[None] * 12, *of_visit]),
    )
    files = draw(st.lists(sent, min_size=2, max_size=6))
    before = draw(st.one_of(st.just(0), st.integers(0, len(files))))
    return World(people, files, before, draw(policies))


Opened = Callable[[Policy], Any]  # a context with a house on an empty database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_house(request: pytest.FixtureRequest) -> Opened:
    @contextmanager
    def of_sqlite(policy: Policy) -> Iterator[House]:
        template: Path = request.getfixturevalue("sqlite_template")
        with TemporaryDirectory() as folder:
            house = copied_house(template, Path(folder), policy=policy)
            yield house
            house.close()

    @contextmanager
    def of_postgresql(policy: Policy) -> Iterator[House]:
        template: str = request.getfixturevalue("postgresql_template")
        with postgresql_database(template) as url, TemporaryDirectory() as folder:
            house = open_house(url, Path(folder), policy=policy)
            yield house
            house.close()

    if request.param == "sqlite":
        return of_sqlite
    request.getfixturevalue("postgresql_template")
    return of_postgresql


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_what_is_explained_is_what_is_done_and_explaining_changes_nothing(
    empty_house: Opened, world: World
) -> None:
    with empty_house(world.policy) as house:
        explaining = ExplainLink(
            database=house.database,
            ingest=house.ingest,
            access=AccessPolicy(Settings()),
            look_up=None,
        )
        for index, sent in enumerate(world.files):
            if index == world.before:
                fill_chart(house, world.people)
            content = sent.content(world.people)
            known = everything(house)
            explanation = explain(explaining, content, sent)
            assert everything(house) == known
            outcome = house.send(
                content, source=sent.source, patient=sent.patient, encounter=sent.encounter
            )
            assert_same(house, explanation, outcome, known)


def explain(explaining: ExplainLink, content: bytes, sent: Sent) -> LinkExplanation:
    store = explaining.ingest.store
    with store.stage([content], limit=len(content)) as staged:
        return explaining.file(
            staged,
            source=sent.source,
            given=Given(patient=sent.patient, encounter=sent.encounter),
            caller=LOCAL,
        )


def everything(house: House) -> dict[str, list[Any]]:
    """Every row of every table."""
    with house.database.read() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(table.select().order_by(*table.c))
            ]
            for table in metadata.sorted_tables
        }


def assert_same(
    house: House, explanation: LinkExplanation, outcome: Outcome, known: dict[str, list[Any]]
) -> None:
    filed = outcome.filed
    if filed is None:
        assert explanation.state == "refused"
        assert explanation.patient_reason == outcome.message
        return
    assert (explanation.patient_rule, explanation.patient_reason) == (filed.rule, filed.reason)
    assert explanation.encounter_rule == filed.encounter_rule
    assert explanation.encounter == filed.encounter
    assert (explanation.state == "held") == filed.location.startswith("Task/")
    was_known = any(filed.patient == f"Patient/{id_}" for id_ in ids_in(known))
    assert explanation.patient == (filed.patient if was_known else None)
    decisive = {(one.list, one.name) for one in explanation.rules if one.state == "decides"}
    assert {name for list_, name in decisive if list_ == "patient"} <= {filed.rule}
    assert any(name == filed.rule for _, name in decisive)
    assert ("visit", filed.encounter_rule) in decisive or explanation.state == "held"


def ids_in(known: dict[str, list[Any]]) -> set[str]:
    return {value for row in known["resource"] for value in row if isinstance(value, str)}
