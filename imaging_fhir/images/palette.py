"""PALETTE COLOR: indices to red, green and blue (PS3.3 C.7.6.3.1.5, C.7.9; segments: C.7.9.2)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.dicom_numbers import is_big_endian
from imaging_fhir.images.lookup_table import WORD, LookupTable, lookup_table

Array = npt.NDArray[Any]

CHANNELS = ("Red", "Green", "Blue")
DISCRETE, LINEAR, INDIRECT = range(3)


def palette_colours(indices: Array, attributes: Dataset) -> Array:
    """Eight bits a channel, by pixel; raise UnreadableImage where a table is missing."""
    tables = [channel_table(attributes, channel) for channel in CHANNELS]
    highest = max(int(table.entries.max()) for table in tables)
    bits = 8 if highest < 256 else 16  # tables of 16 bits may hold values of 8
    entries = np.stack([padded(table, tables) for table in tables], axis=1)
    scaled = np.rint(entries * (255 / (2**bits - 1))).astype(np.uint8)
    index = np.clip(indices.astype(np.int64) - tables[0].first, 0, len(scaled) - 1)
    colours: Array = scaled[index]
    return colours


def padded(table: LookupTable, tables: list[LookupTable]) -> Array:
    """All channels as long as the longest, by their last entry."""
    length = max(len(one.entries) for one in tables)
    return np.pad(table.entries, (0, length - len(table.entries)), mode="edge")


def channel_table(attributes: Dataset, channel: str) -> LookupTable:
    name = f"{channel}PaletteColorLookupTable"
    big = is_big_endian(attributes)
    is_signed = attributes.get("PixelRepresentation") == 1
    segmented = attributes.get(f"Segmented{name}Data")
    if segmented is not None and f"{name}Data" not in attributes:
        plain = Dataset()
        plain[f"{name}Descriptor"] = attributes[f"{name}Descriptor"]
        bits = int(attributes[f"{name}Descriptor"].value[2])
        setattr(plain, f"{name}Data", expanded(segmented, bits, is_big_endian=big))
        attributes, big = plain, False
    table = lookup_table(attributes, name, is_signed=is_signed, is_big_endian=big)
    if table is None:
        raise UnreadableImage(f"The {channel} Palette Color Lookup Table is missing or damaged.")
    return table


def expanded(data: bytes, bits: int, *, is_big_endian: bool) -> bytes:
    """The entries that segments stand for, which are bytes or words; raise UnreadableImage."""
    kind = "u1" if bits == 8 else ">u2" if is_big_endian else "<u2"
    segments = Segments(np.frombuffer(data[: len(data) // 2 * 2], kind).astype(np.int64), bits)
    position = 0
    while position + 1 < len(segments.cells) and len(segments.entries) <= WORD:
        position = segments.segment(position)
    return np.asarray(segments.entries[:WORD], "<u2").tobytes()


class Segments:
    """The cells of a segmented table, and the entries that they were found to stand for."""

    def __init__(self, cells: Array, bits: int) -> None:
        self.cells = cells
        self.bits = 8 if bits == 8 else 16
        self.entries: list[int] = []

    def segment(self, position: int, *, is_repeated: bool = False) -> int:
        """Append what the one at `position` stands for; where the next one is."""
        kind, length = self.cells[position : position + 2].tolist()
        position += 2
        if kind == DISCRETE:
            self.entries += self.cells[position : position + length].tolist()
            return int(position + length)
        if kind == LINEAR and self.entries and position < len(self.cells):
            line = np.linspace(self.entries[-1], self.cells[position], length + 1)[1:]
            self.entries += np.rint(line).astype(int).tolist()
            return position + 1
        if kind == INDIRECT and not is_repeated:
            return self.indirect(position, length)
        raise UnreadableImage("A segmented palette is damaged.")

    def indirect(self, position: int, segments: int) -> int:
        """Segments met before, by the offset of their bytes: none of them indirect itself."""
        width = 32 // self.bits  # cells of the offset
        cells = self.cells[position : position + width].tolist()
        offset = sum(cell << self.bits * place for place, cell in enumerate(cells))
        at = offset * 8 // self.bits
        for _ in range(segments):
            if at + 1 >= len(self.cells) or len(self.entries) > WORD:
                raise UnreadableImage("A segmented palette is damaged.")
            at = self.segment(at, is_repeated=True)
        return position + width
