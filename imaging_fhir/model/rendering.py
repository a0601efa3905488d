"""What a client asks of a rendered picture (PS3.18 8.3.5.1), and the picture that it gets."""

from dataclasses import dataclass
from typing import Literal

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
Annotation = Literal["patient", "technique", "overlay"]
Profile = Literal["no", "yes", "srgb"]

STILL_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
CINE_TYPES = ("image/gif", "video/mp4")
DEFAULT_QUALITY = 90
MOST_CINE_FRAMES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """PS3.3 C.11.2.1.2: in units of the Modality LUT's output."""

    center: float
    width: float
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the source image, in its pixels from the top left corner."""

    left: float = 0.0
    top: float = 0.0
    width: float | None = None  # None: as far as the image goes
    height: float | None = None
    is_flipped_horizontally: bool = False
    is_flipped_vertically: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """The picture fills it in one direction and does not leave it in the other."""

    width: int
    height: int
    region: Region = Region()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """All that decides how the pixels of an instance become a picture."""

    media_type: str = "image/jpeg"
    quality: int = DEFAULT_QUALITY
    window: Window | None = None
    viewport: Viewport | None = None
    annotations: tuple[Annotation, ...] = ()
    profile: Profile = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """What is written into the picture where annotations are asked for."""

    patient: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()


NO_CAPTIONS = Captions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A picture that every browser shows; without any of the original's metadata."""

    content: bytes
    media_type: str
    width: int
    height: int
