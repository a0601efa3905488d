"""Graphic annotations and captions, drawn into the finished picture (PS3.3 C.10.5)."""

from collections.abc import Callable, Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset

from imaging_fhir.images.geometry import Placement, Point

SMALLEST_TEXT = 11  # pixels
TEXT_SHARE = 45  # of the picture's height that a line of text takes
POINT_RADIUS = 3
MOST_POINTS = 20_000
MOST_TEXT = 1_000
Ink = int | tuple[int, int, int]
INK: dict[str, Ink] = {"L": 255, "RGB": (255, 255, 128)}
OUTLINE: dict[str, Ink] = {"L": 0, "RGB": (0, 0, 0)}

Where = Callable[[float, float], Point]


class Drawing:
    def __init__(self, picture: Image.Image, placement: Placement) -> None:
        self.draw = ImageDraw.Draw(picture)
        self.size = picture.size
        self.placement = placement
        self.ink, self.outline = INK[picture.mode], OUTLINE[picture.mode]
        self.line_height = max(picture.height // TEXT_SHARE, SMALLEST_TEXT)
        self.font = ImageFont.load_default(self.line_height)

    def where(self, units: str | None) -> Where:
        """PIXEL is of the image, DISPLAY from 0 to 1 of what is shown (C.10.5.1.2)."""
        if units == "DISPLAY":
            return lambda x, y: (x * self.size[0], y * self.size[1])
        return self.placement.point

    def annotate(self, items: Iterable[Dataset]) -> None:
        for item in items:
            for graphic in item.get("GraphicObjectSequence") or ():
                self.graphic(graphic)
            for text in item.get("TextObjectSequence") or ():
                self.text_object(text)

    def graphic(self, graphic: Dataset) -> None:
        data = [float(value) for value in list(graphic.get("GraphicData") or ())[:MOST_POINTS]]
        where = self.where(graphic.get("GraphicAnnotationUnits"))
        points = [where(data[i], data[i + 1]) for i in range(0, len(data) - 1, 2)]
        is_filled = graphic.get("GraphicFilled") == "Y"
        match graphic.get("GraphicType"):
            case "POINT" if points:
                self.ellipse([shifted(points[0], -POINT_RADIUS), shifted(points[0], POINT_RADIUS)])
            case "CIRCLE" if len(points) == 2:
                self.circle(points[0], points[1], is_filled=is_filled)
            case "ELLIPSE" if len(points) == 4:
                self.axes(points, is_filled=is_filled)
            case "POLYLINE" | "INTERPOLATED" if len(points) > 1:
                self.line(points, is_filled=is_filled and points[0] == points[-1])

    def circle(self, center: Point, edge: Point, *, is_filled: bool) -> None:
        radius = ((center[0] - edge[0]) ** 2 + (center[1] - edge[1]) ** 2) ** 0.5
        self.ellipse([shifted(center, -radius), shifted(center, radius)], is_filled=is_filled)

    def axes(self, ends: Sequence[Point], *, is_filled: bool) -> None:
        """An upright ellipse by the ends of its major and minor axis."""
        across, down = [x for x, _ in ends], [y for _, y in ends]
        self.ellipse([(min(across), min(down)), (max(across), max(down))], is_filled=is_filled)

    def ellipse(self, corners: list[Point], *, is_filled: bool = False) -> None:
        self.draw.ellipse(corners, fill=self.ink if is_filled else None, outline=self.ink, width=1)

    def line(self, points: list[Point], *, is_filled: bool) -> None:
        if is_filled:
            self.draw.polygon(points, fill=self.ink)
        self.draw.line(points, fill=self.ink, width=1)

    def text_object(self, text: Dataset) -> None:
        value = str(text.get("UnformattedTextValue") or "")
        corner, units = text.get("BoundingBoxTopLeftHandCorner"), "BoundingBoxAnnotationUnits"
        if not corner:
            corner, units = text.get("AnchorPoint"), "AnchorPointAnnotationUnits"
        if corner and len(corner) == 2:
            at = self.where(text.get(units))(float(corner[0]), float(corner[1]))
            self.text(at, value)
        self.anchor(text)

    def anchor(self, text: Dataset) -> None:
        point = text.get("AnchorPoint")
        if point and len(point) == 2 and text.get("AnchorPointVisibility") == "Y":
            at = self.where(text.get("AnchorPointAnnotationUnits"))(
                float(point[0]), float(point[1])
            )
            self.ellipse([shifted(at, -POINT_RADIUS), shifted(at, POINT_RADIUS)])

    def text(self, at: Point, value: str) -> None:
        printable = "\n".join(value.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        self.draw.multiline_text(
            at,
            printable[:MOST_TEXT],
            fill=self.ink,
            font=self.font,
            stroke_width=1,
            stroke_fill=self.outline,
        )

    def caption(self, lines: Sequence[str], *, is_at_bottom: bool) -> None:
        step = self.line_height + 3
        top = self.size[1] - step * len(lines) - 4 if is_at_bottom else 3
        for number, line in enumerate(lines):
            self.text((4, top + number * step), line)


def shifted(point: Point, distance: float) -> Point:
    return point[0] + distance, point[1] + distance
