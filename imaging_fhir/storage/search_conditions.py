"""Criteria of a search as conditions in SQL.

One criterion drives the search: its rows are looked up in the index (`rid IN (SELECT …)`). All
others are checked for each of them (`EXISTS …`), by the index on `rid`. Left to choose, SQLite
would look up every criterion whole, however many studies are CT. Which one drives is told from
its kind, since neither engine knows beforehand how rare a value is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    exists,
    false,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import FromClause

from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.search import (
    DICOM_PARAMETERS,
    NOTHING,
    AnyCriterion,
    AnyOf,
    Criterion,
    DateValue,
    Membership,
    QuantityValue,
    Reached,
    Restrictions,
    ReverseCriterion,
    TokenValue,
)
from imaging_fhir.storage.schema import (
    instance,
    reference_index,
    resource,
    series,
    study,
    uri_index,
)
from imaging_fhir.storage.search_composites import composite_condition
from imaging_fhir.storage.search_text import words_condition
from imaging_fhir.storage.search_values import (
    VALUE_CONDITIONS,
    checked_only,
    entries_of_row,
    number_condition,
    one_of,
    starts_with,
    table_of,
)

Condition = ColumnElement[bool]
Owner = tuple[str, tuple[str, ...]]  # type and ids
CONDITIONS = {**VALUE_CONDITIONS, "composite": composite_condition}
UNSELECTIVE = 10
MANY = 2_000
BINARY = "Binary"
BINARIES = f"{BASE_PLACEHOLDER}/{BINARY}/"  # what the addresses of ours begin with
ATTACHED = ["DocumentReference.location"]  # where they are found
OF_THE_ROW = frozenset({"_id", "_lastUpdated"})
DICOM_COLUMNS = {
    "instance": instance.c.sop_instance_uid,
    "series": series.c.series_instance_uid,
    "dicom-class": instance.c.sop_class_uid,
}
UID_SYSTEMS = {  # of a bare UID's own kind; `urn:oid:` is taken off before
    "instance": ("urn:dicom:uid", "urn:ietf:rfc:3986", ""),
    "series": ("urn:dicom:uid", "urn:ietf:rfc:3986", ""),
    "dicom-class": ("urn:ietf:rfc:3986",),
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """`restrictions` hold for every resource that a search reaches, on each hop of a chain too."""

    dialect: str
    restrictions: Restrictions

    def of(
        self,
        row: FromClause,
        resource_type: str,
        criteria: Sequence[AnyCriterion],
        *,
        driven: bool = True,
    ) -> Condition:
        """The visible resources of the type that fulfil all criteria.

        Where the row is known by something else already, none of them is to drive.
        """
        every = dict.fromkeys((*criteria, *self.restrictions.get(resource_type, ())))
        driver = min(every, key=selectivity, default=None) if driven else None
        return and_(
            row.c.type == resource_type,
            row.c.deleted.is_(False),
            *(self.one(row, resource_type, one, drives=one is driver) for one in every),
        )

    def visible(self, row: FromClause) -> Condition:
        """Any resource that is not deleted and that no restriction hides."""
        closed = [name for name, one in self.restrictions.items() if NOTHING in one]
        alike, others = self.alike()
        seen: list[Condition] = [row.c.type.not_in(closed)] if closed else []
        if alike:
            types = [type_ for group in alike.values() for type_ in group]
            branches = [self.members(row, owner, group) for owner, group in alike.items()]
            seen.append(or_(row.c.type.not_in(types), *branches))
        seen += [or_(row.c.type != one, self.of(row, one, (), driven=False)) for one in others]
        return and_(row.c.deleted.is_(False), *seen)

    def alike(self) -> "tuple[dict[Owner, dict[str, tuple[str, ...]]], list[str]]":
        """Types of which the same owner's are seen, with the parameters; and all other types."""
        alike: dict[Owner, dict[str, tuple[str, ...]]] = {}
        others = []
        for name, (first, *rest) in self.restrictions.items():
            if isinstance(first, Membership) and not rest and not first.itself:
                owner = first.owner_type, first.owner_ids
                alike.setdefault(owner, {})[name] = first.parameters
            elif NOTHING not in (first, *rest):
                others.append(name)
        return alike, others

    def members(
        self, row: FromClause, owner: "Owner", group: Mapping[str, tuple[str, ...]]
    ) -> Condition:
        """Of whichever of the types it is: what it refers to the owner by is told with its type."""
        link = reference_index.alias()
        names = [f"{type_}.{name}" for type_, names in group.items() for name in names]
        return exists().where(
            link.c.rid == row.c.rid,
            entries_of_row(link, names, self.dialect),
            checked_only(link.c.target_type, self.dialect) == owner[0],
            one_of(checked_only(link.c.target_id, self.dialect), set(owner[1])),
        )

    def one(
        self, row: FromClause, resource_type: str, criterion: AnyCriterion, *, drives: bool
    ) -> Condition:
        if isinstance(criterion, ReverseCriterion):
            return self.referred_to(row, resource_type, criterion, drives=drives)
        if isinstance(criterion, Membership):
            return self.member(row, resource_type, criterion, drives=drives)
        if isinstance(criterion, AnyOf):
            return self.any_of(row, resource_type, criterion)
        if isinstance(criterion, Reached):
            return self.reached(row, resource_type, criterion)
        if criterion.parameter == "_id":
            return id_condition(row, criterion)
        if criterion.parameter == "_lastUpdated":
            return or_(*(stamp_condition(row, value) for value in dates(criterion)))
        if criterion.type == "text" and criterion.modifier is None:
            return words_condition(row, resource_type, criterion, self.dialect)
        if is_negative(criterion):
            return ~self.found(row, resource_type, criterion, drives=False)
        return self.found(row, resource_type, criterion, drives=drives)

    def any_of(self, row: FromClause, resource_type: str, criterion: AnyOf) -> Condition:
        return or_(
            false(),
            *(
                and_(true(), *(self.one(row, resource_type, one, drives=False) for one in each))
                for each in criterion.alternatives
            ),
        )

    def reached(self, row: FromClause, resource_type: str, criterion: Reached) -> Condition:
        """From the sources on, which are few: what many refer to is not gone back from."""
        sources = union_all(
            *(self.sources(type_, criteria) for type_, criteria in criterion.sources)
        )
        if resource_type == BINARY:
            return row.c.id.in_(self.attached(sources))
        link = reference_index.alias()
        targets = select(link.c.target_id).where(
            link.c.rid.in_(sources),
            checked_only(link.c.target_type, self.dialect) == resource_type,
        )
        return row.c.id.in_(targets)

    def sources(self, resource_type: str, criteria: tuple[AnyCriterion, ...]) -> Select[Any]:
        source = resource.alias()
        return select(source.c.rid).where(self.of(source, resource_type, criteria))

    def attached(self, sources: CompoundSelect[Any]) -> Select[Any]:
        """Ids of the Binaries that the attachments of the sources are."""
        entry = uri_index.alias()
        return select(func.substr(entry.c.value, len(BINARIES) + 1)).where(
            entry.c.rid.in_(sources),
            entries_of_row(entry, ATTACHED, self.dialect),
            starts_with(checked_only(entry.c.value, self.dialect), BINARIES, self.dialect),
        )

    def member(
        self, row: FromClause, resource_type: str, criterion: Membership, *, drives: bool
    ) -> Condition:
        """It refers to an owner of the compartment, or is one."""
        names = [f"{resource_type}.{name}" for name in criterion.parameters]
        owner = owned(row, criterion)
        if not names:
            return owner
        link = reference_index.alias()
        links = select(link.c.rid).where(
            link.c.target_type == criterion.owner_type,
            one_of(link.c.target_id, set(criterion.owner_ids)),
        )
        if not drives:
            of_row = entries_of_row(link, names, self.dialect)
            refers = exists(links.where(link.c.rid == row.c.rid, of_row))
            return or_(refers, owner) if criterion.itself else refers
        referring = links.where(link.c.parameter.in_(names))
        return row.c.rid.in_(with_owner(referring, criterion) if criterion.itself else referring)

    def found(
        self, row: FromClause, resource_type: str, criterion: Criterion, *, drives: bool
    ) -> Condition:
        if criterion.chain:
            return self.following(row, resource_type, criterion, drives=drives)
        if resource_type == "ImagingStudy" and criterion.parameter in DICOM_PARAMETERS:
            found = dicom_studies(criterion)
            return row.c.rid.in_(found) if drives else exists(found.where(study.c.rid == row.c.rid))
        entries = self.fulfilling(row, resource_type, criterion, drives=drives)
        return row.c.rid.in_(entries) if drives else exists(entries)

    def fulfilling(
        self, row: FromClause, resource_type: str, criterion: Criterion, *, drives: bool
    ) -> Select[Any]:
        """The index entries that fulfil a criterion without a chain."""
        table = table_of(criterion.type).alias()
        entries = self.entries(table, row, f"{resource_type}.{criterion.parameter}", drives=drives)
        if criterion.modifier == "missing":
            return entries
        return entries.where(CONDITIONS[criterion.type](table, criterion, self.dialect))

    def finds_many(
        self, connection: Connection, resource_type: str, criteria: Sequence[AnyCriterion]
    ) -> bool:
        """Would SQLite look up so many rows that going through the resources is quicker?

        PostgreSQL knows by its statistics.
        """
        every = (*criteria, *self.restrictions.get(resource_type, ()))
        driver = min(every, key=selectivity, default=None)
        if self.dialect != "sqlite" or not isinstance(driver, Criterion) or is_selective(every):
            return False
        if (
            driver.chain
            or driver.type == "text"
            or driver.parameter in DICOM_PARAMETERS
            or driver.parameter in OF_THE_ROW
        ):
            return False
        entries = self.fulfilling(resource, resource_type, driver, drives=True)
        return connection.execute(entries.offset(MANY).limit(1)).first() is not None

    def entries(
        self, table: FromClause, row: FromClause, parameter: str, *, drives: bool
    ) -> Select[Any]:
        """The parameter's entries: of all resources, or of the row."""
        if drives:
            return select(table.c.rid).where(table.c.parameter == parameter)
        of_parameter = entries_of_row(table, parameter, self.dialect)
        return select(table.c.rid).where(table.c.rid == row.c.rid, of_parameter)

    def following(
        self, row: FromClause, resource_type: str, criterion: Criterion, *, drives: bool
    ) -> Condition:
        """Its reference leads to a resource that fulfils the rest of the chain."""
        parameter = f"{resource_type}.{criterion.parameter}"
        return or_(
            *(
                self.following_to(row, parameter, type_, rest, drives=drives)
                for type_, rest in criterion.chain
            )
        )

    def following_to(
        self, row: FromClause, parameter: str, type_: str, rest: AnyCriterion, *, drives: bool
    ) -> Condition:
        link, target = reference_index.alias(), resource.alias()
        links = self.entries(link, row, parameter, drives=drives)
        links = links.where(link.c.target_type == type_)
        fulfilled = self.of(target, type_, (rest,), driven=drives)
        if drives:
            ids = select(target.c.id).where(fulfilled)
            return row.c.rid.in_(links.where(link.c.target_id.in_(ids)))
        return exists(links.where(exists().where(target.c.id == link.c.target_id, fulfilled)))

    def referred_to(
        self, row: FromClause, resource_type: str, criterion: ReverseCriterion, *, drives: bool
    ) -> Condition:
        """A resource of the other type refers to it and fulfils the criterion."""
        link, source = reference_index.alias(), resource.alias()
        other = criterion.resource_type
        parameter = f"{other}.{criterion.reference_parameter}"
        fulfilled = self.of(source, other, (criterion.criterion,), driven=drives)
        if drives:
            ids = select(link.c.target_id).where(
                link.c.rid.in_(select(source.c.rid).where(fulfilled)),
                entries_of_row(link, parameter, self.dialect),
                checked_only(link.c.target_type, self.dialect) == resource_type,
            )
            target = resource.alias()
            targets = select(target.c.rid).where(
                target.c.type == resource_type, target.c.id.in_(ids)
            )
            return row.c.rid.in_(targets)
        return exists().where(
            link.c.parameter == parameter,
            link.c.target_type == resource_type,
            link.c.target_id == row.c.id,
            exists().where(source.c.rid == link.c.rid, fulfilled),
        )


def with_owner(referring: Select[Any], criterion: Membership) -> CompoundSelect[Any]:
    owner = resource.alias()
    return union_all(referring, select(owner.c.rid).where(owned(owner, criterion)))


def owned(row: FromClause, criterion: Membership) -> Condition:
    """Is it an owner of the compartment itself?"""
    is_one = one_of(row.c.id, set(criterion.owner_ids))
    return and_(row.c.type == criterion.owner_type, is_one)


def is_negative(criterion: Criterion) -> bool:
    """`:not` and `:missing=true` also find what has no value at all."""
    return criterion.modifier == "not" or (
        criterion.modifier == "missing" and criterion.values == ("true",)
    )


def selectivity(criterion: AnyCriterion) -> int:
    """The fewer rows a criterion of its kind finds, the lower."""
    if isinstance(criterion, ReverseCriterion):
        return 5
    if isinstance(criterion, Membership):
        return 2
    if isinstance(criterion, AnyOf | Reached):
        return UNSELECTIVE
    if criterion.chain:
        return 4
    if criterion.parameter == "_id":
        return 0
    if criterion.modifier in ("missing", "not", "contains", "text", "above", "below"):
        return UNSELECTIVE
    if criterion.parameter in ("identifier", "instance", "series"):
        return 1
    ranks = {
        "text": 4,
        "reference": 2,
        "uri": 6,
        "string": 3,
        "composite": 6,
        "token": 7,
        "quantity": 8,
    }
    ranks |= {"number": 8, "date": 8}
    return ranks.get(criterion.type, UNSELECTIVE)


def is_selective(criteria: Iterable[AnyCriterion]) -> bool:
    """Does one of them leave so few that they can be sorted?"""
    return min(map(selectivity, criteria), default=UNSELECTIVE) <= 5


def id_condition(row: FromClause, criterion: Criterion) -> Condition:
    if criterion.modifier == "missing":
        return false() if criterion.values == ("true",) else row.c.id.is_not(None)
    ids = [value.value for value in criterion.values if isinstance(value, TokenValue)]
    return row.c.id.not_in(ids) if criterion.modifier == "not" else row.c.id.in_(ids)


def dates(criterion: Criterion) -> list[DateValue | bool]:
    if criterion.modifier == "missing":
        return [criterion.values == ("false",)]
    return [value for value in criterion.values if isinstance(value, DateValue)]


def stamp_condition(row: FromClause, value: DateValue | bool) -> Condition:
    """`_lastUpdated`: an instant of whole milliseconds against an interval of microseconds."""
    stamp = row.c.last_updated
    if isinstance(value, bool):
        return stamp.is_not(None) if value else false()
    return stamp_of(stamp, value)


def stamp_of(stamp: ColumnElement[int], value: DateValue) -> Condition:
    low, high = -(-value.low // 1000), max(-(-value.high // 1000), value.low // 1000 + 1)
    match value.prefix:
        case "gt" | "sa":
            return stamp >= high
        case "lt" | "eb":
            return stamp < low
        case "ge":
            return stamp >= low
        case "le":
            return stamp < high
        case "ne":
            return or_(stamp < low, stamp >= high)
    return and_(stamp >= low, stamp < high)


def dicom_studies(criterion: Criterion) -> Select[Any]:
    """Studies by the UIDs of what they hold, from the DICOM index."""
    if criterion.parameter == "number-of-instances":
        return studies_of_size(criterion)
    column = DICOM_COLUMNS[criterion.parameter]
    found = select(study.c.rid).join(series, series.c.study == study.c.pk)
    if criterion.parameter != "series":
        found = found.join(instance, instance.c.series == series.c.pk)
    found = found.where(study.c.state == "filed")
    if criterion.modifier == "missing":
        return found
    return found.where(or_(*(uid_condition(column, criterion, one) for one in criterion.values)))


def studies_of_size(criterion: Criterion) -> Select[Any]:
    found = select(study.c.rid).where(study.c.state == "filed")
    number = study.c.number_of_instances
    values = [one for one in criterion.values if isinstance(one, QuantityValue)]
    if criterion.modifier == "missing":
        return found
    return found.where(or_(*(number_condition(number, number, one) for one in values)))


def uid_condition(column: ColumnElement[str], criterion: Criterion, value: object) -> Condition:
    if not isinstance(value, TokenValue):
        return false()
    if value.system is not None and value.system not in UID_SYSTEMS[criterion.parameter]:
        return false()
    return column.is_not(None) if value.value is None else column == value.value
