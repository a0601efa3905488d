import random

from imaging_fhir.model.codec import decode_as, encode
from imaging_fhir.model.merge import Merged, rank
from imaging_fhir.model.study import StudyAttributes


def attributes(description: str | None) -> StudyAttributes:
    return StudyAttributes(study_instance_uid="1.2", study_description=description)


def test_the_first_non_empty_value_by_number_counts_whatever_the_order() -> None:
    arrivals = [
        (attributes(None), rank(1, 1, "1")),
        (attributes("head"), rank(1, 2, "2")),
        (attributes("neck"), rank(1, 3, "3")),
        (attributes("head"), rank(2, 1, "4")),
        (attributes("neck"), rank(None, 1, "5")),
    ]
    for seed in range(50):
        random.Random(seed).shuffle(arrivals)
        merged = Merged()
        for value, position in arrivals:
            merged.add(value, position)
            merged = decode_as(Merged, encode(merged))
        assert merged.as_type(StudyAttributes).study_description == "head"


def test_an_instance_that_agrees_changes_nothing() -> None:
    merged = Merged()
    merged.add(attributes("head"), rank(1, 1, "1"))
    change = merged.add(attributes("head"), rank(1, 2, "2"))
    assert not change.stored
    assert not change.changed
    assert not change.disagreeing


def test_a_lower_rank_is_stored_though_no_value_changes() -> None:
    merged = Merged()
    merged.add(attributes("head"), rank(1, 5, "5"))
    change = merged.add(attributes("head"), rank(1, 1, "1"))
    assert change.stored
    assert not change.changed


def test_a_value_that_differs_is_named() -> None:
    merged = Merged()
    merged.add(attributes("head"), rank(1, 1, "1"))
    assert merged.add(attributes("neck"), rank(1, 2, "2")).disagreeing == ["study_description"]


def test_modalities_are_in_the_order_of_series_numbers() -> None:
    merged = Merged()
    assert merged.add_modality("SR", None)
    assert merged.add_modality("CT", 2)
    assert merged.add_modality("PT", 1)
    assert not merged.add_modality("CT", 3)
    assert merged.add_modality("CT", 0)
    assert merged.ordered_modalities() == ("CT", "PT", "SR")


def test_two_parts_of_a_study_join_as_if_they_had_come_together() -> None:
    one, other = Merged(), Merged()
    one.add(attributes("neck"), rank(2, 1, "1"))
    other.add(attributes("head"), rank(1, 1, "2"))
    other.add_modality("CT", 1)
    one.join(other)
    assert one.as_type(StudyAttributes).study_description == "head"
    assert one.ordered_modalities() == ("CT",)
