"""What full text costs an image: nothing, once its series is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.dicom_samples import ct_instance
from tests.house import HOSPITAL, House, build_house, issued_by


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    yield house
    house.close()


def image(number: int) -> bytes:
    return ct_instance(
        StudyInstanceUID="2.25.881",
        SeriesInstanceUID="2.25.991",
        SOPInstanceUID=f"2.25.881.{number}",
        StudyDescription="Skull",
        PatientID="4711-77",
        IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL),
    )


def test_only_the_first_image_of_a_series_writes_words(house: House) -> None:
    house.patient("p", "4711-77")
    executed: list[str] = []

    def note(_: Any, cursor: Any, statement: str, *rest: Any) -> None:
        executed.append(statement)

    event.listen(house.database.engine, "before_cursor_execute", note)
    house.send(image(1))
    assert any("INTO text_index" in statement for statement in executed)
    executed.clear()
    house.send(image(2))
    assert not any("text_index" in statement for statement in executed)
