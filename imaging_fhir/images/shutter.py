"""Display shutters: what lies outside of them is not shown (PS3.3 C.7.6.11)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydicom import Dataset

from imaging_fhir.images.dicom_numbers import first_number, numbers

Array = npt.NDArray[Any]

P_VALUES = 0xFFFF
EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterRightVerticalEdge",
    "ShutterLowerHorizontalEdge",
)


def shuttered(picture: Array, state: Dataset) -> Array:
    """The picture with all that any of the shutters covers in its presentation value."""
    shapes = state.get("ShutterShape") or ()
    shapes = [shapes] if isinstance(shapes, str) else shapes
    open_ = np.ones(picture.shape[:2], bool)
    for shape in shapes:
        opening = OPENINGS.get(str(shape), everything)(picture.shape[:2], state)
        open_ &= opening
    if open_.all():
        return picture
    result = picture.copy()
    result[~open_] = round((first_number(state, "ShutterPresentationValue") or 0) * 255 / P_VALUES)
    return result


def everything(shape: tuple[int, ...], _state: Dataset) -> Array:
    return np.ones(shape, bool)


def rectangle(shape: tuple[int, ...], state: Dataset) -> Array:
    """Between its edges, those included; rows and columns count from 1."""
    edges = [first_number(state, keyword) for keyword in EDGES]
    if any(edge is None for edge in edges):
        return everything(shape, state)
    left, upper, right, lower = (int(edge or 0) for edge in edges)
    inside = np.zeros(shape, bool)
    inside[max(upper - 1, 0) : max(lower, 0), max(left - 1, 0) : max(right, 0)] = True
    return inside


def circle(shape: tuple[int, ...], state: Dataset) -> Array:
    center = numbers(state, "CenterOfCircularShutter", 2)
    radius = first_number(state, "RadiusOfCircularShutter")
    if center is None or radius is None:
        return everything(shape, state)
    row, column = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    inside: Array = (row - center[0]) ** 2 + (column - center[1]) ** 2 <= radius**2
    return inside


def polygon(shape: tuple[int, ...], state: Dataset) -> Array:
    vertices = [int(value) for value in state.get("VerticesOfThePolygonalShutter") or ()]
    if len(vertices) < 6 or len(vertices) % 2:
        return everything(shape, state)
    points = [(vertices[i + 1] - 1, vertices[i] - 1) for i in range(0, len(vertices), 2)]
    drawn = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(drawn).polygon(points, fill=1, outline=1)
    return np.asarray(drawn)


OPENINGS = {"RECTANGULAR": rectangle, "CIRCULAR": circle, "POLYGONAL": polygon}
