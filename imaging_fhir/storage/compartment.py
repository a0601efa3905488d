"""What belongs to a patient or a visit, page by page, in the order of its creation."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, true

from imaging_fhir.model.search import AnyCriterion, Restrictions
from imaging_fhir.storage.resources import COLUMNS, StoredResource, stored
from imaging_fhir.storage.schema import date_index, reference_index, resource
from imaging_fhir.storage.search_conditions import Conditions
from imaging_fhir.storage.search_values import checked_only, entries_of_row

Dates = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompartmentQuery:
    """`members` are the reference parameters by which a type belongs to the owner, by type.

    `dates` are each type's date parameters: the first that a resource has a value of counts
    against `period`; one without any is always in it.
    """

    owner_type: str
    owner_ids: tuple[str, ...]  # several of Patients who are one person
    members: Mapping[str, str]
    count: int
    after: int = 0  # rid of the last one of the page before
    since: int | None = None  # milliseconds since 1970 UTC
    period: tuple[int, int] | None = None  # microseconds since 1970 UTC, half open
    dates: Dates = field(default_factory=dict)
    criteria: tuple[AnyCriterion, ...] = ()  # where there is one type of members


def find_visible(
    connection: Connection, resource_type: str, resource_id: str, restrictions: Restrictions
) -> StoredResource | None:
    """The current version, unless it is deleted or hidden from the caller."""
    conditions = Conditions(connection.dialect.name, restrictions)
    wanted = select(*COLUMNS).where(
        resource.c.id == resource_id,
        conditions.of(resource, resource_type, (), driven=False),
    )
    row = connection.execute(wanted).first()
    return None if row is None else stored(row)


def members(
    connection: Connection, query: CompartmentQuery, restrictions: Restrictions
) -> tuple[list[StoredResource], bool]:
    """One page, and whether there is another."""
    conditions = Conditions(connection.dialect.name, restrictions)
    belonging = select(reference_index.c.rid).where(
        reference_index.c.parameter.in_(
            [f"{type_}.{name}" for type_, name in query.members.items()]
        ),
        reference_index.c.target_type == query.owner_type,
        reference_index.c.target_id.in_(query.owner_ids),
    )
    wanted = select(*COLUMNS).where(
        resource.c.rid.in_(belonging), resource.c.rid > query.after, conditions.visible(resource)
    )
    if query.since is not None:
        wanted = wanted.where(resource.c.last_updated >= query.since)
    if query.period is not None:
        for type_ in query.members:
            inside = is_of_period(type_, query.dates.get(type_, ()), query.period, conditions)
            wanted = wanted.where(or_(resource.c.type != type_, inside))
    if query.criteria:
        [only] = query.members
        wanted = wanted.where(conditions.of(resource, only, query.criteria, driven=False))
    rows = connection.execute(wanted.order_by(resource.c.rid).limit(query.count + 1)).all()
    return [stored(row) for row in rows[: query.count]], len(rows) > query.count


def shared(
    connection: Connection,
    matches: Sequence[StoredResource],
    owner: StoredResource,
    types: Collection[str],
    *,
    limit: int,
    restrictions: Restrictions,
) -> tuple[list[StoredResource], bool]:
    """What the matches refer to of these types, and whether the limit cut it short.

    Of patients, only the one that the owner itself is of: others are nobody's to see with it.
    """
    conditions = Conditions(connection.dialect.name, restrictions)
    link, target = reference_index.alias(), resource.alias()
    rids = [match.rid for match in matches]
    of_owner = and_(
        link.c.rid == owner.rid,
        link.c.target_type == "Patient",
        link.c.parameter == f"{owner.type}.patient",
    )
    of_matches = and_(link.c.rid.in_(rids), link.c.target_type != "Patient")
    targets = (
        select(target.c.rid)
        .join(link, and_(link.c.target_type == target.c.type, link.c.target_id == target.c.id))
        .where(
            link.c.rid.in_([*rids, owner.rid]),
            or_(of_matches, of_owner),
            checked_only(link.c.target_type, conditions.dialect).in_(types),
        )
    )
    wanted = select(*COLUMNS).where(
        resource.c.rid.in_(targets), resource.c.rid.not_in(rids), conditions.visible(resource)
    )
    rows = connection.execute(wanted.order_by(resource.c.rid).limit(limit + 1)).all()
    return [stored(row) for row in rows[:limit]], len(rows) > limit


def is_of_period(
    resource_type: str, names: Sequence[str], period: tuple[int, int], conditions: Conditions
) -> ColumnElement[bool]:
    if not names:
        return true()
    entry = date_index.alias()
    here = exists().where(
        entry.c.rid == resource.c.rid,
        entries_of_row(entry, f"{resource_type}.{names[0]}", conditions.dialect),
    )
    touches = here.where(entry.c.low < period[1], entry.c.high > period[0])
    rest = is_of_period(resource_type, names[1:], period, conditions)
    return or_(touches, and_(~here, rest))
