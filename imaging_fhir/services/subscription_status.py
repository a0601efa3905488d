"""How subscriptions stand, and events again: `$status` and `$events` of the backport."""

from collections.abc import Sequence

from imaging_fhir.errors import InvalidRequest, InvalidResource, ResourceNotFound
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.fhir.notification import notification, subscription_status
from imaging_fhir.fhir.parameters import Given, text, texts
from imaging_fhir.fhir.subscription import CONTENTS
from imaging_fhir.fhir.subscription_topic import BY_URL
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource, decode, decode_as
from imaging_fhir.model.search import Query
from imaging_fhir.services.delivery import Delivery, noted, status_of
from imaging_fhir.services.resources import Resources
from imaging_fhir.storage import resources as resource_rows
from imaging_fhir.storage import search, subscriptions
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.resources import instant

SUBSCRIPTION = "Subscription"
STATUSES = frozenset({"requested", "active", "error", "off"})
MOST_EVENTS = 1000


class SubscriptionStatus:
    def __init__(self, resources: Resources, delivery: Delivery) -> None:
        self.resources = resources
        self.delivery = delivery

    def status(self, resource_id: str | None, given: Given, caller: Caller) -> Resource:
        """A searchset of one status each; raise ResourceNotFound, ResourceDeleted."""
        wanted_statuses = set(listed(given, "status"))
        if wanted_statuses - STATUSES:
            raise InvalidRequest("status is none of a Subscription.", expression="http.status")
        ids = [resource_id] if resource_id else listed(given, "id")
        with self.resources.database.read() as connection:
            rows = self.rows(connection, ids, caller)
            if resource_id is not None:
                require_found(connection, resource_id, rows)
        chosen = [
            row
            for row in rows
            if resource_id or not wanted_statuses or row.status in wanted_statuses
        ]
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(chosen),
            "entry": [self.entry(row) for row in chosen],
        }
        return without_empty(bundle)

    def rows(self, connection: Connection, ids: Sequence[str], caller: Caller) -> list[AnyRow]:
        """Those that the caller may see."""
        rows = subscriptions.listed(connection, ids=ids, watching=False)
        restrictions = self.delivery.access.restrictions(caller)
        query = Query(resource_type=SUBSCRIPTION)
        rids = [row.rid for row in rows]
        seen = search.matching(connection, query, rids, restrictions=restrictions)
        return [row for row in rows if row.rid in seen]

    def entry(self, row: AnyRow) -> Resource:
        status = status_of(row, topic=topic_of(row))
        return {
            "fullUrl": f"{BASE_PLACEHOLDER}/{SUBSCRIPTION}/{row.id}/$status",
            "resource": subscription_status(status, "query-status", base=BASE_PLACEHOLDER),
            "search": {"mode": "match"},
        }

    def events(self, resource_id: str, given: Given, caller: Caller) -> Resource:
        """What was told or is to be told, as far as it is kept; raise ResourceNotFound.

        Without `content` as much is said as in the notifications, and never more.
        """
        since, until = number(given, "eventsSinceNumber"), number(given, "eventsUntilNumber")
        content = text(given, "content")
        if content is not None and content not in CONTENTS:
            raise InvalidRequest("content is none of a notification.", expression="http.content")
        with self.resources.database.read() as connection:
            rows = self.rows(connection, [resource_id], caller)
            row = require_found(connection, resource_id, rows)
            asked = self.asked(row)
            found = subscriptions.events(
                connection, row.rid, above=(since or 1) - 1, until=until, limit=MOST_EVENTS
            )
            seen = self.delivery.visible(connection, decode_as(Caller, row.caller), found)
            seen &= self.delivery.visible(connection, caller, found)
            level = least(content, asked)
            fitting, bodies = self.delivery.bodies(connection, level, found, seen)
        return notification(
            status_of(row, topic=topic_of(row)),
            "query-event",
            [noted(event, seen, level) for event in fitting],
            base=BASE_PLACEHOLDER,
            timestamp=instant(self.resources.database.clock()),
            bodies={name: decode(body) for name, body in bodies.items()},
        )

    def asked(self, row: AnyRow) -> str:
        try:
            return self.delivery.subscriptions.wanted(decode(row.body)).content
        except InvalidResource:
            return CONTENTS[0]


def require_found(connection: Connection, resource_id: str, rows: Sequence[AnyRow]) -> AnyRow:
    """Raise ResourceNotFound, ResourceDeleted; one that may not be seen is not known."""
    if not rows:
        resource_rows.read(connection, SUBSCRIPTION, resource_id)
        raise ResourceNotFound(f"{SUBSCRIPTION}/{resource_id} is not known.")
    return rows[0]


def least(content: str | None, asked: str) -> str:
    """The smaller of what is asked for now and what the subscription was given."""
    return asked if content is None else min(content, asked, key=CONTENTS.index)


def topic_of(row: AnyRow) -> str | None:
    criteria = decode(row.body)["criteria"].partition("|")[0]
    return criteria if criteria in BY_URL else None


def listed(given: Given, name: str) -> Sequence[str]:
    """Values that were repeated, or joined by commas."""
    return [one for value in texts(given, name) for one in value.split(",") if one]


def number(given: Given, name: str) -> int | None:
    found = text(given, name)
    if found is not None and not (found.isascii() and found.isdecimal() and len(found) < 18):
        raise InvalidRequest(f"{name} is no number of an event.", expression=f"http.{name}")
    return None if found is None else int(found)
