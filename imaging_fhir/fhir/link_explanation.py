"""What `$explain-link` is asked and answers: evidence in Parameters, and the explanation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import instant, without_empty
from imaging_fhir.fhir.parameters import Given, refused, text, texts
from imaging_fhir.fhir.search_dates import interval_of_text
from imaging_fhir.linking_rules import BY_NAME
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.explanation import Considered, LinkExplanation, LinkMade, TriedRule
from imaging_fhir.model.person import IssuedId, Issuer, NameComponents, Person, PersonName, Visit

DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
GENDERS = ("male", "female", "other", "unknown")
MOST = 50  # numbers and names


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOfImage:
    """What an image would say, as parameters tell it."""

    person: Person
    visit: Visit
    accession_numbers: tuple[IssuedId, ...]
    started: str | None  # a FHIR dateTime
    modalities: tuple[str, ...]
    is_study: bool


def said_of_image(given: Given) -> SaidOfImage:
    """Raise InvalidRequest for a parameter of another shape."""
    kind = text(given, "kind") or "study"
    if kind not in ("study", "document"):
        raise refused("kind", "it is neither study nor document")
    started = text(given, "started")
    if started is not None and interval_of_text(started, UTC) is None:
        raise refused("started", "it is no date or dateTime")
    visits = issued_ids(given, "visitNumber")
    if len(visits) > 1:
        raise refused("visitNumber", "it must be there only once")
    return SaidOfImage(
        person=person(given),
        visit=Visit(admission_id=visits[0] if visits else None),
        accession_numbers=issued_ids(given, "accessionNumber"),
        started=started,
        modalities=tuple(texts(given, "modality")),
        is_study=kind == "study",
    )


def person(given: Given) -> Person:
    birth_date, gender = text(given, "birthDate"), text(given, "gender")
    if birth_date is not None and not DATE.fullmatch(birth_date):
        raise refused("birthDate", "it is no date")
    if gender is not None and gender not in GENDERS:
        raise refused("gender", f"it is none of {', '.join(GENDERS)}")
    return Person(
        identifiers=issued_ids(given, "identifier"),
        names=tuple(person_name(one) for one in objects(given, "name")),
        birth_date=birth_date,
        gender=None if gender == "unknown" else gender,
    )


def person_name(name: Resource) -> PersonName:
    family, first = name.get("family"), name.get("given", [])
    if not isinstance(family, str | None) or not isinstance(first, list):
        raise refused("name", "it is no HumanName")
    return PersonName(
        alphabetic=NameComponents(family=family, given=tuple(str(one) for one in first))
    )


def issued_ids(given: Given, name: str) -> tuple[IssuedId, ...]:
    return tuple(issued_id(one, name) for one in objects(given, name))


def issued_id(identifier: Resource, name: str) -> IssuedId:
    """Without a system it is a bare number, which means what its source says."""
    value, system = identifier.get("value"), identifier.get("system")
    if not isinstance(value, str) or not value or not isinstance(system, str | None):
        raise refused(name, "it is no Identifier with a value")
    return IssuedId(value=value, issuer=None if system is None else issuer_of(system, name))


def issuer_of(system: str, name: str) -> Issuer:
    """The issuer whose identifier system that is (PS3.3 10.14)."""
    for prefix, type_ in (("urn:oid:", "ISO"), ("urn:uuid:", "UUID"), ("", "URI")):
        if system.startswith(prefix) and ":" in system:
            entity = system.removeprefix(prefix)
            return Issuer(universal_entity_id=entity, universal_entity_id_type=type_)
    raise refused(name, "its system is no URI")


def objects(given: Given, name: str) -> list[Resource]:
    found: list[Any] = [value for key, value in given if key == name]
    if len(found) > MOST or not all(isinstance(one, dict) for one in found):
        raise refused(name, f"it must be an object, and at most {MOST} times")
    return found


def one_way(given: Given) -> str | None:
    """The reference that is asked about, None where evidence is told; raise InvalidRequest."""
    value = next((value for key, value in given if key == "reference"), None)
    if value is None:
        return None
    others = sorted({key for key, _ in given} - {"reference", "_format", "_pretty"})
    if others:
        raise InvalidRequest(
            f"What is here says itself what it is: reference goes without {others[0]}.",
            expression="http.reference",
        )
    reference = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(reference, str):
        raise refused("reference", "it is no Reference")
    return reference


def link_explanation(explanation: LinkExplanation) -> Resource:
    return {"resourceType": "Parameters", "parameter": list(answered(explanation))}


def answered(explanation: LinkExplanation) -> Iterator[Resource]:
    yield parts("decision", decision(explanation))
    for kind, there in explanation.evidence:
        yield parts("evidence", {"kind": ("Code", kind), "there": ("String", there)})
    for rule in explanation.rules:
        yield parts("rule", tried(rule))
    for candidate in explanation.candidates:
        yield parts("candidate", considered(candidate))
    for note in explanation.notes:
        yield {"name": "note", "valueString": note}
    for change in explanation.changes:
        yield {"name": "change", "valueString": change}
    if explanation.made is not None:
        yield {"name": "provenance", "resource": link_provenance(explanation.made, explanation)}


def link_provenance(made: LinkMade, explanation: LinkExplanation) -> Resource:
    """By which rules an image that is here is linked, and on which kinds of evidence.

    https://hl7.org/fhir/R4/provenance.html. It is derived from the link that is stored.
    """
    rules = ((made.patient_rule, made.patient_reason), (made.encounter_rule, made.encounter_reason))
    return {
        "resourceType": "Provenance",
        "target": [{"reference": made.target}],
        "recorded": instant(datetime.fromtimestamp(made.recorded / 1000, UTC)),
        "activity": {"coding": [rule_coding(made.patient_rule)]},
        "reason": [
            without_empty({"coding": [rule_coding(rule)], "text": reason}) for rule, reason in rules
        ],
        "agent": [
            {
                "type": {"coding": [{"system": canonical.PROVENANCE_AGENT, "code": "assembler"}]},
                "who": {"display": "imaging_fhir, by its rules"},
            }
        ],
        "entity": [
            {"role": "source", "what": {"display": f"{kind}: {there}"}}
            for kind, there in explanation.evidence
        ],
    }


def rule_coding(rule: str) -> Resource:
    known = BY_NAME.get(rule)
    display = None if known is None else known.words
    return without_empty({"system": canonical.LINK_RULE, "code": rule, "display": display})


def decision(explanation: LinkExplanation) -> dict[str, tuple[str, Any]]:
    return {
        "state": ("Code", explanation.state),
        "patientRule": ("Code", explanation.patient_rule),
        "patientReason": ("String", explanation.patient_reason),
        "patient": ("Reference", explanation.patient),
        "encounterRule": ("Code", explanation.encounter_rule),
        "encounterReason": ("String", explanation.encounter_reason),
        "encounter": ("Reference", explanation.encounter),
    }


def tried(rule: TriedRule) -> dict[str, tuple[str, Any]]:
    return {
        "list": ("Code", rule.list),
        "name": ("Code", rule.name),
        "state": ("Code", rule.state),
        "needs": ("String", rule.needs),
        "proves": ("String", rule.proves),
        "there": ("String", rule.there),
        "found": ("String", rule.found),
    }


def considered(candidate: Considered) -> dict[str, tuple[str, Any]]:
    return {
        "list": ("Code", candidate.list),
        "reference": ("Reference", candidate.reference),
        "taken": ("Boolean", candidate.taken),
        "by": ("String", candidate.by),
        "why": ("String", candidate.why),
    }


def parts(name: str, values: dict[str, tuple[str, Any]]) -> Resource:
    """A parameter with a part for each value that there is."""
    return {
        "name": name,
        "part": [
            {"name": key, f"value{type_}": held(type_, value)}
            for key, (type_, value) in values.items()
            if value not in (None, "")
        ],
    }


def held(type_: str, value: Any) -> Any:
    return without_empty({"reference": value}) if type_ == "Reference" else value
