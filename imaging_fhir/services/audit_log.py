"""The audit trail as AuditEvent resources: read, searched, and what a patient may know of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from imaging_fhir.errors import InvalidRequest, ResourceNotFound
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.audit_event import SUBTYPE_CODES, TYPE_CODES, audit_event
from imaging_fhir.fhir.bundle import Found, ignored_issues, search_links, searchset
from imaging_fhir.fhir.summary import subset
from imaging_fhir.model.audit import Event
from imaging_fhir.model.codec import BASE_PLACEHOLDER, encode
from imaging_fhir.model.search import Query, Restrictions, ReverseCriterion
from imaging_fhir.storage import audit_chain, audit_search
from imaging_fhir.storage.audit_chain import Verified
from imaging_fhir.storage.audit_search import Codes
from imaging_fhir.storage.database import Connection, Database
from imaging_fhir.storage.resources import StoredResource

AUDIT_EVENT = "AuditEvent"
CODES = Codes(types=TYPE_CODES, subtypes=SUBTYPE_CODES, activity_system=canonical.CORRECTION)
OPEN: Restrictions = {}


def read(connection: Connection, event_id: str, *, base: str) -> tuple[StoredResource, bytes]:
    """Raise ResourceNotFound."""
    event = audit_search.read(connection, event_id)
    if event is None:
        raise ResourceNotFound(f"{AUDIT_EVENT}/{event_id} is not known.")
    body = encode(audit_event(event, base=base))
    return stored(event, body), body


def require_apart(query: Query) -> None:
    """Events are no part of what other searches go over; raise InvalidRequest."""
    reached = {one.source_type for one in query.revincludes}
    reached |= {one.resource_type for one in query.criteria if isinstance(one, ReverseCriterion)}
    if AUDIT_EVENT in reached:
        raise InvalidRequest("Audit events are found by their own searches alone.")


def stored(event: Event, body: bytes) -> StoredResource:
    """An event is never changed: it has one version."""
    return StoredResource(
        rid=0,
        type=AUDIT_EVENT,
        id=event.id,
        version=1,
        last_updated=event.recorded,
        deleted=False,
        body=body,
    )


def bundle(
    connection: Connection, query: Query, *, base: str, restrictions: Restrictions = OPEN
) -> bytes:
    """One page of the events that a search finds; raise InvalidRequest."""
    narrowed = replace(query, criteria=(*query.criteria, *restrictions.get(AUDIT_EVENT, ())))
    page = audit_search.search(connection, narrowed, CODES)
    found = [
        Found(
            reference=f"{AUDIT_EVENT}/{event.id}",
            body=body_of(event, query.summary, query.elements, base=base),
            mode="match",
        )
        for event in page.events
    ]
    links = search_links(BASE_PLACEHOLDER, query, page.next_after)
    warnings = ignored_issues(query)
    return b"".join(
        searchset(found, base=BASE_PLACEHOLDER, links=links, total=page.total, warnings=warnings)
    )


def body_of(event: Event, summary: str | None, elements: Sequence[str], *, base: str) -> bytes:
    content = audit_event(event, base=base)
    if elements or summary in ("true", "text", "data"):
        content = subset(content, summary=summary, elements=elements)
    return encode(content)


def verified(database: Database, *, head: str = "") -> Verified:
    with database.read() as connection:
        return audit_chain.verify(connection, head=head)


def exported(
    database: Database, *, base: str, since: int | None = None, until: int | None = None
) -> Iterator[bytes]:
    """The events between two instants, the oldest first."""
    with database.read() as connection:
        for event in audit_search.between(connection, since=since, until=until):
            yield encode(audit_event(event, base=base))
