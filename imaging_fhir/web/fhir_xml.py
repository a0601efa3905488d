"""FHIR XML in and out (http.html#mime-type), around an application that knows JSON only.

It asks the application as a JSON client would, so that every interaction, errors included, speaks
XML and no view needs to know of it. What is stored stays JSON.
"""

from collections.abc import Iterable
from io import BytesIO, RawIOBase
from typing import Any
from urllib.parse import parse_qs

from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request, Response

from imaging_fhir.fhir.xml import declared_encoding, from_xml, to_xml
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.web import streams
from imaging_fhir.web.fhir_pages import without_format
from imaging_fhir.web.negotiation import (
    FHIR_JSON,
    FHIR_XML,
    XML_TYPES,
    chosen_format,
    is_r4,
    is_xml_format,
    liked_best,
    prefers_xml,
    require_utf8,
    split_type,
)
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

CONTENT_TYPE = f"{FHIR_XML};charset=utf-8"
BINARY = "/fhir/Binary"  # any other type of XML than FHIR's own is that of its bytes


class FhirXml:
    """WSGI: bodies of FHIR XML become JSON on the way in, answers become XML where it is wanted."""

    def __init__(self, application: Application, *, max_bytes: int) -> None:
        self.application = application
        self.max_bytes = max_bytes

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if sends_xml(environ):
            environ = self.with_json_body(environ)
        if not wants_xml(environ):
            return self.application(environ, start_response)
        answer = Response.from_app(self.application, as_json_client(environ))
        return in_xml(answer, is_pretty=is_pretty(environ))(environ, start_response)

    def with_json_body(self, environ: Environ) -> Environ:
        """Nothing is parsed before the application reads, which is after it let the caller in."""
        sent = Request(environ)
        asked = {name: value for name, value in environ.items() if name != "CONTENT_LENGTH"}
        return asked | {
            "CONTENT_TYPE": FHIR_JSON,
            "wsgi.input": AsJson(sent, self.max_bytes),
            "wsgi.input_terminated": True,
        }


class AsJson(RawIOBase):
    """A body of FHIR XML, read as JSON.

    Raises UnsupportedMediaType, InvalidRequest, InvalidResource and UploadTooLarge from reading.
    """

    def __init__(self, request: Request, limit: int) -> None:
        self.request = request
        self.limit = limit
        self.json: BytesIO | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.json is None:
            self.json = BytesIO(self.parsed())
        return self.json.readinto(buffer)

    def parsed(self) -> bytes:
        require_utf8(split_type(self.request.content_type or "")[1])
        body = streams.body(self.request, self.limit)
        require_utf8({"charset": declared_encoding(body)})
        return encode(from_xml(body))


def in_xml(answer: Response, *, is_pretty: bool) -> Response:
    """The answer with its body in XML, if that is a FHIR resource."""
    name, _ = parse_options_header(answer.content_type or "")
    if name != FHIR_JSON:
        return answer
    body = answer.get_data()
    if body:
        answer.set_data(to_xml(decode(body), is_pretty=is_pretty))
    else:
        answer.headers.pop("Content-Length", None)  # of the JSON that HEAD would have had
    answer.content_type = CONTENT_TYPE
    answer.vary.add("Accept")
    return answer


def as_json_client(environ: Environ) -> Environ:
    query = without_format(environ.get("QUERY_STRING", ""))
    return {**environ, "HTTP_ACCEPT": FHIR_JSON, "QUERY_STRING": query}


def sends_xml(environ: Environ) -> bool:
    given = environ.get("CONTENT_TYPE") or ""
    if "xml" not in given.lower() or not environ["PATH_INFO"].startswith("/fhir"):
        return False
    if environ["PATH_INFO"] == "/fhir/$import-image":
        return False
    name, options = split_type(given)
    types = {FHIR_XML} if environ["PATH_INFO"].startswith(BINARY) else XML_TYPES
    return name in types and is_r4(options)


def wants_xml(environ: Environ) -> bool:
    """`_format` beats Accept."""
    if not environ["PATH_INFO"].startswith("/fhir"):
        return False
    chosen = chosen_format(environ.get("QUERY_STRING", ""))
    if chosen is not None:
        return is_xml_format(chosen)
    accept = environ.get("HTTP_ACCEPT", "")
    if environ["PATH_INFO"].startswith(BINARY):
        return "xml" in accept.lower() and liked_best(accept) == FHIR_XML
    return ("xml" in accept.lower() or "q=0" in accept) and prefers_xml(accept)


def is_pretty(environ: Environ) -> bool:
    return parse_qs(environ.get("QUERY_STRING", "")).get("_pretty") == ["true"]
