"""`_format` and `_pretty` of a search that is posted count as in an address (search.html#post).

They say what the answer is to look like, and that is decided before the search is read.
"""

from collections.abc import Iterable
from io import BytesIO, RawIOBase
from typing import Any
from urllib.parse import parse_qsl, urlencode

from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request

from imaging_fhir.errors import ImagingError
from imaging_fhir.web.streams import chunks
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

FORM = "application/x-www-form-urlencoded"
MOST_FORM_BYTES = 500_000
OF_THE_ANSWER = ("_format", "_pretty")


class PostedSearches:
    """WSGI: takes a short form apart; what is too long or broken is told by who reads it."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if is_posted_search(environ):
            environ = with_format_in_address(environ)
        return self.application(environ, start_response)


def is_posted_search(environ: Environ) -> bool:
    if environ["REQUEST_METHOD"] != "POST" or not environ["PATH_INFO"].endswith("/_search"):
        return False
    name, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    return name.lower() == FORM and environ["PATH_INFO"].startswith("/fhir/")


def with_format_in_address(environ: Environ) -> Environ:
    try:
        body = beginning(Request(environ))
    except ImagingError as error:
        return environ | {"wsgi.input": Broken(error), "wsgi.input_terminated": True}
    said = [pair for pair in parse_qsl(body.decode(errors="replace")) if pair[0] in OF_THE_ANSWER]
    query = "&".join(filter(None, (environ.get("QUERY_STRING", ""), urlencode(said))))
    return environ | {
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }


def beginning(request: Request) -> bytes:
    """All of a form that is not too long, and of another more than is allowed."""
    found = b""
    for piece in chunks(request.stream):
        found += piece
        if len(found) > MOST_FORM_BYTES:
            break
    return found


class Broken(RawIOBase):
    """A body that cannot be read, which is said when it is read."""

    def __init__(self, error: ImagingError) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise self.error
