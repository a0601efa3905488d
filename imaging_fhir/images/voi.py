"""The VOI LUT: which values of the modality are shown from black to white (PS3.3 C.11.2)."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from imaging_fhir.images.dicom_numbers import first_number, is_big_endian
from imaging_fhir.images.lookup_table import LookupTable, lookup_table
from imaging_fhir.images.modality_lut import has_negative_values
from imaging_fhir.model.rendering import Window, WindowFunction

Array = npt.NDArray[Any]
Voi = LookupTable | Window

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
STEEPEST = 700.0  # of an exponent that is finite


def voi_of(attributes: Dataset) -> Voi | None:
    """The first VOI LUT, else the first window; None where there is neither."""
    for item in (attributes.get("VOILUTSequence") or [])[:1]:
        table = lookup_table(
            item,
            is_signed=has_negative_values(attributes),
            is_big_endian=is_big_endian(attributes),
        )
        if table is not None:
            return table
    return window_of(attributes)


def window_of(attributes: Dataset) -> Window | None:
    """The first of several; one that is not positive is none, and one below 1 is exact only."""
    center = first_number(attributes, "WindowCenter")
    width = first_number(attributes, "WindowWidth")
    stated = str(attributes.get("VOILUTFunction") or "LINEAR").strip().upper()
    function = cast("WindowFunction", stated if stated in FUNCTIONS else "LINEAR")
    if center is None or width is None or width <= 0:
        return None
    return Window(center=center, width=width, function=function)


def shown(values: Array, voi: Voi) -> Array:
    """From 0 (black) to 1 (white), before the presentation LUT."""
    if isinstance(voi, LookupTable):
        looked_up: Array = voi.of(values) / voi.highest
        return looked_up
    return windowed(values, voi)


def windowed(values: Array, window: Window) -> Array:
    """C.11.2.1.2.1 LINEAR, C.11.2.1.3.1 SIGMOID, C.11.2.1.3.2 LINEAR_EXACT."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4 * (values - center) / width, -STEEPEST, STEEPEST)
        sigmoid: Array = 1 / (1 + np.exp(exponent))
        return sigmoid
    if window.function == "LINEAR" and width >= 1:  # less is not allowed: taken as exact
        center, width = center - 0.5, width - 1
    if width == 0:  # LINEAR of width 1: a threshold
        threshold: Array = (values > center).astype(np.float64)
        return threshold
    linear: Array = np.clip((values - center) / width + 0.5, 0, 1)
    return linear
