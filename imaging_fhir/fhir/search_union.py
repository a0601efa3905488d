"""A search over several types at once (http.html#search): of the whole system, or a compartment.

Its parameters are those that all the types have. Sorted is by `_lastUpdated`, or by `date`, which
is of each type the parameter that says when it happened.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_criterion import invalid
from imaging_fhir.fhir.search_limits import require_few_parameters, require_few_sort_keys
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.search import Inclusion, Query, SearchType, SortKey

Pair = tuple[str, str]
TYPE = "_type"
INCLUDES = frozenset({"_include", "_revinclude"})
DATES = {  # of the types whose parameter of when it happened is not called `date`
    "DocumentManifest": "created",
    "ImagingStudy": "started",
    "Media": "created",
    "Provenance": "recorded",
    "ServiceRequest": "authored",
    "Specimen": "collected",
    "Task": "authored-on",
}
SORTED: dict[str, SearchType] = {"_lastUpdated": "date", "date": "date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnionQuery:
    """`parts` are the searches of one type each; `whole` is what holds for them all."""

    whole: Query
    parts: tuple[Query, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As parse_query takes them."""

    base: str
    ehr_base: str = ""
    zone: tzinfo | None
    default_count: int
    max_count: int
    strict: bool


def parse_union(
    types: Sequence[str], parameters: Sequence[Pair], options: Options, *, address: str
) -> UnionQuery:
    """The search in those of the types that `_type` names; raise InvalidRequest.

    A parameter that one of the types does not have is left out for all: else that type would
    answer with everything.
    """
    require_few_parameters(parameters)
    wanted = types_wanted(types, parameters)
    others = [pair for pair in parameters if pair[0] not in (TYPE, "_sort")]
    sort, unsorted = sort_keys(parameters)
    require_few_sort_keys(len(sort))
    known = [pair for pair in others if is_known(pair, wanted, options)]
    ignored = [key for key, _ in [*(pair for pair in others if pair not in known), *unsorted]]
    if ignored and options.strict:
        raise invalid(ignored[0], "it is not a parameter of all these types.")
    parts = tuple(part(type_, known, sort, options) for type_ in wanted)
    kept = [pair for pair in parameters if pair[0] == TYPE or (pair[0] == "_sort" and sort)]
    whole = replace(
        parts[0],
        address=address,
        includes=unique(one for each in parts for one in each.includes),
        revincludes=unique(one for each in parts for one in each.revincludes),
        ignored=tuple(dict.fromkeys(ignored)),
        self_parameters=(*kept, *self_parameters(parts)),
    )
    return UnionQuery(whole=whole, parts=parts)


def types_wanted(types: Sequence[str], parameters: Sequence[Pair]) -> list[str]:
    """Raise InvalidRequest for a type that there is not: nothing would be found for a slip."""
    named = [name.strip() for key, text in parameters if key == TYPE for name in text.split(",")]
    named = [name for name in named if name]
    if any(name not in RESOURCE_TYPES for name in named):
        raise invalid(TYPE, "it names a resource type that is not kept here.")
    wanted = [name for name in types if not named or name in named]
    if not wanted:
        raise invalid(TYPE, "it names no resource type that can be here.")
    return wanted


def sort_keys(parameters: Sequence[Pair]) -> tuple[list[SortKey], list[Pair]]:
    """The keys, and the `_sort` parameters that have another."""
    keys: list[SortKey] = []
    unknown = []
    for key, text in parameters:
        names = [name.strip() for name in text.split(",")] if key == "_sort" else []
        if any(name.removeprefix("-") not in SORTED for name in names):
            unknown.append((key, text))
            continue
        keys += [
            SortKey(
                parameter=name.removeprefix("-"),
                type=SORTED[name.removeprefix("-")],
                descending=name.startswith("-"),
            )
            for name in names
        ]
    return keys, unknown


def is_known(pair: Pair, types: Sequence[str], options: Options) -> bool:
    """Does every type have the parameter? Of includes, any: each has its own references."""
    found = (not parsed(type_, [pair], options).ignored for type_ in types)
    return any(found) if pair[0].partition(":")[0] in INCLUDES else all(found)


def part(
    type_: str, parameters: Sequence[Pair], sort: Sequence[SortKey], options: Options
) -> Query:
    keys = (
        replace(key, parameter=DATES.get(type_, "date")) if key.parameter == "date" else key
        for key in sort
    )
    return replace(parsed(type_, parameters, options), sort=tuple(keys))


def parsed(type_: str, parameters: Sequence[Pair], options: Options) -> Query:
    return parse_query(
        type_,
        parameters,
        base=options.base,
        ehr_base=options.ehr_base,
        zone=options.zone,
        default_count=options.default_count,
        max_count=options.max_count,
    )


def self_parameters(parts: Sequence[Query]) -> list[Pair]:
    """Of an include that only some types have, too."""
    return list(dict.fromkeys(pair for each in parts for pair in each.self_parameters))


def unique(found: Iterator[Inclusion]) -> tuple[Inclusion, ...]:
    return tuple(dict.fromkeys(found))
