"""Whose image it is: the judges of `policy.PATIENT_RULES`, on what is known of the file.

An image matches by number or by its sender's word; name, birth date and sex only speak against.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imaging_fhir.fhir.patient import is_gone
from imaging_fhir.linking_rules import NOT_TRUSTED, PATIENT_RULES, SWITCHED_OFF, Rule
from imaging_fhir.model.codec import Resource
from imaging_fhir.services import demographics
from imaging_fhir.services.evidence import Evidence, PatientMatch
from imaging_fhir.services.rule_walk import RuleList


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """`known` are the Patients of the file's `numbers`, `given` the one whom the sender names."""

    evidence: Evidence
    numbers: Sequence[tuple[str, str]]
    known: Sequence[Resource]
    given: Resource | None
    is_trusted: bool  # the sender
    is_unidentified: bool  # by the name in the file
    names_nobody: bool  # there is no number in the file, or only placeholders

    @property
    def named(self) -> Resource | None:
        """Who it is of, unless something contradicts: by number, else by the sender's word."""
        if self.numbers:
            return self.known[0] if len(self.known) == 1 else None
        return self.given

    @property
    def is_given_alone(self) -> bool:
        return self.given is not None and not self.numbers


def identifiers_conflict(facts: PatientFacts) -> PatientMatch | None:
    if len(facts.known) < 2:
        return None
    return held(
        "identifiers-conflict", "The file's patient identifiers belong to several Patients."
    )


def patient_gone(facts: PatientFacts) -> PatientMatch | None:
    if facts.named is None or not is_gone(facts.named):
        return None
    return held("patient-gone", "The Patient who had the number is no longer known to the EHR.")


def demographics_disagree(facts: PatientFacts) -> PatientMatch | None:
    named = facts.named
    element = None if named is None else demographics.disagreement(facts.evidence.person, named)
    if element is None:
        return None
    return held(
        "demographics-disagree",
        f"The number matches a Patient, but the file's {element} contradicts it.",
    )


def given_patient_disagrees(facts: PatientFacts) -> PatientMatch | None:
    if facts.given is None or not facts.numbers or is_same(facts.named, facts.given):
        return None
    return held(
        "given-patient-disagrees",
        "The sender names one Patient, the file's own identifiers do not lead there.",
    )


def given_patient_and_identifier(facts: PatientFacts) -> PatientMatch | None:
    if not facts.is_trusted or facts.given is None or not facts.known:
        return None
    return PatientMatch(
        rule=BY_NUMBER_AND_SENDER,
        reason="The sender named this Patient, and so does the file's own identifier.",
        patient=facts.known[0],
    )


def patient_identifier(facts: PatientFacts) -> PatientMatch | None:
    if not facts.known:
        return None
    return PatientMatch(
        rule=BY_NUMBER,
        reason="The file's patient identifier is this Patient's, and nothing contradicts it.",
        patient=facts.known[0],
    )


def sender_not_trusted(facts: PatientFacts) -> PatientMatch | None:
    if facts.is_trusted or not facts.is_given_alone:
        return None
    return held(
        NOT_TRUSTED, "Only the sender names the Patient, and is not among those trusted here."
    )


def given_patient(facts: PatientFacts) -> PatientMatch | None:
    if not facts.is_given_alone:
        return None
    return PatientMatch(
        rule="given-patient",
        reason="The sender named this Patient, or a visit of theirs, and nothing contradicts it.",
        patient=facts.given,
    )


def no_identity(facts: PatientFacts) -> PatientMatch | None:
    if facts.evidence.is_study:
        return None
    return held("no-identity", "The file names nobody, and the sender named no patient.")


def provisional_emergency(facts: PatientFacts) -> PatientMatch | None:
    if not facts.numbers or not facts.is_unidentified:
        return None
    return PatientMatch(
        rule="provisional-emergency",
        reason="The file names somebody who is not identified yet: a provisional Patient for this "
        "study alone.",
    )


def provisional_identifier(facts: PatientFacts) -> PatientMatch | None:
    if not facts.numbers:
        return None
    return PatientMatch(
        rule="provisional-identifier",
        reason="Nobody has the file's patient identifier yet: a provisional Patient has it.",
    )


def provisional_alone(facts: PatientFacts) -> PatientMatch | None:
    if facts.names_nobody:
        reason = "The file names nobody: a provisional Patient for this study alone."
    else:
        reason = (
            "The PatientID has no issuer that is known here and its source no default one: "
            "a provisional Patient for this study alone."
        )
    return PatientMatch(rule="provisional-alone", reason=reason)


def held(rule: str, reason: str) -> PatientMatch:
    return PatientMatch(rule=rule, reason=reason, held=True)


def is_same(one: Resource | None, other: Resource) -> bool:
    return one is not None and one["id"] == other["id"]


def refused(rule: Rule) -> PatientMatch:
    return held(SWITCHED_OFF, f"The rule {rule.name}, which would file it, is switched off here.")


BY_NUMBER = "patient-identifier"
BY_NUMBER_AND_SENDER = "given-patient-and-identifier"
JUDGES: Mapping[str, Callable[[PatientFacts], PatientMatch | None]] = {
    "identifiers-conflict": identifiers_conflict,
    "patient-gone": patient_gone,
    "demographics-disagree": demographics_disagree,
    "given-patient-disagrees": given_patient_disagrees,
    BY_NUMBER_AND_SENDER: given_patient_and_identifier,
    BY_NUMBER: patient_identifier,
    NOT_TRUSTED: sender_not_trusted,
    "given-patient": given_patient,
    "no-identity": no_identity,
    "provisional-emergency": provisional_emergency,
    "provisional-identifier": provisional_identifier,
    "provisional-alone": provisional_alone,
}
RULES = RuleList(rules=PATIENT_RULES, judges=JUDGES, refused=refused)
