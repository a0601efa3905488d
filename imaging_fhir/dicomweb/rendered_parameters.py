"""The query of a rendered resource (PS3.18 8.3.5.1), and the media type of its answer (8.7.4)."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from imaging_fhir.dicomweb.media_type import MediaRange
from imaging_fhir.errors import InvalidRequest, NotAcceptable
from imaging_fhir.model.rendering import (
    DEFAULT_QUALITY,
    Annotation,
    Profile,
    Region,
    Rendering,
    Viewport,
    Window,
    WindowFunction,
)

LARGEST_SIDE = 8192  # pixels of a viewport
NUMBER = re.compile(r"[+-]?(\d{1,9}(\.\d{0,9})?|\.\d{1,9})([eE][+-]?\d{1,2})?")
FUNCTIONS: dict[str, WindowFunction] = {
    "linear": "LINEAR",
    "linear-exact": "LINEAR_EXACT",
    "sigmoid": "SIGMOID",
}
ANNOTATIONS = ("patient", "technique", "overlay")  # the last one is ours: 60xx planes
PROFILES = ("no", "yes", "srgb")
OTHER_PROFILES = ("adobergb", "rommrgb", "displayp3")
CHARSETS = ("utf-8", "utf8")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedParameters:
    """What is asked, and what of it is not done here: said in a Warning header, and ignored."""

    rendering: Rendering
    ignored: tuple[str, ...] = ()


def rendered_parameters(query: Mapping[str, str]) -> RenderedParameters:
    """Raise InvalidRequest that names the parameter."""
    profile = choice(query, "iccprofile", (*PROFILES, *OTHER_PROFILES)) or "no"
    ignored = [f"iccprofile={profile}"] if profile in OTHER_PROFILES else []
    if query.get("charset", "utf-8").lower() not in CHARSETS:
        ignored.append("charset")
    annotations, unknown = annotations_of(query)
    rendering = Rendering(
        quality=quality_of(query),
        window=window_of(query),
        viewport=viewport_of(query),
        annotations=annotations,
        profile=cast("Profile", profile) if profile in PROFILES else "no",
    )
    return RenderedParameters(rendering=rendering, ignored=(*ignored, *unknown))


def thumbnail_viewport(query: Mapping[str, str]) -> Viewport | None:
    """Of a thumbnail the viewport alone may be asked, and of that its size alone."""
    viewport = viewport_of(query)
    if viewport is not None and viewport.region != Region():
        raise invalid("viewport", "of a thumbnail is vw,vh")
    return viewport


def quality_of(query: Mapping[str, str]) -> int:
    text = query.get("quality")
    if text is None:
        return DEFAULT_QUALITY
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise invalid("quality", "is a whole number from 1 to 100")
    return int(text)


def window_of(query: Mapping[str, str]) -> Window | None:
    """center,width,function, all three (8.3.5.1.4)."""
    text = query.get("window")
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or parts[2].strip().lower() not in FUNCTIONS:
        raise invalid("window", f"is center,width,function with one of {', '.join(FUNCTIONS)}")
    function = FUNCTIONS[parts[2].strip().lower()]
    center, width = number("window", parts[0]), number("window", parts[1])
    least = 1 if function == "LINEAR" else 0
    if width < least or width == 0:
        raise invalid("window", "has a width of 1 or more, of a linear-exact or sigmoid one over 0")
    return Window(center=center, width=width, function=function)


def viewport_of(query: Mapping[str, str]) -> Viewport | None:
    """vw,vh and then, each of them or none, sx,sy,sw,sh (8.3.5.1.3)."""
    text = query.get("viewport")
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 6:
        raise invalid("viewport", "is vw,vh or vw,vh,sx,sy,sw,sh")
    left, top, width, height = (
        number("viewport", part) if part else None
        for part in [*parts[2:], *[""] * (6 - len(parts))]
    )
    if width == 0 or height == 0:
        raise invalid("viewport", "has a region with a width and height")
    region = Region(
        left=abs(left or 0),
        top=abs(top or 0),
        width=None if width is None else abs(width),
        height=None if height is None else abs(height),
        is_flipped_horizontally=(width or 0) < 0,
        is_flipped_vertically=(height or 0) < 0,
    )
    return Viewport(width=side(parts[0]), height=side(parts[1]), region=region)


def side(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LARGEST_SIDE):
        raise invalid("viewport", f"is from 1 to {LARGEST_SIDE} pixels wide and high")
    return int(text)


def annotations_of(query: Mapping[str, str]) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Those known, in an order of their own, and those that are not."""
    text = query.get("annotation", "")
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    known = tuple(cast("Annotation", one) for one in ANNOTATIONS if one in asked)
    is_ignored = bool(asked - set(ANNOTATIONS))
    return known, ("annotation",) if is_ignored else ()


def choice(query: Mapping[str, str], name: str, choices: Iterable[str]) -> str | None:
    text = query.get(name)
    if text is None:
        return None
    if text.lower() not in choices:
        raise invalid(name, f"is one of {', '.join(choices)}")
    return text.lower()


def number(name: str, text: str) -> float:
    text = text.strip()
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise invalid(name, "has something else than a number in the place of one")
    return float(text)


def invalid(name: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter {name} {rule}.", expression=f"http.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedForm:
    """The media type, and whether it is sent in parts even where it is one."""

    is_multipart: bool
    media_type: str


def rendered_form(
    ranges: Iterable[MediaRange], offers: tuple[str, ...], *, without: str = ""
) -> RenderedForm:
    """The best accepted of what is offered, the first of which is the default.

    Raise NotAcceptable; `without` says what this server lacks.
    """
    for one in ranges:
        for offer in offers:
            if one.media_type in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
                return RenderedForm(is_multipart=one.is_multipart, media_type=offer)
    raise NotAcceptable(
        f"This is rendered as {', '.join(offers)}.{without}", expression="http.Accept"
    )
