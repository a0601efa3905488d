"""FHIR answers as pages for people: what a JSON client gets, rendered (http.html#html).

It stands before the whole application and asks it as a JSON client would, so that a page shows
what the API answers, errors included, and no view needs to know of it.
"""

from collections.abc import Iterable
from functools import lru_cache
from io import BytesIO
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

from imaging_fhir.web.fhir_page import FhirPage, page_of
from imaging_fhir.web.negotiation import FHIR_JSON, accepted_types, chosen_format
from imaging_fhir.web.page_headers import HEADERS
from imaging_fhir.web.wsgi import Application, Environ, StartResponse

HTML = "text/html"
HTML_FORMATS = frozenset({"html", HTML})
OF_A_BROWSER = frozenset({"application/xhtml+xml"})
OF_AN_API_CLIENT = frozenset(
    {FHIR_JSON, "application/json", "text/json", "application/fhir+xml", "application/json+fhir"}
)
CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE")
OF_THE_JSON = ("Content-Type", "Content-Length", "ETag", "Last-Modified")
MOST_FORM_BYTES = 20_000


class FhirPages:
    """WSGI: `base` is the public FHIR base, whose addresses become links within this site."""

    def __init__(self, application: Application, templates: Environment, base: str) -> None:
        self.application = application
        self.templates = templates
        self.base = base

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not wants_page(environ):
            return self.application(environ, start_response)
        if environ["PATH_INFO"] in ("/fhir", "/fhir/") and not environ.get("QUERY_STRING"):
            start = Response(status=302, headers={"Location": "/fhir/metadata", "Vary": "Accept"})
            return start(environ, start_response)
        answer = Response.from_app(self.application, as_json_client(environ))
        name, _ = parse_options_header(answer.content_type or "")
        if name == FHIR_JSON and "Accept-Ranges" not in answer.headers:  # a Binary is its bytes
            answer = self.page(answer, environ)
        return answer(environ, start_response)

    def page(self, answer: Response, environ: Environ) -> Response:
        address = environ["PATH_INFO"], without_format(environ.get("QUERY_STRING", ""))
        page = page_of(answer.get_data(), answer.status_code, *address, self.base)
        headers = [(name, value) for name, value in answer.headers if name not in OF_THE_JSON]
        html = Response(self.rendered(page), answer.status_code, headers)
        html.content_type = f"{HTML}; charset=utf-8"
        html.headers.update(HEADERS | {"Cache-Control": "no-store"})
        html.vary.add("Accept")
        return html

    def rendered(self, page: FhirPage) -> str:
        return self.templates.get_template("fhir/page.html").render(page=page)


def wants_page(environ: Environ) -> bool:
    """A browser that reads or searches, or anybody who says so; `_format` beats Accept."""
    if not environ["PATH_INFO"].startswith("/fhir"):
        return False
    is_search = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].endswith("/_search")
    if not is_search and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return False
    query = environ.get("QUERY_STRING", "")
    chosen = chosen_format(query)
    if chosen is not None:
        return chosen.lower() in HTML_FORMATS
    return prefers_html(environ.get("HTTP_ACCEPT", ""))


@lru_cache(maxsize=256)
def prefers_html(accept: str) -> bool:
    """Is it a browser's Accept? They name XHTML as well, or it is HTML alone.

    Java's own client names HTML before all else too, and it is given JSON: it is no browser.
    """
    if HTML not in accept:
        return False
    types = {name: quality for name, _, quality in accepted_types(accept) if quality > 0}
    if types.keys() & OF_AN_API_CLIENT or HTML not in types:
        return False
    is_browser = bool(types.keys() & OF_A_BROWSER) or types.keys() == {HTML}
    return is_browser and types[HTML] == max(types.values())


def as_json_client(environ: Environ) -> Environ:
    """The same request for JSON, by GET; `*/*` leaves a Binary its own form."""
    asked = dict(environ)
    for condition in CONDITIONS:
        asked.pop(condition, None)
    asked["HTTP_ACCEPT"] = "*/*"
    asked["QUERY_STRING"] = without_format(environ.get("QUERY_STRING", ""))
    if asked["REQUEST_METHOD"] == "HEAD":
        asked["REQUEST_METHOD"] = "GET"
    if asked["REQUEST_METHOD"] == "POST":
        return without_empty_fields(asked)
    return asked


def without_format(query: str) -> str:
    if "_format" not in query and "_pretty" not in query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] not in ("_format", "_pretty")])


def without_empty_fields(environ: Environ) -> Environ:
    """A form without scripts sends its empty fields too, and nothing is meant by them."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    name, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if not 0 < length <= MOST_FORM_BYTES or name != "application/x-www-form-urlencoded":
        return environ
    sent = environ["wsgi.input"].read(length).decode(errors="replace")
    body = urlencode(parse_qsl(sent)).encode()
    return environ | {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
