"""A Patient's id in a search stands for the person: merges (link replaced-by) are followed.

What a merged Patient's id finds is what the surviving one's finds, and the other way round: what
refers to any of those who are one person today. Nobody else's: other links say nothing of that,
and a merge that was taken back is none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select, union_all

from imaging_fhir.model.codec import decode
from imaging_fhir.model.search import (
    AnyCriterion,
    AnyOf,
    Criterion,
    Membership,
    Query,
    Reached,
    ReferenceValue,
    ReverseCriterion,
    SearchValue,
    TokenValue,
)
from imaging_fhir.storage.people import successor_of
from imaging_fhir.storage.schema import reference_index, resource
from imaging_fhir.storage.search_conditions import Conditions

PATIENT = "Patient"
LONGEST = 32  # merges in a row that are followed
AT_ONCE = 500  # ids in a statement
MOST_HOLDERS = 100  # of one identifier
MARK = b'"replaced-by"'
HERE = select(resource.c.id, resource.c.body).where(
    resource.c.type == PATIENT, resource.c.deleted.is_(False), resource.c.body.is_not(None)
)
RELATED = union_all(
    HERE.where(resource.c.id.in_(bindparam("ids", expanding=True))),
    HERE.join(reference_index, reference_index.c.rid == resource.c.rid).where(
        reference_index.c.parameter == "Patient.link",
        reference_index.c.target_type == PATIENT,
        reference_index.c.target_id.in_(bindparam("ids", expanding=True)),
    ),
)
Persons = Mapping[str, frozenset[str]]  # by id, the ids of all who are the same person
Chained = tuple[str, Criterion | ReverseCriterion]


def same_person(connection: Connection, ids: Iterable[str]) -> Persons:
    """One statement where nobody of them was merged, and one more for each merge in a row."""
    successors: dict[str, str] = {}  # of each Patient who is here; empty where there is none
    asked: set[str] = set()
    sought = fresh = set(ids)
    for _ in range(LONGEST):
        for id_, successor in related(connection, sorted(fresh)):
            if id_ in fresh or successor in fresh:
                successors[id_] = successor
        asked |= fresh
        fresh = {*successors, *successors.values()} - {""} - asked
        if not fresh:
            break
    today = {id_: today_of(successors, id_) for id_ in successors}
    return {
        id_: frozenset(one for one in today if today[one] == today.get(id_)) | {id_}
        for id_ in sought
    }


def related(connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """These Patients and those with a link to one of them, each with the id of the successor."""
    for start in range(0, len(ids), AT_ONCE):
        for id_, body in connection.execute(RELATED, {"ids": ids[start : start + AT_ONCE]}):
            yield id_, successor_of(decode(body)) if MARK in body else ""


def today_of(successors: Mapping[str, str], patient_id: str) -> str:
    """As people.resolve_patient has it: of a loop the first by id, else the last who is here."""
    chain = [patient_id]
    while (successor := successors[chain[-1]]) in successors:
        if successor in chain:
            return min(chain[chain.index(successor) :])
        chain.append(successor)
    return chain[-1]


def of_persons(connection: Connection, queries: Sequence[Query]) -> list[Query]:
    """The searches with each Patient's id as all ids of that person."""
    named: set[str] = set()
    holders: dict[Criterion, set[str]] = {}

    def note(id_: str) -> frozenset[str]:
        named.add(id_)
        return frozenset({id_})

    def of_number(number: Criterion) -> set[str]:
        if number not in holders:
            holders[number] = holders_of(connection, number)
        return holders[number]

    Widening(note, of_number).queries(queries)
    persons = same_person(connection, named) if named else {}
    if all(len(person) == 1 for person in persons.values()):
        return list(queries)
    return Widening(persons.__getitem__, of_number).queries(queries)


def holders_of(connection: Connection, number: Criterion) -> set[str]:
    """Ids of the Patients, merged ones too, with that identifier."""
    fulfilled = Conditions(connection.dialect.name, {}).of(resource, PATIENT, (number,))
    found = select(resource.c.id).where(fulfilled).limit(MOST_HOLDERS)
    return set(connection.execute(found).scalars())


@dataclass(frozen=True, slots=True)
class Widening:
    person: Callable[[str], frozenset[str]]  # all ids of whom an id stands for
    holders: Callable[[Criterion], set[str]]  # of an identifier

    def queries(self, queries: Sequence[Query]) -> list[Query]:
        return [
            replace(query, criteria=tuple(self.widened(query.resource_type, query.criteria)))
            for query in queries
        ]

    def widened(
        self, resource_type: str, criteria: Iterable[AnyCriterion]
    ) -> Iterator[AnyCriterion]:
        for criterion in criteria:
            yield self.one(resource_type, criterion)

    def one(self, resource_type: str, criterion: AnyCriterion) -> AnyCriterion:
        if isinstance(criterion, Membership):
            return self.membership(criterion)
        if isinstance(criterion, ReverseCriterion):
            return self.reverse(criterion)
        if isinstance(criterion, AnyOf | Reached):  # of the policy, which knows the person
            return criterion
        return self.reference(resource_type, criterion)

    def membership(self, criterion: Membership) -> Membership:
        if criterion.owner_type != PATIENT:
            return criterion
        return replace(criterion, owner_ids=tuple(sorted(self.persons(criterion.owner_ids))))

    def reverse(self, criterion: ReverseCriterion) -> ReverseCriterion:
        return replace(
            criterion, criterion=self.chained(criterion.resource_type, criterion.criterion)
        )

    def chained(
        self, resource_type: str, criterion: Criterion | ReverseCriterion
    ) -> Criterion | ReverseCriterion:
        if isinstance(criterion, ReverseCriterion):
            return self.reverse(criterion)
        return self.reference(resource_type, criterion)

    def reference(self, resource_type: str, criterion: Criterion) -> Criterion:
        """`Patient.link` tells of records, not of whom something is."""
        if criterion.type != "reference" or (resource_type, criterion.parameter) == (
            PATIENT,
            "link",
        ):
            return criterion
        if criterion.chain:
            return replace(criterion, chain=tuple(self.links(criterion.chain)))
        return replace(criterion, values=tuple(self.values(criterion.values)))

    def values(self, values: Iterable[SearchValue]) -> Iterator[SearchValue]:
        for value in values:
            yield value
            if isinstance(value, ReferenceValue) and value.target_type in (PATIENT, None):
                for other in self.others(value.target_id):
                    yield ReferenceValue(target_type=PATIENT, target_id=other)

    def links(self, chain: Iterable[Chained]) -> Iterator[Chained]:
        """A number is one person's, as an id is; a name would be many people's."""
        for type_, rest in chain:
            yield type_, self.chained(type_, rest)
            if type_ == PATIENT and isinstance(rest, Criterion):
                ids = set(ids_in(rest)) or (self.holders(rest) if is_number(rest) else set())
                others = self.persons(ids) - ids
                if others:
                    yield PATIENT, with_id(others)

    def others(self, id_: str | None) -> list[str]:
        return sorted(self.person(id_) - {id_}) if id_ else []

    def persons(self, ids: Iterable[str]) -> set[str]:
        return {one for id_ in ids for one in self.person(id_)}


def ids_in(criterion: Criterion) -> Iterator[str]:
    if criterion.parameter == "_id" and criterion.modifier is None:
        for value in criterion.values:
            if isinstance(value, TokenValue) and value.value:
                yield value.value


def is_number(criterion: Criterion) -> bool:
    return (
        criterion.parameter == "identifier"
        and criterion.modifier in (None, "of-type")
        and all(isinstance(value, TokenValue) and value.value for value in criterion.values)
    )


def with_id(ids: Iterable[str]) -> Criterion:
    values = tuple(TokenValue(system=None, value=id_) for id_ in sorted(ids))
    return Criterion(parameter="_id", type="token", values=values)
