"""Whose image it is and at which visit it was made: the rules, in the order they are tried.

Decided inside the write transaction that files the image. Write transactions are serial, so the
evidence cannot change between decision and commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import partial

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.patient import is_gone, is_provisional
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import OWN_ID, Decision, Given, Link, id_of
from imaging_fhir.model.person import IssuedId, Issuer, Person
from imaging_fhir.model.reference import local_id
from imaging_fhir.services import demographics
from imaging_fhir.services.ehr_word import judged
from imaging_fhir.services.evidence import EncounterMatch, Evidence, PatientMatch
from imaging_fhir.services.visit_period import VISITED, covers, without_outer
from imaging_fhir.settings import Site, Source
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import (
    encounters_of,
    resolve_patient,
    resources_with,
)

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
        match = self.match_patient(connection, evidence)
        if match.held:
            return Link(
                state="held",
                patient_rule=match.rule,
                patient_reason=match.reason,
                awaited=tuple(self.all_awaited(evidence)),
            )
        visit = self.match_encounter(connection, evidence, match.patient)
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
            patient_rule=DECIDED,
            patient_reason=IS_DECIDED,
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
        for rule in (self.by_visit_number, self.by_order):
            match = rule(connection, evidence, patient)
            if match is not None and not match.contradicts:
                return match
        return self.by_period(connection, evidence, patient)

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
        match = self.by_visit_number(connection, evidence, patient)
        return match if match is not None and match.contradicts else None

    def patient_numbers(self, person: Person, source: Source) -> tuple[tuple[str, str], ...]:
        if person.is_placeholder:
            return ()
        return self.numbers(person.identifiers, source.patient_id_system)

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

    def match_patient(self, connection: Connection, evidence: Evidence) -> PatientMatch:
        by_number = self.by_number(connection, evidence)
        given = self.given_patient(connection, evidence.given)
        return by_number if given is None else self.by_given(evidence, given, by_number)

    def by_number(self, connection: Connection, evidence: Evidence) -> PatientMatch:
        numbers = self.patient_numbers(evidence.person, evidence.source)
        candidates = self.candidates(connection, numbers)
        if len(candidates) > 1:
            return PatientMatch(
                rule="identifiers-conflict",
                reason="The file's patient identifiers belong to several Patients.",
                held=True,
            )
        if candidates:
            return self.checked(evidence, candidates[0], rule=BY_NUMBER, reason=BY_IDENTIFIER)
        return self.unknown(evidence, has_numbers=bool(numbers))

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

    def checked(
        self, evidence: Evidence, patient: Resource, *, rule: str, reason: str
    ) -> PatientMatch:
        if is_gone(patient):
            return PatientMatch(rule="patient-gone", reason=PATIENT_GONE, held=True)
        element = demographics.disagreement(evidence.person, patient)
        if element is None:
            return PatientMatch(rule=rule, reason=reason, patient=patient)
        return PatientMatch(
            rule="demographics-disagree",
            reason=f"The number matches a Patient, but the file's {element} contradicts it.",
            held=True,
        )

    def unknown(self, evidence: Evidence, *, has_numbers: bool) -> PatientMatch:
        if not evidence.is_study:
            return PatientMatch(rule="no-identity", reason=NO_IDENTITY, held=True)
        if has_numbers:
            return PatientMatch(
                rule="provisional-identifier", reason=PROVISIONAL_SHARED, shared=True
            )
        return PatientMatch(rule="provisional-alone", reason=self.why_alone(evidence))

    def why_alone(self, evidence: Evidence) -> str:
        if evidence.person.is_placeholder or not evidence.person.identifiers:
            return "The file names nobody: a provisional Patient for this study alone."
        return (
            "The PatientID has no issuer that is known here and its source no default one: "
            "a provisional Patient for this study alone."
        )

    def by_given(
        self, evidence: Evidence, given: Resource, by_number: PatientMatch
    ) -> PatientMatch:
        if by_number.rule in ("provisional-alone", "no-identity"):
            return self.checked(evidence, given, rule="given-patient", reason=GIVEN)
        if by_number.held:
            return by_number
        if by_number.patient is not None and by_number.patient["id"] == given["id"]:
            return replace(by_number, rule="given-patient-and-identifier", reason=GIVEN_AND_SAID)
        return PatientMatch(
            rule="given-patient-disagrees",
            reason="The sender names one Patient, the file's own identifiers do not lead there.",
            held=True,
        )

    def given_patient(self, connection: Connection, given: Given) -> Resource | None:
        """Whom the sender named, be it by a visit alone."""
        if given.patient is None:
            encounter = self.given_encounter(connection, given)
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

    def order_numbers(self, evidence: Evidence) -> tuple[tuple[str, str], ...]:
        return self.numbers(evidence.accession_numbers, evidence.source.accession_number_system)

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
        requests = resources_with(connection, "ServiceRequest", self.order_numbers(evidence))
        return tuple(
            f"ServiceRequest/{request['id']}"
            for request in requests
            if of is None or same_subject(connection, request, of)
        )

    def match_encounter(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> EncounterMatch:
        """Visit number, then order, then the one visit of that time (design: in this order)."""
        for rule in (self.by_given_encounter, self.by_visit_number, self.by_order):
            match = rule(connection, evidence, patient)
            if match is not None:
                return match
        if patient is None or is_provisional(patient):
            return EncounterMatch(
                rule="provisional-patient", reason="A provisional Patient has no visits."
            )
        return self.by_period(connection, evidence, patient)

    def by_given_encounter(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> EncounterMatch | None:
        encounter = self.given_encounter(connection, evidence.given)
        if encounter is None:
            return None
        if not same_subject(connection, encounter, patient):
            raise EncounterOfAnotherPatient(
                "The encounter given is of another patient.", expression="http.encounter"
            )
        return EncounterMatch(
            rule="given-encounter", reason="The sender named this visit.", encounter=encounter
        )

    def given_encounter(self, connection: Connection, given: Given) -> Resource | None:
        if given.encounter is None:
            return None
        resource_type, _, resource_id = given.encounter.partition("/")
        known = resource_type == "Encounter" and encounters_of(connection, ids=(resource_id,))
        if not known:
            raise InvalidRequest(
                "The encounter given is not a known Encounter.", expression="http.encounter"
            )
        return known[0]

    def by_visit_number(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> EncounterMatch | None:
        numbers = self.visit_numbers(evidence)
        if not numbers:
            return None
        found = resources_with(connection, "Encounter", numbers)
        if not found:
            return EncounterMatch(
                rule="visit-number-unknown",
                reason="No visit with this number is known yet.",
                identifier=numbers[0],
            )
        return self.the_one(
            connection, found, patient, rule="visit-number", what="The file's visit number"
        )

    def by_order(
        self, connection: Connection, evidence: Evidence, patient: Resource | None
    ) -> EncounterMatch | None:
        orders = resources_with(connection, "ServiceRequest", self.order_numbers(evidence))
        if not orders:
            return None
        if any(not same_subject(connection, order, patient) for order in orders):
            return EncounterMatch(
                rule="order-of-another-patient",
                reason="The accession number belongs to an order for somebody else.",
                contradicts=True,
            )
        ids = tuple(
            visit
            for order in orders
            if (visit := local_id(order.get("encounter"), "Encounter")) is not None
        )
        found = encounters_of(connection, ids=ids)
        if not found:
            return None
        return self.the_one(connection, found, patient, rule="order", what="The order")

    def the_one(
        self,
        connection: Connection,
        found: Sequence[Resource],
        patient: Resource | None,
        *,
        rule: str,
        what: str,
    ) -> EncounterMatch:
        if any(not same_subject(connection, encounter, patient) for encounter in found):
            return EncounterMatch(
                rule=f"{rule}-of-another-patient",
                reason=f"{what} belongs to a visit of somebody else.",
                contradicts=True,
            )
        if len({encounter["id"] for encounter in found}) > 1:
            return EncounterMatch(
                rule=f"{rule}-ambiguous", reason=f"{what} leads to several visits."
            )
        return EncounterMatch(rule=rule, reason=f"{what} leads here.", encounter=found[0])

    def by_period(
        self, connection: Connection, evidence: Evidence, patient: Resource
    ) -> EncounterMatch:
        if evidence.started is None or len(evidence.started.date) != 10:
            return EncounterMatch(rule="no-time", reason="The file does not say when.")
        fitting = [
            encounter
            for encounter in encounters_of(connection, patient=patient["id"])
            if encounter.get("status") in VISITED
            and covers(encounter, evidence.started, evidence.zone)
        ]
        innermost = without_outer(fitting)
        if not innermost:
            return EncounterMatch(
                rule="no-visit", reason="No visit of the patient covers the time."
            )
        if len(innermost) > 1:
            return EncounterMatch(
                rule="period-ambiguous",
                reason=f"{len(innermost)} visits of the patient cover the time.",
            )
        return EncounterMatch(
            rule="period",
            reason="It is the one visit of the patient that covers the time.",
            encounter=innermost[0],
        )


class EncounterOfAnotherPatient(InvalidRequest):
    status, issue_code = 422, "business-rule"


BY_IDENTIFIER = "The file's patient identifier is this Patient's, and nothing contradicts it."
PROVISIONAL_SHARED = "Nobody has the file's patient identifier yet: a provisional Patient has it."
NO_IDENTITY = "The file names nobody, and the sender named no patient."
GIVEN = "The sender named this Patient, or a visit of theirs, and nothing contradicts it."
GIVEN_NO_LONGER = "The patient or visit that the sender named does not hold any more."
BY_NUMBER = "patient-identifier"
DECIDED, DECIDED_GONE, REJECTED = "decided", "decided-no-longer-holds", "rejected"
IS_DECIDED = "A person decided so."
GONE = "The Patient whom a person decided on is not there any more."
IS_REJECTED = "A person decided that it belongs in no chart here."
PATIENT_GONE = "The Patient who had the number is no longer known to the EHR."
GIVEN_AND_SAID = "The sender named this Patient, and so does the file's own identifier."


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


def same_subject(connection: Connection, resource: Resource, patient: Resource | None) -> bool:
    subject = subject_of(connection, resource)
    return subject is not None and patient is not None and subject["id"] == patient["id"]


def subject_of(connection: Connection, resource: Resource) -> Resource | None:
    """The Patient here whom the subject stands for today."""
    patient = local_id(resource.get("subject"), "Patient")
    return None if patient is None else resolve_patient(connection, patient)


def awaiting(stays: Link, decided: Link) -> Link:
    """A link that stays, though something else was decided: that may hold when more is known."""
    return replace(stays, awaited=tuple(dict.fromkeys(stays.awaited + decided.awaited)))
