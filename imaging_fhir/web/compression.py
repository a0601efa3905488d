"""gzip of answers and of bodies (RFC 9110, 8.4): text of ours, never images or parts of them."""

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import RawIOBase
from typing import IO, Any
from wsgiref.headers import Headers

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header, parse_options_header
from werkzeug.wsgi import get_input_stream

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

DOORS = ("/fhir", "/dicomweb")  # whose bodies may come as gzip
COMPRESSED = frozenset(
    {
        "application/fhir+json",
        "application/fhir+xml",
        "application/dicom+json",
        "application/json",
        "text/html",
        "text/css",
        "text/javascript",
        "text/plain",
        "image/svg+xml",
    }
)
LEAST_BYTES = 1000  # what is smaller fits a packet anyway
MOST_BYTES = 1_000_000  # what is longer is compressed piece by piece, as it comes
LEVEL = 1  # of FHIR JSON it leaves an eighth in a third of the time that level 6 takes
GZIP = 31  # zlib's name for gzip's header and trailer
GZIP_NAMES = ("gzip", "x-gzip")
PIECE = 64 * 1024
INFLATED = "imaging_fhir.inflated"
"""In the environment of a request whose body says itself where it ends: gzip has a trailer."""


class Compression:
    """WSGI: answers go out as gzip where the client takes it; bodies of gzip are inflated."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if is_gzip_sent(environ):
            environ = inflated(environ)
        if not takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return self.application(environ, start_response)
        answer = Answering(start_response)
        body = self.application(environ, answer.start)
        if not answer.is_compressed:
            return body
        if environ["REQUEST_METHOD"] == "HEAD":
            answer.go_on(None)
            return body
        if answer.is_short or isinstance(body, list):
            packed = b"".join(Packed(body))
            answer.go_on(len(packed))
            return [packed]
        answer.go_on(None)
        return Packed(body)


class Answering:
    """Holds back the status line of what will be compressed, until its length is known."""

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.is_compressed = False
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.rest: tuple[Any, ...] = ()

    def start(self, status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        if is_compressible(status, headers):
            self.is_compressed = True
            self.status, self.headers, self.rest = status, headers, rest
            return None
        return self.start_response(status, headers, *rest)

    @property
    def is_short(self) -> bool:
        return int(Headers(self.headers).get("Content-Length") or MOST_BYTES) < MOST_BYTES

    def go_on(self, length: int | None) -> None:
        headers = Headers(self.headers)
        headers["Content-Encoding"] = "gzip"
        del headers["Content-Length"]
        if length is not None:
            headers["Content-Length"] = str(length)
        self.start_response(self.status, self.headers, *self.rest)


class Packed:
    """The pieces of a body as one member of gzip; what closes the body is called."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        packer = zlib.compressobj(LEVEL, wbits=GZIP)
        try:
            for piece in self.body:
                if packed := packer.compress(piece):
                    yield packed
            yield packer.flush()
        finally:
            self.close()

    def close(self) -> None:
        if hasattr(self.body, "close"):
            self.body.close()


def is_compressible(status: str, given: list[tuple[str, str]]) -> bool:
    if status[:3] in ("204", "206", "304"):
        return False
    headers = Headers(given)
    name, _ = parse_options_header(headers.get("Content-Type"))
    return (
        name.lower() in COMPRESSED
        and "Content-Encoding" not in headers
        and "Accept-Ranges" not in headers
        and int(headers.get("Content-Length") or LEAST_BYTES) >= LEAST_BYTES
    )


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str) -> bool:
    """Said by name or by `*`, and not with a quality of 0 or below that of the plain form."""
    if not accept_encoding:
        return False
    accepted = parse_accept_header(accept_encoding, Accept)
    named = dict(accepted)
    quality = max(accepted.quality(name) for name in GZIP_NAMES)
    return quality > 0 and quality >= named.get("identity", 0)


def is_gzip_sent(environ: Environ) -> bool:
    sent = environ.get("HTTP_CONTENT_ENCODING", "")
    return sent.lower() in GZIP_NAMES and environ["PATH_INFO"].startswith(DOORS)


def inflated(environ: Environ) -> Environ:
    """The same request without gzip; nothing is inflated before somebody reads."""
    plain = {name: value for name, value in environ.items() if name != "HTTP_CONTENT_ENCODING"}
    plain.pop("CONTENT_LENGTH", None)
    stream = Inflating(get_input_stream(environ, safe_fallback=True))
    return plain | {"wsgi.input": stream, "wsgi.input_terminated": True, INFLATED: True}


class Inflating(RawIOBase):
    """A body of gzip as what it holds; never more than is read is held, however small it came.

    Raises InvalidRequest from reading where it is no gzip, or not the whole of it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.inflater = zlib.decompressobj(wbits=GZIP)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def piece(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self.inflater.eof:
            packed = self.inflater.unconsumed_tail or self.packed()
            try:
                piece = self.inflater.decompress(packed, size)
            except zlib.error as error:
                raise InvalidRequest("The body is no gzip, as Content-Encoding says.") from error
            if piece:
                return piece
        if self.inflater.unused_data or self.stream.read(1):
            raise InvalidRequest("The body has more than one member of gzip.")
        return b""

    def packed(self) -> bytes:
        packed = self.stream.read(PIECE)
        if not packed:
            raise InvalidRequest("The body ends before its gzip does.")
        return packed
