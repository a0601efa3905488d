"""What the EHR knows of a Patient who was made here, by the rules of linking: numbers, no names."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from imaging_fhir.ehr.client import Ehr
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.errors import EhrUnavailable
from imaging_fhir.fhir.patient import PROVISIONAL_PREFIX
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import local_id
from imaging_fhir.services.demographics import patients_disagree
from imaging_fhir.services.ehr_copies import Copies
from imaging_fhir.services.ehr_sync import numbers_of
from imaging_fhir.storage import adoption, ehr, resources
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.people import successor_of

MOST_MERGES = 8  # in a row, at the EHR
CAUSES = {
    "moved": "moved to the EHR's Patient",
    "same-id": "are the EHR's under the same id",
    "unknown": "stay: the EHR knows none of their identifiers",
    "no-identifier": "stay: they have no identifier with a system",
    "ambiguous": "stay: their identifiers lead to several Patients of the EHR",
    "demographics-disagree": "stay: name, birth date or sex contradict the EHR's",
    "id-taken": "stay: another Patient here has the id that the EHR's has",
    "unusable": "stay: the EHR's Patient is not as R4 has it",
    "changed-meanwhile": "stay for now: they were written meanwhile; run it again",
}
MOVABLE = frozenset({"moved", "same-id"})
HARMLESS = MOVABLE | {"unknown", "no-identifier"}
"""All else is for a person to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """A visit or an order here, by id, and the EHR's that it is."""

    resource_type: str
    old: str
    new: Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`company` is the EHR's Patient, and those whose place that one has taken there."""

    patient: str
    version: int
    cause: str
    target: Resource | None = None
    company: tuple[Resource, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    left: tuple[tuple[str, str], ...] = field(default=())  # Type/id that stays, and why

    @property
    def target_id(self) -> str | None:
        return None if self.target is None else str(self.target["id"])

    def replaced(self, resource_type: str) -> Iterator[Replacement]:
        return (one for one in self.replacements if one.resource_type == resource_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    database: Database
    ehr: Ehr
    copies: Copies

    def plan(self, patient_id: str, deadline: Deadline) -> Plan | None:
        """None for one who has gone, or was merged already; raise EhrUnavailable."""
        with self.database.read() as connection:
            stored = resources.find(connection, "Patient", patient_id)
        if stored is None or stored.body is None:
            return None
        patient = decode(stored.body)
        if successor_of(patient):
            return None
        found = self.known(patient, deadline)
        targets = {chain[-1]["id"]: chain for chain in found}
        [chain] = targets.values() if len(targets) == 1 else [()]
        cause = self.cause(patient, list(targets.values()))
        plan = Plan(
            patient=patient_id,
            version=stored.version,
            cause=cause,
            target=chain[-1] if chain else None,
            company=tuple(one for one in chain if self.usable(one) is not None),
        )
        return self.with_visits(plan, deadline) if cause in MOVABLE else plan

    def known(self, patient: Resource, deadline: Deadline) -> list[tuple[Resource, ...]]:
        """Each Patient of the EHR who has one of the identifiers, and who they are today."""
        found = {
            one["id"]: one
            for number in numbers_of(patient)
            for one in self.ehr.by_identifier("Patient", *number, deadline)
        }
        return [tuple(self.chain(one, deadline)) for one in found.values()]

    def chain(self, patient: Resource, deadline: Deadline) -> Iterator[Resource]:
        """Merges at the EHR followed."""
        seen: set[str] = set()
        today: Resource | None = patient
        while today is not None and today["id"] not in seen and len(seen) < MOST_MERGES:
            yield today
            seen.add(today["id"])
            successor = successor_of(self.copies.at_home(today))
            today = self.ehr.read("Patient", successor, deadline) if successor else None

    def cause(self, patient: Resource, chains: list[tuple[Resource, ...]]) -> str:
        if not numbers_of(patient):
            return "no-identifier"
        if len(chains) != 1:
            return "ambiguous" if chains else "unknown"
        target = chains[0][-1]
        usable = self.usable(target)
        if usable is None:
            return "unusable"
        if patients_disagree(patient, usable) is not None:
            return "demographics-disagree"
        if target["id"] == patient["id"]:
            return "same-id"
        return "id-taken" if self.is_taken("Patient", target["id"]) else "moved"

    def usable(self, content: Resource) -> Resource | None:
        """As a copy would have it; None where it is not as R4 has it."""
        try:
            return self.copies.usable(content)
        except EhrUnavailable:
            return None

    def is_taken(self, resource_type: str, resource_id: str) -> bool:
        """Does something else here have the id?"""
        if resource_id.startswith(PROVISIONAL_PREFIX):
            return True
        with self.database.read() as connection:
            known = resources.find(connection, resource_type, resource_id)
            checked = ehr.checked_at(connection, resource_type, resource_id)
        return known is not None and not known.deleted and checked is None

    def with_visits(self, plan: Plan, deadline: Deadline) -> Plan:
        """And orders: by number, where they are the same Patient's at the EHR too."""
        patients = frozenset(one["id"] for one in plan.company)
        replacements, left = [], []
        for type_ in ("Encounter", "ServiceRequest"):
            with self.database.read() as connection:
                here = adoption.local_of_patient(connection, type_, plan.patient)
            for one in here:
                answered = list(self.of_patients(one, patients, deadline))
                cause = self.cause_to_stay(one, answered)
                if cause is None:
                    [new] = answered
                    replacements.append(Replacement(resource_type=type_, old=one["id"], new=new))
                else:
                    left.append((f"{type_}/{one['id']}", cause))
        return replace(plan, replacements=tuple(replacements), left=tuple(left))

    def of_patients(
        self, here: Resource, patients: frozenset[str], deadline: Deadline
    ) -> Iterator[Resource]:
        found = {
            one["id"]: one
            for number in numbers_of(here)
            for one in self.ehr.by_identifier(here["resourceType"], *number, deadline)
        }
        for one in found.values():
            subject = one.get("subject")
            whose = local_id(subject, "Patient", base=self.ehr.base) if subject else None
            if whose in patients:
                yield one

    def cause_to_stay(self, here: Resource, answered: list[Resource]) -> str | None:
        if len(answered) != 1:
            return "ambiguous" if answered else "unknown"
        type_, id_ = here["resourceType"], answered[0]["id"]
        if id_ != here["id"] and self.is_taken(type_, id_):
            return "id-taken"
        return "unusable" if self.usable(answered[0]) is None else None
