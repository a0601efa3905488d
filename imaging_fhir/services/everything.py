"""All that is known of a patient, or of a visit ($everything).

https://hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from urllib.parse import quote, urlencode

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir.bundle import Found, Link, searchset, truncated_issue
from imaging_fhir.fhir.parameters import Given, refused, text, texts, whole_number
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_dates import interval_of_text
from imaging_fhir.fhir.search_query import PAGE
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import OPEN_HIGH, OPEN_LOW
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.history import moment
from imaging_fhir.services.resources import Resources
from imaging_fhir.settings import Settings
from imaging_fhir.storage import compartment
from imaging_fhir.storage.compartment import CompartmentQuery
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import resolve_patient
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.same_person import PATIENT, same_person
from imaging_fhir.storage.search import limited

Period = tuple[int, int]
BELONGS_BY = {"Patient": "patient", "Encounter": "encounter"}
NOBODYS = frozenset({"Task"})
"""A held image is in nobody's compartment."""
CARE_DATES = ("period", "date", "started", "occurrence", "authored", "created", "collected")
SHARED = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Endpoint", "Device"}
)
"""Types that what belongs to an owner brings along by referring to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    types: frozenset[str]  # empty: all
    count: int
    since: int | None
    period: Period | None
    after: int | None  # None: the first page, which begins with the owner

    def is_type(self, resource_type: str) -> bool:
        return not self.types or resource_type in self.types


class Everything:
    def __init__(self, resources: Resources, access: AccessPolicy, settings: Settings) -> None:
        self.resources = resources
        self.access = access
        self.settings = settings

    def everything(
        self,
        owner_type: str,
        owner_id: str,
        given: Given,
        caller: Caller,
        *,
        within: Connection | None = None,
    ) -> bytes:
        """One page as a searchset; raise ResourceNotFound, InvalidRequest, SearchTooCostly.

        A merged Patient is the one that they are today.
        """
        wanted = self.wanted(given)
        if owner_type == PATIENT:
            self.access.require_patient(caller, owner_id, "rs")
        restrictions = self.access.restrictions(caller, "rs")
        with (
            self.resources.database.read(within) as connection,
            limited(connection, self.settings.search_seconds),
        ):
            ids = ids_today(connection, owner_type, owner_id)
            owner = compartment.find_visible(connection, owner_type, ids[0], restrictions)
            if owner is None:
                raise ResourceNotFound(f"{owner_type}/{owner_id} is not known.")
            first = [owner] if is_on_first_page(owner, wanted) else []
            query = self.query(owner, ids, wanted, caller, count=wanted.count - len(first))
            belonging, has_more = compartment.members(connection, query, restrictions)
            matches = [*first, *belonging]
            others, is_truncated = compartment.shared(
                connection,
                matches,
                owner,
                self.seen(shared_types(owner_type), wanted, caller),
                limit=self.settings.max_page_size,
                restrictions=restrictions,
            )
            found = self.entries(connection, matches, others)
        last = belonging[-1].rid if belonging else 0
        links = page_links(f"{owner.reference}/$everything", given, last if has_more else None)
        warnings = [truncated_issue(self.settings.max_page_size)] if is_truncated else []
        return b"".join(searchset(found, base=BASE_PLACEHOLDER, links=links, warnings=warnings))

    def entries(
        self,
        connection: Connection,
        matches: Sequence[StoredResource],
        others: Sequence[StoredResource],
    ) -> list[Found]:
        rows = [*matches, *others]
        modes = ["match"] * len(matches) + ["include"] * len(others)
        bodies = self.resources.bodies(connection, rows)
        return [
            Found(reference=one.reference, body=body, mode=mode)
            for one, body, mode in zip(rows, bodies, modes, strict=True)
        ]

    def wanted(self, given: Given) -> Wanted:
        since = text(given, "_since")
        return Wanted(
            types=types_of(texts(given, "_type")),
            count=count_of(given, self.settings),
            since=None if since is None else moment(since),
            period=period_of(given, self.resources.zone or UTC),
            after=after_of(given),
        )

    def query(
        self,
        owner: StoredResource,
        ids: Sequence[str],
        wanted: Wanted,
        caller: Caller,
        *,
        count: int,
    ) -> CompartmentQuery:
        by_name = members_of(owner.type)
        members = {type_: by_name[type_] for type_ in self.seen(by_name, wanted, caller)}
        return CompartmentQuery(
            owner_type=owner.type,
            owner_ids=tuple(ids),
            members=members,
            count=count,
            after=wanted.after or 0,
            since=wanted.since,
            period=wanted.period,
            dates={type_: care_dates(type_) for type_ in members},
        )

    def seen(self, types: Iterable[str], wanted: Wanted, caller: Caller) -> list[str]:
        return [
            one
            for one in types
            if wanted.is_type(one) and self.access.may(caller, "search-type", one)
        ]


def ids_today(connection: Connection, owner_type: str, owner_id: str) -> list[str]:
    """The owner's id, of a Patient the surviving one first, then all who are the same person."""
    if owner_type != PATIENT:
        return [owner_id]
    person = same_person(connection, [owner_id])[owner_id]
    today = resolve_patient(connection, owner_id) if len(person) > 1 else None
    first = today["id"] if today else owner_id
    return [first, *sorted(person - {first})]


def is_on_first_page(owner: StoredResource, wanted: Wanted) -> bool:
    is_fresh = wanted.since is None or owner.last_updated >= wanted.since
    return wanted.after is None and is_fresh and wanted.is_type(owner.type)


def members_of(owner_type: str) -> Mapping[str, str]:
    """Each type that has the owner's parameter, and that parameter."""
    name = BELONGS_BY[owner_type]
    return {
        type_.name: name
        for type_ in RESOURCE_TYPES.values()
        if name in type_.by_name and type_.name not in {owner_type, *NOBODYS}
    }


def care_dates(resource_type: str) -> tuple[str, ...]:
    known = RESOURCE_TYPES[resource_type].by_name
    return tuple(name for name in CARE_DATES if name in known and known[name].type == "date")


def shared_types(owner_type: str) -> frozenset[str]:
    return SHARED if owner_type == "Patient" else SHARED | {"Patient"}


def types_of(listed: Iterable[str]) -> frozenset[str]:
    names = {name.strip() for one in listed for name in one.split(",")}
    if names - set(RESOURCE_NAMES):
        raise refused("_type", "it names no resource type of R4")
    return frozenset(names)


def count_of(given: Given, settings: Settings) -> int:
    count = whole_number(given, "_count")
    if count == 0:
        raise refused("_count", "it is 0")
    return min(count or settings.page_size, settings.max_page_size)


def period_of(given: Given, zone: tzinfo) -> Period | None:
    """From the begin of `start` to the end of `end`, in microseconds since 1970 UTC."""
    start, end = interval(given, "start", zone), interval(given, "end", zone)
    if start is None and end is None:
        return None
    return start[0] if start else OPEN_LOW, end[1] if end else OPEN_HIGH


def interval(given: Given, name: str, zone: tzinfo) -> Period | None:
    said = text(given, name)
    if said is None:
        return None
    found = interval_of_text(said.replace(" ", "+"), zone)
    if found is None:
        raise refused(name, "it is neither a date nor a time")
    return found


def after_of(given: Given) -> int | None:
    try:
        return whole_number(given, PAGE)
    except InvalidRequest as error:
        raise refused(PAGE, "it is no page of this operation") from error


def page_links(address: str, given: Given, after: int | None) -> list[Link]:
    """As a query, also where the parameters were posted."""
    said = [(name, one) for name in dict(given) if name != PAGE for one in texts(given, name)]
    here = [(PAGE, one) for one in texts(given, PAGE)]
    links = [("self", operation_address(address, [*said, *here]))]
    if after is not None:
        links.append(("next", operation_address(address, [*said, (PAGE, str(after))])))
    return links


def operation_address(address: str, given: Iterable[tuple[str, str]]) -> str:
    query = urlencode(list(given), quote_via=quote, safe=":,/")
    return f"{BASE_PLACEHOLDER}/{address}" + (f"?{query}" if query else "")
