"""Two parts of a study that become one say the same, whichever came first."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from imaging_fhir.model.codec import Resource
from tests.dicom_samples import INSTANCE, STUDY, ct_instance
from tests.house import HOSPITAL, House, copied_house, issued_by

JANE: dict[str, Any] = {"name": [{"family": "Roe"}], "birthDate": "1975-03-14", "gender": "female"}


def one_instance(house: House) -> None:
    house.send(ct(InstanceNumber=2, SeriesDescription="Second", Laterality="L", Modality="PT"))


def first_of_the_series(house: House) -> None:
    """Held as long as John is somebody else than Jane."""
    house.send(
        ct(
            SOPInstanceUID=f"{INSTANCE}.2",
            SeriesDescription="First",
            BodyPartExamined="CHEST",
            StudyDescription="Whole body",
        ),
        patient="Patient/john",
    )


def another_series(house: House) -> None:
    house.send(
        ct(
            SeriesInstanceUID=f"{STUDY}.2",
            SOPInstanceUID=f"{INSTANCE}.3",
            SeriesNumber=0,
            Modality="SR",
        ),
        patient="Patient/john",
    )


def same_person(house: House) -> None:
    link = [{"other": {"reference": "Patient/jane"}, "type": "replaced-by"}]
    house.patient("john", "9", link=link, **JANE)


EVENTS = (one_instance, first_of_the_series, another_series, same_person)


def ct(**attributes: Any) -> bytes:
    return ct_instance(IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL), **attributes)


def end(sqlite_template: Path, events: tuple[Callable[[House], None], ...]) -> Resource:
    with TemporaryDirectory() as folder:
        house = copied_house(sqlite_template, Path(folder))
        house.patient("jane", "4711", **JANE)
        house.patient("john", "9", **JANE)
        for event in events:
            event(house)
        study = house.read(f"ImagingStudy/{STUDY}")
        house.close()
    del study["meta"]
    return study


def test_the_parts_of_a_study_join_to_the_same_study_in_any_order(sqlite_template: Path) -> None:
    expected = end(sqlite_template, (same_person, *EVENTS[:-1]))
    of_two = expected["series"][1]
    assert of_two["description"] == "First"
    assert of_two["modality"]["code"] == "CT"
    assert of_two["bodySite"]["display"]
    assert of_two["laterality"]["display"]
    assert expected["description"] == "Whole body"
    assert expected["numberOfInstances"] == 3
    for events in permutations(EVENTS):
        assert end(sqlite_template, events) == expected, [event.__name__ for event in events]
