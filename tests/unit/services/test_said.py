"""What is remembered of one image changes nothing of what the next one is found to say."""

import random
from itertools import product

import pytest

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.merge import MAX_SETTLED, Merged, Rank, Settled
from imaging_fhir.model.person import IssuedId, Person, Visit
from imaging_fhir.model.study import (
    DicomInstance,
    InstanceAttributes,
    SeriesAttributes,
    StudyAttributes,
)
from imaging_fhir.services import said
from imaging_fhir.services.said import SaidOfSeries, SaidOfStudy, said_of_series, said_of_study

STUDIES = [
    StudyAttributes(study_instance_uid="1.2", study_description=text)
    for text in (None, "Chest", "Thorax")
]
VISITS = [Visit(), Visit(admission_id=IssuedId(value="V-1"))]
SERIES = [
    SeriesAttributes(series_instance_uid=f"1.2.{number}", modality=modality, series_number=number)
    for number, modality in product((1, 2), ("CT", "SR"))
]


@pytest.fixture(autouse=True)
def nothing_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said, "SETTLED_STUDIES", Settled[SaidOfStudy]())
    monkeypatch.setattr(said, "SETTLED_SERIES", Settled[SaidOfSeries]())


@pytest.mark.parametrize("seed", range(60))
def test_images_in_any_order_are_found_to_say_what_they_say_afresh(seed: int) -> None:
    chance = random.Random(seed)
    stored, of_series = encode(Merged()), dict[str, bytes]()
    for _ in range(80):
        one = made(chance.choice(STUDIES), chance.choice(VISITS), chance.choice(SERIES))
        position = (one.series.series_number or 0, chance.randrange(30), "1.2.3")
        fresh = decode_as(Merged, stored)
        changes = fresh.add(one.study, position), fresh.add(one.visit, position)
        modality = fresh.add_modality(one.series.modality, one.series.series_number)
        assert said_of_study(stored, one, position) == (fresh, *changes, modality)
        stored = encode(fresh)
        uid = one.series.series_instance_uid
        whole = decode_as(Merged, of_series[uid]) if uid in of_series else Merged()
        change = whole.add(one.series, position)
        assert said_of_series(of_series.get(uid), one.series, position) == (whole, change)
        of_series[uid] = encode(whole)


def test_an_image_that_says_the_same_after_another_is_not_looked_at_again() -> None:
    one = made(STUDIES[1], VISITS[1], SERIES[0])
    first = said_of_study(encode(Merged()), one, rank(1)).merged
    stored = encode(first)
    settled = said_of_study(stored, one, rank(2))
    assert said_of_study(stored, one, rank(3)) is settled
    assert said_of_study(stored, one, rank(1)) is not settled
    assert said_of_study(stored, made(STUDIES[2], VISITS[1], SERIES[0]), rank(4)) is not settled


def test_what_is_settled_is_bounded() -> None:
    settled = Settled[int]()
    for number in range(MAX_SETTLED + 1):
        settled.note(str(number), b"", (), rank(1), number)
    assert settled.find("0", b"", (), rank(1)) is None
    assert settled.find(str(MAX_SETTLED), b"", (), rank(1)) == MAX_SETTLED


def rank(number: int) -> Rank:
    return 1, number, "1.2.3"


def made(study: StudyAttributes, visit: Visit, series: SeriesAttributes) -> DicomInstance:
    return DicomInstance(
        instance=InstanceAttributes(
            sop_instance_uid="1.2.3", sop_class_uid="1.2.840", transfer_syntax_uid="1.2.840.1"
        ),
        study=study,
        series=series,
        person=Person(),
        visit=visit,
        dicom_json=b"{}",
    )
