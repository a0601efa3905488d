"""Bodies read piece by piece, so that none is held whole unless it must be."""

from collections.abc import Iterator
from typing import IO

from flask import Request

from imaging_fhir.errors import UploadTooLarge

CHUNK = 256 * 1024


def chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """The stream's bytes in pieces of at most `size`, until it ends."""
    while piece := stream.read(size):
        yield piece


def limited(stream: IO[bytes], length: int, size: int = CHUNK) -> Iterator[bytes]:
    """The next `length` bytes; the stream is closed at the end, however it comes."""
    try:
        while length > 0 and (piece := stream.read(min(size, length))):
            length -= len(piece)
            yield piece
    finally:
        stream.close()


def body(request: Request, limit: int) -> bytes:
    """The whole body, which is never more than `limit` bytes; raise UploadTooLarge."""
    if (request.content_length or 0) > limit:
        raise UploadTooLarge(f"The body is larger than {limit} bytes.")
    pieces, size = [], 0
    for piece in chunks(request.stream):
        size += len(piece)
        if size > limit:
            raise UploadTooLarge(f"The body is larger than {limit} bytes.")
        pieces.append(piece)
    return b"".join(pieces)
