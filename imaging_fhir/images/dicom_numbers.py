"""Numbers of a data set that rendering needs, whatever the file has in their place."""

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian


def first_number(attributes: Dataset, keyword: str) -> float | None:
    """The first value of a numeric attribute; None where it is missing or malformed."""
    try:
        value = attributes.get(keyword)
        number = float(value[0] if isinstance(value, MultiValue) else value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def whole_number(attributes: Dataset, keyword: str, default: int) -> int:
    number = first_number(attributes, keyword)
    return default if number is None else int(number)


def numbers(attributes: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite values, else None."""
    try:
        found = tuple(float(value) for value in attributes.get(keyword) or ())
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(np.isfinite(found)) else None


def is_big_endian(attributes: Dataset) -> bool:
    return bool(attributes.file_meta.get("TransferSyntaxUID") == ExplicitVRBigEndian)
