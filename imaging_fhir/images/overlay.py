"""Overlay planes, groups 6000 to 601E (PS3.3 C.9.2); also those in the pixel data's unused bits."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

Array = npt.NDArray[Any]

GROUPS = range(0x6000, 0x6020, 2)
ROWS, COLUMNS, FRAMES, ORIGIN = 0x10, 0x11, 0x15, 0x50
FRAME_ORIGIN, BIT_POSITION, ACTIVATION, DATA = 0x51, 0x102, 0x1001, 0x3000
INK = 255


def groups_of(header: Dataset) -> list[int]:
    """Those that have a plane of their own, or a bit of the pixel data."""
    return [group for group in GROUPS if (group, ROWS) in header]


def activated_groups(state: Dataset) -> list[int]:
    """The image's overlays that a presentation state shows (C.11.7)."""
    return [group for group in GROUPS if number(state, group, ACTIVATION) is not None]


def are_in_cells(header: Dataset, groups: Sequence[int]) -> bool:
    """Whether any of them is in the unused bits of the pixel data (retired, and still met)."""
    return any(number(header, group, DATA) is None for group in groups)


def number(header: Dataset, group: int, element: int) -> Any:
    found = header.get((group, element))
    return None if found is None or found.value in ("", None) else found.value


def masks(
    header: Dataset, groups: Sequence[int], frame: int, cells: Array | None
) -> Iterator[tuple[Array, int, int]]:
    """Each overlay's bits on that frame (from 0), and the row and column where they begin.

    `cells` are the frame's words with all their bits, for overlays in the unused ones.
    """
    for group in groups:
        rows, columns = number(header, group, ROWS), number(header, group, COLUMNS)
        position = number(header, group, BIT_POSITION) or 0
        data = number(header, group, DATA)
        if data is None and position and cells is not None:
            yield (cells >> int(position)) & 1 == 1, 0, 0
        elif data is not None and rows and columns:
            plane = plane_of(header, group, frame)
            if plane is not None:
                bits = plane_bits(data, int(rows), int(columns), plane)
                origin = number(header, group, ORIGIN) or (1, 1)
                yield bits, int(origin[0]) - 1, int(origin[1]) - 1


def plane_of(header: Dataset, group: int, frame: int) -> int | None:
    """Which of the overlay's frames lies on that frame; a single one lies on all."""
    count = int(number(header, group, FRAMES) or 1)
    first = int(number(header, group, FRAME_ORIGIN) or 1) - 1
    if count == 1 and number(header, group, FRAME_ORIGIN) is None:
        return 0
    return frame - first if first <= frame < first + count else None


def plane_bits(data: bytes, rows: int, columns: int, plane: int) -> Array:
    """One plane of packed bits, the lowest of each byte first (PS3.5 8.1.2)."""
    size = rows * columns
    first = plane * size
    part = np.frombuffer(data, np.uint8)[first // 8 : (first + size + 7) // 8]
    bits = np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + size]
    mask: Array = np.pad(bits, (0, size - len(bits))).reshape(rows, columns) == 1
    return mask


def burned(picture: Array, overlays: Iterator[tuple[Array, int, int]]) -> Array:
    """White where an overlay is; what lies outside of the picture is not there."""
    result = picture.copy()
    for mask, row, column in overlays:
        height, width = mask.shape
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + height, result.shape[0]), min(column + width, result.shape[1])
        if top < bottom and left < right:
            inside = mask[top - row : bottom - row, left - column : right - column]
            result[top:bottom, left:right][inside] = INK
    return result
