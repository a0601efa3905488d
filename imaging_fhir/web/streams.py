"""Bodies read piece by piece, so that none is held whole unless it must be."""

from collections.abc import Generator, Iterator
from typing import IO

from werkzeug.exceptions import LengthRequired
from werkzeug.wrappers import Request

from imaging_fhir.errors import InvalidRequest, UploadTooLarge
from imaging_fhir.web.compression import INFLATED

CHUNK = 256 * 1024


def chunks(stream: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """The stream's bytes in pieces of at most `size`, until it ends."""
    while piece := stream.read(size):
        yield piece


def sent(request: Request) -> Iterator[bytes]:
    """The whole body in pieces; raise InvalidRequest where it ends before its Content-Length.

    A connection that breaks looks like the end of the body, so that of a body without a length
    nobody could say whether it is whole: raise LengthRequired. What comes as gzip says it itself.
    """
    if INFLATED in request.environ:
        yield from chunks(request.stream)
        return
    left = request.content_length
    for piece in chunks(request.stream):
        if left is None:
            raise LengthRequired
        left -= len(piece)
        yield piece
    if left:
        raise InvalidRequest("The body ends before its Content-Length.")


def limited(stream: IO[bytes], length: int, size: int = CHUNK) -> Generator[bytes, None, None]:
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
