"""The versions of one resource as a Bundle (http.html#history)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.bundle import Link, Version
from imaging_fhir.fhir.bundle import history as history_bundle
from imaging_fhir.model.codec import BASE_PLACEHOLDER
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
        versions = [version(resources, connection, one) for one in page]
    last = page[-1] if len(page) < len(rest) else None
    return b"".join(
        history_bundle(
            versions,
            base=BASE_PLACEHOLDER,
            links=links(resource_type, resource_id, query, last),
            total=len(kept),
        )
    )


def version(resources: Resources, connection: Connection, stored: StoredResource) -> Version:
    return Version(
        reference=stored.reference,
        version=stored.version,
        last_updated=stored.last_updated,
        body=None if stored.deleted else resources.body(connection, stored),
    )


def links(
    resource_type: str, resource_id: str, query: HistoryQuery, last: StoredResource | None
) -> list[Link]:
    address = f"{BASE_PLACEHOLDER}/{resource_type}/{resource_id}/_history"
    since = {"_since": instant(query.since)} if query.since else {}
    before = {"_before": query.before} if query.before is not None else {}
    found = [("self", with_parameters(address, {"_count": query.count, **since, **before}))]
    if last is not None:
        older = {"_count": query.count, **since, "_before": last.version}
        found.append(("next", with_parameters(address, older)))
    return found


def with_parameters(address: str, parameters: Mapping[str, object]) -> str:
    return f"{address}?{urlencode(parameters)}"
