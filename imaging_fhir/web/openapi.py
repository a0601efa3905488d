"""The API described for tools (OpenAPI) and for people, with nothing from elsewhere."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from flask import Blueprint, Response, render_template, request

from imaging_fhir import __version__
from imaging_fhir.fhir.openapi import openapi
from imaging_fhir.model.codec import encode
from imaging_fhir.web.context import services
from imaging_fhir.web.page_headers import HEADERS

bp = Blueprint("openapi", __name__, url_prefix="/fhir")

METHODS = ("get", "post", "put", "patch", "delete")


@bp.get("/openapi.json")
def document() -> Response:
    body, tag = document_of(services().settings.public_address)
    response = Response(body, content_type="application/json")
    response.set_etag(tag, weak=True)  # compressed it is another body
    response.make_conditional(request)
    return response


@bp.get("/docs")
def docs() -> Response:
    """The same, to be read: every call by what it is about."""
    body = render_template("fhir/docs.html", groups=groups(services().settings.public_address))
    return Response(body, headers=HEADERS, content_type="text/html; charset=utf-8")


@cache
def document_of(root: str) -> tuple[bytes, str]:
    """The document and its tag: it changes with the program alone."""
    body = encode(openapi(root=root, version=__version__))
    return body, sha256(body).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ShownCall:
    method: str
    path: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    bodies: tuple[str, ...]
    statuses: tuple[tuple[str, str], ...]
    media_types: tuple[str, ...]


@cache
def groups(root: str) -> dict[str, list[ShownCall]]:
    described = openapi(root=root, version=__version__)
    found: dict[str, list[ShownCall]] = {tag["name"]: [] for tag in described["tags"]}
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item:
                tag = item[method]["tags"][0]
                found[tag].append(shown_call(described["components"], method, path, item[method]))
    return found


def shown_call(
    components: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> ShownCall:
    parameters = [resolved(components, one) for one in operation.get("parameters", ())]
    answers = {status: resolved(components, one) for status, one in operation["responses"].items()}
    well = [name for status, one in answers.items() if status < "300" for name in content_of(one)]
    return ShownCall(
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        parameters=tuple((one["name"], one["description"]) for one in parameters),
        bodies=tuple(content_of(operation.get("requestBody", {}))),
        statuses=tuple((status, one["description"]) for status, one in answers.items()),
        media_types=tuple(dict.fromkeys(well)),
    )


def content_of(described: dict[str, Any]) -> list[str]:
    return list(described.get("content", ()))


def resolved(components: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` into the components stands for."""
    if "$ref" not in one:
        return one
    _, _, kind, name = one["$ref"].split("/")
    found: dict[str, Any] = components[kind][name]
    return found
