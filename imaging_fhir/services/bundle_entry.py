"""An entry of a batch or transaction, as what it asks for (bundle.html#request)."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidResource
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource
from imaging_fhir.services.preconditions import require_no_criteria

ADDRESS = re.compile(
    r"/?(?P<type>[A-Z][A-Za-z]+)"
    r"(?:/(?P<id>[A-Za-z0-9\-.]{1,64}))?"
    r"(?:\?(?P<query>.*))?"
)
WRITING = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
READING = ("GET", "HEAD")
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}  # http.html#trules


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    index: int
    method: str
    url: str  # relative to the base
    resource_type: str = ""  # this and what follows: of a write
    resource_id: str | None = None
    query: str | None = None  # conditional update, patch or delete
    full_url: str | None
    resource: Resource | None
    request: Mapping[str, Any]
    caller: Caller
    strict: bool = False  # a search with parameters that are not known fails

    @property
    def content(self) -> Resource:
        """What is to be written; raise InvalidRequest where there is nothing."""
        if self.resource is None:
            raise InvalidRequest("The entry has no resource.")
        return self.resource


def entry_at(
    index: int, entry: object, base: str, caller: Caller, *, strict: bool = False
) -> Entry:
    """Raise InvalidRequest where it asks for nothing that can be understood."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(request, dict):
        raise InvalidRequest("The entry has no request (bdl-3).")
    method, url = request.get("method"), request.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise InvalidRequest("The entry's request lacks method or url.")
    for name in ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"):
        if not isinstance(request.get(name, ""), str):
            raise InvalidRequest(f"The entry's request has a {name} that is no text.")
    url = url.removeprefix(base)
    if method not in ORDER:
        raise InvalidRequest("The entry's method is none that is known here.")
    written = address_written(method, url) if method in WRITING else {}
    resource, full_url = entry.get("resource"), entry.get("fullUrl")
    return Entry(
        index=index,
        method=method,
        url=url,
        **written,
        full_url=full_url if isinstance(full_url, str) else None,
        resource=resource if isinstance(resource, dict) else None,
        request=request,
        caller=caller,
        strict=strict,
    )


def address_written(method: str, url: str) -> dict[str, Any]:
    """A create has a type, another write one resource or a condition; raise InvalidRequest."""
    address = ADDRESS.fullmatch(url)
    if address is None or (method == "POST" and address["id"] is not None):
        raise InvalidRequest("The entry's url is none that can be written to.")
    if method == "POST" or address["id"] is not None:
        names = [name for name, _ in parse_qsl(address["query"] or "", keep_blank_values=True)]
        require_no_criteria(WRITING[method], names, header="ifNoneExist of the request")
    places = address.groupdict()
    return {
        "resource_type": places["type"],
        "resource_id": places["id"],
        "query": places["query"],
    }


@contextmanager
def named(index: int) -> Iterator[None]:
    """Errors inside say which entry they are of."""
    where = f"Bundle.entry[{index}]"
    try:
        yield
    except InvalidResource as error:
        raise InvalidResource(
            f"{where}: {error}",
            expression=where,
            issues=tuple((f"{where}: {at}", fault) for at, fault in error.issues),
            codes=error.codes,
        ) from error
    except ImagingError as error:
        raise type(error)(f"{where}: {error}", expression=where) from error
