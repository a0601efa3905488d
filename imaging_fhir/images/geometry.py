"""Where a source image's pixels come to lie in the picture: region, aspect, turning, viewport."""

from dataclasses import dataclass

from PIL import Image
from pydicom import Dataset

from imaging_fhir.images.dicom_numbers import numbers
from imaging_fhir.model.rendering import Region, Viewport

Point = tuple[float, float]
Size = tuple[int, int]
Box = tuple[int, int, int, int]
Turn = Image.Transpose

MOST_UNEQUAL_SPACING = 20.0  # more is a mistake, not an aspect
ASPECTS = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
CLOCKWISE = {90: Turn.ROTATE_270, 180: Turn.ROTATE_180, 270: Turn.ROTATE_90}
SWAPPING = (Turn.ROTATE_90, Turn.ROTATE_270)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """First the box is cut out (outside of the image it is black), then scaled, then turned."""

    box: Box
    size: Size  # of the scaled box, before it is turned
    turns: tuple[Turn, ...] = ()

    @property
    def picture_size(self) -> Size:
        return turned_size(self.size, self.turns)

    def of(self, image: Image.Image) -> Image.Image:
        """The image in its place; its colour profile stays with it."""
        profile = image.info.get("icc_profile")
        if self.box != (0, 0, *image.size):
            image = image.crop(self.box)
        if image.size != self.size:
            image = image.resize(self.size, resampling(image.size, self.size), reducing_gap=2.0)
        for turn in self.turns:
            image = image.transpose(turn)
        if profile:
            image.info["icc_profile"] = profile
        return image

    def point(self, x: float, y: float) -> Point:
        """Where a point of the source image is in the picture; 0, 0 is its outermost corner."""
        left, top, right, bottom = self.box
        width, height = self.size
        x = (x - left) * width / (right - left)
        y = (y - top) * height / (bottom - top)
        for turn in self.turns:
            x, y = turned_point(x, y, width, height, turn)
            width, height = turned_size((width, height), (turn,))
        return x, y


def turned_point(x: float, y: float, width: int, height: int, turn: Turn) -> Point:
    return {
        Turn.FLIP_LEFT_RIGHT: (width - x, y),
        Turn.FLIP_TOP_BOTTOM: (x, height - y),
        Turn.ROTATE_180: (width - x, height - y),
        Turn.ROTATE_270: (height - y, x),
        Turn.ROTATE_90: (y, width - x),
    }[turn]


def turned_size(size: Size, turns: tuple[Turn, ...]) -> Size:
    is_swapped = sum(turn in SWAPPING for turn in turns) % 2
    return (size[1], size[0]) if is_swapped else size


def resampling(size: Size, wanted: Size) -> Image.Resampling:
    """Smaller without false patterns, larger without ringing at edges."""
    is_larger = wanted[0] >= size[0] and wanted[1] >= size[1]
    return Image.Resampling.BILINEAR if is_larger else Image.Resampling.LANCZOS


def placement(
    size: Size,
    aspect: float,
    viewport: Viewport | None,
    *,
    box: Box | None = None,
    turns: tuple[Turn, ...] = (),
) -> Placement:
    """With square pixels, and without a viewport no smaller than the box (PS3.18 8.3.5.1.3).

    `aspect` is a pixel's height by its width. The viewport's own region counts before `box`.
    """
    if viewport is not None:
        box = region_box(viewport.region, size) or box
        turns = (*turns, *flips(viewport.region))
    box = box or (0, 0, *size)
    width = (box[2] - box[0]) * max(1 / aspect, 1)
    height = (box[3] - box[1]) * max(aspect, 1)
    scale = 1.0
    if viewport is not None:
        across, down = turned_size((viewport.width, viewport.height), turns)
        scale = min(across / width, down / height)
    scaled = max(round(width * scale), 1), max(round(height * scale), 1)
    return Placement(box=box, size=scaled, turns=turns)


def region_box(region: Region, size: Size) -> Box | None:
    """In whole pixels, within the image; None where it is all of it."""
    left, top = min(int(region.left), size[0] - 1), min(int(region.top), size[1] - 1)
    width = size[0] - left if region.width is None else region.width
    height = size[1] - top if region.height is None else region.height
    right = min(max(round(left + width), left + 1), size[0])
    bottom = min(max(round(top + height), top + 1), size[1])
    box = (left, top, right, bottom)
    return None if box == (0, 0, *size) else box


def flips(region: Region) -> tuple[Turn, ...]:
    across = (Turn.FLIP_LEFT_RIGHT,) if region.is_flipped_horizontally else ()
    down = (Turn.FLIP_TOP_BOTTOM,) if region.is_flipped_vertically else ()
    return across + down


def pixel_aspect(attributes: Dataset) -> float:
    """A pixel's height by its width (PS3.3 C.7.6.3.1.7 and 10.7)."""
    for keyword in ASPECTS:
        spacing = numbers(attributes, keyword, 2)
        if spacing is not None and min(spacing) > 0:
            aspect = spacing[0] / spacing[1]
            return aspect if 1 / MOST_UNEQUAL_SPACING < aspect < MOST_UNEQUAL_SPACING else 1
    return 1


def fitting(size: Size, aspect: float, max_size: int) -> Placement:
    """Square pixels, within `max_size`, and never larger than needed."""
    whole = placement(size, aspect, None)
    scale = min(max_size / max(whole.size), 1)
    width, height = (max(round(side * scale), 1) for side in whole.size)
    return Placement(box=whole.box, size=(width, height))
