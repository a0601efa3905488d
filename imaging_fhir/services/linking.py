"""Whose image it is and at which visit it was made: the rules, in the order they are tried.

Decided inside the write transaction that files the image. Write transactions are serial, so the
evidence cannot change between decision and commit. `patient_rules` and `visit_rules` have the
rules themselves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import partial

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.canonical import DICOM_UID
from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.patient import is_gone, is_provisional
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import OWN_ID, Decision, Given, Link, id_of
from imaging_fhir.model.person import IssuedId, Issuer, Person
from imaging_fhir.policy import Policy
from imaging_fhir.services import patient_rules, visit_rules
from imaging_fhir.services.ehr_word import judged
from imaging_fhir.services.evidence import EncounterMatch, Evidence, PatientMatch
from imaging_fhir.services.patient_rules import PatientFacts
from imaging_fhir.services.rule_walk import Step, decided_by
from imaging_fhir.services.subject import in_force, same_subject, subject_of
from imaging_fhir.services.visit_rules import VisitFacts, encounter_given
from imaging_fhir.settings import Site, Source
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import encounters_of, resolve_patient, resources_with

LONGEST_NUMBER = 200  # a DICOM number has at most 64 characters; what is far longer is none


class Linking:
    def __init__(
        self,
        site: Site,
        *,
        zone: tzinfo | None = None,
        profiles: frozenset[str] = frozenset(),
        copy_seconds: int = 86_400,
    ) -> None:
        self.site = site
        self.copy_milliseconds = copy_seconds * 1000  # how long a copy of the EHR's is believed
        self.profiles = profiles  # packs whose profiles are claimed by what conforms to them
        self.zone = zone  # of the site: whose days a date without a time is found by

    @property
    def policy(self) -> Policy:
        return self.site.policy

    def system_of(self, issuer: Issuer | None) -> str | None:
        """The identifier system of an assigning authority, None where it is not known."""
        if issuer is None:
            return None
        universal = universal_system(issuer)
        return universal or self.site.issuers.get(issuer.local_namespace_entity_id or "")

    def numbers(
        self, ids: Iterable[IssuedId | None], default_system: str | None
    ) -> tuple[tuple[str, str], ...]:
        """(system, value) of the numbers that mean something outside the file."""
        found = []
        for issued in ids:
            if issued is None:
                continue
            system = self.system_of(issued.issuer) if issued.issuer else default_system
            if system and len(issued.value) <= LONGEST_NUMBER:
                found.append((system, issued.value))
        return tuple(dict.fromkeys(found))

    def link(self, connection: Connection, evidence: Evidence) -> Link:
        """The decision; raise InvalidRequest where what the caller gave contradicts itself.

        While the EHR is silent, only what it said a short while ago files an image.
        """
        if evidence.ehr is None or evidence.decision is not None:
            return self.by_rules(connection, evidence)
        return judged(
            connection,
            evidence.ehr,
            evidence.given,
            partial(self.by_rules, connection, evidence),
            awaited=self.all_awaited(evidence),
            copy_milliseconds=self.copy_milliseconds,
        )

    def by_rules(self, connection: Connection, evidence: Evidence) -> Link:
        if evidence.decision is not None:
            return self.decided(connection, evidence, evidence.decision)
        match = decided_by(self.patient_steps(connection, evidence))
        if match.held:
            return Link(
                state="held",
                patient_rule=match.rule,
                patient_reason=match.reason,
                awaited=tuple(self.all_awaited(evidence)),
            )
        visit = decided_by(self.visit_steps(connection, evidence, match.patient))
        if visit.contradicts:
            return Link(
                state="held",
                patient_rule=visit.rule,
                patient_reason=visit.reason,
                awaited=tuple(self.all_awaited(evidence)),
            )
        numbers = self.patient_numbers(evidence.person, evidence.source)
        awaited = [("Patient", *number) for number in numbers]
        settled = match.patient is not None and not is_provisional(match.patient)
        return Link(
            state="filed",
            patient=None if match.patient is None else f"Patient/{match.patient['id']}",
            patient_rule=match.rule,
            patient_reason=match.reason,
            encounter=None if visit.encounter is None else f"Encounter/{visit.encounter['id']}",
            encounter_rule=visit.rule,
            encounter_reason=visit.reason,
            encounter_identifier=visit.identifier,
            based_on=self.orders(connection, evidence),
            awaited=tuple(
                ([] if settled else awaited)
                + self.awaited_visits(evidence)
                + [one for one in named(evidence.given) if one[0] == "Encounter"]
            ),
        )

    def decided(self, connection: Connection, evidence: Evidence, decision: Decision) -> Link:
        """What a person decided; of the visit, what they said, else what the rules find.

        A visit or an order that the file leads to and that is another patient's counts for nothing.
        """
        awaited = tuple(self.awaited_visits(evidence) + decided_on(decision))
        patient = resolve_patient(connection, id_of(decision.patient) or "")
        if patient is None:
            rule, reason = (DECIDED_GONE, GONE) if decision.patient else (REJECTED, IS_REJECTED)
            return Link(state="held", patient_rule=rule, patient_reason=reason, awaited=awaited)
        visit = self.decided_visit(connection, evidence, decision, patient)
        return Link(
            state="filed",
            patient=f"Patient/{patient['id']}",
            patient_rule=BY_SOURCE if decision.source else DECIDED,
            patient_reason=SOURCE_SAID if decision.source else IS_DECIDED,
            encounter=None if visit.encounter is None else f"Encounter/{visit.encounter['id']}",
            encounter_rule=visit.rule,
            encounter_reason=visit.reason,
            encounter_identifier=visit.identifier,
            based_on=self.orders(connection, evidence, of=patient),
            awaited=awaited,
        )

    def decided_visit(
        self, connection: Connection, evidence: Evidence, decision: Decision, patient: Resource
    ) -> EncounterMatch:
        for encounter in encounters_of(connection, ids=(id_of(decision.encounter) or "",)):
            if same_subject(connection, encounter, patient):
                return EncounterMatch(rule=DECIDED, reason=IS_DECIDED, encounter=encounter)
        facts = self.visit_facts(connection, evidence, patient)
        return decided_by(visit_rules.DECIDED_RULES.walk(facts, self.policy))

    def link_kept(self, connection: Connection, evidence: Evidence) -> Link:
        """The decision about what is kept already: what was given may not hold any more."""
        try:
            return self.link(connection, evidence)
        except InvalidRequest:
            return Link(
                state="held",
                patient_rule="given-no-longer-holds",
                patient_reason=GIVEN_NO_LONGER,
            )

    def visit_of_another(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> EncounterMatch | None:
        """The visit that the visit number leads to, where that is somebody else's."""
        return visit_rules.number_of_another_patient(
            self.visit_facts(connection, evidence, patient)
        )

    def patient_numbers(self, person: Person, source: Source) -> tuple[tuple[str, str], ...]:
        """Those that count: no placeholders, and of issuers that are trusted."""
        if person.is_placeholder:
            return ()
        return self.numbers(self.telling(person, source).identifiers, source.patient_id_system)

    def telling(self, person: Person, source: Source) -> Person:
        """Without the numbers that name nobody, or whose issuer the site does not trust."""
        identifiers = tuple(
            one
            for one in person.identifiers
            if not self.policy.is_placeholder(one.value)
            and (
                (system := self.system_of(one.issuer) if one.issuer else source.patient_id_system)
                is None
                or self.policy.trusts_issuer(system)
            )
        )
        names_nobody = all(self.policy.is_placeholder(one.value) for one in person.identifiers)
        return replace(person, identifiers=identifiers, is_placeholder=names_nobody)

    def share_a_number(self, one: Person, other: Person) -> bool:
        """The same value; and not given by two issuers, where both are named."""
        return any(
            mine.value == yours.value and self.may_be_one(mine.issuer, yours.issuer)
            for mine in one.identifiers
            for yours in other.identifiers
        )

    def may_be_one(self, one: Issuer | None, other: Issuer | None) -> bool:
        if one is None or other is None or one == other:
            return True
        system = self.system_of(one)
        return system is not None and system == self.system_of(other)

    def patient_steps(
        self, connection: Connection, evidence: Evidence
    ) -> Iterable[Step[PatientMatch]]:
        """Raise InvalidRequest where the sender names who or what is not known."""
        return patient_rules.RULES.walk(self.patient_facts(connection, evidence), self.policy)

    def patient_facts(self, connection: Connection, evidence: Evidence) -> PatientFacts:
        numbers = self.patient_numbers(evidence.person, evidence.source)
        return PatientFacts(
            evidence=evidence,
            numbers=numbers,
            known=self.candidates(connection, numbers),
            given=self.given_patient(connection, evidence.given),
            is_trusted=self.policy.trusts_source(evidence.source.id),
            is_unidentified=self.is_unidentified(evidence.person),
            names_nobody=self.telling(evidence.person, evidence.source).is_placeholder,
        )

    def is_unidentified(self, person: Person) -> bool:
        """Has the first name one that emergency departments give to whom nobody knows yet?"""
        name = next((one.alphabetic for one in person.names if one.alphabetic), None)
        return name is not None and self.policy.is_unidentified(
            name.family or "", " ".join(name.given)
        )

    def candidates(
        self, connection: Connection, numbers: Sequence[tuple[str, str]]
    ) -> list[Resource]:
        """The Patients of these numbers, merges followed; a provisional one gives way.

        So does whoever took a provisional one's place: the number may be another's by now.
        """
        known: dict[str, Resource] = {}
        weaker: dict[str, Resource] = {}
        for candidate in resources_with(connection, "Patient", numbers):
            patient = resolve_patient(connection, candidate["id"])
            if patient is not None:
                is_weak = is_provisional(candidate) or is_provisional(patient) or is_gone(patient)
                (weaker if is_weak else known)[patient["id"]] = patient
        return list((known or weaker).values())

    def given_patient(self, connection: Connection, given: Given) -> Resource | None:
        """Whom the sender named, be it by a visit alone."""
        if given.patient is None:
            encounter = encounter_given(connection, given)
            return None if encounter is None else subject_of(connection, encounter)
        resource_type, _, resource_id = given.patient.partition("/")
        patient = resolve_patient(connection, resource_id) if resource_type == "Patient" else None
        if patient is None:
            raise InvalidRequest(
                "The patient given is not a known Patient, written as Patient/ID.",
                expression="http.patient",
            )
        return patient

    def visit_numbers(self, evidence: Evidence) -> tuple[tuple[str, str], ...]:
        visit = evidence.visit
        return self.numbers(
            (visit.admission_id, visit.service_episode_id), evidence.source.visit_number_system
        )

    def accession_numbers(self, evidence: Evidence) -> tuple[tuple[str, str], ...]:
        return self.numbers(evidence.accession_numbers, evidence.source.accession_number_system)

    def order_numbers(self, evidence: Evidence) -> tuple[tuple[str, str], ...]:
        """All that an order for it may be found by; the study's UID is given before the images."""
        uid = evidence.study_instance_uid
        by_uid = ((DICOM_UID, f"urn:oid:{uid}"),) if uid else ()
        return self.accession_numbers(evidence) + by_uid

    def all_awaited(self, evidence: Evidence) -> list[tuple[str, str, str]]:
        """All that another look at it may come from."""
        numbers = self.patient_numbers(evidence.person, evidence.source)
        awaited = [("Patient", *number) for number in numbers]
        return awaited + self.awaited_visits(evidence) + named(evidence.given)

    def awaited_visits(self, evidence: Evidence) -> list[tuple[str, str, str]]:
        return [("Encounter", *number) for number in self.visit_numbers(evidence)] + [
            ("ServiceRequest", *number) for number in self.order_numbers(evidence)
        ]

    def orders(
        self, connection: Connection, evidence: Evidence, *, of: Resource | None = None
    ) -> tuple[str, ...]:
        """The orders that the file names; of that patient alone, where one is said."""
        requests = in_force(
            resources_with(connection, "ServiceRequest", self.order_numbers(evidence))
        )
        return tuple(
            f"ServiceRequest/{request['id']}"
            for request in requests
            if of is None or same_subject(connection, request, of)
        )

    def visit_steps(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> Iterable[Step[EncounterMatch]]:
        """Raise EncounterOfAnotherPatient for what the sender names."""
        facts = self.visit_facts(connection, evidence, patient)
        return visit_rules.RULES.walk(facts, self.policy)

    def visit_facts(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> VisitFacts:
        return VisitFacts(
            connection=connection,
            evidence=evidence,
            patient=patient,
            is_trusted=self.policy.trusts_source(evidence.source.id),
            numbers=self.visit_numbers(evidence),
            order_numbers=self.order_numbers(evidence),
            tolerance=self.policy.tolerance_for(evidence.modalities),
        )


GIVEN_NO_LONGER = "The patient or visit that the sender named does not hold any more."
DECIDED, DECIDED_GONE, REJECTED = "decided", "decided-no-longer-holds", "rejected"
BY_SOURCE = "authoritative-source"
BY_DECISION = frozenset({DECIDED, BY_SOURCE})
IS_DECIDED = "A person decided so."
SOURCE_SAID = "A source that is authoritative here sent the study again, naming this Patient."
GONE = "The Patient whom a person decided on is not there any more."
IS_REJECTED = "A person decided that it belongs in no chart here."


def decided_on(decision: Decision) -> list[tuple[str, str, str]]:
    """What a person named, awaited as what a sender names."""
    return named(Given(patient=decision.patient, encounter=decision.encounter))


def named(given: Given) -> list[tuple[str, str, str]]:
    """What the sender named, awaited under its own id: news of it is another reason to look."""
    found = []
    for reference in (given.patient, given.encounter):
        resource_type, _, resource_id = (reference or "").partition("/")
        if resource_type in ("Patient", "Encounter") and resource_id:
            found.append((resource_type, OWN_ID, resource_id))
    return found


def awaiting(stays: Link, decided: Link) -> Link:
    """A link that stays, though something else was decided: that may hold when more is known."""
    return replace(stays, awaited=tuple(dict.fromkeys(stays.awaited + decided.awaited)))
