"""Versions as a Bundle: of one resource, of a type, or of everything (http.html#history)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from urllib.parse import quote, urlencode

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.bundle import Link, Version
from imaging_fhir.fhir.bundle import history as history_bundle
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_dates import interval_of_text
from imaging_fhir.fhir.search_query import NOT_OF_THE_SEARCH, PAGE
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import Restrictions
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings
from imaging_fhir.storage import history as stored_history
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.history import HistoryQuery, Position
from imaging_fhir.storage.resources import StoredResource, find
from imaging_fhir.storage.search import limited

Parameters = Sequence[tuple[str, str]]
KNOWN = frozenset({"_count", "_since", "_at", PAGE})
MICROSECONDS = 1000  # in a millisecond


class History:
    def __init__(self, resources: Resources, access: AccessPolicy, settings: Settings) -> None:
        self.resources = resources
        self.access = access
        self.settings = settings

    def of_resource(
        self,
        resource_type: str,
        resource_id: str,
        parameters: Parameters,
        caller: Caller,
        *,
        strict: bool = False,
        within: Connection | None = None,
    ) -> bytes:
        """Raise ResourceNotFound for what was never there, and for what the caller may not see."""
        query = self.parsed(parameters, strict=strict)
        if resource_type == "Patient":
            self.access.require_patient(caller, resource_id, "r")
        address = f"{resource_type}/{resource_id}/_history"
        with self.resources.database.read(within) as connection:
            current = find(connection, resource_type, resource_id)
            if current is None or self.is_hidden(connection, resource_type, current.rid, caller):
                raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")
            own = replace(query, resource_type=resource_type, rid=current.rid)
            return self.bundle(connection, own, caller, address, parameters)

    def of_type(
        self,
        resource_type: str,
        parameters: Parameters,
        caller: Caller,
        *,
        strict: bool = False,
        within: Connection | None = None,
    ) -> bytes:
        query = replace(self.parsed(parameters, strict=strict), resource_type=resource_type)
        with self.resources.database.read(within) as connection:
            return self.bundle(connection, query, caller, f"{resource_type}/_history", parameters)

    def of_everything(
        self,
        parameters: Parameters,
        caller: Caller,
        *,
        strict: bool = False,
        within: Connection | None = None,
    ) -> bytes:
        """Types without a history of their own, and those the caller may not see, are left out."""
        self.access.require(caller, "history-type", "")
        query = self.parsed(parameters, strict=strict)
        without = tuple(name for name in RESOURCE_TYPES if not self.is_shown(name, caller))
        with self.resources.database.read(within) as connection:
            everything = replace(query, without=without)
            return self.bundle(connection, everything, caller, "_history", parameters)

    def is_shown(self, resource_type: str, caller: Caller) -> bool:
        offered = "history-type" in RESOURCE_TYPES[resource_type].interactions
        return offered and self.access.may(caller, "history-type", resource_type)

    def is_hidden(
        self, connection: Connection, resource_type: str, rid: int, caller: Caller
    ) -> bool:
        restrictions = self.access.restrictions(caller, "r")
        versions = HistoryQuery(count=0, resource_type=resource_type, rid=rid)
        return bool(restrictions) and not stored_history.count(connection, versions, restrictions)

    def parsed(self, parameters: Parameters, *, strict: bool) -> HistoryQuery:
        return history_query(
            parameters,
            count=self.settings.page_size,
            max_count=self.settings.max_page_size,
            zone=self.resources.zone or UTC,
            strict=strict,
        )

    def bundle(
        self,
        connection: Connection,
        query: HistoryQuery,
        caller: Caller,
        address: str,
        parameters: Parameters,
    ) -> bytes:
        """The total is said of one resource, or where nothing else is asked for."""
        letter = "s" if query.rid is None else "r"
        restrictions = self.access.restrictions(caller, letter)
        with limited(connection, self.settings.search_seconds):
            page = stored_history.page(connection, query, restrictions)
            total = self.total(connection, query, restrictions)
        posted = stored_history.posted(connection, page.versions)
        there = [one for one in page.versions if not one.deleted]
        bodies = self.resources.bodies(connection, there)
        versions = [
            version_of(one, None if one.deleted else next(bodies), posted) for one in page.versions
        ]
        links = history_links(address, parameters, query, page.next_after)
        return b"".join(history_bundle(versions, base=BASE_PLACEHOLDER, links=links, total=total))

    def total(
        self, connection: Connection, query: HistoryQuery, restrictions: Restrictions
    ) -> int | None:
        if query.rid is None and query.count:
            return None
        return stored_history.count(connection, replace(query, after=None), restrictions)


def version_of(stored: StoredResource, body: bytes | None, posted: frozenset[int]) -> Version:
    return Version(
        reference=stored.reference,
        version=stored.version,
        last_updated=stored.last_updated,
        body=body,
        posted=stored.version == 1 and stored.rid in posted,
    )


def history_query(
    parameters: Parameters, *, count: int, max_count: int, zone: tzinfo, strict: bool = False
) -> HistoryQuery:
    """Raise InvalidRequest, which names the parameter."""
    given = {name: text for name, text in parameters if name not in NOT_OF_THE_SEARCH}
    require_known(given, strict=strict)
    asked = number(given["_count"]) if "_count" in given else count
    return HistoryQuery(
        count=min(asked, max_count),
        since=moment(given["_since"]) if "_since" in given else None,
        at=period(given["_at"], zone) if "_at" in given else None,
        after=position_of(given[PAGE]) if PAGE in given else None,
    )


def require_known(names: Iterable[str], *, strict: bool) -> None:
    """Raise InvalidRequest for `_list`, which would answer everything if it were ignored."""
    for name in names:
        if name == "_list":
            raise invalid("_list", "a history cannot be narrowed to the members of a List here")
        if strict and name not in KNOWN:
            raise invalid(name[:80], "there is no such parameter of a history")


def number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise invalid("_count", "it is no whole number")
    return int(text)


def moment(text: str) -> int:
    """An instant; a `+` of its zone may have arrived as a space."""
    try:
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise invalid("_since", "it is no instant") from error
    if parsed.tzinfo is None:
        raise invalid("_since", "it has no time zone")
    return -(-round(parsed.timestamp() * 1_000_000) // MICROSECONDS)


def period(text: str, zone: tzinfo) -> tuple[int, int]:
    """The milliseconds that a date or time stands for; at least one of them."""
    found = interval_of_text(text.replace(" ", "+"), zone)
    if found is None:
        raise invalid("_at", "it is neither a date nor a time")
    low, high = found[0] // MICROSECONDS, -(-found[1] // MICROSECONDS)
    return low, max(high, low + 1)


def position_of(text: str) -> Position:
    parts = text.split("-")
    if len(parts) != 3 or not all(is_number(part) for part in parts):
        raise invalid(PAGE, "it is no page of this history")
    stamp, rid, version = map(int, parts)
    return stamp, rid, version


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 18


def invalid(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{name} is refused: {why}.", expression=f"http.{name}")


def history_links(
    address: str, parameters: Parameters, query: HistoryQuery, next_after: Position | None
) -> list[Link]:
    """self says what was understood; each page's address holds where the page before ended."""
    understood = [(name, text) for name, text in parameters if name in KNOWN - {"_count", PAGE}]
    asked = [("_count", str(query.count)), *understood]
    links = [("self", page_address(address, asked, query.after))]
    if next_after is not None:
        links.append(("next", page_address(address, asked, next_after)))
    return links


def page_address(address: str, asked: Parameters, after: Position | None) -> str:
    place = [(PAGE, "-".join(map(str, after)))] if after else []
    text = urlencode([*asked, *place], quote_via=quote, safe=":,")
    return f"{BASE_PLACEHOLDER}/{address}?{text}"
