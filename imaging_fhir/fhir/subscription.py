"""What a Subscription asks for: R4's criteria, or a topic of the R5 backport.

https://hl7.org/fhir/R4/subscription.html, https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.subscription_topic import ANY, BY_URL, Topic
from imaging_fhir.model.change import Change
from imaging_fhir.model.codec import Resource

EXTENSION = f"{canonical.BACKPORT}/StructureDefinition/backport-"
CONTENTS = ("empty", "id-only", "full-resource")
MEDIA_TYPES = ("application/fhir+json", "application/fhir+xml")
DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 10, 30  # seconds
SHORTEST_HEARTBEAT = 10  # seconds
MOST_IN_ONE = 100  # events of a notification
MOST_HEADERS = 20
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\x20-\x7e\t]{0,4000})")
MASKED = "********"
CRITERIA = "Subscription.criteria"
CHANNEL = "Subscription.channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    where: str  # it stands
    resource_type: str
    parameters: tuple[tuple[str, str], ...]  # of a search


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    resource_type: str
    changes: Change
    criteria: tuple[Criterion, ...]  # all of which must hold
    topic: Topic | None
    content: str  # of CONTENTS; without a topic `empty` is a ping, else the resource is sent
    media_type: str
    endpoint: str
    timeout: int  # seconds
    heartbeat: int  # seconds; 0: none
    most: int  # events of a notification
    end: datetime | None


def wanted(subscription: Resource, *, unwatched: frozenset[str] = frozenset()) -> Wanted:
    """Read a valid Subscription; raise InvalidResource for what is not offered."""
    channel = subscription["channel"]
    require_rest_hook(channel)
    topic = BY_URL.get(subscription["criteria"].partition("|")[0])
    criteria = tuple(criteria_of(subscription, topic, unwatched))
    resource_type = topic.resource_type if topic else criteria[0].resource_type
    return Wanted(
        resource_type=resource_type,
        changes=topic.changes if topic else ANY,
        criteria=criteria,
        topic=topic,
        content=content_wanted(channel, topic),
        media_type=media_type(channel, topic),
        endpoint=endpoint(channel),
        timeout=min(number(channel, "timeout", DEFAULT_TIMEOUT), LONGEST_TIMEOUT),
        heartbeat=heartbeat(channel),
        most=min(number(channel, "max-count", MOST_IN_ONE), MOST_IN_ONE),
        end=datetime.fromisoformat(subscription["end"]) if "end" in subscription else None,
    )


def require_rest_hook(channel: Resource) -> None:
    named = extensions(channel.get("_type"), "channel-type")
    if channel["type"] != "rest-hook" or any(
        one.get("valueCoding", {}).get("code") != "rest-hook" for one in named
    ):
        refuse(f"{CHANNEL}.type", "can only be rest-hook here.")


def criteria_of(
    subscription: Resource, topic: Topic | None, unwatched: frozenset[str]
) -> Iterator[Criterion]:
    text = subscription["criteria"]
    filters = extensions(subscription.get("_criteria"), "filter-criteria")
    if topic is None:
        if filters or "://" in text.partition("?")[0]:
            refuse(CRITERIA, "is no topic of this server.")
        yield criterion(CRITERIA, text, unwatched)
        return
    if topic.criteria:
        yield criterion(CRITERIA, f"{topic.resource_type}?{topic.criteria}", unwatched)
    for index, one in enumerate(filters):
        where = f"{CRITERIA}.extension[{index}]"
        found = criterion(where, str(one.get("valueString", "")), unwatched)
        if found.resource_type != topic.resource_type:
            refuse(where, f"filters another type than {topic.resource_type}, as the topic is of.")
        yield found


def criterion(where: str, text: str, unwatched: frozenset[str]) -> Criterion:
    """One search: `ImagingStudy?modality=CT`."""
    resource_type, _, search = text.partition("?")
    type_ = RESOURCE_TYPES.get(resource_type)
    if type_ is None or "search-type" not in type_.interactions or resource_type in unwatched:
        refuse(where, "does not begin with a type that is told of here, as Type?parameter=value.")
    parameters = parse_qsl(search, keep_blank_values=True)
    for name, _ in parameters:
        if name.partition(":")[0] in OF_A_RESULT:
            refuse(where, f"has {name}, which is about the answer to a search.")
    return Criterion(where=where, resource_type=resource_type, parameters=tuple(parameters))


OF_A_RESULT = frozenset(
    {
        "_count",
        "_summary",
        "_total",
        "_elements",
        "_sort",
        "_include",
        "_revinclude",
        "_page",
        "_format",
        "_pretty",
        "_contained",
        "_containedType",
    }
)


def content_wanted(channel: Resource, topic: Topic | None) -> str:
    if topic is None:
        return "full-resource" if channel.get("payload") else "empty"
    asked = extensions(channel.get("_payload"), "payload-content")
    codes = [one.get("valueCode") for one in asked]
    if len(codes) != 1 or codes[0] not in CONTENTS:
        refuse(
            f"{CHANNEL}.payload.extension",
            f"must say once how much is told (backport-payload-content): {', '.join(CONTENTS)}.",
        )
    return str(codes[0])


def media_type(channel: Resource, topic: Topic | None) -> str:
    given = str(channel.get("payload", ""))
    if not given:
        return MEDIA_TYPES[0]
    plain = given.partition(";")[0].strip().lower()
    if plain not in MEDIA_TYPES:
        refuse(f"{CHANNEL}.payload", f"can be {' or '.join(MEDIA_TYPES)} here.")
    return plain


def endpoint(channel: Resource) -> str:
    if not channel.get("endpoint"):
        refuse(f"{CHANNEL}.endpoint", "is missing: where is it to be told?")
    return str(channel["endpoint"])


def heartbeat(channel: Resource) -> int:
    period = number(channel, "heartbeat-period", 0)
    return max(period, SHORTEST_HEARTBEAT) if period else 0


def number(channel: Resource, name: str, default: int) -> int:
    """The value of an extension of the channel."""
    for one in extensions(channel, name):
        for key, value in one.items():
            if key in ("valueUnsignedInt", "valuePositiveInt", "valueInteger"):
                if not isinstance(value, int) or value < 0:
                    break
                return value or default
        refuse(f"{CHANNEL}.extension", f"backport-{name} is no number of seconds or events.")
    return default


def extensions(element: Any, name: str) -> list[Resource]:
    listed = element.get("extension", []) if isinstance(element, dict) else []
    return [one for one in listed if one.get("url") == EXTENSION + name]


def headers(
    channel: Resource, known: Sequence[str], forbidden: frozenset[str]
) -> list[tuple[str, str]]:
    """`Name: value` of each header that is sent; raise InvalidResource.

    A masked value is the one that is known under that name.
    """
    secrets = dict(header(one, "") for one in known)
    found = []
    lines = channel.get("header", [])
    if len(lines) > MOST_HEADERS:
        refuse(f"{CHANNEL}.header", f"can be there {MOST_HEADERS} times at most.")
    for index, line in enumerate(lines):
        where = f"{CHANNEL}.header[{index}]"
        name, value = header(line, where)
        if name.lower() in forbidden:
            refuse(where, f"is {name}, which the server itself says.")
        if value == MASKED:
            if name not in secrets:
                refuse(where, "is masked, and no value is known that it could stand for.")
            value = secrets[name]
        found.append((name, value))
    return found


def header(line: str, where: str) -> tuple[str, str]:
    parts = HEADER.fullmatch(line)
    if parts is None:
        refuse(where, "is no header: Name: value, on one line of ASCII.")
    return parts[1], parts[2].strip()


def with_masked_headers(subscription: Resource, names: Sequence[str]) -> Resource:
    """What readers see: which headers are sent, and not what they say."""
    if not names:
        return subscription
    channel = {**subscription["channel"], "header": [f"{name}: {MASKED}" for name in names]}
    return {**subscription, "channel": channel}


def refuse(expression: str, fault: str) -> NoReturn:
    raise InvalidResource(f"{expression} {fault}", expression=expression)
