"""What a report, and an order without images, look like in the chart: frozen values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import id_in, local_id
from imaging_fhir.services.chart_words import (
    concept_text,
    join_words,
    reference_text,
    shown_moment,
)
from imaging_fhir.services.moments import instant_bounds
from imaging_fhir.storage import chart, resources
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.same_person import same_person

UNDATED = -(2**62)  # sorts after everything that has a date
REPORT_STATES = {  # https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html
    "registered": "Awaited",
    "partial": "Partial",
    "preliminary": "Preliminary",
    "final": "Final",
    "amended": "Amended",
    "corrected": "Corrected",
    "appended": "With addendum",
    "unknown": "Status not known",
}  # those that are cancelled or entered in error are not shown
UNSETTLED = frozenset({"registered", "partial", "preliminary", "unknown"})
CHANGED = frozenset({"amended", "corrected", "appended"})
STUDY_STATES = {
    "registered": "Ordered, no images yet",
    "cancelled": "Order cancelled",
    "entered-in-error": "Entered in error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCard:
    id: str
    title: str
    status: str
    is_settled: bool
    is_changed: bool  # since it was final
    issued: str
    sort_key: int
    conclusion: str
    by: str
    files: tuple[ReportFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCard:
    """An ImagingStudy that stands for its order, until images fill it."""

    id: str
    title: str
    sort_key: int
    day: str
    when: str
    status: str
    accession: str
    referrer: str
    encounter: str | None
    reports: tuple[ReportCard, ...]

    @property
    def is_open(self) -> bool:
        return self.status == STUDY_STATES["registered"]


def reports_of(
    connection: Connection, studies: Collection[str], patient: str, zone: tzinfo | None
) -> Mapping[str, tuple[ReportCard, ...]]:
    """By the id of their ImagingStudy, the newest first; those about somebody else left out."""
    patients = same_person(connection, [patient])[patient]
    found: dict[str, list[ReportCard]] = {}
    for row in chart.reports_of_studies(connection, studies):
        content = decode(row.body)
        is_theirs = local_id(content.get("subject"), "Patient") in patients
        if is_theirs and content.get("status") in REPORT_STATES:
            found.setdefault(row.study, []).append(report_card(content, zone))
    return {study: newest_first(cards) for study, cards in found.items()}


def newest_first(cards: Sequence[ReportCard]) -> tuple[ReportCard, ...]:
    return tuple(sorted(cards, key=lambda card: -card.sort_key))


def report_card(content: Resource, zone: tzinfo | None) -> ReportCard:
    issued = content.get("issued") or content.get("effectiveDateTime", "")
    conclusion = content.get("conclusion") or join_words(
        [concept_text(one) for one in content.get("conclusionCode", ())]
    )
    people = content.get("resultsInterpreter") or content.get("performer", ())
    status = str(content.get("status", ""))
    return ReportCard(
        id=content["id"],
        title=concept_text(content.get("code")) or "Report",
        status=REPORT_STATES.get(status) or status,
        is_settled=status not in UNSETTLED,
        is_changed=status in CHANGED,
        issued=shown_moment(issued, zone) if issued else "Date not known",
        sort_key=instant_bounds(issued)[0] if issued else UNDATED,
        conclusion=conclusion,
        by=join_words([reference_text(one) for one in people]),
        files=tuple(files_of(content)),
    )


def files_of(content: Resource) -> list[ReportFile]:
    """What of `presentedForm` is kept here."""
    return [
        ReportFile(
            name=one.get("title") or one.get("contentType") or "Report",
            address=f"/fhir/Binary/{binary}",
        )
        for one in content.get("presentedForm", ())
        if (binary := id_in(one.get("url"), "Binary")) is not None
    ]


def orders_of(connection: Connection, patient: str, zone: tzinfo | None) -> list[OrderCard]:
    """The orders of a patient, under whichever id, that images are still to come for."""
    rows = chart.registered_of_patients(connection, same_person(connection, [patient])[patient])
    reports = reports_of(connection, [row.id for row in rows], patient, zone)
    cards = [order_card(connection, row, zone, reports.get(row.id, ())) for row in rows]
    return [card for card in cards if card.is_open]


def order_card(
    connection: Connection,
    row: AnyRow,
    zone: tzinfo | None,
    reports: tuple[ReportCard, ...] = (),
) -> OrderCard:
    """Of a row of `chart.registered_of_patients`."""
    content: Resource = decode(row.body)
    order = resources.find_content(connection, "ServiceRequest", row.service_request) or {}
    planned = planned_for(order)
    when = planned or order.get("authoredOn", "")
    shown = shown_moment(when, zone) if when else ""
    procedures = [concept_text(one) for one in content.get("procedureCode", ())]
    return OrderCard(
        id=row.id,
        title=join_words(procedures) or "Imaging order",
        sort_key=instant_bounds(when)[0] if when else UNDATED,
        day=shown.partition(",")[0],
        when=f"{'Planned for' if planned else 'Ordered'} {shown}" if shown else "Date not known",
        status=STUDY_STATES.get(content["status"], ""),
        accession=join_words([one.get("value", "") for one in content.get("identifier", ())]),
        referrer=reference_text(content.get("referrer")),
        encounter=local_id(content.get("encounter"), "Encounter"),
        reports=reports,
    )


def planned_for(order: Resource) -> str:
    period = order.get("occurrencePeriod", {})
    return str(order.get("occurrenceDateTime") or period.get("start") or "")
