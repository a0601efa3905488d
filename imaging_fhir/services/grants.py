"""What a token's scopes open, as conditions on the resources of each type.

A scope of `patient/` opens what is of its Patient: by the one parameter that says whose a resource
is, never by who wrote it or took part in it, as R4's compartment has it too. What is in nobody's
compartment is opened where a resource refers to it that the same scopes open. Several scopes open
what any of them opens.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache

from imaging_fhir.errors import ImagingError
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.caller import EVERY_TYPE, Caller, Scope
from imaging_fhir.model.search import (
    NOTHING,
    AnyCriterion,
    AnyOf,
    Criterion,
    Membership,
    Query,
    Reached,
    ReferenceValue,
    Restrictions,
    ReverseCriterion,
    TokenValue,
)

PATIENT, STUDY, DOCUMENT, BINARY, ENDPOINT = (
    "Patient",
    "ImagingStudy",
    "DocumentReference",
    "Binary",
    "Endpoint",
)
LETTERS = {  # SMART App Launch 2.2, Scopes for requesting FHIR resources
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "history-type": "s",
}
OWNED_BY = {  # the parameter by which a resource is a patient's own; empty: it is the patient
    PATIENT: "",
    "BodyStructure": "patient",
    "Consent": "patient",
    "DiagnosticReport": "subject",
    "DocumentManifest": "subject",
    DOCUMENT: "subject",
    "Encounter": "patient",
    "EpisodeOfCare": "patient",
    STUDY: "patient",
    "List": "subject",
    "Media": "subject",
    "Observation": "subject",
    "Procedure": "patient",
    "ServiceRequest": "subject",
    "Specimen": "subject",
}
REACHED = frozenset(  # in nobody's compartment: by way of what refers to them
    {"Device", ENDPOINT, "Location", "Organization", "Practitioner", "PractitionerRole"}
)
STAFF_ONLY = frozenset(  # never by `patient/`: they may name other patients, or are of the work
    {"AuditEvent", "Group", "Provenance", "Subscription", "Task"}
)
COMES_ALONG = {ENDPOINT: STUDY, BINARY: DOCUMENT}  # who may see the one may see the other's
READING = frozenset("rs")
Criteria = tuple[AnyCriterion, ...]


@dataclass(frozen=True, slots=True)
class Grants:
    """The scopes of a caller, and whom they are about; equal ones are worked out once."""

    scopes: tuple[Scope, ...]
    person: frozenset[str] = frozenset()  # ids of all Patients who are that person
    patients: frozenset[str] | None = None  # these and the next limit `system/`
    studies: frozenset[str] | None = None

    @property
    def is_limited(self) -> bool:
        return self.patients is not None or self.studies is not None

    def granted(self, resource_type: str, letters: str) -> bool:
        """Is there anything of the type that the scopes open?"""
        return any(True for _ in self.alternatives(resource_type, letters))

    def of_type(self, resource_type: str, letters: str) -> Criteria:
        """What a resource must fulfil; nothing: it is open."""
        found = list(dict.fromkeys(self.alternatives(resource_type, letters)))
        if () in found:
            return ()
        if len(found) == 1:
            return found[0]
        first = {one[0] for one in found}
        if len(first) == 1 and isinstance(found[0][0], Membership):  # whose it is can drive
            return found[0][0], AnyOf(alternatives=tuple(one[1:] for one in found))
        return (AnyOf(alternatives=tuple(found)),) if found else (NOTHING,)

    def alternatives(self, resource_type: str, letters: str) -> Iterator[Criteria]:
        for scope in self.scopes:
            if not scope.permissions.intersection(letters):
                continue
            if scope.resource_type in (resource_type, EVERY_TYPE):
                yield from self.by_scope(scope, resource_type, letters)
            along = COMES_ALONG.get(resource_type)
            brings = along is not None and scope.resource_type in (along, EVERY_TYPE)
            if along is not None and brings and READING.issuperset(letters):
                yield from self.along(scope, along)

    def along(self, scope: Scope, source: str) -> Iterator[Criteria]:
        """An Endpoint is nobody's secret; a Binary is as open as the document."""
        for criteria in self.by_scope(scope, source, "rs"):
            is_open = not criteria and source == STUDY
            yield () if is_open else (Reached(sources=((source, criteria),)),)

    def by_scope(self, scope: Scope, resource_type: str, letters: str) -> Iterator[Criteria]:
        asked = narrowed(resource_type, scope.parameters)
        if asked is None:
            return
        if scope.context == "patient":
            for criteria in self.of_patients(scope, resource_type, self.person, letters):
                yield (*criteria, *asked)
        elif scope.context == "system" and self.is_limited:
            for criteria in self.of_client(scope, resource_type, letters):
                yield (*criteria, *asked)
        else:
            yield asked

    def of_patients(
        self, scope: Scope, resource_type: str, person: Iterable[str], letters: str
    ) -> Iterator[Criteria]:
        ids = tuple(sorted(person))
        if not ids:
            return
        if resource_type in OWNED_BY:
            yield (owned(resource_type, ids),)
        elif resource_type in REACHED and READING.issuperset(letters):
            sources = tuple(
                (one, (owned(one, ids),))
                for one in OWNED_BY
                if any(self.covers(other, one, scope.context) for other in self.scopes)
            )
            if sources:
                yield (Reached(sources=sources),)

    def covers(self, scope: Scope, resource_type: str, context: str) -> bool:
        return (
            scope.context == context
            and scope.resource_type in (resource_type, EVERY_TYPE)
            and bool(scope.permissions & READING)
        )

    def of_client(self, scope: Scope, resource_type: str, letters: str) -> Iterator[Criteria]:
        """A backend service sees its patients, and its studies with what they refer to."""
        yield from self.of_patients(scope, resource_type, self.patients or (), letters)
        if not self.studies:
            return
        listed = studies_listed(self.studies)
        if resource_type == STUDY:
            yield (listed,)
        elif resource_type in (PATIENT, *REACHED) and READING.issuperset(letters):
            yield (Reached(sources=((STUDY, (listed,)),)),)


def grants_of(caller: Caller, person: frozenset[str]) -> Grants:
    return Grants(caller.scopes, person, caller.patients, caller.studies)


@lru_cache(maxsize=4096)
def restrictions_of(grants: Grants, letters: str) -> Restrictions:
    """Of every type that is not open as a whole."""
    found = {name: grants.of_type(name, letters) for name in RESOURCE_TYPES}
    return {name: criteria for name, criteria in found.items() if criteria}


def owned(resource_type: str, ids: tuple[str, ...]) -> Membership:
    parameter = OWNED_BY[resource_type]
    return Membership(
        owner_type=PATIENT,
        owner_ids=ids,
        parameters=(f"{parameter}",) if parameter else (),
        itself=not parameter,
    )


def studies_listed(uids: Iterable[str]) -> Criterion:
    values = tuple(
        TokenValue(system="urn:dicom:uid", value=f"urn:oid:{uid}") for uid in sorted(uids)
    )
    return Criterion(parameter="identifier", type="token", values=values)


@lru_cache(maxsize=4096)
def narrowed(resource_type: str, parameters: tuple[tuple[str, str], ...]) -> Criteria | None:
    """A scope's parameters as criteria; None where the type has no such one: nothing is opened."""
    if not parameters:
        return ()
    known = RESOURCE_TYPES[resource_type].by_name
    if any(name not in known and not name.startswith("_") for name, _ in parameters):
        return None
    try:
        query = parse_query(
            resource_type,
            parameters,
            base="",
            zone=UTC,
            default_count=1,
            max_count=1,
            strict=True,
        )
    except ImagingError:
        return None
    return query.criteria if len(query.criteria) == len(parameters) else None


def patients_named(query: Query) -> Iterator[str]:
    """Ids of the Patients that a search names by their id."""
    for criterion in query.criteria:
        yield from named_by(query.resource_type, criterion)


def named_by(resource_type: str, criterion: AnyCriterion) -> Iterator[str]:
    if isinstance(criterion, ReverseCriterion):
        yield from named_by(criterion.resource_type, criterion.criterion)
    elif isinstance(criterion, Membership):
        if criterion.owner_type == PATIENT:
            yield from criterion.owner_ids
    elif isinstance(criterion, Criterion):
        yield from ids_in(resource_type, criterion)
        for target, rest in criterion.chain:
            yield from named_by(target, rest)


def ids_in(resource_type: str, criterion: Criterion) -> Iterator[str]:
    if criterion.modifier is not None:
        return
    is_id = (resource_type, criterion.parameter) == (PATIENT, "_id")
    for value in criterion.values:
        if isinstance(value, ReferenceValue) and value.target_type == PATIENT and value.target_id:
            yield value.target_id
        elif is_id and isinstance(value, TokenValue) and value.value:
            yield value.value
