"""Notifications, and the status of a subscription, as Parameters in a Bundle.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/notifications.html (R4)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import without_empty
from imaging_fhir.model.codec import Resource

NotificationType = Literal[
    "handshake", "heartbeat", "event-notification", "query-status", "query-event"
]
STATUS_PROFILE = f"{canonical.BACKPORT}/StructureDefinition/backport-subscription-status-r4"
BUNDLE_PROFILE = f"{canonical.BACKPORT}/StructureDefinition/backport-subscription-notification-r4"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedEvent:
    number: int
    timestamp: str
    focus: str | None  # Type/id; None where it is not told
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    subscription: str  # Subscription/id
    status: str
    topic: str | None
    events: int  # since its start
    error: str | None = None


def subscription_status(
    status: Status, type_: NotificationType, events: Sequence[NotedEvent] = (), *, base: str
) -> Resource:
    """Profile backport-subscription-status-r4."""
    subscription = {"reference": f"{base}/{status.subscription}"}
    parameters = [
        {"name": "subscription", "valueReference": subscription},
        {"name": "topic", "valueCanonical": status.topic} if status.topic else None,
        {"name": "status", "valueCode": status.status},
        {"name": "type", "valueCode": type_},
        {"name": "events-since-subscription-start", "valueString": str(status.events)},
        *(noted(event, base) for event in events),
        {"name": "error", "valueCodeableConcept": {"text": status.error}} if status.error else None,
    ]
    return {
        "resourceType": "Parameters",
        "meta": {"profile": [STATUS_PROFILE]},
        "parameter": [one for one in parameters if one],
    }


def noted(event: NotedEvent, base: str) -> Resource:
    focus = {"reference": f"{base}/{event.focus}"}
    parts = [
        {"name": "event-number", "valueString": str(event.number)},
        {"name": "timestamp", "valueInstant": event.timestamp},
        {"name": "focus", "valueReference": focus} if event.focus else None,
    ]
    return {"name": "notification-event", "part": [one for one in parts if one]}


def notification(
    status: Status,
    type_: NotificationType,
    events: Sequence[NotedEvent] = (),
    *,
    base: str,
    timestamp: str,
    bodies: Mapping[str, Resource] | None = None,
) -> Resource:
    """Profile backport-subscription-notification-r4; `bodies` by Type/id, where they are told."""
    told = {event.focus: event for event in events if event.focus}
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [BUNDLE_PROFILE]},
        "type": "history",
        "timestamp": timestamp,
        "entry": [
            {
                "fullUrl": f"urn:uuid:{uuid4()}",
                "resource": subscription_status(status, type_, events, base=base),
                "request": {"method": "GET", "url": f"{base}/{status.subscription}/$status"},
                "response": {"status": "200"},
            },
            *(entry(event, focus, base, bodies or {}) for focus, event in told.items()),
        ],
    }


def entry(event: NotedEvent, focus: str, base: str, bodies: Mapping[str, Resource]) -> Resource:
    """A resource once, however many of the events are about it."""
    method, status = ("POST", "201") if event.is_new else ("PUT", "200")
    url = focus.partition("/")[0] if event.is_new else focus
    return without_empty(
        {
            "fullUrl": f"{base}/{focus}",
            "resource": bodies.get(focus),
            "request": {"method": method, "url": url},
            "response": {"status": status},
        }
    )
