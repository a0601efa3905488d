"""The walk through the rules as it is told: what there was, what was found, who was considered."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from imaging_fhir.fhir.patient import is_gone, is_provisional
from imaging_fhir.linking_rules import PATIENT_RULES, VISIT_RULES, Rule
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.explanation import Considered, List, RuleState, TriedRule
from imaging_fhir.model.link import Decision, Link, id_of
from imaging_fhir.model.person import IssuedId
from imaging_fhir.services import demographics, patient_rules, visit_rules
from imaging_fhir.services.evidence import EncounterMatch, Evidence, PatientMatch
from imaging_fhir.services.explain_words import (
    DECISION,
    DEMOGRAPHICS,
    EHR,
    KIND,
    NUMBERS,
    ORDERS,
    PATIENT,
    SENDER,
    TIME,
    USES,
    VISIT_NUMBERS,
)
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.patient_rules import PatientFacts
from imaging_fhir.services.rule_walk import Step
from imaging_fhir.services.subject import same_subject
from imaging_fhir.services.visit_period import VISITED
from imaging_fhir.services.visit_rules import VisitFacts
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import encounters_of, resolve_patient

MOST_VISITS = 20  # of a patient that are told of
See = Callable[[str], str | None]  # the reference, None where the caller may not know it


@dataclass(frozen=True)
class Walk:
    """Each part is looked up when it is told of; raise InvalidRequest for what the sender names."""

    linking: Linking
    connection: Connection
    evidence: Evidence

    @cached_property
    def patients(self) -> PatientFacts:
        return self.linking.patient_facts(self.connection, self.evidence)

    @cached_property
    def patient_steps(self) -> Sequence[Step[PatientMatch]]:
        if self.evidence.decision is not None:
            return ()
        return tuple(patient_rules.RULES.walk(self.patients, self.linking.policy))

    @cached_property
    def patient(self) -> Resource | None:
        """Whose it is, if a Patient is known."""
        if self.evidence.decision is not None:
            return resolve_patient(self.connection, id_of(self.evidence.decision.patient) or "")
        match = self.patient_steps[-1].match
        return None if match is None else match.patient

    @cached_property
    def is_held(self) -> bool:
        """By the rules of the patient: no visit is looked for."""
        if self.evidence.decision is not None:
            return self.patient is None
        match = self.patient_steps[-1].match
        return match is not None and match.held

    @cached_property
    def visits(self) -> VisitFacts:
        return self.linking.visit_facts(self.connection, self.evidence, self.patient)

    @cached_property
    def visit_steps(self) -> Sequence[Step[EncounterMatch]]:
        if self.is_held:
            return ()
        decided = self.evidence.decision is not None
        rules = visit_rules.DECIDED_RULES if decided else visit_rules.RULES
        return tuple(rules.walk(self.visits, self.linking.policy))


def tried(walk: Walk, link: Link, see: See) -> Iterator[TriedRule]:
    """Every row of both tables, in their order."""
    of_visit = {rule.name for rule in VISIT_RULES} - {rule.name for rule in PATIENT_RULES}
    contradicted = link.patient_rule in of_visit  # a visit of somebody else holds the image
    decisive = {
        "patient": link.patient_rule,
        "visit": link.patient_rule if contradicted else link.encounter_rule,
    }
    words = {**evidence_in_words(walk), PATIENT: patient_in_words(walk.patient)}
    lists: tuple[tuple[List, Sequence[Rule], dict[str, RuleState]], ...] = (
        ("patient", PATIENT_RULES, states(walk.patient_steps)),
        ("visit", VISIT_RULES, states(walk.visit_steps)),
    )
    for list_, rules, by_name in lists:
        for rule in rules:
            state = by_name.get(rule.name, "not-reached")
            if rule.name == decisive[list_]:
                state = "decides"
            elif state == "decides":
                state = "overruled"
            yield TriedRule(
                list=list_,
                name=rule.name,
                needs=rule.needs,
                proves=rule.proves,
                state=state,
                there=there(words, rule) if state != "not-reached" else "",
                found=found_by(walk, list_, rule, see) if rule.name in by_name else "",
            )


def there(words: Mapping[str, str], rule: Rule) -> str:
    return "; ".join(f"{kind}: {words[kind]}" for kind in USES[rule.name] if kind in words)


def states(
    steps: Iterable[Step[PatientMatch]] | Iterable[Step[EncounterMatch]],
) -> dict[str, RuleState]:
    return {step.rule.name: step.state for step in steps}


def found_by(walk: Walk, list_: List, rule: Rule, see: See) -> str:
    """Whom or what the evidence that the rule goes by leads to."""
    sources: dict[str, Callable[[], Sequence[Resource]]] = (
        {NUMBERS: lambda: walk.patients.known, SENDER: lambda: present(walk.patients.given)}
        if list_ == "patient"
        else {
            SENDER: lambda: present(walk.visits.given),
            VISIT_NUMBERS: lambda: walk.visits.by_number,
            ORDERS: lambda: [*walk.visits.orders, *walk.visits.at_orders],
            TIME: lambda: [*walk.visits.covering, *walk.visits.near],
        }
    )
    used = [kind for kind in USES[rule.name] if kind in sources]
    if not used:
        return ""
    found = {reference_of(one): None for kind in used for one in sources[kind]()}
    shown = [see(one) or f"one {one.partition('/')[0]} that you may not see" for one in found]
    return ", ".join(shown) or "nothing"


def evidence_in_words(walk: Walk) -> dict[str, str]:
    """What there is, by kinds: no number, name or date of the file is told."""
    evidence, linking = walk.evidence, walk.linking
    source, given, visit = evidence.source, evidence.given, evidence.visit
    named = [
        name
        for name, reference in (("a Patient", given.patient), ("an Encounter", given.encounter))
        if reference is not None
    ]
    is_trusted = linking.policy.trusts_source(source.id)
    trust = "is trusted" if is_trusted else "is not trusted"
    ehr = {None: "not asked", True: "answered", False: "silent"}
    return {
        KIND: "a DICOM study" if evidence.is_study else "a photo or document",
        NUMBERS: counted(kind_of_number(walk, one) for one in evidence.person.identifiers),
        DEMOGRAPHICS: said_of_person(walk),
        SENDER: f"source {source.id}, which {trust}, names {' and '.join(named) or 'nobody'}",
        VISIT_NUMBERS: counted(
            kind_of_issuer(linking, one, source.visit_number_system)
            for one in (visit.admission_id, visit.service_episode_id)
            if one is not None
        ),
        ORDERS: counted(
            [
                *("StudyInstanceUID" for _ in filter(None, [evidence.study_instance_uid])),
                *(
                    kind_of_issuer(linking, one, source.accession_number_system)
                    for one in evidence.accession_numbers
                ),
            ]
        ),
        TIME: said_of_time(evidence),
        DECISION: said_of_decision(evidence.decision),
        EHR: ehr[None if evidence.ehr is None else evidence.ehr.answered],
    }


def kind_of_number(walk: Walk, issued: IssuedId) -> str:
    policy, source = walk.linking.policy, walk.evidence.source
    if policy.is_placeholder(issued.value):
        return "a placeholder"
    system = walk.linking.system_of(issued.issuer) if issued.issuer else source.patient_id_system
    if system is not None and not policy.trusts_issuer(system):
        return f"of {system}, which is not trusted"
    return kind_of_issuer(walk.linking, issued, source.patient_id_system)


def kind_of_issuer(linking: Linking, issued: IssuedId, default: str | None) -> str:
    system = linking.system_of(issued.issuer) if issued.issuer else default
    if system is not None and linking.numbers((issued,), default):
        return f"of {system}"
    return "too long" if system else "without an issuer that is known here"


def counted(kinds: Iterable[str]) -> str:
    """`1 of urn:oid:1.2, 2 without an issuer`."""
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "none"


def said_of_person(walk: Walk) -> str:
    person = walk.evidence.person
    has = {"name": person.names, "birth date": person.birth_date, "sex": person.gender}
    said = [name for name, value in has.items() if value]
    if walk.linking.is_unidentified(person):
        said.append("the name is one of the unidentified")
    return ", ".join(said) or "none"


def said_of_decision(decision: Decision | None) -> str:
    if decision is None:
        return "none"
    return f"the source {decision.source} decided" if decision.source else "a person decided"


def said_of_time(evidence: Evidence) -> str:
    started = evidence.started
    if started is None:
        return "none"
    if len(started.date) != len("YYYY-MM-DD"):
        return "a month or year alone"
    zone = "in a known zone" if started.offset or evidence.zone else "in no known zone"
    place = ", at the location of its source" if evidence.source.location else ""
    return f"{'a day and time' if started.time else 'a day'}, {zone}{place}"


def candidates_of(walk: Walk, link: Link, see: See) -> Iterator[Considered]:
    """Everyone, and every visit, that some of the evidence leads to."""
    if walk.evidence.decision is not None:
        return
    facts = walk.patients
    pairs = [("a number of the file", one) for one in facts.known]
    pairs += [("the sender", one) for one in present(facts.given)]
    for by, patient in pairs:
        reference = reference_of(patient)
        taken = reference == link.patient
        why = link.patient_reason if taken else why_not(facts, patient, link)
        shown = see(reference)
        yield Considered(
            list="patient",
            reference=shown,
            taken=taken,
            by=by,
            why=why if shown else "You may not see who it is.",
        )
    yield from () if walk.is_held else visits_considered(walk, link, see)


def why_not(facts: PatientFacts, patient: Resource, link: Link) -> str:
    if is_gone(patient):
        return "The EHR has deleted this Patient."
    element = demographics.disagreement(facts.evidence.person, patient)
    if element is not None:
        return f"The file's {element} contradicts it."
    if len(facts.known) > 1:
        return "The file's numbers lead to others too."
    if facts.given is not None and facts.numbers:
        return "The sender and the file's numbers do not name the same Patient."
    return link.patient_reason


def visits_considered(walk: Walk, link: Link, see: See) -> Iterator[Considered]:
    facts = walk.visits
    found: dict[str, tuple[str, Resource]] = {}
    patient = facts.patient
    theirs = [] if patient is None else encounters_of(walk.connection, patient=patient["id"])
    for by, visits in (
        ("the sender", present(facts.given)),
        ("a visit number of the file", facts.by_number),
        ("an order of the file", facts.at_orders),
        ("the patient", theirs[:MOST_VISITS]),
    ):
        for visit in visits:
            found.setdefault(visit["id"], (by, visit))
    for by, visit in found.values():
        reference = reference_of(visit)
        taken = reference == link.encounter
        shown = see(reference)
        why = link.encounter_reason if taken else why_no_visit(facts, by, visit, link)
        yield Considered(
            list="visit",
            reference=shown,
            taken=taken,
            by=by,
            why=why if shown else "You may not see which it is.",
        )


def why_no_visit(facts: VisitFacts, by: str, visit: Resource, link: Link) -> str:
    if not same_subject(facts.connection, visit, facts.patient):
        return "It is a visit of somebody else."
    if link.encounter is not None:
        return f"The rule {link.encounter_rule} led to another one."
    if by != "the patient":
        return link.encounter_reason
    if visit.get("status") not in VISITED:
        return f"Its status is {visit.get('status')}."
    fitting = {one["id"] for one in (*facts.covering, *facts.near)}
    return link.encounter_reason if visit["id"] in fitting else "It does not cover the time."


def present(one: Resource | None) -> list[Resource]:
    return [] if one is None else [one]


def reference_of(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def patient_in_words(patient: Resource | None) -> str:
    if patient is None:
        return "nobody who is known"
    return "a provisional one" if is_provisional(patient) else "a known one"
