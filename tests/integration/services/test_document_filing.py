"""A file that is sent again after its DocumentReference was deleted or erased."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imaging_fhir.errors import ResourceDeleted
from imaging_fhir.services.erase import Erase
from imaging_fhir.services.ingest import Outcome
from imaging_fhir.settings import DEFAULT_SOURCE, Source
from tests.house import House, build_house
from tests.samples import SAMPLES


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    for patient in ("jane", "john"):
        house.patient(patient)
    yield house
    house.close()


def send(house: House, patient: str = "Patient/jane", **given: str) -> Outcome:
    return house.send(SAMPLES["image/jpeg"](), source=DEFAULT_SOURCE, patient=patient, **given)


def sent_and_deleted(house: House, **given: str) -> str:
    location = send(house, **given).location
    assert location is not None
    house.delete(location)
    return location


def test_sent_again_it_stays_deleted_and_its_sender_is_told(house: House) -> None:
    deleted = sent_and_deleted(house)
    again = send(house)
    assert again.status == 202
    assert again.location == deleted
    assert "deleted here" in again.message
    with pytest.raises(ResourceDeleted):
        house.read(deleted)


def test_with_other_words_it_is_a_new_document_that_names_the_deleted_one(house: House) -> None:
    deleted = sent_and_deleted(house)
    anew = send(house, description="Left hand")
    assert anew.status == 201
    assert anew.location != deleted
    assert deleted in anew.message
    assert house.read(anew.location)["description"] == "Left hand"
    assert send(house, description="Left hand").status == 200
    assert send(house).location == anew.location  # there is one that is shown


def test_from_another_source_it_is_a_new_document(house: House) -> None:
    deleted = sent_and_deleted(house)
    content = SAMPLES["image/jpeg"]()
    anew = house.send(content, source=Source(id="ward"), patient="Patient/jane")
    assert anew.status == 201
    assert deleted in anew.message


def test_of_another_patient_nothing_is_told(house: House) -> None:
    deleted = sent_and_deleted(house)
    other = send(house, patient="Patient/john")
    assert other.status == 201
    assert deleted not in other.message


def test_what_was_deleted_twice_stays_deleted_in_both_ways(house: House) -> None:
    first = sent_and_deleted(house)
    second = sent_and_deleted(house, description="Left hand")
    assert send(house).location == first
    assert send(house, description="Left hand").location == second


def test_what_was_erased_is_refused(house: House) -> None:
    location = send(house).location or ""
    Erase(database=house.database, store=house.store).document(location.partition("/")[2])
    assert send(house).status == 409
    assert send(house, description="Left hand").status == 409
