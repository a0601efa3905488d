"""Of several visits of a patient, the one that was at the place of the source."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.errors import InvalidSetting
from imaging_fhir.policy import Policy
from imaging_fhir.settings import Site, Source
from tests.dicom_samples import STUDY, ct_instance
from tests.house import HOSPITAL, ORDERS, House, build_house, issued_by

ROOM = Source(id="ct", location="Location/ct-room")
DAY = ("2026-03-14T00:00:00+01:00", "2026-03-15T00:00:00+01:00")  # the image is of 10:15
HERE: dict[str, Any] = {"location": {"reference": "Location/ct-room"}}
MORNING = {"start": "2026-03-14T10:00:00+01:00", "end": "2026-03-14T10:30:00+01:00"}
NOON = {"start": "2026-03-14T12:00:00+01:00", "end": "2026-03-14T12:30:00+01:00"}


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    opened = build_house(database_url, tmp_path)
    linking = opened.relinking.studies.linking
    linking.site = replace(linking.site, sources=(ROOM,))
    opened.patient("jane", "4711")
    yield opened
    opened.close()


def send(house: House, *, source: Source = ROOM, **attributes: Any) -> tuple[str | None, str]:
    """The visit, and the rule that says so."""
    content = ct_instance(IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL), **attributes)
    outcome = house.send(content, source=source)
    assert outcome.filed is not None
    return outcome.filed.encounter, outcome.filed.encounter_rule


def two_visits(house: House, *there: dict[str, Any]) -> None:
    """Both of that day; the one is where `there` says, the other on the ward."""
    house.encounter("there", "jane", *DAY, location=list(there))
    ward = {"location": {"reference": "Location/ward"}}
    house.encounter("ward", "jane", *DAY, location=[ward])


@pytest.mark.parametrize(
    ("there", "is_found"),
    [
        (HERE, True),
        ({**HERE, "status": "active"}, True),
        ({**HERE, "status": "completed", "period": MORNING}, True),
        ({**HERE, "period": {"end": NOON["end"]}}, True),
        ({"location": {"reference": "Location/ct-room/_history/2"}}, True),
        ({**HERE, "status": "planned"}, False),
        ({**HERE, "status": "reserved"}, False),
        ({**HERE, "period": NOON}, False),
        ({"location": {"reference": "Location/ct-room-2"}}, False),
        ({"location": {"reference": "https://other.example/fhir/Location/ct-room"}}, False),
        ({"location": {"display": "ct-room"}}, False),
    ],
)
def test_the_visit_at_the_place_is_the_images(
    house: House, there: dict[str, Any], is_found: bool
) -> None:
    two_visits(house, there)
    found = ("Encounter/there", "location") if is_found else (None, "period-ambiguous")
    assert send(house) == found


def test_another_source_is_elsewhere(house: House) -> None:
    two_visits(house, HERE)
    assert send(house, source=Source(id="other")) == (None, "period-ambiguous")


def test_two_visits_there_are_ambiguous(house: House) -> None:
    two_visits(house, HERE)
    house.encounter("ward", "jane", *DAY, location=[HERE])
    assert send(house) == (None, "period-ambiguous")


def test_a_visit_there_at_another_time_is_none(house: House) -> None:
    house.encounter("there", "jane", "2026-03-12", "2026-03-12", location=[HERE])
    assert send(house) == (None, "no-visit")


def test_the_visit_of_somebody_else_there_is_none(house: House) -> None:
    house.patient("john", "9")
    house.encounter("there", "john", *DAY, location=[HERE])
    house.encounter("ward", "jane", *DAY)
    assert send(house) == ("Encounter/ward", "period")


def test_an_order_says_more_than_the_place(house: House) -> None:
    two_visits(house, HERE)
    house.put(
        {
            "resourceType": "ServiceRequest",
            "id": "order",
            "status": "active",
            "intent": "order",
            "identifier": [{"system": ORDERS, "value": "A1"}],
            "subject": {"reference": "Patient/jane"},
            "encounter": {"reference": "Encounter/ward"},
        }
    )
    number: dict[str, Any] = {
        "AccessionNumber": "A1",
        "IssuerOfAccessionNumberSequence": issued_by(ORDERS),
    }
    assert send(house, **number) == ("Encounter/ward", "order")


def test_a_move_of_the_patient_is_followed(house: House) -> None:
    two_visits(house)
    assert send(house) == (None, "period-ambiguous")
    two_visits(house, HERE)
    study = house.read(f"ImagingStudy/{STUDY}")
    assert study["encounter"] == {"reference": "Encounter/there"}


def test_it_can_be_switched_off(database_url: str, tmp_path: Path) -> None:
    house = build_house(database_url, tmp_path, policy=Policy(off=frozenset({"location"})))
    house.patient("jane", "4711")
    two_visits(house, HERE)
    assert send(house) == (None, "period-ambiguous")
    house.close()


@pytest.mark.parametrize("location", ["ct-room", "Patient/1", "Location/", "Location/a b"])
def test_what_is_no_location_is_an_error_at_the_start(tmp_path: Path, location: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'[[sources]]\nid = "ct"\nlocation = "{location}"\n')
    with pytest.raises(InvalidSetting, match="Location/ID"):
        Site.from_file(str(path))


def test_a_location_at_the_ehr_is_an_address(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    address = "https://ehr.example/fhir/Location/ct-room"
    path.write_text(f'[[sources]]\nid = "ct"\nlocation = "{address}"\n')
    assert Site.from_file(str(path)).source("ct").location == address
