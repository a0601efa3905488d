"""Searches of the audit trail: an AuditEvent's parameters as conditions on the compact rows.

What an event never has (a site, a policy, an entity's name) is found by nothing. The newest come
first unless `_sort` says otherwise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    tuple_,
)

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.audit import ACTIONS, Event
from imaging_fhir.model.search import (
    AnyCriterion,
    Criterion,
    DateValue,
    Membership,
    Query,
    ReferenceValue,
    SearchValue,
    TokenValue,
)
from imaging_fhir.model.text import folded
from imaging_fhir.storage.audit_chain import Meanings
from imaging_fhir.storage.database import AnyRow
from imaging_fhir.storage.same_person import of_persons
from imaging_fhir.storage.schema import audit_agent, audit_event, audit_mention, audit_name
from imaging_fhir.storage.search_conditions import stamp_of

Found = ColumnElement[bool]
SORTS = frozenset({"date", "_lastUpdated"})
ABSENT = frozenset({"entity-name", "policy", "site", "source"})
PATIENT = "Patient"
AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """The codes by which each kind of event is shown, and so found: `system|code`."""

    types: Mapping[str, frozenset[tuple[str, str]]]
    subtypes: Mapping[str, frozenset[tuple[str, str]]]  # of a correction: without its activity
    activity_system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    events: tuple[Event, ...] = ()
    next_after: str | None = None
    total: int | None = None


def read(connection: Connection, event_id: str) -> Event | None:
    row = connection.execute(select(audit_event).where(audit_event.c.id == event_id)).first()
    return None if row is None else events_of(connection, [row])[0]


def search(connection: Connection, query: Query, codes: Codes) -> EventPage:
    """One page; raise InvalidRequest for what is not searched by here."""
    require_known(query)
    [query] = of_persons(connection, [query])
    fulfilled = and_(true(), *(condition(one, codes) for one in query.criteria))
    total = None
    if query.total:
        total = connection.execute(
            select(func.count()).select_from(audit_event).where(fulfilled)
        ).scalar_one()
    if query.summary == "count":
        return EventPage(total=total)
    is_ascending = bool(query.sort) and not query.sort[0].descending
    order = (audit_event.c.recorded, audit_event.c.pk)
    found = select(audit_event).where(fulfilled)
    if query.after is not None:
        position, here = tuple_(*order), tuple_(*position_of(query.after))
        found = found.where(position > here if is_ascending else position < here)
    found = found.order_by(*(one if is_ascending else one.desc() for one in order))
    rows = connection.execute(found.limit(query.count + 1)).all()
    shown = rows[: query.count]
    last = shown[-1] if len(rows) > query.count and shown else None
    return EventPage(
        events=tuple(events_of(connection, shown)),
        next_after=None if last is None else f"{last.recorded}.{last.pk}",
        total=total,
    )


def require_known(query: Query) -> None:
    if len(query.sort) > 1 or any(key.parameter not in SORTS for key in query.sort):
        raise InvalidRequest("Audit events are sorted by date alone.", expression="http._sort")
    if query.includes or query.revincludes:
        raise InvalidRequest("Nothing is included with audit events.", expression="http._include")


def position_of(after: str) -> tuple[int, int]:
    recorded, _, pk = after.partition(".")
    if not (recorded.isdecimal() and pk.isdecimal()):
        raise InvalidRequest("The link of the next page is damaged.")
    return int(recorded), int(pk)


def events_of(connection: Connection, rows: Sequence[AnyRow]) -> list[Event]:
    """What the rows stand for, as far as it is not erased."""
    meanings = Meanings.of(connection, rows)
    return [
        Event(
            id=row.id,
            recorded=row.recorded,
            kind=row.kind,
            agent=meanings.agents.get(row.agent, ""),
            outcome=row.outcome,
            status=row.status,
            address=row.address,
            request=row.request,
            purposes=tuple(row.purposes.split()),
            patient=meanings.names.get(row.patient, "").partition("/")[2] or None,
            entity=meanings.names.get(row.entity),
            mentions=tuple(
                meanings.names[int(number)]
                for number in row.mentions.split()
                if int(number) in meanings.names
            ),
            query=row.query,
            activity=row.activity,
        )
        for row in rows
    ]


def condition(criterion: AnyCriterion, codes: Codes) -> Found:
    if isinstance(criterion, Membership):
        owner = criterion.owner_type
        members = (member(owner, id_, criterion.parameters) for id_ in criterion.owner_ids)
        return or_(false(), *members)
    if not isinstance(criterion, Criterion) or criterion.chain:
        raise InvalidRequest("Audit events are searched by their own values, without chains.")
    name = criterion.parameter
    if criterion.modifier == "missing":
        is_there = THERE.get(name, false() if name in ABSENT else true())
        return not_(is_there) if criterion.values == ("true",) else is_there
    if name in ABSENT:
        return true() if criterion.modifier == "not" else false()
    if criterion.modifier == "not":
        return not_(any_value(criterion, codes))
    if criterion.modifier is not None and name not in ("agent-name", "address"):
        raise InvalidRequest(f"{name} of an AuditEvent is searched without :{criterion.modifier}.")
    return any_value(criterion, codes)


def any_value(criterion: Criterion, codes: Codes) -> Found:
    return or_(false(), *(one_value(criterion, value, codes) for value in criterion.values))


def one_value(criterion: Criterion, value: SearchValue, codes: Codes) -> Found:
    if isinstance(value, DateValue):
        return stamp_of(audit_event.c.recorded, value)
    if isinstance(value, ReferenceValue):
        return REFERENCES[criterion.parameter](value.target_type, value.target_id)
    if isinstance(value, TokenValue):
        if criterion.parameter in ("type", "subtype"):
            return of_code(criterion.parameter, value, codes)
        return TOKENS[criterion.parameter](value)
    if isinstance(value, str) and criterion.parameter in STRINGS:
        return STRINGS[criterion.parameter](value, criterion.modifier)
    raise InvalidRequest(f"Audit events are not searched by {criterion.parameter}.")


def member(owner_type: str, owner_id: str, parameters: Sequence[str]) -> Found:
    """In a compartment, by `patient` or `agent`."""
    return or_(false(), *(REFERENCES[name](owner_type, owner_id) for name in parameters))


def about(target_type: str | None, target_id: str | None) -> Found:
    """The events with a resource among their entities."""
    if target_id is None:
        return false()
    named = select(audit_name.c.pk)
    if target_type is None:
        named = named.where(audit_name.c.name.like(f"%/{escaped(target_id)}", escape="\\"))
    else:
        named = named.where(audit_name.c.name == f"{target_type}/{target_id}")
    mentioning = select(audit_mention.c.event).where(audit_mention.c.name.in_(named))
    return or_(
        audit_event.c.patient.in_(named),
        audit_event.c.entity.in_(named),
        audit_event.c.pk.in_(mentioning),
    )


def by_agent(target_type: str | None, target_id: str | None) -> Found:
    if target_id is None:
        return false()
    acting = select(audit_agent.c.pk)
    if target_type is None:
        acting = acting.where(audit_agent.c.fhir_user.like(f"%/{escaped(target_id)}", escape="\\"))
    else:
        acting = acting.where(audit_agent.c.fhir_user == f"{target_type}/{target_id}")
    return audit_event.c.agent.in_(acting)


def of_patient(target_type: str | None, target_id: str | None) -> Found:
    if target_type not in (PATIENT, None):
        return false()
    return or_(about(PATIENT, target_id), by_agent(PATIENT, target_id))


def of_agents(found: Found) -> Found:
    return audit_event.c.agent.in_(select(audit_agent.c.pk).where(found))


def agent_name(value: str, modifier: str | None) -> Found:
    if modifier == "exact":
        return of_agents(audit_agent.c.name == value)
    pattern = f"{'%' if modifier == 'contains' else ''}{escaped(folded(value))}%"
    return of_agents(audit_agent.c.folded.like(pattern, escape="\\"))


def address(value: str, modifier: str | None) -> Found:
    if modifier == "exact":
        return audit_event.c.address == value
    pattern = f"{'%' if modifier == 'contains' else ''}{escaped(value.lower())}%"
    return audit_event.c.address.like(pattern, escape="\\")


def of_code(parameter: str, value: TokenValue, codes: Codes) -> Found:
    by_kind = codes.types if parameter == "type" else codes.subtypes
    kinds = [
        kind
        for kind, shown in by_kind.items()
        if any(is_meant(value, system, code) for system, code in shown)
    ]
    found: Found = audit_event.c.kind.in_(kinds)
    if parameter == "subtype" and value.system in (None, codes.activity_system) and value.value:
        found = or_(found, audit_event.c.activity == value.value)
    return found


def is_meant(value: TokenValue, system: str, code: str) -> bool:
    return value.system in (None, system) and value.value in (None, code)


def of_column(column: ColumnElement[str], *systems: str) -> Callable[[TokenValue], Found]:
    """A code of one system, which need not be said."""

    def found(value: TokenValue) -> Found:
        if value.system not in (None, "", *systems):
            return false()
        return true() if value.value is None else column == value.value

    return found


def entity_type(value: TokenValue) -> Found:
    """1: a person, 2: a system object."""
    kinds = {
        "1": audit_event.c.patient.is_not(None),
        "2": or_(audit_event.c.entity.is_not(None), audit_event.c.query.is_not(None)),
    }
    return kinds.get(value.value or "", false())


def entity_role(value: TokenValue) -> Found:
    """1: the patient, 4: a resource, 24: a query."""
    roles = {
        "1": audit_event.c.patient.is_not(None),
        "4": audit_event.c.entity.is_not(None),
        "24": audit_event.c.query.is_not(None),
    }
    return roles.get(value.value or "", false())


def agent_role(value: TokenValue) -> Found:
    pattern = f"% {escaped(value.value or '')} %"
    return of_agents(audit_agent.c.roles.like(pattern, escape="\\"))


def action(value: TokenValue) -> Found:
    kinds = [kind for kind, code in ACTIONS.items() if code == value.value]
    return audit_event.c.kind.in_(kinds)


def escaped(text: str) -> str:
    """For LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


OUTCOMES = "http://hl7.org/fhir/audit-event-outcome"
REFERENCES: dict[str, Callable[[str | None, str | None], Found]] = {
    "patient": of_patient,
    "entity": about,
    "agent": by_agent,
}
TOKENS: dict[str, Callable[[TokenValue], Found]] = {
    "_id": of_column(audit_event.c.id),
    "action": action,
    "outcome": of_column(audit_event.c.outcome, OUTCOMES),
    "altid": lambda value: of_agents(audit_agent.c.subject == (value.value or "")),
    "agent-role": agent_role,
    "entity-type": entity_type,
    "entity-role": entity_role,
}
STRINGS: dict[str, Callable[[str, str | None], Found]] = {
    "agent-name": agent_name,
    "address": address,
}
HAS_MEANING = exists().where(audit_name.c.pk == audit_event.c.patient)
THERE: dict[str, Found] = {
    "patient": or_(HAS_MEANING, of_agents(audit_agent.c.fhir_user.like("Patient/%"))),
    "entity": or_(audit_event.c.patient.is_not(None), audit_event.c.entity.is_not(None)),
    "entity-type": or_(audit_event.c.patient.is_not(None), audit_event.c.entity.is_not(None)),
    "entity-role": or_(audit_event.c.patient.is_not(None), audit_event.c.entity.is_not(None)),
    "agent": of_agents(audit_agent.c.fhir_user != ""),
    "altid": of_agents(audit_agent.c.subject != ""),
    "agent-role": of_agents(audit_agent.c.roles != "  "),
    "address": audit_event.c.address != "",
}


def between(connection: Connection, *, since: int | None, until: int | None) -> Iterator[Event]:
    """Those recorded in that time, in the order in which they were appended."""
    after = 0
    while True:
        found = select(audit_event).where(audit_event.c.pk > after)
        if since is not None:
            found = found.where(audit_event.c.recorded >= since)
        if until is not None:
            found = found.where(audit_event.c.recorded < until)
        rows = connection.execute(found.order_by(audit_event.c.pk).limit(AT_ONCE)).all()
        yield from events_of(connection, rows)
        if len(rows) < AT_ONCE:
            return
        after = rows[-1].pk
