"""The greyscale transformations in their order: Modality, VOI and Presentation LUT (PS3.4 N.2).

Stored whole numbers are few: the transformations run over each value that there is, once, and the
picture is looked up in what comes out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from imaging_fhir.images.dicom_numbers import first_number, is_big_endian, whole_number
from imaging_fhir.images.lookup_table import lookup_table
from imaging_fhir.images.modality_lut import modality_values
from imaging_fhir.images.voi import Voi, shown, voi_of
from imaging_fhir.model.rendering import Window

Array = npt.NDArray[Any]

WHITE = 255
MOST_VALUES = 0x20000  # looked up; more are computed
AT_ONCE = 1 << 15  # pixels: little enough to stay in the memory that there is
PERCENTILES = (0.5, 99.5)  # of what is shown where the file says no window
SAMPLE = 1 << 20  # pixels that the percentiles are taken of
FEW_BITS = 8  # such values are grey as they are


def grey_picture(
    stored: Array, attributes: Dataset, window: Voi | None, *, is_forgiving: bool = False
) -> Array:
    """Eight bits a pixel, by that window, else the file's own, else one that suits the values.

    The forgiving one does not believe a window that all values are beside: a thumbnail that is
    all black tells nothing.
    """
    voi = window or voi_of(attributes) or automatic_window(stored, attributes)
    picture = levels(stored, attributes, voi)
    if is_forgiving and is_even(picture) and not is_even(stored):
        return levels(stored, attributes, automatic_window(stored, attributes))
    return picture


def is_even(values: Array) -> bool:
    return not values.size or bool(values.min() == values.max())


def levels(stored: Array, attributes: Dataset, voi: Voi) -> Array:
    def of(values: Array) -> Array:
        grey = presented(shown(modality_values(values, attributes), voi), attributes)
        eight_bit: Array = np.rint(np.nan_to_num(grey) * WHITE).astype(np.uint8)
        return eight_bit

    return looked_up(stored, of) if stored.dtype.kind in "iub" else computed(stored, of)


def looked_up(stored: Array, of: Callable[[Array], Array]) -> Array:
    if not stored.size:
        return np.empty(stored.shape, np.uint8)
    lowest, highest = int(stored.min()), int(stored.max())
    if highest - lowest >= MOST_VALUES:
        return computed(stored, of)
    table = of(np.arange(lowest, highest + 1))
    if lowest == 0:
        return in_parts(stored, lambda part: table[part])
    return in_parts(stored, lambda part: table[part.astype(np.int64) - lowest])


def computed(stored: Array, of: Callable[[Array], Array]) -> Array:
    return in_parts(stored, of)


def in_parts(stored: Array, of: Callable[[Array], Array]) -> Array:
    """By some rows at a time, so that a large picture needs no more memory than its own."""
    picture = np.empty(stored.shape, np.uint8)
    step = max(AT_ONCE // max(stored.shape[-1], 1), 1)
    for row in range(0, len(stored), step):
        picture[row : row + step] = of(stored[row : row + step])
    return picture


def presented(grey: Array, attributes: Dataset) -> Array:
    """The Presentation LUT of a presentation state; MONOCHROME1 is its shape INVERSE (C.11.6).

    An image's own PresentationLUTShape has to agree with its photometric interpretation, and adds
    nothing.
    """
    for item in (attributes.get("PresentationLUTSequence") or [])[:1]:
        table = lookup_table(item, is_signed=False, is_big_endian=is_big_endian(attributes))
        if table is not None:
            looked: Array = table.of(grey * (len(table.entries) - 1)) / table.highest
            return looked
    return 1 - grey if attributes.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def automatic_window(stored: Array, attributes: Dataset) -> Window:
    """Where the file says none: the full range of few bits, else the bulk of the values.

    Padding (C.7.5.1.1.2), infinities and what is no number do not count. Segments are shown from
    none to the last.
    """
    is_segmentation = "SegmentationType" in attributes
    has_few_bits = whole_number(attributes, "BitsStored", 16) <= FEW_BITS
    if has_few_bits and stored.dtype.kind in "iub" and not is_segmentation:
        return full_window(attributes)
    counted = modality_values(counted_values(stored, attributes), attributes)
    if not counted.size:
        return between(0, 1)
    lowest, highest = np.percentile(counted, (0, 100) if is_segmentation else PERCENTILES)
    if lowest == highest:
        lowest, highest = counted.min(), counted.max()
    if is_segmentation:
        lowest = min(lowest, 0)
    return between(float(lowest), float(highest))


def full_window(attributes: Dataset) -> Window:
    """All values that BitsStored has room for."""
    bits = whole_number(attributes, "BitsStored", 16)
    first = -(2 ** (bits - 1)) if attributes.get("PixelRepresentation") == 1 else 0
    return between(*modality_values(np.array([first, first + 2**bits - 1]), attributes))


def between(one: float, other: float) -> Window:
    width = abs(other - one) or 1
    return Window(
        center=float(min(one, other) + width / 2), width=float(width), function="LINEAR_EXACT"
    )


def counted_values(stored: Array, attributes: Dataset) -> Array:
    sample = stored.reshape(-1)[:: max(stored.size // SAMPLE, 1)]
    counted = np.isfinite(sample)
    padding = first_number(attributes, "PixelPaddingValue")
    if padding is not None:
        limit = first_number(attributes, "PixelPaddingRangeLimit")
        limit = padding if limit is None else limit
        low, high = min(padding, limit), max(padding, limit)
        counted &= (sample < low) | (sample > high)
    return sample[counted]
