"""Makes what `/rendered` answers: one picture or several, or a cine, in a limited child."""

import io
import subprocess
from dataclasses import replace
from fractions import Fraction
from shutil import which
from typing import Any, BinaryIO

from PIL import Image, ImageCms

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.decode import DecodeLimits, Source, run_limited
from imaging_fhir.images.dicom_numbers import first_number, numbers
from imaging_fhir.images.frame import RenderedFrames
from imaging_fhir.images.render import on_white, srgb
from imaging_fhir.model.rendering import NO_CAPTIONS, Captions, Rendering, Rendition

RENDER_LIMITS = DecodeLimits()
CINE_LIMITS = DecodeLimits(cpu_seconds=60, seconds=90)
PATIENCE_SECONDS = 10.0  # for a child to be free; after it the server is too busy
FRAMES_A_SECOND = 15.0  # where the file says nothing
FASTEST, SLOWEST = 60.0, 0.5
CINE_SIDE = 1024  # pixels, unless a viewport says otherwise
FFMPEG = "ffmpeg"
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "image/jpeg": ("JPEG", {}),
    "image/png": ("PNG", {"compress_level": 3}),
    "image/gif": ("GIF", {}),
    "image/webp": ("WEBP", {"method": 2}),
}
LOSSY = ("image/jpeg", "image/webp")
WITH_PROFILE = ("image/jpeg", "image/png", "image/webp")


def rendered(
    source: Source,
    rendering: Rendering,
    *,
    frames: tuple[int, ...] | None = None,
    captions: Captions = NO_CAPTIONS,
    presentation: bytes | None = None,
) -> list[Rendition]:
    """Each of the frames (from 1), else the middle one, by itself.

    Raise UnsupportedImage for what has no picture, ResourceNotFound for a frame that is not there,
    UnreadableImage for what is damaged or beyond the limits, DecodingBusy.
    """
    pixels = RENDER_LIMITS.pixels
    return run_limited(
        render_stills,
        source,
        rendering,
        frames,
        captions,
        presentation,
        pixels,
        limits=RENDER_LIMITS,
        patience=PATIENCE_SECONDS,
    )


def rendered_cine(
    source: Source,
    rendering: Rendering,
    *,
    frames: tuple[int, ...] | None = None,
    captions: Captions = NO_CAPTIONS,
    presentation: bytes | None = None,
) -> Rendition:
    """The frames, without a list all of them, as an animated GIF or as MP4; raises the same."""
    return run_limited(
        render_cine,
        source,
        rendering,
        frames,
        captions,
        presentation,
        CINE_LIMITS.pixels,
        limits=CINE_LIMITS,
        patience=PATIENCE_SECONDS,
    )


def can_make_video() -> bool:
    """MP4 is made by ffmpeg where that is installed: it is no part of this package."""
    return which(FFMPEG) is not None


def render_stills(
    stream: BinaryIO,
    rendering: Rendering,
    frames: tuple[int, ...] | None,
    captions: Captions,
    presentation: bytes | None,
    pixels: int,
) -> list[Rendition]:
    """What `rendered` does, in the child."""
    source = RenderedFrames(stream, rendering, captions, presentation, pixels)
    wanted: tuple[int | None, ...] = frames or (None,)
    return [encoded(source.picture(number), rendering) for number in wanted]


def encoded(picture: Image.Image, rendering: Rendering) -> Rendition:
    """Nothing of the original's metadata leaves with the picture but, if asked, its profile."""
    name, options = FORMATS[rendering.media_type]
    if rendering.media_type in LOSSY:
        options = options | {"quality": rendering.quality}
    picture, profile = profiled(picture, rendering)
    if profile is not None:
        options = options | {"icc_profile": profile}
    content = io.BytesIO()
    picture.info = {}
    picture.save(content, name, **options)
    return Rendition(
        content=content.getvalue(),
        media_type=rendering.media_type,
        width=picture.width,
        height=picture.height,
    )


def profiled(picture: Image.Image, rendering: Rendering) -> tuple[Image.Image, bytes | None]:
    """PS3.18 8.3.5.1.5: the image's colours with its own profile, or those of sRGB."""
    own = picture.info.get("icc_profile")
    if rendering.profile == "yes" and own:
        return picture, bytes(own)
    picture = on_white(srgb(picture))
    if rendering.profile == "no":
        return picture, None
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return picture.convert("RGB"), profile


def render_cine(
    stream: BinaryIO,
    rendering: Rendering,
    frames: tuple[int, ...] | None,
    captions: Captions,
    presentation: bytes | None,
    pixels: int,
) -> Rendition:
    """What `rendered_cine` does, in the child: all frames with the window of the first."""
    source = RenderedFrames(stream, rendering, captions, presentation, pixels)
    numbers_ = frames or tuple(range(1, source.frames.count + 1))
    source.rendering = replace(rendering, window=source.common_window(numbers_))
    pictures, room = [], pixels
    for number in numbers_:
        picture = on_white(srgb(source.picture(number)))
        if rendering.viewport is None:
            picture.thumbnail((CINE_SIDE, CINE_SIDE))
        room -= picture.width * picture.height * 3
        if room < 0:
            raise UnreadableImage("The frames are too many for one answer: ask for some of them.")
        pictures.append(picture)
    rate = frame_rate(source)
    if rendering.media_type == "image/gif":
        return gif(pictures, rate)
    return mp4(pictures, rate)


def frame_rate(source: RenderedFrames) -> float:
    """Frames a second (PS3.3 C.7.6.5); a vector of times counts by its mean."""
    header = source.frames.header
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = first_number(header, keyword)
        if rate:
            return min(max(rate, SLOWEST), FASTEST)
    time = first_number(header, "FrameTime")
    vector = numbers(header, "FrameTimeVector", source.frames.count)
    if not time and vector and len(vector) > 1:
        time = sum(vector[1:]) / (len(vector) - 1)
    return min(max(1000 / time, SLOWEST), FASTEST) if time and time > 0 else FRAMES_A_SECOND


def gif(pictures: list[Image.Image], rate: float) -> Rendition:
    content = io.BytesIO()
    first, *others = pictures
    duration = max(round(1000 / rate), 20)  # milliseconds; browsers play nothing faster
    for picture in pictures:
        picture.info = {}
    first.save(content, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return Rendition(
        content=content.getvalue(), media_type="image/gif", width=first.width, height=first.height
    )


def mp4(pictures: list[Image.Image], rate: float) -> Rendition:
    """H.264 in fragments, which need no seeking; sides are even, as 4:2:0 wants them."""
    width, height = (side - side % 2 for side in pictures[0].size)
    if not width or not height:
        raise UnsupportedImage("A video is at least 2 pixels wide and high.")
    raw = b"".join(
        picture.convert("RGB").crop((0, 0, width, height)).tobytes() for picture in pictures
    )
    pictures.clear()
    made = subprocess.run(  # noqa: S603 - our own words; nothing of the image's names
        [
            *(which(FFMPEG) or FFMPEG, "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{width}x{height}", "-r", str(Fraction(rate).limit_denominator(1000))),
            *("-i", "pipe:0", "-an", "-c:v", "libx264", "-preset", "veryfast", "-threads", "1"),
            *("-crf", "18", "-pix_fmt", "yuv420p"),
            *("-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1"),
        ],
        input=raw,
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        raise UnreadableImage("The video could not be made within the limits.")
    return Rendition(content=made.stdout, media_type="video/mp4", width=width, height=height)
