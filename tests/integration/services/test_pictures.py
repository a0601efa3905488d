"""A picture that could not be made on a busy machine is made later; a damaged image has none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from imaging_fhir.errors import UnsupportedImage
from imaging_fhir.images import render
from imaging_fhir.images.decode import DecodeLimits, DecodingEnded
from imaging_fhir.services.pictures import DICOM, PICTURE_AGAIN, Pictures
from imaging_fhir.storage import schema
from tests.dicom_samples import ct_instance
from tests.house import House, build_house

TOO_SHORT = DecodeLimits(seconds=0.001)  # type: ignore[arg-type]


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    house = build_house(database_url, tmp_path)
    yield house
    house.close()


@pytest.fixture
def pictures(house: House) -> Pictures:
    return Pictures(database=house.database, store=house.store)


def blob(house: House) -> int:
    with house.database.read() as connection:
        return int(connection.execute(select(schema.instance.c.blob)).scalar_one())


def to_be_made_again(house: House) -> list[str]:
    with house.database.read() as connection:
        found = select(schema.job.c.subject).where(schema.job.c.kind == PICTURE_AGAIN)
        return list(connection.execute(found).scalars())


def test_a_time_out_is_no_word_about_the_image(
    house: House, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.send(ct_instance())
    with monkeypatch.context() as busy:
        busy.setattr(render, "DEFAULT_LIMITS", TOO_SHORT)
        with pytest.raises(UnsupportedImage, match="was not decoded within"):
            pictures.picture(blob(house), DICOM, "thumbnail")
        with pytest.raises(DecodingEnded):
            pictures.again(blob(house))
    with pytest.raises(UnsupportedImage):  # from what is kept: nobody waits for it
        pictures.picture(blob(house), DICOM, "thumbnail")
    assert to_be_made_again(house) == [str(blob(house))]
    pictures.again(blob(house))
    assert pictures.picture(blob(house), DICOM, "thumbnail").media_type == "image/jpeg"


def test_a_damaged_image_is_not_tried_again(house: House, pictures: Pictures) -> None:
    house.send(ct_instance(PixelData=bytes(2)))
    with pytest.raises(UnsupportedImage):
        pictures.picture(blob(house), DICOM, "thumbnail")
    assert to_be_made_again(house) == []
    pictures.again(blob(house))
    with pytest.raises(UnsupportedImage):
        pictures.picture(blob(house), DICOM, "thumbnail")
