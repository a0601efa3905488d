"""FHIR XML in and out (http.html#mime-type), around an application that knows JSON only.

It asks the application as a JSON client would, so that every interaction, errors included, speaks
XML and no view needs to know of it. What is stored stays JSON.
"""

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from urllib.parse import parse_qs

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request, Response

from imaging_fhir.errors import ImagingError, UploadTooLarge
from imaging_fhir.fhir.xml import from_xml, to_xml
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.web.errors import outcome_of_error
from imaging_fhir.web.fhir_pages import without_format
from imaging_fhir.web.negotiation import FHIR_JSON, accepted_types, is_r4, split_type
from imaging_fhir.web.plain_read import Application, Environ, StartResponse

FHIR_XML = "application/fhir+xml"
CONTENT_TYPE = f"{FHIR_XML};charset=utf-8"
XML_TYPES = frozenset({FHIR_XML, "application/xml", "text/xml"})
FORMATS = XML_TYPES | {"xml"}
OF_BYTES = frozenset({FHIR_XML})  # of Binary: any other type of XML is that of its bytes


class FhirXml:
    """WSGI: bodies of FHIR XML become JSON on the way in, answers become XML where it is wanted."""

    def __init__(self, application: Application, *, max_bytes: int) -> None:
        self.application = application
        self.max_bytes = max_bytes

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        is_sent, is_wanted = sends_xml(environ), wants_xml(environ)
        if not (is_sent or is_wanted):
            return self.application(environ, start_response)
        try:
            asked = self.with_json_body(environ) if is_sent else environ
        except ImagingError as error:
            body = encode(outcome_of_error(error))
            answer = Response(body, error.status, content_type=FHIR_JSON)
        else:
            asked = as_json_client(asked) if is_wanted else asked
            answer = Response.from_app(self.application, asked)
        if is_wanted:
            answer = in_xml(answer, is_pretty=is_pretty(environ))
        return answer(environ, start_response)

    def with_json_body(self, environ: Environ) -> Environ:
        """Raise InvalidRequest, UploadTooLarge."""
        request = Request(environ)
        request.max_content_length = self.max_bytes
        try:
            body = encode(from_xml(request.get_data()))
        except RequestEntityTooLarge as error:
            raise UploadTooLarge(f"A resource may have at most {self.max_bytes} bytes.") from error
        return {
            **environ,
            "CONTENT_TYPE": FHIR_JSON,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": BytesIO(body),
        }


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


def types_of(environ: Environ) -> frozenset[str]:
    return OF_BYTES if environ["PATH_INFO"].startswith("/fhir/Binary") else XML_TYPES


def sends_xml(environ: Environ) -> bool:
    given = environ.get("CONTENT_TYPE") or ""
    if "xml" not in given.lower() or not environ["PATH_INFO"].startswith("/fhir"):
        return False
    if environ["PATH_INFO"] == "/fhir/$import-image":
        return False
    name, options = split_type(given)
    return name in types_of(environ) and is_r4(options)


def wants_xml(environ: Environ) -> bool:
    """`_format` beats Accept."""
    if not environ["PATH_INFO"].startswith("/fhir"):
        return False
    query = environ.get("QUERY_STRING", "")
    if "_format" in query and (chosen := parse_qs(query).get("_format")):
        return is_xml_format(chosen[-1])
    accept = environ.get("HTTP_ACCEPT", "")
    return "xml" in accept.lower() and prefers_xml(accept, types_of(environ))


def is_xml_format(chosen: str) -> bool:
    """`+` in a query may have been meant literally: `application/fhir xml` is XML too."""
    name, options = split_type(chosen)
    return name.replace(" ", "+") in FORMATS and is_r4(options)


@lru_cache(maxsize=256)
def prefers_xml(accept: str, types: frozenset[str]) -> bool:
    """Is the type that is liked best one of FHIR XML? Of several, the first counts."""
    liked = sorted(accepted_types(accept), key=lambda accepted: -accepted[2])
    usable = [(name, quality) for name, options, quality in liked if is_r4(options)]
    return bool(usable) and usable[0][1] > 0 and usable[0][0] in types


def is_pretty(environ: Environ) -> bool:
    return parse_qs(environ.get("QUERY_STRING", "")).get("_pretty") == ["true"]
