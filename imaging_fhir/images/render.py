"""Makes thumbnails and previews: one small 8-bit sRGB picture of any image, the right way up."""

import io
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from imaging_fhir.errors import (
    InvalidRequest,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.images.decode import DEFAULT_LIMITS, DecodeLimits, Source, run_limited
from imaging_fhir.images.frame import dicom_picture
from imaging_fhir.images.pdf import pdf_picture
from imaging_fhir.images.raster import UPRIGHT_IN_PILLOW, pillow_formats, raster_facts
from imaging_fhir.model.rendering import Rendition

Format = Literal["jpeg", "png", "webp"]
Array = npt.NDArray[Any]

LARGEST_SIZE = 8192
WHITE = (255, 255, 255)
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
REDUCING_GAP = 2.0  # a coarse reduction first, to twice the size asked for
DEPTHS = (8, 10, 12, 14, 16)

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def rendition(
    source: Source,
    *,
    media_type: str,
    max_size: int,
    frame: int | None = None,
    format: Format = "jpeg",  # noqa: A002 - Pillow's own word
    quality: int = 85,
    limits: DecodeLimits | None = None,
) -> Rendition:
    """The image, or one frame or page of it (from 1), at most `max_size` pixels wide and high.

    Without `frame` it is the middle one of a DICOM instance and the first of all else. It is
    never enlarged. Raise UnsupportedImage for what has no picture, ResourceNotFound for a frame
    that is not there, UnreadableImage for what is damaged or beyond the limits.
    """
    if not 1 <= max_size <= LARGEST_SIZE:
        raise InvalidRequest(f"A picture's size is 1 to {LARGEST_SIZE} pixels.")
    limits = limits or DEFAULT_LIMITS
    return run_limited(
        render, source, media_type, max_size, frame, format, quality, limits.pixels, limits=limits
    )


def render(
    stream: BinaryIO,
    media_type: str,
    max_size: int,
    frame: int | None,
    format_: Format,
    quality: int,
    pixels: int,
) -> Rendition:
    """What `rendition` does, in the child."""
    if media_type == "application/dicom":
        picture = dicom_picture(stream, frame, max_size, pixels)
    elif media_type == "application/pdf":
        picture = pdf_picture(stream, frame, max_size)
    elif pillow_formats(media_type):
        picture = raster_picture(stream, media_type, frame, max_size, pixels)
    else:
        raise UnsupportedImage(f"An image of type {media_type} has no picture here.")
    return encoded(displayable(picture, max_size), format_, quality)


def raster_picture(
    stream: BinaryIO, media_type: str, frame: int | None, max_size: int, pixels: int
) -> Image.Image:
    """The upright picture, already about as small as asked for where that saves work."""
    with Image.open(stream, formats=pillow_formats(media_type)) as image:
        facts = raster_facts(image)
        _seek(image, frame or 1)
        image.draft(None, (max_size, max_size))  # lets the JPEG decoder skip pixels
        if image.width * image.height > pixels:
            raise UnreadableImage("The image has more pixels than are decoded at once.")
        image.load()
        small = shrunk(eight_bit(image, max_size), max_size)
        turn = UPRIGHT.get(facts.orientation)
        if turn is None or image.format == UPRIGHT_IN_PILLOW:
            return small
        return small.transpose(turn)


def _seek(image: Image.Image, frame: int) -> None:
    try:
        image.seek(frame - 1)
    except EOFError as error:
        raise ResourceNotFound(f"The image has no frame {frame}.") from error


def eight_bit(image: Image.Image, max_size: int) -> Image.Image:
    """The image with 8 bits a channel and no palette; its alpha and profile are kept."""
    if image.mode in DEEP_MODES:
        return _scaled(image, max_size)
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("L", "RGB", "CMYK") and "transparency" in image.info:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK", "LA", "RGBA") else image.convert("RGB")


def _scaled(image: Image.Image, max_size: int) -> Image.Image:
    """Deep grey to 8 bits: whole numbers by their depth, so that black stays black."""
    values = reduced(np.asarray(image), max_size).astype(np.float32)
    values = np.nan_to_num(values, posinf=0, neginf=0)
    lowest, highest = float(values.min()), float(values.max())
    if image.mode != "F" and lowest >= 0 and highest < 2 ** DEPTHS[-1]:
        lowest, highest = 0, next(2**depth - 1 for depth in DEPTHS if highest < 2**depth)
    scaled = (values - lowest) * (255 / ((highest - lowest) or 1))
    return Image.fromarray(scaled.round().astype(np.uint8))


def reduced(values: Array, max_size: int) -> Array:
    """Means over square blocks, to no less than twice the size asked for: it saves memory."""
    rows, columns = values.shape
    block = max(min(rows, columns) // (2 * max_size), 1)
    if block == 1:
        return values
    rows, columns = rows // block, columns // block
    blocks = values[: rows * block, : columns * block].reshape(rows, block, columns, block)
    means: Array = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means if values.dtype.kind == "f" else means.round().astype(values.dtype)


def shrunk(image: Image.Image, max_size: int) -> Image.Image:
    if max(image.size) <= max_size:
        return image
    small = image.copy() if image.readonly else image
    small.thumbnail((max_size, max_size), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    return small


def displayable(image: Image.Image, max_size: int) -> Image.Image:
    """Opaque sRGB or grey, and small enough."""
    return on_white(srgb(shrunk(image, max_size)))


def srgb(image: Image.Image) -> Image.Image:
    """The picture in the colours that screens take numbers for; a bad profile is ignored."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB") if image.mode == "CMYK" else image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    return converted or (image.convert("RGB") if image.mode == "CMYK" else image)


def on_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = Image.new("RGB", image.size, WHITE)
    opaque.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return opaque


def encoded(picture: Image.Image, format_: Format, quality: int) -> Rendition:
    picture.info = {}  # nothing of the original's metadata leaves with the picture
    content = io.BytesIO()
    picture.save(content, format_, quality=quality)
    return Rendition(
        content=content.getvalue(),
        media_type=f"image/{format_}",
        width=picture.width,
        height=picture.height,
    )
