"""What EXIF, PNG text and PDF dates say, and what is left of them when they are malformed."""

import io

import pytest
from PIL import Image, PngImagePlugin
from PIL.ExifTags import Base

from imaging_fhir.images import read_image
from imaging_fhir.images.exif import is_offset, local_date_time
from imaging_fhir.model.document import Document
from imaging_fhir.model.study import Equipment, LocalDateTime
from tests.samples import SIZE, pdf, raster

MOMENT = "2024:05:06 07:08:09"
TAKEN = LocalDateTime(date="2024-05-06", time="07:08:09")
CAMERA: dict[int, object] = {
    Base.Make: "Contax",
    Base.Model: "T2",
    Base.ExposureTime: 0.01,
    Base.DateTimeOriginal: MOMENT,
}


def photo(tags: dict[int, object], format_: str = "JPEG") -> Document:
    image = read_image(io.BytesIO(raster(format_, exif=tags)))
    assert isinstance(image, Document)
    return image


def keywords(image: Document) -> list[str]:
    return [warning.keyword for warning in image.warnings]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_time_of_capture_is_read_of_every_type_with_exif(format_: str) -> None:
    assert photo({Base.DateTimeOriginal: MOMENT}, format_).taken == TAKEN


def test_the_time_of_capture_has_its_fraction_and_its_offset() -> None:
    tags: dict[int, object] = {
        Base.DateTimeOriginal: MOMENT,
        Base.SubsecTimeOriginal: "25 ",
        Base.OffsetTimeOriginal: "+02:00",
        Base.OffsetTime: "-07:00",
        Base.DateTime: "2025:01:01 00:00:00",
    }
    taken = LocalDateTime(date="2024-05-06", time="07:08:09.25", offset="+02:00")
    assert photo(tags).taken == taken


@pytest.mark.parametrize("tag", [Base.DateTimeDigitized, Base.DateTime])
def test_without_a_time_of_capture_the_next_best_counts(tag: Base) -> None:
    assert photo({tag: MOMENT}).taken == TAKEN


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "2024:02:30 01:01:01", "2024:01:01 25:00:00", "yesterday"]
)
def test_a_time_that_cannot_be_is_a_warning_and_no_time(text: str) -> None:
    image = photo({Base.DateTimeOriginal: text})
    assert (image.taken, keywords(image)) == (None, ["DateTimeOriginal"])


@pytest.mark.parametrize("text", ["", "    :  :     :  :  "])
def test_a_blank_time_is_unknown_and_no_fault(text: str) -> None:
    image = photo({Base.DateTimeOriginal: text})
    assert (image.taken, image.warnings) == (None, ())


def test_a_malformed_offset_or_fraction_spoils_only_itself() -> None:
    image = photo(
        {
            Base.DateTimeOriginal: MOMENT,
            Base.OffsetTimeOriginal: "+25:00",
            Base.SubsecTimeOriginal: "x",
        }
    )
    assert image.taken == TAKEN
    assert keywords(image) == ["SubSecTime", "OffsetTime"]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-05-06T07:08:09", TAKEN),
        ("2024:05:06", LocalDateTime(date="2024-05-06")),
        ("1799:05:06 07:08:09", None),
        ("2024:05:06 07:08", None),
    ],
)
def test_a_date_and_time_is_taken_only_whole(text: str, date: LocalDateTime | None) -> None:
    assert local_date_time(text) == date


@pytest.mark.parametrize(
    ("text", "expected"),
    [("+14:00", True), ("-09:30", True), ("Z", True), ("+14:30", False), ("02:00", False)],
)
def test_an_offset_is_one_that_exists(text: str, expected: bool) -> None:
    assert is_offset(text) is expected


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_size_is_that_of_the_picture_turned_upright(orientation: int, format_: str) -> None:
    image = photo({Base.Orientation: orientation}, format_)
    assert image.orientation == orientation
    assert (image.width, image.height) == (SIZE if orientation < 5 else SIZE[::-1])


def test_an_orientation_that_is_none_counts_as_upright() -> None:
    image = photo({Base.Orientation: 9})
    assert (image.orientation, keywords(image)) == (1, ["Orientation"])


def test_a_camera_is_the_equipment_and_makes_a_photograph() -> None:
    image = photo(CAMERA | {Base.BodySerialNumber: "0815\0\0", Base.Software: "1.0 "})
    assert image.is_photograph
    assert image.equipment == Equipment(
        manufacturer="Contax",
        manufacturer_model_name="T2",
        device_serial_number="0815",
        software_versions=("1.0",),
    )


def test_a_scan_and_a_drawing_are_no_photographs() -> None:
    assert not photo(CAMERA | {Base.FileSource: b"\2"}).is_photograph
    assert not photo({Base.Software: "a paint program", Base.DateTime: MOMENT}).is_photograph


def test_a_directory_that_does_not_parse_spoils_no_picture() -> None:
    image = photo(CAMERA)
    content = raster("JPEG", exif=CAMERA).replace(b"Exif\0\0MM\0*", b"Exif\0\0XX\0*")
    assert image.taken == TAKEN
    damaged = read_image(io.BytesIO(content))
    assert isinstance(damaged, Document)
    assert (damaged.width, damaged.height, damaged.taken) == (*SIZE, None)
    assert keywords(damaged) == ["EXIF"]


def png_with(keyword: str, text: str) -> Document:
    info = PngImagePlugin.PngInfo()
    info.add_text(keyword, text)
    content = io.BytesIO()
    Image.new("L", SIZE).save(content, "PNG", pnginfo=info)
    image = read_image(content)
    assert isinstance(image, Document)
    return image


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("2024:05:06 07:08:09", None),
        ("2024-05-06T07:08:09-03:00", "-03:00"),
        ("Mon, 06 May 2024 07:08:09 +0200", "+02:00"),
    ],
)
def test_the_creation_time_of_a_png_is_read(text: str, offset: str | None) -> None:
    taken = LocalDateTime(date="2024-05-06", time="07:08:09", offset=offset)
    assert png_with("Creation Time", text).taken == taken


def test_a_creation_time_that_is_none_is_a_warning() -> None:
    image = png_with("Creation Time", "a fine day in May")
    assert (image.taken, keywords(image)) == (None, ["Creation Time"])


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (
            "D:20240506070809+02'00'",
            LocalDateTime(date="2024-05-06", time="07:08:09", offset="+02:00"),
        ),
        ("D:20240506070809Z", LocalDateTime(date="2024-05-06", time="07:08:09", offset="Z")),
        (
            "D:20240506070809-05'30",
            LocalDateTime(date="2024-05-06", time="07:08:09", offset="-05:30"),
        ),
        ("20240506070809", TAKEN),
        ("D:202405", LocalDateTime(date="2024-05")),
        ("D:20241306070809", None),
        ("6 May 2024", None),
    ],
)
def test_the_creation_date_of_a_pdf_is_read(text: str, taken: LocalDateTime | None) -> None:
    image = read_image(io.BytesIO(pdf(created=text)))
    assert isinstance(image, Document)
    assert image.taken == taken
    assert keywords(image) == ([] if taken else ["CreationDate"])
