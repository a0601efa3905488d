"""Colours of a decoded frame as red, green and blue of eight bits (PS3.3 C.7.6.3.1.2)."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# The inverse of the matrix that C.7.6.3.1.2 gives for YBR_PARTIAL_422 and YBR_PARTIAL_420.
OF_PARTIAL = np.linalg.inv(
    np.array(
        [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]],
        np.float32,
    )
)
PARTIAL_BLACK = np.array([16, 128, 128], np.float32)


def colours_of_partial(values: Array) -> Array:
    """YBR_PARTIAL of eight bits as RGB."""
    colours = (values.astype(np.float32) - PARTIAL_BLACK) @ OF_PARTIAL.T
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def eight_bits(values: Array, bits: int) -> Array:
    """Channels of `bits` scaled to 8."""
    if values.dtype.itemsize == 1 and bits == 8:
        return values.view(np.uint8)
    highest = 2**bits - 1
    scaled: Array = np.rint(np.clip(values, 0, highest) * (255.0 / highest)).astype(np.uint8)
    return scaled
