"""The chart's page of an order that has no images yet."""

from dataclasses import dataclass

from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import local_id
from imaging_fhir.services.chart import Chart, Group, Places
from imaging_fhir.services.chart_card import PatientCard
from imaging_fhir.services.chart_report import OrderCard, order_card, reports_of
from imaging_fhir.services.chart_words import concept_text, join_words
from imaging_fhir.storage import chart as rows
from imaging_fhir.storage import resources
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import encounters_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    patient: PatientCard
    study: OrderCard
    visit: Group | None
    facts: tuple[tuple[str, str], ...]
    service_request: str


def order_page(chart: Chart, resource_id: str) -> OrderPage | None:
    """Of an ImagingStudy that stands for its order; None where that has images, or is none."""
    with chart.database.read() as connection:
        stored = resources.find(connection, "ImagingStudy", resource_id)
        row = None if stored is None else rows.registered(connection, stored.rid)
        if row is None:
            return None
        subject = local_id(decode(row.body).get("subject"), "Patient") or ""
        patient = chart.banner(connection, subject)
        reports = reports_of(connection, [row.id], patient.id, chart.zone)
        card = order_card(connection, row, chart.zone, reports.get(row.id, ()))
        visits = encounters_of(connection, ids=(card.encounter,) if card.encounter else ())
        return OrderPage(
            patient=patient,
            study=card,
            visit=chart.visit(visits[0], (), Places(connection)) if visits else None,
            facts=order_facts(connection, row, card),
            service_request=row.service_request,
        )


def order_facts(
    connection: Connection, row: AnyRow, card: OrderCard
) -> tuple[tuple[str, str], ...]:
    content: Resource = decode(row.body)
    order = resources.find_content(connection, "ServiceRequest", row.service_request) or {}
    facts = (
        ("Status", card.status),
        ("When", card.when),
        ("Procedure", card.title),
        ("Reason", join_words([concept_text(one) for one in content.get("reasonCode", ())])),
        ("Asked for by", card.referrer),
        ("Accession number", card.accession),
        ("Priority", str(order.get("priority", "")).capitalize()),
    )
    return tuple((label, text) for label, text in facts if text)
