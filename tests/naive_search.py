"""Searching by looking at every resource: what the SQL of a search must agree with."""

from dataclasses import dataclass

from imaging_fhir.model.search import (
    OPEN_HIGH,
    AnyCriterion,
    CompositeEntry,
    CompositeValue,
    Criterion,
    DateEntry,
    DateValue,
    IndexEntry,
    Membership,
    QuantityEntry,
    QuantityValue,
    Query,
    ReferenceEntry,
    ReferenceValue,
    ReverseCriterion,
    SearchValue,
    SortKey,
    StringEntry,
    TokenEntry,
    TokenValue,
    UriEntry,
)
from imaging_fhir.model.text import folded

Comparison = tuple[bool, object]


@dataclass(frozen=True)
class Known:
    type: str
    id: str
    rid: int
    last_updated: int
    entries: tuple[IndexEntry, ...]

    def of(self, parameter: str) -> list[IndexEntry]:
        return [entry for entry in self.entries if entry.parameter == parameter]


@dataclass(frozen=True)
class NaiveSearch:
    known: tuple[Known, ...]

    def matches(self, query: Query) -> list[Known]:
        """All of them, in order."""
        found = [
            one
            for one in self.known
            if one.type == query.resource_type
            and all(self.fulfils(one, criterion) for criterion in query.criteria)
        ]
        found.sort(key=lambda one: -one.rid)
        for key in reversed(query.sort):
            there = [one for one in found if sort_value(one, key) is not None]
            there.sort(key=lambda one: sort_value(one, key), reverse=key.descending)  # type: ignore[arg-type,return-value]
            found = there + [one for one in found if sort_value(one, key) is None]
        return found

    def fulfils(self, one: Known, criterion: AnyCriterion) -> bool:
        if isinstance(criterion, ReverseCriterion):
            return self.is_referred_to(one, criterion)
        if isinstance(criterion, Membership):
            return is_member(one, criterion)
        if criterion.parameter == "_id":
            return any(isinstance(v, TokenValue) and v.value == one.id for v in criterion.values)
        entries = one.of(criterion.parameter)
        if criterion.parameter == "_lastUpdated":
            micros = one.last_updated * 1000
            entries = [DateEntry(parameter="_lastUpdated", low=micros, high=micros + 1000)]
        if criterion.modifier == "missing":
            return bool(entries) == (criterion.values == ("false",))
        if criterion.chain:
            return any(self.leads_to(entry, criterion) for entry in entries)
        found = any(
            matches(entry, value, criterion.modifier)
            for entry in entries
            for value in criterion.values
        )
        return found != (criterion.modifier == "not")

    def leads_to(self, entry: IndexEntry, criterion: Criterion) -> bool:
        assert isinstance(entry, ReferenceEntry)
        return any(
            (target.type, target.id) == (type_, entry.target_id)
            and type_ == entry.target_type
            and self.fulfils(target, rest)
            for type_, rest in criterion.chain
            for target in self.known
        )

    def is_referred_to(self, one: Known, criterion: ReverseCriterion) -> bool:
        return any(
            isinstance(entry, ReferenceEntry)
            and (entry.target_type, entry.target_id) == (one.type, one.id)
            and self.fulfils(source, criterion.criterion)
            for source in self.known
            if source.type == criterion.resource_type
            for entry in source.of(criterion.reference_parameter)
        )


def is_member(one: Known, criterion: Membership) -> bool:
    owner = (criterion.owner_type, criterion.owner_id)
    return (criterion.itself and (one.type, one.id) == owner) or any(
        isinstance(entry, ReferenceEntry) and (entry.target_type, entry.target_id) == owner
        for name in criterion.parameters
        for entry in one.of(name)
    )


def sort_value(one: Known, key: SortKey) -> object:
    if key.parameter == "_id":
        return one.id
    if key.parameter == "_lastUpdated":
        return one.last_updated
    values = [sort_part(entry) for entry in one.of(key.parameter)]
    there = [value for value in values if value is not None]
    if not there:
        return None
    return max(there) if key.descending else min(there)  # type: ignore[type-var]


def sort_part(entry: IndexEntry) -> object:
    match entry:
        case DateEntry() | QuantityEntry():
            return entry.low
        case StringEntry():
            return entry.folded
        case TokenEntry():
            return folded(entry.value)
        case UriEntry():
            return entry.value
        case ReferenceEntry():
            return entry.target_id
        case CompositeEntry():
            raise AssertionError("a composite is no sort key")


def matches(entry: IndexEntry, value: SearchValue, modifier: str | None) -> bool:
    match entry, value:
        case TokenEntry() | ReferenceEntry(), str():
            text = entry.text if isinstance(entry, TokenEntry) else entry.display
            return folded(text or "\0").startswith(folded(value))
        case TokenEntry(), TokenValue():
            return token_matches(entry, value)
        case ReferenceEntry(), TokenValue() | ReferenceValue():
            return reference_matches(entry, value)
        case DateEntry(), DateValue():
            return date_matches(entry, value)
        case StringEntry(), str():
            return string_matches(entry, value, modifier)
        case UriEntry(), str():
            return entry.value == value
        case QuantityEntry(), QuantityValue():
            return quantity_matches(entry, value)
        case CompositeEntry(), CompositeValue():
            return any(matches(entry.first, one, None) for one in value.first) and any(
                matches(entry.second, one, None) for one in value.second
            )
    raise AssertionError(f"{value} against {entry}")


def reference_matches(entry: ReferenceEntry, value: TokenValue | ReferenceValue) -> bool:
    if isinstance(value, TokenValue):
        same = value.value in (None, entry.identifier_value) and bool(entry.identifier_value)
        return same and system_matches(entry.identifier_system, value.system)
    if value.url is not None:
        return entry.url == value.url
    return entry.target_id == value.target_id and value.target_type in (None, entry.target_type)


def token_matches(entry: TokenEntry, value: TokenValue) -> bool:
    return (
        (value.value is None or folded(entry.value) == folded(value.value))
        and system_matches(entry.system, value.system)
        and value.type_system in (None, entry.type_system)
        and value.type_code in (None, entry.type_code)
    )


def system_matches(system: str | None, wanted: str | None) -> bool:
    return wanted is None or (system or "") == wanted


def string_matches(entry: StringEntry, value: str, modifier: str | None) -> bool:
    match modifier:
        case "exact":
            return entry.value == value
        case "contains":
            return folded(value) in entry.folded
    return entry.folded.startswith(folded(value))


def quantity_matches(entry: QuantityEntry, value: QuantityValue) -> bool:
    """http://hl7.org/fhir/R4/search.html#quantity; a range stands for each value in it."""
    return number_matches(entry, value) and unit_matches(entry, value)


def unit_matches(entry: QuantityEntry, value: QuantityValue) -> bool:
    if value.system is not None:
        return entry.system == value.system and value.code in (None, entry.code)
    return value.code in (None, entry.code, entry.unit)


def number_matches(entry: QuantityEntry, value: QuantityValue) -> bool:
    contained = value.low <= entry.low and entry.high < value.high
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return entry.high > value.value
        case "sa":
            return entry.low > value.value
        case "lt":
            return entry.low < value.value
        case "eb":
            return entry.high < value.value
        case "ge":
            return entry.high >= value.value
        case "le":
            return entry.low <= value.value
    return entry.low <= value.high and entry.high >= value.low


def date_matches(entry: DateEntry, value: DateValue) -> bool:
    """http://hl7.org/fhir/R4/search.html#prefix, word by word."""
    contained = value.low <= entry.low and entry.high <= value.high
    above = overlap(entry, value.high, OPEN_HIGH + 1)
    below = overlap(entry, -OPEN_HIGH - 1, value.low)
    match value.prefix:
        case "eq":
            return contained
        case "ne":
            return not contained
        case "gt":
            return above
        case "lt":
            return below
        case "ge":
            return above or contained
        case "le":
            return below or contained
        case "sa":
            return entry.low >= value.high
        case "eb":
            return entry.high <= value.low
    return overlap(entry, value.low, value.high)


def overlap(entry: DateEntry, low: int, high: int) -> bool:
    return max(entry.low, low) < min(entry.high, high)
