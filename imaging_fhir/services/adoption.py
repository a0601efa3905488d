"""A site that has lived without an EHR goes over to one as its master (docs/ehr.md).

Each Patient of its own whom the EHR knows is merged into the EHR's, with their visits and orders,
in one transaction; what cannot be told stays as it is. What was done needs not be done again: it
can be ended at any moment, and run again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.model.codec import Resource
from imaging_fhir.services.adoption_plan import MOVABLE, Plan, Planning, Replacement
from imaging_fhir.services.ehr_copies import Copies
from imaging_fhir.services.merging import Merging
from imaging_fhir.storage import adoption, dicom_index, documents, resources
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.people import successor_of

PATIENT_SECONDS = 60.0  # for all that is asked about one of them
REASON = "adopt-ehr: the EHR is the master of patients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What became, or would become, of one Patient; ids only, for it is printed."""

    patient: str
    cause: str  # of CAUSES
    target: str | None = None
    studies: int = 0
    documents: int = 0
    visits: tuple[tuple[str, str], ...] = field(default=())  # ids here and at the EHR
    orders: tuple[tuple[str, str], ...] = field(default=())
    left: tuple[tuple[str, str], ...] = field(default=())  # Type/id that stays, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    database: Database
    planning: Planning
    copies: Copies
    merging: Merging
    clock: Callable[[], int]

    def run(self, *, dry_run: bool) -> Iterator[Adopted]:
        """All Patients that were made here; raise EhrUnavailable, and nothing more is done then."""
        after = 0
        while rows := self.page(after):
            for row in rows:
                plan = self.planning.plan(row.id, Deadline(PATIENT_SECONDS))
                if plan is not None:
                    yield self.counted(plan) if dry_run else self.moved(plan)
            after = rows[-1].rid

    def page(self, after: int) -> Sequence[adoption.LocalPatient]:
        with self.database.read() as connection:
            return adoption.local_patients(connection, after)

    def counted(self, plan: Plan, cause: str | None = None) -> Adopted:
        with self.database.read() as connection:
            studies = dicom_index.studies_of_patient(connection, plan.patient)
            of_documents = documents.of_patient(connection, plan.patient)
        cause = cause or plan.cause
        if cause not in MOVABLE:
            return Adopted(patient=plan.patient, cause=cause, target=plan.target_id)
        by_type = {
            type_: tuple((one.old, one.new["id"]) for one in plan.replaced(type_))
            for type_ in ("Encounter", "ServiceRequest")
        }
        return Adopted(
            patient=plan.patient,
            cause=cause,
            target=plan.target_id,
            studies=len(studies),
            documents=len(of_documents),
            visits=by_type["Encounter"],
            orders=by_type["ServiceRequest"],
            left=plan.left,
        )

    def moved(self, plan: Plan) -> Adopted:
        """Counted before, since nothing is filed to the old id afterwards."""
        foreseen = self.counted(plan)
        if plan.target is None or plan.cause not in MOVABLE:
            return foreseen
        move = partial(self.move, plan=plan, target=plan.target, at=self.clock())
        return foreseen if self.database.write(move) else self.counted(plan, "changed-meanwhile")

    def move(self, transaction: Transaction, plan: Plan, target: Resource, at: int) -> bool:
        """False where the Patient is another than the plan was made for."""
        current = resources.find(transaction.connection, "Patient", plan.patient)
        if current is None or current.version != plan.version:
            return False
        if target["id"] == plan.patient:
            self.copies.adopt(transaction, target, at)
        else:
            self.copies.keep(transaction, plan.company, at)
            self.merge(transaction, plan.patient, target["id"])
        for one in plan.replacements:
            self.replace(transaction, one, at)
        return True

    def merge(self, transaction: Transaction, patient_id: str, target_id: str) -> None:
        """A provisional Patient may have given way by itself when the real one came."""
        known = resources.find_content(transaction.connection, "Patient", patient_id)
        if known is None or successor_of(known):
            return
        pair = self.merging.pair(transaction, patient_id, target_id)
        self.merging.merge_pair(transaction, pair, reason=REASON, caller=LOCAL)

    def replace(self, transaction: Transaction, one: Replacement, at: int) -> None:
        """A visit or an order here by the EHR's: all that refers to the one, to the other."""
        type_, old, new = one.resource_type, one.old, one.new["id"]
        connection = transaction.connection
        if resources.find_content(connection, type_, old) is None:
            return
        if old == new:
            self.copies.adopt(transaction, one.new, at)
            return
        studies = (
            dicom_index.studies_at(connection, [old])
            if type_ == "Encounter"
            else (dicom_index.studies_of_order(connection, old))
        )
        of_documents = documents.at(connection, [old]) if type_ == "Encounter" else set()
        self.merging.rewrite(transaction, f"{type_}/{old}", f"{type_}/{new}")
        if type_ == "Encounter":
            adoption.rename_visit(transaction, studies, of_documents, old, new)
        resources.delete(transaction, type_, old)
        self.copies.keep(transaction, [one.new], at)
        self.merging.relinking.resource_written(transaction, type_, old, None)
        self.merging.match(transaction, (studies, of_documents))
