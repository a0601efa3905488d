"""What comes with the matches of a search (https://hl7.org/fhir/R4/search.html#include)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from imaging_fhir.model.search import Inclusion, Query, Restrictions
from imaging_fhir.storage.resources import COLUMNS, StoredResource, stored
from imaging_fhir.storage.same_person import PATIENT, same_person
from imaging_fhir.storage.schema import reference_index, resource
from imaging_fhir.storage.search_conditions import Conditions
from imaging_fhir.storage.search_values import checked_only, entries_of_row

CHUNK = 500  # of keys in one statement
OPEN: Restrictions = {}


def included(
    connection: Connection,
    query: Query,
    matches: Sequence[StoredResource],
    *,
    limit: int,
    restrictions: Restrictions = OPEN,
) -> tuple[list[StoredResource], bool]:
    """Resources that are no match themselves, each once; and whether the limit cut them short."""
    conditions = Conditions(connection.dialect.name, restrictions)
    seen = {match.rid for match in matches}
    found: list[StoredResource] = []
    fresh, iterated = list(matches), False
    while fresh:
        batch: list[StoredResource] = []
        for row in step(connection, query, conditions, fresh, iterated=iterated):
            if row.rid in seen:
                continue
            if len(found) == limit:
                return found, True
            seen.add(row.rid)
            batch.append(row)
            found.append(row)
        fresh, iterated = batch, True
    return found, False


def step(
    connection: Connection,
    query: Query,
    conditions: Conditions,
    sources: Sequence[StoredResource],
    *,
    iterated: bool,
) -> Iterator[StoredResource]:
    """What the sources refer to, and what refers to them; only `:iterate` goes on further."""
    for inclusion in query.includes:
        if inclusion.iterate or not iterated:
            rids = [row.rid for row in sources if row.type == inclusion.source_type]
            for chunk in chunks(rids):
                yield from rows(connection, referred_to(conditions, inclusion, chunk))
    if not query.revincludes:
        return
    ids_by_type = ids_of(sources)
    everyone = everybody(connection, ids_by_type.get(PATIENT, []))
    for inclusion in query.revincludes:
        if inclusion.iterate or not iterated:
            for type_, ids in ids_by_type.items():
                if inclusion.target_type not in (None, type_):
                    continue
                for ids_chunk in chunks(everyone if says_whose(inclusion, type_) else ids):
                    found = referring(conditions, inclusion, type_, ids_chunk)
                    yield from rows(connection, found)


def rows(connection: Connection, statement: Select[Any]) -> Iterator[StoredResource]:
    for row in connection.execute(statement):
        yield stored(row)


def chunks(keys: Sequence[Any]) -> Iterator[list[Any]]:
    remaining = iter(keys)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def ids_of(sources: Iterable[StoredResource]) -> dict[str, list[str]]:
    by_type: dict[str, list[str]] = {}
    for row in sources:
        by_type.setdefault(row.type, []).append(row.id)
    return by_type


def everybody(connection: Connection, patients: Sequence[str]) -> list[str]:
    """Ids of all who are the same person as one of these Patients."""
    persons = same_person(connection, patients).values() if patients else ()
    return sorted({one for person in persons for one in person})


def says_whose(inclusion: Inclusion, type_: str) -> bool:
    """`Patient.link` tells of records, not of whom something is."""
    return type_ == PATIENT and (inclusion.source_type, inclusion.parameter) != (PATIENT, "link")


def referred_to(conditions: Conditions, inclusion: Inclusion, rids: list[int]) -> Select[Any]:
    link, target = reference_index.alias(), resource.alias()
    found = (
        select(target.c.rid)
        .join(link, and_(link.c.target_type == target.c.type, link.c.target_id == target.c.id))
        .where(
            link.c.rid.in_(rids),
            entries_of_row(
                link, f"{inclusion.source_type}.{inclusion.parameter}", conditions.dialect
            ),
        )
    )
    if inclusion.target_type is not None:
        target_type = checked_only(link.c.target_type, conditions.dialect)
        found = found.where(target_type == inclusion.target_type)
    return visible_rows(conditions, found)


def referring(
    conditions: Conditions, inclusion: Inclusion, type_: str, ids: list[str]
) -> Select[Any]:
    link = reference_index.alias()
    found = select(link.c.rid).where(
        link.c.parameter == f"{inclusion.source_type}.{inclusion.parameter}",
        link.c.target_type == type_,
        link.c.target_id.in_(ids),
    )
    return visible_rows(conditions, found)


def visible_rows(conditions: Conditions, rids: Select[Any]) -> Select[Any]:
    """In the order of their creation."""
    wanted = and_(resource.c.rid.in_(rids), conditions.visible(resource))
    return select(*COLUMNS).where(wanted).order_by(resource.c.rid)
