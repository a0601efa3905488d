"""Bytes that are sent: new ones, and ranges of stored ones that are read only as they go out."""

from collections.abc import Iterable, Iterator

from imaging_fhir.images.dicom_stream import SeekableBytes

CHUNK = 256 * 1024

Piece = bytes | tuple[int, int]  # new bytes, or from where to where of the stored ones


def size_of(pieces: Iterable[Piece]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)


def chunks_of(stream: SeekableBytes, pieces: Iterable[Piece]) -> Iterator[bytes]:
    """All of them; less where the stream ends before a range does."""
    for piece in pieces:
        if isinstance(piece, bytes):
            if piece:
                yield piece
            continue
        stream.seek(piece[0])
        left = piece[1] - piece[0]
        while left and (chunk := stream.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def part_of(pieces: Iterable[Piece], start: int, stop: int) -> Iterator[Piece]:
    """What lies between these two positions of the whole."""
    position = 0
    for piece in pieces:
        size = size_of([piece])
        low, high = max(start - position, 0), min(stop - position, size)
        position += size
        if low < high:
            if isinstance(piece, bytes):
                yield piece[low:high]
            else:
                yield piece[0] + low, piece[0] + high
