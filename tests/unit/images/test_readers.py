"""What every reader in READERS must do, and which of the shared files are taken in."""

import csv
import io
import random
from pathlib import Path

import pytest

from imaging_fhir.errors import ImagingError, UnreadableImage, UnsupportedImage
from imaging_fhir.images import READERS, ImageReader, read_image, reader_for
from imaging_fhir.model.document import Document
from tests.samples import SAMPLES, animation, pdf, raster

DATA = Path(__file__).parents[4] / "shared" / "data"
MUTATIONS = 60
NO_IMAGES = {
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "HTML": b"<!doctype html><title>%PDF-1.7</title>",
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "AVI": b"RIFF\x24\0\0\0AVI LIST",
    "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "text that begins like a bitmap": b"BMW is a car, and so on and so on",
    "text that begins like a pixel map": b"P6 stands for a pixel map",
    "nothing": b"",
}


def media_types() -> list[str]:
    return [reader.media_type for reader in READERS]


def reader_of(media_type: str) -> ImageReader:
    return next(reader for reader in READERS if reader.media_type == media_type)


@pytest.fixture(params=media_types())
def media_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_reader_recognises_its_own_sample_and_no_other(media_type: str) -> None:
    reader = reader_of(media_type)
    recognised = {type_ for type_, sample in SAMPLES.items() if reader.recognises(sample())}
    assert recognised == {media_type}


def test_a_sample_is_read_as_its_type(media_type: str) -> None:
    image = read_image(io.BytesIO(SAMPLES[media_type]()))
    if isinstance(image, Document):
        assert image.media_type == media_type
        assert not image.warnings
    else:
        assert media_type == "application/dicom"


def test_damaged_bytes_are_refused_or_read_and_nothing_else(media_type: str) -> None:
    chance = random.Random(media_type)
    sample = SAMPLES[media_type]()
    outcomes = {outcome_of(damaged(sample, chance)) for _ in range(MUTATIONS)}
    assert outcomes <= {"read", "UnreadableImage", "UnsupportedImage"}


def test_a_truncated_file_is_refused_or_read_and_nothing_else(media_type: str) -> None:
    sample = SAMPLES[media_type]()
    lengths = {len(sample) * part // 12 for part in range(12)}
    outcomes = {outcome_of(sample[:length]) for length in lengths}
    assert outcomes <= {"read", "UnreadableImage", "UnsupportedImage"}
    assert outcomes & {"UnreadableImage", "UnsupportedImage"}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with a few bytes changed behind its signature."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(12, len(changed))] = chance.randrange(256)
    return bytes(changed)


def outcome_of(content: bytes) -> str:
    try:
        read_image(io.BytesIO(content))
    except ImagingError as error:
        return type(error).__name__
    return "read"


@pytest.mark.parametrize("content", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_is_unsupported(content: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        reader_for(content)


def test_a_tiff_in_the_preamble_of_a_dicom_file_is_dicom() -> None:
    dicom = bytearray(SAMPLES["application/dicom"]())
    dicom[:4] = b"II*\0"
    assert reader_for(bytes(dicom)).media_type == "application/dicom"


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "TIFF", "PNG"])
def test_frames_are_counted(format_: str) -> None:
    image = read_image(io.BytesIO(animation(format_, frames=3)))
    assert isinstance(image, Document)
    assert image.frames == 3


def test_the_pages_of_a_pdf_are_counted() -> None:
    image = read_image(io.BytesIO(pdf(pages=3)))
    assert isinstance(image, Document)
    assert (image.pages, image.frames, image.width) == (3, None, None)


def test_a_pdf_that_asks_for_a_password_says_so() -> None:
    path = DATA / "doc/tika/testPDF_no_extract_no_accessibility_owner_user.pdf"
    if not path.exists():
        pytest.skip("the shared data is not here")
    with path.open("rb") as stream, pytest.raises(UnreadableImage, match="password"):
        read_image(stream)


def test_the_size_of_a_huge_picture_is_read_without_decoding_it() -> None:
    bitmap = bytearray(raster("BMP"))
    bitmap[18:26] = (60_000).to_bytes(4, "little") * 2
    image = read_image(io.BytesIO(bytes(bitmap)))
    assert isinstance(image, Document)
    assert (image.width, image.height) == (60_000, 60_000)


# Of the shared files that are neither DICOM nor text, those that are refused: everything else
# outside hostile/ and tiny/ is taken in.
REFUSED_KINDS = {
    "application/x-xz (tar)",
    "application/gzip",
    "txt",
    "icc",
    "image/heif",
    "image/svg",
    "model/obj",
    "model/stl",
    "video/avi",
    "video/mp4",
    "video/quicktime",
    "video/webm",
}
REFUSED_FILES = {
    "doc/tika/testPDF_no_extract_no_accessibility_owner_user.pdf": "UnreadableImage",
    "image/scikit-image/multipage_rgb.tif": "UnreadableImage",  # 303169682 samples a pixel
}
TEXT_KINDS = ("fhir-json", "json", "hl7v2", "xml", "dicom")


def shared_files() -> list[tuple[str, str]]:
    """Path and kind of the files that this test is about."""
    with (DATA / "MANIFEST.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        (row["path"], row["kind"])
        for row in rows
        if not row["kind"].startswith(TEXT_KINDS)
        and not row["path"].startswith(("hostile/", "tiny/"))
    ]


def test_of_the_shared_files_exactly_the_listed_ones_are_refused() -> None:
    if not (DATA / "MANIFEST.tsv").exists():
        pytest.skip("the shared data is not here")
    refused = {}
    for path, kind in shared_files():
        outcome = outcome_of((DATA / path).read_bytes())
        if outcome != "read" and (outcome, kind in REFUSED_KINDS) != ("UnsupportedImage", True):
            refused[path] = outcome
        assert (outcome == "read") != (kind in REFUSED_KINDS or path in REFUSED_FILES), path
    assert refused == REFUSED_FILES


def test_every_hostile_image_is_refused_or_read() -> None:
    paths = sorted(path for path in DATA.glob("hostile/image/**/*") if path.is_file())
    if not paths:
        pytest.skip("the shared data is not here")
    outcomes = {outcome_of(path.read_bytes()) for path in paths}
    assert outcomes == {"read", "UnreadableImage", "UnsupportedImage"}
