"""What the chart's list pages show: patients, one patient's timeline, and what is held."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import partial
from itertools import groupby

from imaging_fhir.fhir.task import HELD, REVIEW, facts_of
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import local_target
from imaging_fhir.services.chart_card import (
    Badge,
    Card,
    DocumentCard,
    PatientCard,
    StudyCard,
    document_card,
    patient_card,
    study_card,
)
from imaging_fhir.services.chart_report import UNDATED, OrderCard, orders_of, reports_of
from imaging_fhir.services.chart_words import (
    class_text,
    coding_text,
    concept_text,
    fact_name,
    join_words,
    reference_text,
    rule_in_words,
    shown_fact,
    shown_moment,
    shown_period,
)
from imaging_fhir.services.moments import instant_bounds
from imaging_fhir.services.review_closing import confirm
from imaging_fhir.services.search import Search
from imaging_fhir.storage import chart, resources
from imaging_fhir.storage.database import Connection, Database
from imaging_fhir.storage.people import encounters_of, resolve_patient
from imaging_fhir.storage.same_person import same_person

RECENT_IMAGES = 200
RECENT_PATIENTS = 12
MOST_FOUND = 50
MOST_HELD = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPatient:
    patient: PatientCard
    studies: int
    documents: int
    latest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    patients: tuple[PatientCard, ...]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A visit with its images, or the images of one day that are linked to none."""

    id: str  # of the Encounter; empty where there is none
    sort_key: int
    day: str
    hours: str
    kind: str
    reason: str
    location: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    badge: Badge
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    patient: PatientCard
    groups: tuple[Group, ...]
    filters: tuple[Filter, ...]
    chosen: Filter | None
    studies: int
    documents: int
    orders: int  # that have no images yet
    without_visit: int
    visits_without_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldItem:
    id: str
    since: str
    is_urgent: bool
    rule: str
    rule_in_words: str
    reason: str
    facts: tuple[tuple[str, str], ...]  # label, value
    status: str
    filed: str  # address of the page of the image, where it is filed all the same

    def fact(self, keyword: str) -> str:
        return dict(self.facts).get(fact_name(keyword), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """The urgent first, then the newest; `total` may be more than are shown."""

    items: tuple[HeldItem, ...]
    total: int


class Chart:
    def __init__(self, database: Database, search: Search, *, zone: tzinfo | None) -> None:
        self.database = database
        self.search = search
        self.zone = zone

    def today(self) -> date:
        moment = datetime.fromtimestamp(self.database.clock() / 1000, UTC)
        return (moment.astimezone(self.zone) if self.zone else moment).date()

    def recent(self) -> tuple[ListedPatient, ...]:
        """Patients with the newest images."""
        with self.database.read() as connection:
            ids = chart.recent_patients(connection, RECENT_IMAGES)[:RECENT_PATIENTS]
            patients = [resolve_patient(connection, patient_id) for patient_id in ids]
            known = {patient["id"]: patient for patient in patients if patient is not None}
            return tuple(self.listed(connection, patient) for patient in known.values())

    def listed(self, connection: Connection, patient: Resource) -> ListedPatient:
        studies, documents = self.cards(connection, patient["id"])
        cards: list[StudyCard | DocumentCard] = [*studies, *documents]
        newest = max(cards, key=lambda card: card.sort_key, default=None)
        return ListedPatient(
            patient=patient_card(patient, self.today()),
            studies=len(studies),
            documents=len(documents),
            latest=newest.day if newest else "",
        )

    def find(
        self, caller: Caller, *, name: str = "", identifier: str = "", birth_date: str = ""
    ) -> Found:
        """Patients by all that is given; raise InvalidRequest."""
        parameters = [
            *(("name", word) for word in name.replace(",", " ").split()),
            *([("identifier", identifier)] if identifier else []),
            *([("birthdate", birth_date)] if birth_date else []),
        ]
        parameters += [("_count", str(MOST_FOUND + 1))]
        bundle = decode(self.search.search("Patient", parameters, caller, strict=True))
        found = [entry["resource"] for entry in bundle.get("entry", ())]
        return Found(
            patients=tuple(patient_card(one, self.today()) for one in found[:MOST_FOUND]),
            is_cut=len(found) > MOST_FOUND,
        )

    def patient(self, patient_id: str) -> PatientCard:
        """The one that this id stands for today; raise ResourceNotFound, ResourceDeleted."""
        with self.database.read() as connection:
            return self.banner(connection, patient_id)

    def banner(self, connection: Connection, patient_id: str) -> PatientCard:
        patient = resolve_patient(connection, patient_id)
        if patient is None:
            patient = decode(resources.read(connection, "Patient", patient_id).body or b"{}")
        return patient_card(patient, self.today())

    def cards(
        self, connection: Connection, patient_id: str
    ) -> tuple[list[StudyCard], list[DocumentCard]]:
        """All images of a patient, whichever of the person's ids they are under."""
        ids = sorted(same_person(connection, [patient_id])[patient_id])
        studies = chart.studies_of_patients(connection, ids)
        series = chart.series_of_studies(connection, [row.pk for row in studies])
        of_study = {pk: list(rows) for pk, rows in groupby(series, key=lambda row: row.study)}
        documents = chart.documents_of_patients(connection, ids)
        reports = reports_of(connection, [row.id for row in studies], patient_id, self.zone)
        return (
            [
                study_card(
                    row,
                    of_study.get(row.pk, []),
                    self.zone,
                    resource_id=row.id,
                    reports=reports.get(row.id, ()),
                )
                for row in studies
            ],
            [document_card(decode(row.body), self.zone) for row in documents],
        )

    def timeline(
        self, patient_id: str, *, show: str = "", with_all_visits: bool = False
    ) -> Timeline:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.database.read() as connection:
            patient = self.banner(connection, patient_id)
            studies, documents = self.cards(connection, patient.id)
            orders = orders_of(connection, patient.id, self.zone)
            cards: list[Card] = [*studies, *documents, *orders]
            filters = filters_of(cards)
            chosen = next((one for one in filters if one.badge.code == show), None)
            shown = [card for card in cards if not chosen or chosen.badge.code in codes_of(card)]
            visits = self.visits(connection, patient.id, shown)
        filled = [visit for visit in visits if visit.cards or (with_all_visits and not chosen)]
        loose = without_visit(shown, {visit.id for visit in visits})
        return Timeline(
            patient=patient,
            groups=tuple(sorted([*filled, *loose], key=lambda group: -group.sort_key)),
            filters=filters,
            chosen=chosen,
            studies=len(studies),
            documents=len(documents),
            orders=len(orders),
            without_visit=sum(len(group.cards) for group in loose),
            visits_without_images=len(visits) - sum(1 for visit in visits if visit.cards),
        )

    def visits(self, connection: Connection, patient_id: str, cards: Sequence[Card]) -> list[Group]:
        places = Places(connection)
        encounters = encounters_of(connection, patient=patient_id)
        return [self.visit(one, cards, places) for one in encounters]

    def visit(self, encounter: Resource, cards: Sequence[Card], places: "Places") -> Group:
        own = newest_first(card for card in cards if card.encounter == encounter["id"])
        period = encounter.get("period", {})
        start = period.get("start") or period.get("end")
        newest = own[0].sort_key if own else UNDATED
        day, hours = shown_period(period, self.zone)
        return Group(
            id=encounter["id"],
            sort_key=instant_bounds(start)[0] if start else newest,
            day=day,
            hours=hours,
            kind=class_text(encounter.get("class")) or "Visit",
            reason=reason_of(encounter),
            location=places.of(encounter),
            cards=own,
        )

    def count_held(self) -> int:
        with self.database.read() as connection:
            return chart.count_tasks(connection, code_of(HELD))

    def reviews(self) -> Reviews:
        """What is filed, but has something that speaks against it."""
        code = code_of(REVIEW)
        with self.database.read() as connection:
            rows = chart.tasks(connection, code, MOST_HELD)
            total = chart.count_tasks(connection, code)
        items = [held_item(decode(row.body), self.zone) for row in rows]
        urgent_first = sorted(items, key=lambda item: not item.is_urgent)
        return Reviews(items=tuple(urgent_first), total=total)

    def close_review(self, task_id: str) -> None:
        """A person says that the image is right where it is.

        Raise ResourceNotFound, ResourceDeleted, and ResourceConflict where that is not asked.
        """
        self.database.write(partial(confirm, task_id=task_id))


class Places:
    """Names of locations and organizations, each looked up once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.names: dict[str, str] = {}

    def of(self, encounter: Resource) -> str:
        rooms = [self.name(one.get("location")) for one in encounter.get("location", ())]
        return join_words([*rooms, self.name(encounter.get("serviceProvider"))])

    def name(self, reference: Resource | None) -> str:
        address = (reference or {}).get("reference", "")
        target = local_target(address)
        if (reference or {}).get("display") or target is None:
            return reference_text(reference)
        if address not in self.names:
            content = resources.find_content(self.connection, *target) or {}
            self.names[address] = str(content.get("name") or "")
        return self.names[address]


def badges_of(card: Card) -> tuple[Badge, ...]:
    match card:
        case StudyCard():
            return card.badges
        case DocumentCard():
            return (card.badge,)
        case OrderCard():
            return ()


def codes_of(card: Card) -> set[str]:
    return {badge.code for badge in badges_of(card)}


def filters_of(cards: Sequence[Card]) -> tuple[Filter, ...]:
    """One a kind of image that is there, by how many there are."""
    first_of_code = {badge.code: badge for card in reversed(cards) for badge in badges_of(card)}
    counts = {code: sum(code in codes_of(card) for card in cards) for code in first_of_code}
    codes = sorted(counts, key=lambda code: (-counts[code], code))
    return tuple(Filter(badge=first_of_code[code], count=counts[code]) for code in codes)


def newest_first(cards: Iterable[Card]) -> tuple[Card, ...]:
    return tuple(sorted(cards, key=lambda card: -card.sort_key))


def without_visit(cards: Sequence[Card], visits: set[str]) -> list[Group]:
    """Images linked to no visit that is known, a group a day."""
    by_day: dict[str, list[Card]] = {}
    for card in newest_first(cards):
        if card.encounter not in visits:
            by_day.setdefault(card.day, []).append(card)
    return [
        Group(
            id="",
            sort_key=own[0].sort_key,
            day=day or "Date not known",
            hours="",
            kind="",
            reason="",
            location="",
            cards=tuple(own),
        )
        for day, own in by_day.items()
    ]


def reason_of(encounter: Resource) -> str:
    reasons = [concept_text(one) for one in encounter.get("reasonCode", ())]
    types = [concept_text(one) for one in encounter.get("type", ())]
    return join_words(reasons) or join_words(types)


def held_item(task: Resource, zone: tzinfo | None) -> HeldItem:
    reason = task.get("reasonCode", {})
    rule = coding_text((reason.get("coding") or [{}])[0])
    authored = task.get("authoredOn", "")
    return HeldItem(
        id=task["id"],
        since=shown_moment(authored, zone) if authored else "",
        is_urgent=task.get("priority") in ("urgent", "asap", "stat"),
        rule=rule,
        rule_in_words=rule_in_words(rule),
        reason=reason.get("text", ""),
        facts=tuple(
            (fact_name(keyword), shown_fact(keyword, value))
            for keyword, value in facts_of(task).items()
        ),
        status=task.get("status", ""),
        filed=page_of(task.get("focus", {}).get("reference", "")),
    )


def page_of(reference: str) -> str:
    """The address of an image's page; empty where it has none."""
    resource_type, _, resource_id = reference.partition("/")
    pages = {"ImagingStudy": "studies", "DocumentReference": "documents", "Patient": "patients"}
    page = pages.get(resource_type)
    return f"/chart/{page}/{resource_id}" if page else ""


def code_of(task_code: Resource) -> str:
    return str(task_code["coding"][0]["code"])
