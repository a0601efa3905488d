"""A DiagnosticReport and the ImagingStudies it is about, where it does not say so itself.

They are tied by study UID, by accession number and its assigner, or by order, as long as their
subject is the same. The report stays as its author wrote it: the tie is one of the search index.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import tzinfo

from imaging_fhir.fhir import canonical
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import local_id
from imaging_fhir.services.indexing import entries_of
from imaging_fhir.services.subject import subject_of
from imaging_fhir.storage import registered_studies, report_studies, resources, search_index
from imaging_fhir.storage.database import Connection, Transaction
from imaging_fhir.storage.people import resolve_patient
from imaging_fhir.storage.report_studies import REPORT

TYING = frozenset({"identifier", "basedOn", "imagingStudy"})  # a report without is of no study
UNTIED = frozenset({"entered-in-error", "cancelled"})
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StudyKeys:
    """What an ImagingStudy is tied by; whoever ties by something else now is looked at again."""

    numbers: frozenset[Key]
    orders: frozenset[str]
    subjects: frozenset[str]

    @classmethod
    def of(cls, connection: Connection, rid: int) -> "StudyKeys":
        return cls(
            frozenset(report_studies.numbers_of_study(connection, rid)),
            frozenset(registered_studies.orders_of_study(connection, rid)),
            frozenset(report_studies.subjects_of_study(connection, rid)),
        )


def follow_study(
    transaction: Transaction, rid: int, keys: StudyKeys, *, zone: tzinfo | None
) -> None:
    """The reports that are tied to that ImagingStudy, or may be by what it says now."""
    connection = transaction.connection
    numbers = keys.numbers | frozenset(report_studies.accessions_of_study(connection, rid))
    found = report_studies.reports_naming(connection, numbers, keys.orders)
    tie_reports(transaction, found | report_studies.reports_tied_to(connection, rid), zone=zone)


def follow_resource(
    transaction: Transaction, resource_type: str, resource_id: str, *, zone: tzinfo | None
) -> None:
    """News of a report, or of an ImagingStudy that is not made of images."""
    if resource_type not in (REPORT, "ImagingStudy"):
        return
    stored = resources.find(transaction.connection, resource_type, resource_id)
    if stored is not None and resource_type == REPORT:
        if stored.version > 1 or TYING & decode(stored.body or b"{}").keys():
            tie_report(transaction, stored.rid, zone=zone)
    elif stored is not None:
        keys = StudyKeys.of(transaction.connection, stored.rid)
        follow_study(transaction, stored.rid, keys, zone=zone)


def tie_reports(transaction: Transaction, rids: Iterable[int], *, zone: tzinfo | None) -> None:
    for rid in sorted(rids):
        tie_report(transaction, rid, zone=zone)


def tie_report(transaction: Transaction, rid: int, *, zone: tzinfo | None) -> None:
    """By what it and the studies say now; nothing is written where that is as it was."""
    connection = transaction.connection
    stored = resources.find_by_rid(connection, rid)
    ties = {} if stored.body is None else dict(ties_of(connection, decode(stored.body)))
    if ties == report_studies.ties(connection, rid):
        return
    report_studies.tie(transaction, rid, ties)
    entries = entries_of(connection, stored, zone=zone)
    if entries is not None:
        search_index.replace(transaction, rid, REPORT, entries)


def ties_of(connection: Connection, report: Resource) -> Iterator[tuple[int, str]]:
    """The row of each ImagingStudy, and the rule that ties it."""
    patient = subject_of(connection, report)
    if patient is None or report.get("status") in UNTIED:
        return
    known = set(named(connection, report))
    for rule, rids in candidates(connection, report):
        for rid in sorted(rids - known):
            known.add(rid)
            subjects = report_studies.subjects_of_study(connection, rid)
            whose = [resolve_patient(connection, one) for one in subjects]
            if any(one is not None and one["id"] == patient["id"] for one in whose):
                yield rid, rule


def named(connection: Connection, report: Resource) -> Iterator[int]:
    """The rows of those that its author names by their id: that needs no tie."""
    for one in report.get("imagingStudy", ()):
        found = resources.find(connection, "ImagingStudy", local_id(one, "ImagingStudy") or "")
        if found is not None:
            yield found.rid


def candidates(connection: Connection, report: Resource) -> Iterator[tuple[str, set[int]]]:
    numbers = set(numbers_of(report))
    uids = {one for one in numbers if one[0] == canonical.DICOM_UID}
    yield "study-uid", report_studies.with_number(connection, "ImagingStudy", uids)
    accessions = numbers - uids
    named = report_studies.with_number(connection, "ImagingStudy", accessions)
    yield "accession", named | report_studies.studies_of_accessions(connection, accessions)
    orders = [local_id(one, "ServiceRequest") for one in report.get("basedOn", ())]
    yield (
        "order",
        {
            rid
            for order in orders
            if order is not None
            for rid in registered_studies.studies_of_order(connection, order)
        },
    )


def numbers_of(report: Resource) -> Iterator[Key]:
    """The identifiers with a system of the report, of its order and of its studies."""
    logical = [
        one.get("identifier", {})
        for name in ("basedOn", "imagingStudy")
        for one in report.get(name, ())
    ]
    for identifier in [*report.get("identifier", ()), *logical]:
        if identifier.get("system") and identifier.get("value"):
            yield identifier["system"], identifier["value"]
