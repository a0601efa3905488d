"""Nothing lands with the wrong patient: over identifiers, issuers, demographics and visits."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from imaging_fhir.errors import ResourceDeleted
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.storage.resources import content_of
from imaging_fhir.storage.schema import study
from tests.dicom_samples import ct_instance
from tests.house import VISITS, House, copied_house, issued_by

SYSTEMS = ("urn:oid:1.1", "urn:oid:1.2")
FAMILIES = ("Roe", "Doe", "Müller")
BIRTH_DATES = ("1970-01-01", "1980-02-02")
GENDERS = ("male", "female", "other")
DAY_ZERO = date(2026, 3, 1)

MOSTLY = st.sampled_from((True, True, True, False))
numbers = st.tuples(st.sampled_from(SYSTEMS), st.sampled_from("12"))


@dataclass(frozen=True)
class Visit:
    number: str
    first: int  # day
    days: int


@dataclass(frozen=True)
class Human:
    """Who somebody really is, and what the chart says of them if they are in it."""

    numbers: frozenset[tuple[str, str]]
    family: str
    birth_date: str
    gender: str
    visits: tuple[Visit, ...]
    in_chart: bool

    def patient(self, resource_id: str) -> dict[str, Any]:
        return {
            "resourceType": "Patient",
            "id": resource_id,
            "identifier": [{"system": s, "value": v} for s, v in sorted(self.numbers)],
            "name": [{"family": self.family}],
            "birthDate": self.birth_date,
            "gender": self.gender,
        }


visits = st.builds(
    Visit,
    number=st.sampled_from(("V1", "V2", "V3")),
    first=st.integers(0, 9),
    days=st.integers(0, 3),
)
humans = st.builds(
    Human,
    numbers=st.frozensets(numbers, min_size=1, max_size=2),
    family=st.sampled_from(FAMILIES),
    birth_date=st.sampled_from(BIRTH_DATES),
    gender=st.sampled_from(GENDERS),
    visits=st.lists(visits, min_size=1, max_size=2).map(tuple),
    in_chart=MOSTLY,
)


@dataclass(frozen=True)
class Header:
    """What a file says: the truth about one of the people, or some of it from another."""

    who: int
    number_of: int
    demographics_of: int
    visit_of: int
    with_issuer: bool
    with_demographics: bool
    with_visit_number: bool
    day: int


def headers(people: int) -> st.SearchStrategy[Header]:
    # Most files tell the truth; a part of them carries somebody else's number, name or visit.
    person = st.integers(0, people - 1)
    return st.builds(
        lambda who, lies, other, *rest: Header(
            who,
            other if lies == 1 else who,
            other if lies == 2 else who,
            other if lies == 3 else who,
            *rest,
        ),
        person,
        st.sampled_from((0, 0, 1, 2, 3)),
        person,
        MOSTLY,
        st.booleans(),
        st.booleans(),
        st.integers(0, 9),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Human], list[Header], int]:
    people = draw(st.lists(humans, min_size=1, max_size=3))
    taken: set[tuple[str, str]] = set()
    distinct = []
    for human in people:  # within one issuer a number is one person's
        own = human.numbers - taken
        taken |= own
        if own:
            distinct.append(Human(**{**human.__dict__, "numbers": own}))
    files = draw(st.lists(headers(len(distinct)), min_size=1, max_size=4))
    return distinct, files, draw(st.integers(0, len(files)))


def file_of(header: Header, people: list[Human], study: int) -> bytes:
    system, value = sorted(people[header.number_of].numbers)[0]
    human = people[header.demographics_of]
    of_visit = people[header.visit_of].visits
    attributes: dict[str, Any] = {
        "StudyInstanceUID": f"1.2.{study}",
        "SeriesInstanceUID": f"1.2.{study}.1",
        "SOPInstanceUID": f"1.2.{study}.1.1",
        "PatientID": value,
        "StudyDate": f"{DAY_ZERO + timedelta(days=header.day):%Y%m%d}",
        "PatientName": "",
        "PatientBirthDate": "",
        "PatientSex": "",
    }
    if header.with_issuer:
        attributes["IssuerOfPatientIDQualifiersSequence"] = issued_by(system)
    if header.with_demographics:
        attributes["PatientName"] = f"{human.family}^X"
        attributes["PatientBirthDate"] = human.birth_date.replace("-", "")
        attributes["PatientSex"] = human.gender[0].upper()
    if header.with_visit_number and of_visit:
        attributes["AdmissionID"] = f"{header.visit_of}-{of_visit[0].number}"
        attributes["IssuerOfAdmissionIDSequence"] = issued_by(VISITS)
    return ct_instance(SpecificCharacterSet="ISO_IR 192", **attributes)


def fill_chart(house: House, people: list[Human]) -> None:
    for index, human in enumerate(people):
        if not human.in_chart:
            continue
        house.put(human.patient(f"p{index}"))
        for place, visit in enumerate(human.visits):
            first = DAY_ZERO + timedelta(days=visit.first)
            house.encounter(
                f"e{index}-{place}",
                f"p{index}",
                first.isoformat(),
                (first + timedelta(days=visit.days)).isoformat(),
                identifier=[{"system": VISITS, "value": f"{index}-{visit.number}"}],
            )


def contradicts(header: Header, people: list[Human], index: int) -> bool:
    """Does what the file says of a person contradict that one?"""
    if not header.with_demographics:
        return False
    said, real = people[header.demographics_of], people[index]
    return (
        said.family != real.family
        or said.birth_date != real.birth_date
        or {said.gender, real.gender} == {"male", "female"}
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_no_image_is_filed_to_somebody_else(
    sqlite_template: Path, world: tuple[list[Human], list[Header], int]
) -> None:
    people, files, before = world
    with TemporaryDirectory() as folder:
        house = copied_house(sqlite_template, Path(folder))
        sent = [house.send(file_of(f, people, n)) for n, f in enumerate(files[:before])]
        fill_chart(house, people)
        sent += [
            house.send(file_of(f, people, n)) for n, f in enumerate(files[before:], start=before)
        ]
        for header, outcome in zip(files, sent, strict=True):
            check(house, header, outcome, people)
        house.close()


def check(house: House, header: Header, outcome: Outcome, people: list[Human]) -> None:
    assert outcome.status in (201, 202), outcome.message
    study = current(house, outcome)
    if study is None:
        assert must_be_held(header, people)
        return
    subject = study["subject"]["reference"].removeprefix("Patient/")
    if subject.startswith("provisional-"):
        assert not must_be_filed(header, people)
    else:
        index = int(subject[1:])
        assert header.with_issuer
        assert header.number_of == index
        assert not contradicts(header, people, index)
    visit = study.get("encounter", {}).get("reference")
    if visit is not None:
        assert house.subject(visit) == f"Patient/{subject}"


def current(house: House, outcome: Outcome) -> dict[str, Any] | None:
    """The ImagingStudy as it is now; None while it is held."""
    reference = f"ImagingStudy/{outcome.study_instance_uid}"
    if outcome.location != reference:
        task = house.read(outcome.location)
        if task["status"] != "completed":
            return None
    try:
        return house.read(reference)
    except ResourceDeleted:  # held again: its number is another Patient's since
        with house.database.read() as connection:
            held = select(study.c.rid).where(
                study.c.study_instance_uid == outcome.study_instance_uid, study.c.state == "held"
            )
            task = content_of(connection, connection.execute(held).scalar_one())
        assert task["status"] == "requested"
        return None


def is_truthful(header: Header) -> bool:
    return header.who == header.number_of == header.demographics_of == header.visit_of


def must_be_filed(header: Header, people: list[Human]) -> bool:
    """The truth about somebody in the chart, with the issuer said, is filed to them."""
    return is_truthful(header) and header.with_issuer and people[header.who].in_chart


def must_be_held(header: Header, people: list[Human]) -> bool:
    """Only a lie, or nobody's number under which somebody else came first, is held."""
    return not is_truthful(header) or not header.with_issuer or not people[header.who].in_chart
