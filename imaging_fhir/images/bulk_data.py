"""Where the value of one element lies in a DICOM file, by the path that its BulkDataURI names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.images.dicom_elements import UNDEFINED, DataSet, Element, ElementReader
from imaging_fhir.images.dicom_stream import (
    FileStart,
    InflatedStream,
    SeekableBytes,
    start_of_file,
)
from imaging_fhir.images.dicom_warnings import ReadWarnings
from imaging_fhir.images.frames import compressed_pieces, frame_bounds, swapped
from imaging_fhir.images.pieces import CHUNK, Piece

WORD_BYTES = {
    **dict.fromkeys(("OW", "US", "SS"), 2),
    **dict.fromkeys(("OF", "OL", "UL", "SL", "FL"), 4),
    **dict.fromkeys(("OD", "OV", "FD", "UV", "SV"), 8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkValue:
    """A value in its file; `length` is None where it is of encapsulated fragments."""

    stream: SeekableBytes
    offset: int
    length: int | None
    vr: str
    little_endian: bool

    def size(self) -> int:
        """Of a value that is not encapsulated: fewer bytes where the file is cut off."""
        length = self.length or 0
        if isinstance(self.stream, InflatedStream):
            self.stream.seek(self.offset)
            return len(self.stream.read(length))
        return min(length, self.stream.seek(0, 2) - self.offset)

    def chunks(self) -> Iterator[bytes]:
        """The bytes of a value that is not encapsulated, in little endian (PS3.18 F.2.6)."""
        self.stream.seek(self.offset)
        word = 1 if self.little_endian else WORD_BYTES.get(self.vr, 1)
        left = self.length or 0
        while left and (chunk := self.stream.read(min(left, CHUNK))):
            left -= len(chunk)
            yield swapped(chunk, word)

    def fragments(self, size: int) -> tuple[Piece, ...]:
        """Of an encapsulated value in a file of that size, all as those of one image."""
        stream = cast(BinaryIO, self.stream)
        return compressed_pieces(stream, size, *frame_bounds(stream, self.offset, 1))


class BulkDataFinder(ElementReader):
    """Walks as the reader of uploads does, up to the one element: so each path leads back."""

    def __init__(self, start: FileStart, path: str) -> None:
        super().__init__(start, ReadWarnings())
        self.path = path
        self.found: BulkValue | None = None

    def _element(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> Element | None:
        if f"{data_set.path}{tag:08X}" == self.path:
            self._find(tag, vr, length, data_set)
            return None
        return super()._element(tag, vr, length, data_set)

    def _end_at(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> None:
        if f"{tag:08X}" == self.path and not data_set.depth:
            self._find(tag, vr, length, data_set)
        super()._end_at(tag, vr, length, data_set)

    def _find(self, tag: int, vr: str | None, length: int, data_set: DataSet) -> None:
        self.found = BulkValue(
            stream=self.stream,
            offset=self._tell(),
            length=None if length == UNDEFINED else length,
            vr=vr or self._known_vr(tag, vr, length, data_set),
            little_endian=data_set.reading.little_endian,
        )
        self._is_stopped = True


def bulk_value(stream: BinaryIO, path: str) -> BulkValue:
    """The value of the element at `7FE00010` or `54000100/0/54001010`; raise ResourceNotFound."""
    start = start_of_file(stream)
    finder = BulkDataFinder(start, path)
    finder.read(start)
    if finder.found is None or finder.found.vr == "SQ":
        raise ResourceNotFound("The instance has no such bulk data.")
    return finder.found
