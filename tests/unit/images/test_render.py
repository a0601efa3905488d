"""Thumbnails of pictures and pages: geometry, colours, and hostile content within limits."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from imaging_fhir.errors import (
    InvalidRequest,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.images.decode import MIB, DecodeLimits
from imaging_fhir.images.render import Format, rendition
from imaging_fhir.model.rendering import Rendition
from tests.samples import RED, SAMPLES, animation, pdf

DATA = Path(__file__).parents[4] / "shared" / "data"
CORNERS = {
    (0, 0): (220, 20, 20),
    (1, 0): (20, 200, 20),
    (0, 1): (20, 20, 220),
    (1, 1): (240, 240, 0),
}
JPEG_LOSS = 6
Colour = tuple[int, ...]


def corners(width: int = 96, height: int = 64) -> Image.Image:
    """A picture with a colour of its own in each quarter."""
    picture = Image.new("RGB", (width, height))
    for (right, low), colour in CORNERS.items():
        x, y = right * width // 2, low * height // 2
        picture.paste(colour, (x, y, x + width // 2, y + height // 2))
    return picture


def saved(picture: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, format_, **options)
    return content.getvalue()


def shown(
    content: bytes,
    media_type: str = "image/png",
    max_size: int = 256,
    frame: int | None = None,
    format_: Format = "png",
) -> Image.Image:
    made = rendition(content, media_type=media_type, max_size=max_size, frame=frame, format=format_)
    picture = Image.open(io.BytesIO(made.content))
    assert picture.size == (made.width, made.height)
    assert picture.format == format_.upper()
    return picture


def distance(picture: Image.Image, at: tuple[int, int], colour: Colour) -> int:
    found = picture.convert("RGB").getpixel(at)
    assert isinstance(found, tuple)
    return max(abs(one - other) for one, other in zip(found, colour, strict=True))


def test_a_picture_is_made_small_and_never_large() -> None:
    assert shown(saved(corners(400, 200)), max_size=100).size == (100, 50)
    assert shown(saved(corners(40, 20)), max_size=100).size == (40, 20)
    assert shown(saved(Image.new("L", (900, 1))), max_size=100).size == (100, 1)


@pytest.mark.parametrize("format_", ["jpeg", "png", "webp"])
def test_it_comes_in_the_format_asked_for_and_carries_nothing_else(format_: Format) -> None:
    exif = Image.Exif()
    exif[Base.Artist] = "somebody"
    content = saved(corners(), "JPEG", exif=exif, comment=b"somebody")
    made = rendition(content, media_type="image/jpeg", max_size=64, format=format_)
    assert made.media_type == f"image/{format_}"
    assert b"somebody" not in made.content
    assert not Image.open(io.BytesIO(made.content)).getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp", "image/tiff"])
def test_every_orientation_is_turned_upright(orientation: int, media_type: str) -> None:
    """The stored picture is turned the other way, so that the shown one must be `corners`."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose methods, each the inverse
    upright = corners()
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    content = saved(stored, media_type.removeprefix("image/"), exif=exif, quality=100)
    picture = shown(content, media_type)
    assert picture.size == upright.size
    for (right, low), colour in CORNERS.items():
        assert distance(picture, (20 + 56 * right, 15 + 34 * low), colour) <= JPEG_LOSS


@pytest.mark.parametrize(
    "media_type", sorted(SAMPLES.keys() - {"application/dicom", "application/pdf"})
)
def test_the_colour_of_every_type_is_kept(media_type: str) -> None:
    picture = shown(SAMPLES[media_type](), media_type)
    lossy = media_type in ("image/jpeg", "image/webp", "image/avif")
    assert distance(picture, (6, 4), RED) <= (JPEG_LOSS if lossy else 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_of_pixel_is_shown(mode: str) -> None:
    white = (
        Image.new("RGB", (30, 20), "white").convert("L" if mode == "PA" else "RGB").convert(mode)
    )
    picture = shown(
        saved(white, "JPEG" if mode == "YCbCr" else "TIFF"),
        "image/jpeg" if mode == "YCbCr" else "image/tiff",
    )
    assert distance(picture, (10, 10), (255, 255, 255)) <= 2


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    clear.paste((*RED, 255), (20, 0, 40, 40))
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, *RED])
    palette.paste(1, (20, 0, 40, 40))
    for content, media_type in (
        (saved(clear), "image/png"),
        (saved(clear, "WEBP", lossless=True), "image/webp"),
        (saved(palette, "PNG", transparency=0), "image/png"),
        (saved(palette, "GIF", transparency=0), "image/gif"),
    ):
        picture = shown(content, media_type)
        assert distance(picture, (5, 5), (255, 255, 255)) == 0
        assert distance(picture, (35, 5), RED) == 0


def test_colours_of_another_space_become_srgb() -> None:
    """In a profile with swapped primaries, stored green is shown as red."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(lab)
    red, green = lab.index(b"rXYZ"), lab.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    content = saved(Image.new("RGB", (20, 20), (0, 255, 0)), icc_profile=bytes(swapped))
    assert distance(shown(content), (5, 5), (255, 0, 0)) <= 2


def test_a_profile_that_does_not_parse_is_ignored() -> None:
    content = saved(Image.new("RGB", (20, 20), RED), icc_profile=b"no profile at all")
    assert distance(shown(content), (5, 5), RED) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 4095]], np.uint16), [0, 255]),
        (np.array([[0, 32768]], np.uint16), [0, 128]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[-100, 100]], np.int32), [0, 255]),
    ],
)
def test_deep_grey_is_scaled_to_what_a_screen_shows(
    values: np.ndarray, expected: list[int]
) -> None:
    picture = shown(saved(Image.fromarray(values), "TIFF"), "image/tiff")
    assert np.asarray(picture)[0].tolist() == pytest.approx(expected, abs=1)


def test_a_frame_is_chosen_by_its_number() -> None:
    content = animation("GIF", frames=3)
    assert distance(shown(content, "image/gif", frame=3), (2, 2), (120, 0, 0)) <= 2
    assert distance(shown(content, "image/gif"), (2, 2), (0, 0, 0)) <= 2
    with pytest.raises(ResourceNotFound):
        shown(content, "image/gif", frame=4)


def test_a_page_is_drawn_and_fits() -> None:
    picture = shown(pdf(pages=2), "application/pdf", max_size=200, frame=2)
    assert picture.size == (155, 200)
    assert distance(picture, (30, 100), (204, 26, 51)) <= 2
    assert distance(picture, (120, 100), (255, 255, 255)) == 0
    with pytest.raises(ResourceNotFound):
        shown(pdf(pages=2), "application/pdf", frame=3)


@pytest.mark.parametrize(("width", "height"), [(14_000, 1), (1, 14_000), (100_000, 100_000)])
def test_a_page_of_absurd_size_still_fits(width: int, height: int) -> None:
    picture = shown(pdf(width=width, height=height), "application/pdf", max_size=200)
    assert max(picture.size) <= 200


@pytest.mark.parametrize("size", [0, -1, 100_000])
def test_a_size_that_makes_no_sense_is_refused(size: int) -> None:
    with pytest.raises(InvalidRequest):
        shown(SAMPLES["image/png"](), max_size=size)


def test_a_type_without_a_picture_says_so() -> None:
    with pytest.raises(UnsupportedImage):
        shown(b"<svg/>", "image/svg+xml")


def test_only_the_type_that_was_found_is_tried() -> None:
    with pytest.raises(UnreadableImage):
        shown(SAMPLES["image/gif"](), "image/png")


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and packs as much black as that asks for."""
    content = saved(Image.new("L", (1, 1)))
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
    pixels = b"IDAT" + zlib.compress(bytes(min(width * height, 10_000_000)))
    parts = [content[:8]]
    for part in (header, pixels, b"IEND"):
        length = (len(part) - 4).to_bytes(4, "big")
        parts += [length, part, zlib.crc32(part).to_bytes(4, "big")]
    return b"".join(parts)


def test_more_pixels_than_allowed_are_not_decoded() -> None:
    with pytest.raises(UnreadableImage, match="more pixels"):
        shown(png_of(60_000, 60_000))
    limits = DecodeLimits(pixels=1000)
    with pytest.raises(UnreadableImage, match="more pixels"):
        rendition(saved(corners()), media_type="image/png", max_size=64, limits=limits)


def test_a_large_photograph_needs_little_memory() -> None:
    content = saved(Image.new("RGB", (8000, 6000), RED), "JPEG")
    limits = DecodeLimits(memory_bytes=64 * MIB, pixels=10_000_000)
    made = rendition(content, media_type="image/jpeg", max_size=256, limits=limits)
    assert (made.width, made.height) == (256, 192)


def hostile() -> list[Path]:
    return sorted(path for path in DATA.glob("hostile/image/Pillow/*") if path.is_file())


TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".gif": "image/gif"}


def test_every_hostile_picture_is_refused_or_shown_within_the_limits() -> None:
    if not hostile():
        pytest.skip("the shared data is not here")
    for path in hostile():
        try:
            made = rendition(path, media_type=TYPES.get(path.suffix, "image/bmp"), max_size=128)
        except UnreadableImage:
            continue
        assert isinstance(made, Rendition)
        assert max(made.width, made.height) <= 128
