"""The versions of one resource as a Bundle (http.html#history)."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, encode
from imaging_fhir.services.resources import Resources
from imaging_fhir.storage import resources as stored_resources
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.resources import StoredResource, instant


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    count: int
    since: int = 0  # milliseconds since 1970 UTC
    before: int | None = None  # only versions before this one: where the page before ended


def history_query(parameters: dict[str, str], *, count: int, max_count: int) -> HistoryQuery:
    """Raise InvalidRequest, which names the parameter."""
    return HistoryQuery(
        count=min(number(parameters, "_count") or count, max_count),
        since=moment(parameters.get("_since")),
        before=number(parameters, "_before"),
    )


def number(parameters: dict[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidRequest(f"{name} is no whole number.", expression=f"http.{name}")
    return int(text)


def moment(text: str | None) -> int:
    """An instant; a `+` of its zone may have arrived as a space."""
    if text is None:
        return 0
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise InvalidRequest("_since is no instant.", expression="http._since") from error
    if parsed.tzinfo is None:
        raise InvalidRequest("_since has no time zone.", expression="http._since")
    return int(parsed.timestamp() * 1000)


def history(
    resources: Resources, resource_type: str, resource_id: str, query: HistoryQuery
) -> bytes:
    """Raise ResourceNotFound for what was never there."""
    with resources.database.read() as connection:
        kept = [
            one
            for one in stored_resources.history(connection, resource_type, resource_id)
            if one.last_updated >= query.since
        ]
        rest = [one for one in kept if query.before is None or one.version < query.before]
        page = list(islice(rest, query.count))
        entries = [entry(resources, connection, one) for one in page]
    last = page[-1] if len(page) < len(rest) else None
    head = {
        "resourceType": "Bundle",
        "type": "history",
        "total": len(kept),
        "link": links(resource_type, resource_id, query, last),
    }
    if not entries:
        return encode(head)
    return encode(head)[:-1] + b',"entry":[' + b",".join(entries) + b"]}"


def links(
    resource_type: str, resource_id: str, query: HistoryQuery, last: StoredResource | None
) -> list[Resource]:
    address = f"{BASE_PLACEHOLDER}/{resource_type}/{resource_id}/_history"
    since = {"_since": instant(query.since)} if query.since else {}
    before = {"_before": query.before} if query.before is not None else {}
    found = [link("self", address, {"_count": query.count, **since, **before})]
    if last is not None:
        older = {"_count": query.count, **since, "_before": last.version}
        found.append(link("next", address, older))
    return found


def link(relation: str, address: str, parameters: dict[str, object]) -> Resource:
    return {"relation": relation, "url": f"{address}?{urlencode(parameters)}"}


def entry(resources: Resources, connection: Connection, stored: StoredResource) -> bytes:
    """One version; a deletion has no resource."""
    head = {"fullUrl": f"{BASE_PLACEHOLDER}/{stored.reference}"}
    tail = {
        "request": {"method": "DELETE" if stored.deleted else "PUT", "url": stored.reference},
        "response": {
            "status": status_of(stored),
            "etag": f'W/"{stored.version}"',
            "lastModified": instant(stored.last_updated),
        },
    }
    if stored.deleted:
        return encode(head | tail)
    body = resources.body(connection, stored)
    return encode(head)[:-1] + b',"resource":' + body + b"," + encode(tail)[1:]


def status_of(stored: StoredResource) -> str:
    if stored.deleted:
        return "204 No Content"
    return "201 Created" if stored.version == 1 else "200 OK"
