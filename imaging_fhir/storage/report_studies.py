"""Which ImagingStudies a DiagnosticReport is tied to, beside those that it names itself."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, insert, or_, select

from imaging_fhir.model.search import ReferenceEntry
from imaging_fhir.model.text import folded, index_key
from imaging_fhir.storage import dicom_index
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.prepared import Prepared
from imaging_fhir.storage.schema import (
    awaited,
    reference_index,
    report_study,
    resource,
    study,
    token_index,
)

Numbers = Iterable[tuple[str, str]]
REPORT = "DiagnosticReport"
PARAMETER = "imaging-study"
TIED = (
    select(report_study.c.report, report_study.c.study, report_study.c.rule, resource.c.id)
    .join(resource, resource.c.rid == report_study.c.study)
    .where(report_study.c.report.in_(bindparam("reports", expanding=True)))
    .order_by(report_study.c.report, report_study.c.study)
)
TIED_TO = Prepared(select(report_study.c.report).where(report_study.c.study == bindparam("study")))
BY_NUMBER = Prepared(
    select(token_index.c.rid, token_index.c.value)
    .join(resource, resource.c.rid == token_index.c.rid)
    .where(
        token_index.c.parameter == bindparam("parameter"),
        token_index.c.folded == bindparam("folded"),
        token_index.c.system == bindparam("system"),
        resource.c.deleted.is_(False),
    )
)
BY_LOGICAL_REFERENCE = Prepared(
    select(reference_index.c.rid)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.identifier_value == bindparam("value"),
        reference_index.c.identifier_system == bindparam("system"),
        or_(
            reference_index.c.parameter == f"{REPORT}.based-on",
            reference_index.c.parameter == f"{REPORT}.{PARAMETER}",
        ),
        resource.c.deleted.is_(False),
    )
)
BY_ORDER = Prepared(
    select(reference_index.c.rid)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.parameter == f"{REPORT}.based-on",
        reference_index.c.target_type == "ServiceRequest",
        reference_index.c.target_id == bindparam("order"),
        resource.c.deleted.is_(False),
    )
)
OF_PATIENTS = (
    select(reference_index.c.rid)
    .join(resource, resource.c.rid == reference_index.c.rid)
    .where(
        reference_index.c.parameter == f"{REPORT}.subject",
        reference_index.c.target_type == "Patient",
        reference_index.c.target_id.in_(bindparam("patients", expanding=True)),
        resource.c.deleted.is_(False),
    )
    .distinct()
    .order_by(reference_index.c.rid)
)
NUMBERS_OF_STUDY = Prepared(
    select(token_index.c.system, token_index.c.value).where(
        token_index.c.rid == bindparam("rid"),
        token_index.c.parameter == "ImagingStudy.identifier",
    )
)
SUBJECTS = Prepared(
    select(reference_index.c.target_id).where(
        reference_index.c.rid == bindparam("rid"),
        reference_index.c.parameter == "ImagingStudy.subject",
        reference_index.c.target_type == "Patient",
    )
)
ACCESSIONS = Prepared(
    select(awaited.c.system, awaited.c.value)
    .join(study, study.c.pk == awaited.c.study)
    .where(study.c.rid == bindparam("rid"), awaited.c.resource_type == "ServiceRequest")
)
FILED = (
    select(study.c.rid)
    .join(resource, resource.c.rid == study.c.rid)
    .where(
        study.c.pk.in_(bindparam("studies", expanding=True)),
        study.c.state == "filed",
        resource.c.deleted.is_(False),
    )
)


def entries(connection: Connection, reports: Collection[int]) -> dict[int, list[ReferenceEntry]]:
    """What they are found by beside what they say, by their rows in `resource`."""
    found: dict[int, list[ReferenceEntry]] = {}
    for some in chunks(reports):
        for row in connection.execute(TIED, {"reports": some}):
            entry = ReferenceEntry(
                parameter=PARAMETER, target_type="ImagingStudy", target_id=row.id
            )
            found.setdefault(row.report, []).append(entry)
    return found


def ties(connection: Connection, report: int) -> dict[int, str]:
    """The rows of the ImagingStudies, and by which rule."""
    return {row.study: row.rule for row in connection.execute(TIED, {"reports": [report]})}


def tie(transaction: Transaction, report: int, studies: Mapping[int, str]) -> None:
    """To these alone."""
    transaction.execute(delete(report_study).where(report_study.c.report == report))
    if studies:
        transaction.execute(
            insert(report_study),
            [{"report": report, "study": one, "rule": rule} for one, rule in studies.items()],
        )


def untie(transaction: Transaction, study_rid: int, study_id: str) -> None:
    """All reports from an ImagingStudy that is deleted."""
    reports = reports_tied_to(transaction.connection, study_rid)
    for some in chunks(reports):
        transaction.execute(
            delete(reference_index).where(
                reference_index.c.rid.in_(some),
                reference_index.c.parameter == f"{REPORT}.{PARAMETER}",
                reference_index.c.target_type == "ImagingStudy",
                reference_index.c.target_id == study_id,
            )
        )
    if reports:
        transaction.execute(delete(report_study).where(report_study.c.study == study_rid))


def with_number(connection: Connection, resource_type: str, numbers: Numbers) -> set[int]:
    """Rows of what has one of the identifiers (system, value), spelled exactly so."""
    return {
        row.rid
        for system, value in numbers
        for row in BY_NUMBER.all(
            connection,
            parameter=f"{resource_type}.identifier",
            folded=index_key(folded(value)),
            system=index_key(system),
        )
        if row.value == value
    }


def studies_of_accessions(connection: Connection, numbers: Numbers) -> set[int]:
    """Rows of the ImagingStudies whose images carry it, be it by the default of their source."""
    studies, _ = dicom_index.waiting_for(connection, "ServiceRequest", list(numbers))
    rows = connection.execute(FILED, {"studies": sorted(studies)}) if studies else ()
    return {row.rid for row in rows}


def numbers_of_study(connection: Connection, rid: int) -> set[tuple[str, str]]:
    """The identifiers of an ImagingStudy that say who gave them."""
    return {
        (row.system, row.value)
        for row in NUMBERS_OF_STUDY.all(connection, rid=rid)
        if row.system and row.value
    }


def accessions_of_study(connection: Connection, rid: int) -> set[tuple[str, str]]:
    """Its accession numbers as they count, with the default of its source."""
    return {(row.system, row.value) for row in ACCESSIONS.all(connection, rid=rid)}


def subjects_of_study(connection: Connection, rid: int) -> set[str]:
    """Ids of the Patients whom an ImagingStudy names, by the index."""
    return {row.target_id for row in SUBJECTS.all(connection, rid=rid)}


def reports_naming(connection: Connection, numbers: Numbers, orders: Iterable[str]) -> set[int]:
    """Rows of the reports that have such a number, or refer to one or to such a ServiceRequest."""
    numbers = list(numbers)
    found = with_number(connection, REPORT, numbers)
    for system, value in numbers:
        logical = BY_LOGICAL_REFERENCE.all(connection, system=system, value=index_key(value))
        found |= {row.rid for row in logical}
    for order in orders:
        found |= {row.rid for row in BY_ORDER.all(connection, order=order)}
    return found


def reports_tied_to(connection: Connection, study_rid: int) -> set[int]:
    return {row.report for row in TIED_TO.all(connection, study=study_rid)}


def reports_of_patients(connection: Connection, patients: Iterable[str]) -> list[int]:
    return list(connection.execute(OF_PATIENTS, {"patients": sorted(patients)}).scalars())
