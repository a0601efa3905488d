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
        setattr(plain, f"{name}Data", expanded(segmented, is_big_endian=big))
        attributes, big = plain, False
    table = lookup_table(attributes, name, is_signed=is_signed, is_big_endian=big)
    if table is None:
        raise UnreadableImage(f"The {channel} Palette Color Lookup Table is missing or damaged.")
    return table


def expanded(data: bytes, *, is_big_endian: bool) -> bytes:
    """The entries that segments of 16-bit words stand for; raise UnreadableImage."""
    words = np.frombuffer(data, ">u2" if is_big_endian else "<u2").astype(np.int64)
    entries: list[int] = []
    expand(words, 0, len(words), entries)
    return np.asarray(entries[:WORD], "<u2").tobytes()


def expand(words: Array, position: int, end: int, entries: list[int]) -> int:
    """Append what the segments from `position` to `end` stand for; where the last one ended."""
    while position + 1 < end and len(entries) <= WORD:
        kind, length = int(words[position]), int(words[position + 1])
        position = segment(words, position + 2, kind, length, entries)
    return position


def segment(words: Array, position: int, kind: int, length: int, entries: list[int]) -> int:
    if kind == DISCRETE:
        entries += words[position : position + length].tolist()
        return position + length
    if kind == LINEAR and entries and position < len(words):
        line = np.linspace(entries[-1], words[position], length + 1)[1:]
        entries += np.rint(line).astype(int).tolist()
        return position + 1
    if kind == INDIRECT and position + 1 < len(words):
        repeat(words, int(words[position] + WORD * words[position + 1]), length, entries)
        return position + 2
    raise UnreadableImage("A segmented palette is damaged.")


def repeat(words: Array, offset: int, segments: int, entries: list[int]) -> None:
    """Segments met before, by their byte offset: none of them indirect (C.7.9.2.2.3)."""
    position = offset // 2
    for _ in range(segments):
        if position + 1 >= len(words) or words[position] == INDIRECT or len(entries) > WORD:
            raise UnreadableImage("A segmented palette is damaged.")
        kind, length = int(words[position]), int(words[position + 1])
        position = segment(words, position + 2, kind, length, entries)
