"""Who a held image may be of: the Patients beside what the file says, with what differs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC

from imaging_fhir.fhir.patient import patient as patient_of
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode, decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import OWN_ID, Given, id_of
from imaging_fhir.model.merge import Merged
from imaging_fhir.model.person import Issuer, Person
from imaging_fhir.services.chart import Chart, Group, Places
from imaging_fhir.services.chart_card import PatientCard, patient_card
from imaging_fhir.services.chart_words import SEXES, join_words, names_of, shown_date
from imaging_fhir.services.correction import Found
from imaging_fhir.services.demographics import dates_differ, genders_differ
from imaging_fhir.services.document_filing import evidence_of as evidence_of_document
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.matching import (
    CERTAIN,
    MOST_NUMBERS,
    Facts,
    Match,
    Matching,
    by_system,
    facts_of,
    graded,
)
from imaging_fhir.services.moments import acquired, period
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.study_evidence import evidence_of_study
from imaging_fhir.services.subject import subject_of
from imaging_fhir.services.visit_period import open_days
from imaging_fhir.storage import dicom_index, resources
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import encounters_of, resolve_patient, resources_with

MOST_CANDIDATES = 5
MOST_VISITS = 8
NEAR = 14 * 86_400_000_000  # microseconds before or after a visit
NO_VISIT = frozenset({"cancelled", "entered-in-error"})
WHY = {
    "Patient": "The file has a number of theirs",
    "Encounter": "The file has the number of a visit of theirs",
    "ServiceRequest": "The file has the number of an order for them",
}
SENDER = "The sender named them"
REST = "The rest of the study is filed to them"
FILED = "It is filed to them"
ALIKE = "Alike in name, birth date or sex"
SEARCHED = "You searched for them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One fact of the file beside the Patient's; `verdict` is same, differs, partly or unknown."""

    label: str
    of_file: str
    of_patient: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitChoice:
    reference: str
    text: str
    covers: bool  # the time of the image


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    patient: PatientCard
    why: tuple[str, ...]
    rows: tuple[Compared, ...]
    visits: tuple[VisitChoice, ...]
    is_certain: bool
    is_here: bool  # the image is filed to them

    @property
    def differing(self) -> int:
        return sum(row.verdict == "differs" for row in self.rows)


@dataclass(slots=True)
class Named:
    patient: Resource
    why: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    chart: Chart
    matching: Matching
    relinking: Relinking

    @property
    def linking(self) -> Linking:
        return self.relinking.studies.linking

    def of(
        self, found: Found, caller: Caller, *, searched: Sequence[str] = ()
    ) -> tuple[Candidate, ...]:
        """Those whom the file or its sender names, then those alike; `searched` are ids."""
        with self.chart.database.read() as connection:
            evidence = self.evidence(connection, found)
            named = self.named(connection, found, evidence)
        said = self.said(evidence)
        alike = {id_of(one.reference) or "": one for one in graded(self.matches(said, caller))}
        certain = {patient_id for patient_id, one in alike.items() if one.grade == CERTAIN}
        if not named.keys() <= certain:  # the file or its sender says somebody else
            certain = set()
        room = MOST_CANDIDATES - len(named)
        for patient_id, match in alike.items():
            if patient_id in named:
                named[patient_id].why.append(ALIKE)
            elif room > 0:
                named[patient_id] = Named(decode(match.body), [ALIKE])
                room -= 1
        with self.chart.database.read() as connection:
            for patient_id in searched:
                patient = resolve_patient(connection, patient_id)
                if patient is not None:
                    named.setdefault(patient["id"], Named(patient)).why.append(SEARCHED)
            return tuple(
                self.candidate(
                    connection, found, evidence, said, one, is_certain=patient_id in certain
                )
                for patient_id, one in named.items()
            )

    def evidence(self, connection: Connection, found: Found) -> Evidence:
        if found.kind == "study":
            merged = decode_as(Merged, found.row.attributes)
            return evidence_of_study(found.row, merged, self.linking)
        row = found.row
        source = self.linking.site.source_or_default(row.source)
        facts, given = decode_as(Document, row.facts), decode_as(Given, row.given)
        return evidence_of_document(facts, given, source, row.zone)

    def matches(self, said: Resource, caller: Caller) -> Iterable[Match]:
        """At most so many numbers as a match takes."""
        numbers = said.get("identifier", ())[:MOST_NUMBERS]
        return self.matching.matches(facts_of(said | {"identifier": list(numbers)}), caller)

    def said(self, evidence: Evidence) -> Resource:
        """What the file says, as a Patient."""

        def system_of(issuer: Issuer | None) -> str | None:
            return self.linking.system_of(issuer) if issuer else evidence.source.patient_id_system

        if evidence.person == Person():
            return {"resourceType": "Patient"}
        numbered = not evidence.person.is_placeholder
        return patient_of(evidence.person, system_of=system_of, with_identifiers=numbered)

    def named(self, connection: Connection, found: Found, evidence: Evidence) -> dict[str, Named]:
        """By id; those that another has replaced under the id of that one."""
        pairs: list[tuple[str, Resource | None]] = []
        if found.row.state == "filed":
            pairs.append((FILED, resolve_patient(connection, found.row.patient or "")))
        for type_, system, value in self.linking.all_awaited(evidence):
            why = SENDER if system == OWN_ID else WHY[type_]
            pairs += [(why, one) for one in people(connection, type_, system, value)]
        if found.kind == "study" and found.row.state == "held":
            filed = dicom_index.filed_study(connection, found.row.study_instance_uid)
            if filed is not None:
                pairs.append((REST, resolve_patient(connection, filed.patient or "")))
        named: dict[str, Named] = {}
        for why, patient in pairs:
            if patient is not None:
                one = named.setdefault(patient["id"], Named(patient))
                one.why = list(dict.fromkeys([*one.why, why]))
        return named

    def candidate(
        self,
        connection: Connection,
        found: Found,
        evidence: Evidence,
        said: Resource,
        named: Named,
        *,
        is_certain: bool,
    ) -> Candidate:
        filed = found.row.state == "filed"
        current = resolve_patient(connection, found.row.patient or "") if filed else None
        return Candidate(
            patient=patient_card(named.patient, self.chart.today()),
            why=tuple(named.why),
            rows=tuple(compared(said, named.patient)),
            visits=self.visits(connection, named.patient, evidence),
            is_certain=is_certain,
            is_here=current is not None and current["id"] == named.patient["id"],
        )

    def visits(
        self, connection: Connection, patient: Resource, evidence: Evidence
    ) -> tuple[VisitChoice, ...]:
        """The nearest to the time of the image first; without a time, the newest."""
        made = acquired(evidence.started, evidence.zone or self.linking.zone or UTC)
        near: list[tuple[int, int, Resource]] = []
        for encounter in encounters_of(connection, patient=patient["id"]):
            if encounter.get("status") in NO_VISIT:
                continue
            low, high = period(encounter.get("period", {}), open_days=open_days(encounter))
            gap = max(low - made[1], made[0] - high, 0) if made else 0
            if gap <= NEAR:
                near.append((gap, -low, encounter))
        near.sort(key=lambda one: one[:2])
        places = Places(connection)
        return tuple(
            VisitChoice(
                reference=f"Encounter/{encounter['id']}",
                text=visit_text(self.chart.visit(encounter, (), places)),
                covers=made is not None and gap == 0,
            )
            for gap, _, encounter in near[:MOST_VISITS]
        )


def people(
    connection: Connection, resource_type: str, system: str, value: str
) -> Iterable[Resource | None]:
    """The Patients whom a number, or the id of a resource, leads to."""
    if system == OWN_ID:
        content = resources.find_content(connection, resource_type, value)
        found = [content] if content else []
    else:
        found = resources_with(connection, resource_type, [(system, value)])
    for one in found:
        is_patient = resource_type == "Patient"
        yield resolve_patient(connection, one["id"]) if is_patient else subject_of(connection, one)


def visit_text(visit: Group) -> str:
    where = f" ({visit.location})" if visit.location else ""
    why = f": {visit.reason}" if visit.reason else ""
    return f"{join_words((visit.day, visit.hours))}, {visit.kind}{why}{where}"


def compared(said: Resource, patient: Resource) -> Iterable[Compared]:
    """Name, birth date, sex and each number of the file; what neither says is left out."""
    file, known = facts_of(said), facts_of(patient)
    rows = (
        ("Name", names_text(said), names_text(patient), name_verdict(file, known)),
        (
            "Birth date",
            date_text(said),
            date_text(patient),
            verdict(
                said.get("birthDate"),
                patient.get("birthDate"),
                differ=dates_differ(file.birth_date, known.birth_date),
            ),
        ),
        (
            "Sex",
            sex_text(said),
            sex_text(patient),
            verdict(
                sex_text(said),
                sex_text(patient),
                differ=genders_differ(file.gender, known.gender),
            ),
        ),
    )
    for label, of_file, of_patient, found in rows:
        if of_file or of_patient:
            yield Compared(label=label, of_file=of_file, of_patient=of_patient, verdict=found)
    yield from compared_numbers(said, patient)


def compared_numbers(said: Resource, patient: Resource) -> Iterable[Compared]:
    own = by_system(facts_of(patient).numbers)
    shown: set[str] = set()
    for number in said.get("identifier", ()):
        system, value = number.get("system"), number.get("value", "")
        theirs = own.get(system, set()) if system else set()
        shown |= {system} if system else set()
        yield Compared(
            label="Number",
            of_file=number_text(system, [value]),
            of_patient=number_text(system, sorted(theirs)) if theirs else "",
            verdict="same" if value in theirs else "differs" if theirs else "unknown",
        )
    for system in sorted(own.keys() - shown):
        yield Compared(
            label="Number",
            of_file="",
            of_patient=number_text(system, sorted(own[system])),
            verdict="unknown",
        )


def number_text(system: str | None, values: Sequence[str]) -> str:
    return f"{', '.join(values)} ({system or 'issuer not known'})"


def names_text(patient: Resource) -> str:
    return "; ".join(names_of(patient))


def date_text(patient: Resource) -> str:
    return shown_date(patient["birthDate"]) if patient.get("birthDate") else ""


def sex_text(patient: Resource) -> str:
    gender = str(patient.get("gender", ""))
    return "" if gender == "unknown" else SEXES.get(gender, gender)


def name_verdict(file: Facts, known: Facts) -> str:
    if not (file.families or file.givens) or not (known.families or known.givens):
        return "unknown"
    if (file.families, file.givens) == (known.families, known.givens):
        return "same"
    families, givens = file.families & known.families, file.givens & known.givens
    if not families or (file.givens and known.givens and not givens):
        return "differs"
    return "partly"


def verdict(one: str | None, other: str | None, *, differ: bool) -> str:
    if not one or not other:
        return "unknown"
    if differ:
        return "differs"
    return "same" if one == other else "partly"
