"""Answers: stored bytes as they are, with the headers that FHIR asks for (http.html)."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from flask import Response, request

from imaging_fhir.model.codec import Resource, encode, pretty
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.web.context import services

CONTENT_TYPE = "application/fhir+json;charset=utf-8"
ANY_CACHE = {  # kept for one person alone, and asked about each time: a 304 is judged like a read
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Accept-Encoding",
}


class Answer(Response):
    """Hands a body in memory to the server as the list it is: one write, no iteration."""

    def get_app_iter(self, environ: Any) -> Any:
        has_body = environ["REQUEST_METHOD"] != "HEAD" and self.status_code not in (204, 304)
        if isinstance(self.response, list) and has_body:
            return self.response if not self._on_close else super().get_app_iter(environ)
        return super().get_app_iter(environ)


def fhir_response(
    resource: Resource, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_response(encode(resource), status, headers)


def json_response(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The bytes of a resource, with addresses as they are served."""
    body = services().addresses.served(body)
    if request.query_string and request.args.get("_pretty") == "true":
        body = pretty(body)
    return Answer(body, status, headers, content_type=CONTENT_TYPE)


def no_content(status: int = 204, headers: Mapping[str, str] | None = None) -> Response:
    response = Answer(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response


def etag(version: int) -> str:
    return f'W/"{version}"'


def last_modified(stamp: int) -> str:
    return formatdate(stamp // 1000, usegmt=True)


def version_headers(stored: StoredResource) -> dict[str, str]:
    return {"ETag": etag(stored.version), "Last-Modified": last_modified(stored.last_updated)}


def version_location(stored: StoredResource) -> str:
    return f"{services().base}/{stored.reference}/_history/{stored.version}"
