"""The Modality LUT: stored values to the values of the modality (PS3.3 C.11.1)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from imaging_fhir.images.dicom_numbers import first_number, is_big_endian
from imaging_fhir.images.lookup_table import lookup_table

Array = npt.NDArray[Any]


def modality_values(stored: Array, attributes: Dataset) -> Array:
    """By the Modality LUT Sequence, else by rescale slope and intercept, else as they are."""
    for item in (attributes.get("ModalityLUTSequence") or [])[:1]:
        is_signed = attributes.get("PixelRepresentation") == 1
        table = lookup_table(item, is_signed=is_signed, is_big_endian=is_big_endian(attributes))
        if table is not None:
            return table.of(stored).astype(np.float64)
    slope = first_number(attributes, "RescaleSlope")
    intercept = first_number(attributes, "RescaleIntercept")
    values = stored.astype(np.float64)
    if slope is None and intercept is None:
        return values
    return values * (1.0 if slope is None else slope) + (intercept or 0.0)


def has_negative_values(attributes: Dataset) -> bool:
    """Whether the output may be negative: what a VOI LUT's first value is read by (C.11.2.1.1)."""
    if attributes.get("ModalityLUTSequence"):
        return False
    if attributes.get("PixelRepresentation") == 1:
        return True
    slope = first_number(attributes, "RescaleSlope")
    intercept = first_number(attributes, "RescaleIntercept")
    return (slope or 0) < 0 or (intercept or 0) < 0
