"""Review Tasks: an image stays where it is filed, but what is known now speaks against it."""

from collections.abc import Callable, Mapping

from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.fhir.task import REVIEW, facts_of
from imaging_fhir.linking_rules import BY_POLICY
from imaging_fhir.model.codec import Resource, decode_as
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.model.person import Person
from imaging_fhir.model.study import ReadWarning
from imaging_fhir.services import demographics
from imaging_fhir.services.arrival import DicomArrival
from imaging_fhir.services.held import complete_task, open_task
from imaging_fhir.services.linking import BY_DECISION, Linking
from imaging_fhir.services.review_closing import is_confirmed
from imaging_fhir.services.study_evidence import evidence_of
from imaging_fhir.services.subject import same_subject
from imaging_fhir.storage import dicom_index, resources
from imaging_fhir.storage.database import AnyRow, Transaction
from imaging_fhir.storage.people import encounters_of, resolve_patient, tasks_about

INSTANCE = "SOPInstanceUID"
LOST = "visit-of-another-patient"
LOST_REASON = "The visit that it was linked to is not this patient's any more."
DISAGREES = "The demographics of the file contradict the Patient that it is filed to."


def concerns(
    transaction: Transaction,
    patient_id: str | None,
    now: Link,
    *,
    decided: Link,
    old: Link,
    person: Person | None = None,
) -> dict[str, str]:
    """Rule and reason of all that speaks against the link of a filed image.

    `now` is its link, `old` the one before, `decided` what the rules said; that a site has switched
    a rule off speaks against nothing.
    """
    found = {}
    if decided.state == "held" and decided.patient_rule not in BY_POLICY:
        found[decided.patient_rule] = decided.patient_reason
    patient = resolve_patient(transaction.connection, patient_id or "")
    if patient is None:
        return found
    if lost_visit(transaction, patient, now, old):
        found[LOST] = LOST_REASON
    looked_at = is_provisional(patient) or now.patient_rule in BY_DECISION
    checked = None if looked_at else person
    if checked and demographics.disagreement(checked, patient) is not None:
        found["demographics-disagree"] = DISAGREES
    return found


def of_study(
    transaction: Transaction, new_id: Callable[[], str], pk: int, *, decided: Link, old: Link
) -> None:
    """Open or complete the Tasks about a filed study for which `decided` was found just now."""
    study = dicom_index.study_by_pk(transaction.connection, pk)
    if study.deleted:
        return
    found = concerns(
        transaction,
        study.patient,
        decode_as(Link, study.link),
        decided=decided,
        old=old,
        person=decode_as(Person, study.person),
    )
    reconcile(transaction, new_id, study.rid, found)


def of_instance(
    transaction: Transaction,
    new_id: Callable[[], str],
    linking: Linking,
    study: AnyRow,
    arrival: DicomArrival,
    about: Mapping[str, str | int | None],
) -> tuple[ReadWarning, ...]:
    """A later instance of a filed study that names a visit of somebody else: its sender is told."""
    if study.state == "held":
        return ()
    patient = resolve_patient(transaction.connection, study.patient or "")
    evidence = evidence_of(arrival)
    match = linking.visit_of_another(transaction.connection, evidence, patient)
    if match is None:
        return ()
    open_review(transaction, new_id(), study.rid, match.rule, match.reason, about)
    keyword = "AdmissionID" if evidence.visit.admission_id else "ServiceEpisodeID"
    return (ReadWarning(keyword=keyword, message=match.reason),)


def lost_visit(transaction: Transaction, patient: Resource, now: Link, old: Link) -> bool:
    """It is at no visit, and was at one that is of another patient now, or had lost one before."""
    if now.encounter is not None:
        return False
    if old.encounter is None:
        return old.encounter_rule == LOST
    visits = encounters_of(transaction.connection, ids=(id_of(old.encounter) or "",))
    return not any(same_subject(transaction.connection, visit, patient) for visit in visits)


def reconcile(
    transaction: Transaction, new_id: Callable[[], str], rid: int, found: Mapping[str, str]
) -> None:
    """One open Task for each concern about that resource; those about what agrees again end.

    What a person has closed stays closed as long as the evidence is the same.

    What one instance alone says is not looked at again: a person completes its Task.
    """
    for task_rid, task in open_reviews(transaction, rid).items():
        if rule_of(task) not in found and INSTANCE not in facts_of(task):
            complete_task(transaction, task_rid)
    if not found:
        return
    reference = resources.find_by_rid(transaction.connection, rid).reference
    tasks = tasks_about(transaction.connection, reference).values()
    for rule, reason in found.items():
        if not is_confirmed(transaction, reference, tasks, rule, reason):
            open_review(transaction, new_id(), rid, rule, reason, {})


def open_review(
    transaction: Transaction,
    task_id: str,
    rid: int,
    rule: str,
    reason: str,
    about: Mapping[str, str | int | None],
) -> None:
    """Unless one is open for the same rule."""
    if any(rule_of(task) == rule for task in open_reviews(transaction, rid).values()):
        return
    focus = {"reference": resources.find_by_rid(transaction.connection, rid).reference}
    link = Link(state="filed", patient_rule=rule, patient_reason=reason)
    open_task(transaction, task_id, link, about, code=REVIEW, focus=focus)


def open_reviews(transaction: Transaction, rid: int) -> dict[int, Resource]:
    reference = resources.find_by_rid(transaction.connection, rid).reference
    return {
        task_rid: task
        for task_rid, task in tasks_about(transaction.connection, reference).items()
        if task.get("code") == REVIEW and task["status"] == "requested"
    }


def rule_of(task: Resource) -> str:
    return str(task["reasonCode"]["coding"][0]["code"])
