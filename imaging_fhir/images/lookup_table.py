"""A lookup table of a data set (PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

Array = npt.NDArray[Any]

WORD = 0x10000


@dataclass(frozen=True, slots=True)
class LookupTable:
    """`entries[0]` is for the value `first` and all below it, the last one for all above."""

    first: int
    entries: Array
    bits: int  # of an entry

    def of(self, values: Array) -> Array:
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        found: Array = self.entries[index.astype(np.intp)]
        return found

    @property
    def highest(self) -> int:
        return int(2**self.bits - 1)


def lookup_table(
    item: Dataset, name: str = "LUT", *, is_signed: bool, is_big_endian: bool = False
) -> LookupTable | None:
    """The table of an item of a LUT Sequence (or, by `name`, of a palette); None without one.

    `is_signed` says whether what goes in may be negative: the first value mapped is then too.
    """
    descriptor, data = item.get(f"{name}Descriptor"), item.get(f"{name}Data")
    if descriptor is None or data is None or len(descriptor) != 3:
        return None
    length, first, bits = (int(value) % WORD for value in descriptor)
    length = length or WORD
    if is_signed and first >= WORD // 2:
        first -= WORD
    entries = table_entries(data, length, is_big_endian=is_big_endian)
    if not len(entries) or not 1 <= bits <= 16:
        return None
    needed = int(entries.max()).bit_length()  # some files say fewer bits than they use
    return LookupTable(first, entries, max(bits, needed))


def table_entries(data: Any, length: int, *, is_big_endian: bool) -> Array:
    """The entries; bytes are words, or one an entry where there are not enough for words."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64))[:length] % WORD
    if len(data) < 2 * length:
        entries = np.frombuffer(data, np.uint8)
        return entries[:length].astype(np.int64)
    kind = ">u2" if is_big_endian else "<u2"
    return np.frombuffer(data[: 2 * length], kind).astype(np.int64)
