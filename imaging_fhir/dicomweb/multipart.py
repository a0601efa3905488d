"""Bodies of many parts (RFC 2046, RFC 7578, PS3.18 8.6.1): read and written as they stream."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from typing import Protocol
from uuid import uuid4

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from imaging_fhir.errors import InvalidRequest, UnsupportedMediaType, UploadTooLarge

READ_SIZE = 256 * 1024
MAX_PARTS = 100_000
MAX_HEADERS = 32  # of a part
MAX_HEADER_BYTES = 8 * 1024  # of one header
MAX_FIELD_BYTES = 64 * 1024  # of a form's field, which is held in memory
MAX_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70; some senders do not count


Headers = dict[str, str]


class ReadableBytes(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class RelatedParser(PushMultipartParser):  # type: ignore[misc]
    """Without the Content-Disposition that form-data demands of every part."""

    def _create_segment(self, headerlist: list[tuple[str, str]]) -> MultipartSegment:
        return MultipartSegment(headerlist)


PARSERS = {"multipart/related": RelatedParser, "multipart/form-data": PushMultipartParser}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part, whose chunks can be read once, and only before the next part is asked for."""

    chunks: "Chunks"
    content_type: str = ""  # in lower case and without parameters; empty where none is given
    name: str | None = None
    filename: str | None = None
    headers: Headers = field(default_factory=dict)  # by Name-In-Title-Case

    def text(self, limit: int = MAX_FIELD_BYTES) -> str:
        """The value of a form's field; raise UploadTooLarge, InvalidRequest."""
        value = b""
        for chunk in self.chunks:
            value += chunk
            if len(value) > limit:
                raise UploadTooLarge(f"A field of a form may have at most {limit} bytes.")
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest("A field of the form is not in UTF-8.") from error


class Events:
    """What the parser finds in the stream; once it has failed, it fails for good."""

    def __init__(self, stream: ReadableBytes, parser: PushMultipartParser) -> None:
        self._parsed = parser.parse_blocking(stream.read, READ_SIZE)
        self._failure: BaseException | None = None

    def __iter__(self) -> "Events":
        return self

    def __next__(self) -> MultipartSegment | bytes | None:
        """A part's headers, a piece of its bytes, or None for its end."""
        if self._failure is not None:
            raise self._failure
        try:
            return next(self._parsed)
        except StopIteration:
            raise
        except MultipartError as error:
            self._failure = refused(error)
            raise self._failure from error
        except BaseException as error:  # of the stream: the client is gone
            self._failure = error
            raise


class Chunks:
    """The bytes of one part; raises InvalidRequest where the body ends before the part does."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._at_end = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._at_end:
            raise StopIteration
        chunk = next(self._events)
        if chunk is None:
            self._at_end = True
            raise StopIteration
        return bytes(chunk)


def parts(
    stream: ReadableBytes, content_type: str, *, max_parts: int = MAX_PARTS
) -> Iterator[Part]:
    """The parts of a body, each with its bytes as they arrive; what is not read is skipped.

    Raise UnsupportedMediaType where the body is not multipart, InvalidRequest where it is malformed
    or cut off: then the part that was being read is not whole.
    """
    events = Events(stream, parser_for(content_type, max_parts))
    for segment in events:
        part = part_of(segment, Chunks(events))
        yield part
        for _ in part.chunks:
            pass


def part_of(segment: MultipartSegment, chunks: Chunks) -> Part:
    return Part(
        chunks=chunks,
        content_type=segment.content_type or "",
        name=segment.name,
        filename=segment.filename,
        headers=dict(segment.headerlist),
    )


def parser_for(content_type: str, max_parts: int) -> PushMultipartParser:
    media_type, parameters = split_media_type(content_type)
    if media_type not in PARSERS:
        raise UnsupportedMediaType(
            f"The body is not one of {' and '.join(PARSERS)}.", expression="http.Content-Type"
        )
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARACTERS or not boundary.isascii():
        raise InvalidRequest(
            "The Content-Type of a multipart body needs a boundary.", expression="http.Content-Type"
        )
    return PARSERS[media_type](
        boundary,
        max_header_size=MAX_HEADER_BYTES,
        max_header_count=MAX_HEADERS,
        max_segment_count=max_parts,
    )


@lru_cache(maxsize=64)  # a request's own is asked for at each step
def split_media_type(value: str) -> tuple[str, Mapping[str, str]]:
    """The type in lower case, and its parameters; few senders quote `type=a/b` as they should."""
    message = Message()
    message["Content-Type"] = value
    (media_type, _), *parameters = message.get_params() or [("", "")]
    return media_type.strip().lower(), {
        name.lower(): collapse_rfc2231_value(text) for name, text in parameters
    }


def refused(error: MultipartError) -> InvalidRequest | UploadTooLarge:
    if isinstance(error, ParserLimitReached):
        return UploadTooLarge(f"The multipart body: {error}.")
    return InvalidRequest(f"The multipart body cannot be read: {error}.")


def new_boundary() -> str:
    """So long and random that no image holds it by chance."""
    return uuid4().hex


def part_start(boundary: str, headers: Headers) -> bytes:
    """What comes before the bytes of a part."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"\r\n--{boundary}\r\n{lines}\r\n".encode("ascii")


def body_end(boundary: str) -> bytes:
    return f"\r\n--{boundary}--\r\n".encode("ascii")


def related_length(boundary: str, lengths: Iterable[tuple[Headers, int]]) -> int:
    """Of the body whose parts have these headers and so many bytes."""
    ends = len(body_end(boundary))
    return ends + sum(len(part_start(boundary, headers)) + length for headers, length in lengths)


def related_body(
    boundary: str, contents: Iterable[tuple[Headers, Iterable[bytes]]]
) -> Iterator[bytes]:
    """The whole body, from the headers and the bytes of each part."""
    for headers, chunks in contents:
        yield part_start(boundary, headers)
        yield from chunks
    yield body_end(boundary)
