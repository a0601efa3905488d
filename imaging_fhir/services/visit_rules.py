"""At which visit an image was made: the judges of `policy.VISIT_RULES`.

What a rule needs of the database is read when it is tried, and once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.linking_rules import SWITCHED_OFF, VISIT_RULES, Rule
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Given
from imaging_fhir.model.reference import local_id
from imaging_fhir.policy import Tolerance
from imaging_fhir.services.evidence import EncounterMatch, Evidence
from imaging_fhir.services.rule_walk import RuleList
from imaging_fhir.services.subject import in_force, same_subject
from imaging_fhir.services.visit_period import VISITED, covers, was_at, without_outer
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import encounters_of, resources_with

Numbers = Sequence[tuple[str, str]]
ANOTHERS_VISIT, ANOTHERS_ORDER = "visit-number-of-another-patient", "order-of-another-patient"


class EncounterOfAnotherPatient(InvalidRequest):
    status, issue_code = 422, "business-rule"


@dataclass(frozen=True, kw_only=True)
class VisitFacts:
    """`patient` is whose image it is by now, None for a provisional one that is to be made."""

    connection: Connection
    evidence: Evidence
    patient: Resource | None
    is_trusted: bool  # the sender
    numbers: Numbers
    order_numbers: Numbers
    tolerance: Tolerance

    @cached_property
    def given(self) -> Resource | None:
        return encounter_given(self.connection, self.evidence.given)

    @cached_property
    def by_number(self) -> list[Resource]:
        return in_force(resources_with(self.connection, "Encounter", self.numbers))

    @cached_property
    def orders(self) -> list[Resource]:
        return in_force(resources_with(self.connection, "ServiceRequest", self.order_numbers))

    @cached_property
    def at_orders(self) -> list[Resource]:
        ids = tuple(
            visit
            for order in self.orders
            if (visit := local_id(order.get("encounter"), "Encounter")) is not None
        )
        return in_force(encounters_of(self.connection, ids=ids))

    @cached_property
    def visits(self) -> list[Resource]:
        """Those of the patient that count by period."""
        if self.patient is None:
            return []
        found = encounters_of(self.connection, patient=self.patient["id"])
        return [one for one in found if one.get("status") in VISITED]

    @cached_property
    def covering(self) -> list[Resource]:
        started, zone = self.evidence.started, self.evidence.zone
        return without_outer([one for one in self.visits if covers(one, started, zone)])

    @cached_property
    def at_source(self) -> list[Resource]:
        """Those that were at the location of the source when the image was made."""
        started, zone = self.evidence.started, self.evidence.zone
        place = self.evidence.source.location
        if not place:
            return []
        covering = [one for one in self.visits if covers(one, started, zone)]
        return without_outer([one for one in covering if was_at(one, place, started, zone)])

    @cached_property
    def near(self) -> list[Resource]:
        """Those within the tolerance, where none covers the time."""
        if self.covering:
            return []
        started, zone = self.evidence.started, self.evidence.zone
        return without_outer(
            [one for one in self.visits if covers(one, started, zone, self.tolerance)]
        )

    def are_theirs(self, found: Sequence[Resource]) -> bool:
        return all(same_subject(self.connection, one, self.patient) for one in found)


def encounter_given(connection: Connection, given: Given) -> Resource | None:
    """The Encounter that the sender names; raise InvalidRequest where there is none."""
    if given.encounter is None:
        return None
    resource_type, _, resource_id = given.encounter.partition("/")
    known = in_force(encounters_of(connection, ids=(resource_id,)))
    if resource_type != "Encounter" or not known:
        raise InvalidRequest(
            "The encounter given is not a known Encounter.", expression="http.encounter"
        )
    return known[0]


def given_encounter(facts: VisitFacts) -> EncounterMatch | None:
    """Raise EncounterOfAnotherPatient."""
    if facts.given is None:
        return None
    if not facts.are_theirs([facts.given]):
        raise EncounterOfAnotherPatient(
            "The encounter given is of another patient.", expression="http.encounter"
        )
    if not facts.is_trusted:
        return None
    return EncounterMatch(
        rule="given-encounter", reason="The sender named this visit.", encounter=facts.given
    )


def number_of_another_patient(facts: VisitFacts) -> EncounterMatch | None:
    if facts.are_theirs(facts.by_number):
        return None
    return EncounterMatch(
        rule=ANOTHERS_VISIT,
        reason="The file's visit number belongs to a visit of somebody else.",
        contradicts=True,
    )


def number_ambiguous(facts: VisitFacts) -> EncounterMatch | None:
    if len(facts.by_number) < 2 or not facts.are_theirs(facts.by_number):
        return None
    return EncounterMatch(
        rule="visit-number-ambiguous", reason="The file's visit number leads to several visits."
    )


def visit_number(facts: VisitFacts) -> EncounterMatch | None:
    if len(facts.by_number) != 1 or not facts.are_theirs(facts.by_number):
        return None
    return EncounterMatch(
        rule="visit-number",
        reason="The file's visit number leads here.",
        encounter=facts.by_number[0],
    )


def number_unknown(facts: VisitFacts) -> EncounterMatch | None:
    if not facts.numbers or facts.by_number:
        return None
    return EncounterMatch(
        rule="visit-number-unknown",
        reason="No visit with this number is known yet.",
        identifier=facts.numbers[0],
    )


def order_of_another_patient(facts: VisitFacts) -> EncounterMatch | None:
    if not facts.are_theirs(facts.orders):
        reason = "The order of the accession number or of the study is for somebody else."
    elif not facts.are_theirs(facts.at_orders):
        reason = "The order belongs to a visit of somebody else."
    else:
        return None
    return EncounterMatch(rule=ANOTHERS_ORDER, reason=reason, contradicts=True)


def order_ambiguous(facts: VisitFacts) -> EncounterMatch | None:
    if len({one["id"] for one in facts.at_orders}) < 2 or not has_own_orders(facts):
        return None
    return EncounterMatch(rule="order-ambiguous", reason="The order leads to several visits.")


def order(facts: VisitFacts) -> EncounterMatch | None:
    if len({one["id"] for one in facts.at_orders}) != 1 or not has_own_orders(facts):
        return None
    return EncounterMatch(
        rule="order", reason="The order leads here.", encounter=facts.at_orders[0]
    )


def has_own_orders(facts: VisitFacts) -> bool:
    return facts.are_theirs(facts.orders) and facts.are_theirs(facts.at_orders)


def provisional_patient(facts: VisitFacts) -> EncounterMatch | None:
    if facts.patient is not None and not is_provisional(facts.patient):
        return None
    return EncounterMatch(rule="provisional-patient", reason="A provisional Patient has no visits.")


def no_time(facts: VisitFacts) -> EncounterMatch | None:
    started = facts.evidence.started
    if started is not None and len(started.date) == len("YYYY-MM-DD"):
        return None
    return EncounterMatch(rule="no-time", reason="The file does not say when.")


def at_location(facts: VisitFacts) -> EncounterMatch | None:
    if len(facts.at_source) != 1:
        return None
    return EncounterMatch(
        rule="location",
        reason="It is the one visit of the patient that was at the place of the source then.",
        encounter=facts.at_source[0],
    )


def by_period(facts: VisitFacts) -> EncounterMatch | None:
    if len(facts.covering) != 1:
        return None
    return EncounterMatch(
        rule="period",
        reason="It is the one visit of the patient that covers the time.",
        encounter=facts.covering[0],
    )


def near_period(facts: VisitFacts) -> EncounterMatch | None:
    if len(facts.near) != 1:
        return None
    return EncounterMatch(
        rule="near-period",
        reason="It is the one visit of the patient shortly before or after.",
        encounter=facts.near[0],
    )


def period_ambiguous(facts: VisitFacts) -> EncounterMatch | None:
    several = max(len(facts.covering), len(facts.near))
    if several < 2:
        return None
    return EncounterMatch(
        rule="period-ambiguous", reason=f"{several} visits of the patient cover the time."
    )


def no_visit(facts: VisitFacts) -> EncounterMatch | None:
    return EncounterMatch(rule="no-visit", reason="No visit of the patient covers the time.")


def switched_off(facts: VisitFacts) -> EncounterMatch | None:
    return EncounterMatch(
        rule=SWITCHED_OFF, reason="The rules that could find the visit are switched off here."
    )


def refused(rule: Rule) -> EncounterMatch:
    """Not linked by that rule; no rule of visits holds the image for being off."""
    return EncounterMatch(rule=SWITCHED_OFF, reason=f"The rule {rule.name} is switched off here.")


JUDGES: Mapping[str, Callable[[VisitFacts], EncounterMatch | None]] = {
    "given-encounter": given_encounter,
    ANOTHERS_VISIT: number_of_another_patient,
    "visit-number-ambiguous": number_ambiguous,
    "visit-number": visit_number,
    "visit-number-unknown": number_unknown,
    ANOTHERS_ORDER: order_of_another_patient,
    "order-ambiguous": order_ambiguous,
    "order": order,
    "provisional-patient": provisional_patient,
    "no-time": no_time,
    "location": at_location,
    "period": by_period,
    "near-period": near_period,
    "period-ambiguous": period_ambiguous,
    "no-visit": no_visit,
    SWITCHED_OFF: switched_off,
}
RULES = RuleList(rules=VISIT_RULES, judges=JUDGES, refused=refused)
# Where a person decided whose it is, what speaks for somebody else's visit counts for nothing.
DECIDED_RULES = RULES.without(
    "given-encounter", ANOTHERS_VISIT, ANOTHERS_ORDER, "provisional-patient"
)
