"""Binary over HTTP (binary.html#rest): bytes as bytes, unless the FHIR form is asked for."""

import re
from collections.abc import Iterator

from flask import Blueprint, Response, request
from werkzeug.http import parse_options_header

from imaging_fhir.errors import InvalidRequest, ResourceNotFound, UnsupportedMediaType
from imaging_fhir.services.attachment import OCTETS
from imaging_fhir.services.resource_ports import Written
from imaging_fhir.storage.binaries import BinaryContent
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.web import streams
from imaging_fhir.web.context import services
from imaging_fhir.web.fhir import (
    allow,
    allow_one,
    is_known_to_client,
    resource_sent,
    written_response,
)
from imaging_fhir.web.negotiation import FHIR_JSON, chosen_format, is_json_format, prefers_fhir
from imaging_fhir.web.ranges import wanted_part
from imaging_fhir.web.responses import CONTENT_TYPE, Answer, no_content, version_headers

bp = Blueprint("binary", __name__, url_prefix="/fhir/Binary")

MEDIA_TYPE = re.compile(r"[\w!#$&^.+\-]+/[\w!#$&^.+\-]+(?:\s*;[ -~]*)?", re.ASCII)
ACTIVE_TYPES = frozenset(  # a browser would run what is in them
    {
        "text/html",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/xml",
        "text/javascript",
        "application/javascript",
        "application/x-shockwave-flash",
    }
)
HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Accept-Ranges": "bytes",
    "Vary": "Accept",
}


@bp.get("/<resource_id>")
def read(resource_id: str) -> Response:
    allow("read", "Binary", resource_id)
    stored, content = services().binaries.read(resource_id)
    if is_known_to_client(stored):
        return no_content(304, version_headers(stored))
    return fhir_form(stored, content) if wants_fhir() else octets(stored, content)


@bp.get("/<resource_id>/_history/<version_id>")
def vread(resource_id: str, version_id: str) -> Response:
    """Only the current version has its bytes; raise ResourceNotFound for an earlier one."""
    allow("vread", "Binary", resource_id)
    stored, content = services().binaries.read(resource_id)
    if str(stored.version) != version_id:
        raise ResourceNotFound("Of a Binary only the current version is kept.")
    return fhir_form(stored, content) if wants_fhir() else octets(stored, content)


@bp.post("")
def create() -> Response:
    allow_one("create", "Binary")
    return written_response(put(None))


@bp.put("/<resource_id>")
def update(resource_id: str) -> Response:
    allow_one("update", "Binary", resource_id)
    return written_response(put(resource_id))


def put(resource_id: str | None) -> Written:
    """A FHIR body is a Binary in its FHIR form, every other one the bytes themselves."""
    name, _ = parse_options_header(request.content_type or OCTETS)
    if_match = request.headers.get("If-Match")
    if name == "application/fhir+xml":
        raise UnsupportedMediaType(f"The FHIR form is taken as {FHIR_JSON} only.")
    if name == FHIR_JSON:
        return put_resource(resource_id, if_match)
    return services().binaries.put(
        streams.sent(request),
        media_type(request.content_type),
        security_context=request.headers.get("X-Security-Context"),
        resource_id=resource_id,
        if_match=if_match,
    )


def put_resource(resource_id: str | None, if_match: str | None) -> Written:
    resources, content = services().resources, resource_sent()
    if resource_id is None:
        return resources.create("Binary", content)
    return resources.update("Binary", resource_id, content, if_match=if_match)


def media_type(content_type: str | None) -> str:
    """As it was sent; raise InvalidRequest where it is none."""
    chosen = (content_type or OCTETS).strip()
    if len(chosen) > 200 or not MEDIA_TYPE.fullmatch(chosen):
        raise InvalidRequest("This is no media type.", expression="http.Content-Type")
    return chosen


def wants_fhir() -> bool:
    chosen = chosen_format(request.query_string.decode(errors="replace"))
    return (
        is_json_format(chosen)
        if chosen is not None
        else prefers_fhir(request.headers.get("Accept", ""))
    )


def fhir_form(stored: StoredResource, content: BinaryContent) -> Response:
    """With the bytes in base64, which are streamed as well."""
    pieces = services().binaries.json(stored, content)
    headers = version_headers(stored) | {"Vary": "Accept"}
    return Answer(pieces, headers=headers, content_type=CONTENT_TYPE)


def octets(stored: StoredResource, content: BinaryContent) -> Response:
    size = content.blob.size
    versions = version_headers(stored)
    start, stop = wanted_part(size, (versions["ETag"], versions["Last-Modified"]))
    headers = versions | HARMLESS | {"Content-Length": str(stop - start)}
    name, _ = parse_options_header(content.content_type)
    if name.lower() in ACTIVE_TYPES:
        headers["Content-Disposition"] = "attachment"
    if security_context := services().binaries.security_context(stored):
        headers["X-Security-Context"] = security_context
    is_part = (start, stop) != (0, size)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    body = [] if request.method == "HEAD" else part(content, start, stop)
    return Answer(body, 206 if is_part else 200, headers, content_type=content.content_type)


def part(content: BinaryContent, start: int, stop: int) -> Iterator[bytes]:
    return streams.limited(services().binaries.open(content, start=start), stop - start)
