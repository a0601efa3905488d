"""What one patient, study, series or document looks like in the chart: frozen values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.patient import is_provisional
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.reference import id_in, local_id
from imaging_fhir.services.chart_report import UNDATED, OrderCard, ReportCard
from imaging_fhir.services.chart_words import (
    LIGHT,
    SEXES,
    age,
    coding_text,
    concept_text,
    counted,
    identifier_label,
    join_words,
    laterality_text,
    modality_name,
    names_of,
    reference_text,
    shown_date,
    shown_moment,
)
from imaging_fhir.services.moments import instant_bounds
from imaging_fhir.storage.database import AnyRow

PHOTOGRAPH = "72170-4"  # LOINC: Photographic image


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A modality or a kind of document: `code` is what filters go by."""

    code: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientCard:
    id: str
    name: str
    other_names: tuple[str, ...]
    birth_date: str
    age: str
    died: str
    sex: str
    identifiers: tuple[tuple[str, str], ...]  # label, value
    is_provisional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCard:
    pk: int
    uid: str
    number: int | None
    badge: Badge
    description: str
    started: str
    number_of_instances: int
    body_site: str
    laterality: str
    performers: tuple[str, ...]
    has_dark_picture: bool
    picture_text: str

    @property
    def title(self) -> str:
        return self.description or self.badge.name

    @property
    def counts(self) -> str:
        return counted(self.number_of_instances, "image")

    @property
    def place(self) -> str:
        return join_words((self.body_site, self.laterality))


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCard:
    id: str
    title: str
    sort_key: int  # microseconds since 1970 UTC
    started: str
    day: str
    badges: tuple[Badge, ...]
    accession: str
    place: str
    counts: str
    series: tuple[SeriesCard, ...]
    encounter: str | None
    is_disputed: bool
    is_in_error: bool
    reports: tuple[ReportCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCard:
    id: str
    title: str
    sort_key: int
    taken: str  # empty where only the time of indexing is known
    added: str
    day: str
    badge: Badge
    place: str
    binary: str | None  # id of the Binary, None where the file is kept elsewhere
    encounter: str | None
    picture_text: str
    is_in_error: bool

    @property
    def when(self) -> str:
        """What is known of its time; the time of indexing is not passed off as another."""
        return self.taken or (f"Added {self.added}" if self.added else "Date not known")


Card = StudyCard | DocumentCard | OrderCard


def patient_card(patient: Resource, today: date) -> PatientCard:
    names = names_of(patient) or ["Name not known"]
    born, died = patient.get("birthDate", ""), patient.get("deceasedDateTime", "")
    return PatientCard(
        id=patient["id"],
        name=names[0],
        other_names=tuple(names[1:]),
        birth_date=shown_date(born) if born else "not known",
        age="" if not born else age(born, date.fromisoformat(died[:10]) if is_day(died) else today),
        died=shown_date(died) if died else "recorded" if patient.get("deceasedBoolean") else "",
        sex=SEXES.get(patient.get("gender", "unknown"), "Unknown"),
        identifiers=shown_identifiers(patient),
        is_provisional=is_provisional(patient),
    )


def shown_identifiers(patient: Resource) -> tuple[tuple[str, str], ...]:
    """Each number once, under what it is called; the medical record number comes first."""
    numbers = [
        (identifier_label(identifier), str(identifier["value"]))
        for identifier in patient.get("identifier", ())
        if identifier.get("value") and identifier.get("use") != "old"
    ]
    numbers.sort(key=lambda number: (number[0] != "MRN", number[0] == "ID"))
    labels = {value: label for label, value in reversed(numbers)}
    return tuple((label, value) for label, value in numbers if labels[value] == label)


def is_day(text: str) -> bool:
    return len(text) >= 10


def series_card(row: AnyRow, zone: tzinfo | None, day: str) -> SeriesCard:
    head: Resource = decode(row.head)
    code = coding_text(head.get("modality")) or "OT"
    site, side = coding_text(head.get("bodySite")), laterality_text(head.get("laterality"))
    number, started = head.get("number"), head.get("started", "")
    return SeriesCard(
        pk=row.pk,
        uid=row.series_instance_uid,
        number=number,
        badge=Badge(code=code, name=modality_name(code)),
        description=head.get("description", ""),
        started=shown_moment(started, zone) if started else "",
        number_of_instances=row.number_of_instances,
        body_site=site,
        laterality=side,
        performers=tuple(reference_text(one.get("actor")) for one in head.get("performer", ())),
        has_dark_picture=code not in LIGHT,
        picture_text=join_words(
            (
                code,
                site or head.get("description", ""),
                side,
                "" if number is None else f"series {number}",
                counted(row.number_of_instances, "image"),
                shown_date(started[:10]) if started else day,
            )
        ),
    )


def study_card(
    row: AnyRow,
    series: Sequence[AnyRow],
    zone: tzinfo | None,
    *,
    resource_id: str,
    reports: tuple[ReportCard, ...] = (),
) -> StudyCard:
    head: Resource = decode(row.head)
    overlay: Resource = decode(row.overlay) if row.overlay else {}
    started = head.get("started", "")
    day = shown_moment(started, zone).partition(",")[0] if started else ""
    cards = tuple(series_card(one, zone, day) for one in series)
    return StudyCard(
        id=resource_id,
        title=head.get("description") or study_title(cards),
        sort_key=instant_bounds(started)[0] if started else UNDATED,
        started=shown_moment(started, zone) if started else "Date not known",
        day=day,
        badges=tuple(dict.fromkeys(card.badge for card in cards)),
        accession=accession_number(head),
        place=join_words([card.place for card in cards]),
        counts=", ".join(
            (
                counted(row.number_of_series, "series", "series"),
                counted(row.number_of_instances, "image"),
            )
        ),
        series=cards,
        encounter=row.encounter,
        is_disputed=has_tag(overlay, canonical.STUDY_STATE, "disputed"),
        is_in_error=head.get("status") == "entered-in-error",
        reports=reports,
    )


def study_title(series: Iterable[SeriesCard]) -> str:
    return join_words([card.badge.name for card in series]) or "Imaging study"


def accession_number(head: Resource) -> str:
    return join_words(
        [
            identifier.get("value", "")
            for identifier in head.get("identifier", ())
            if any(
                coding.get("code") == "ACSN"
                for coding in identifier.get("type", {}).get("coding", ())
            )
        ]
    )


def has_tag(resource: Resource, system: str, code: str) -> bool:
    tags = resource.get("meta", {}).get("tag", ())
    return any((tag.get("system"), tag.get("code")) == (system, code) for tag in tags)


def document_card(content: Resource, zone: tzinfo | None) -> DocumentCard:
    attachment = first_attachment(content)
    badge = document_badge(content, attachment)
    taken, added = time_of_capture(content, attachment), content.get("date", "")
    when = taken or added
    title = content.get("description") or attachment.get("title") or type_text(content)
    place = join_words((body_site_text(content), document_side(content)))
    day = shown_moment(when, zone).partition(",")[0] if when else ""
    return DocumentCard(
        id=content["id"],
        title=title or ("PDF document" if is_pdf(attachment) else badge.name),
        sort_key=instant_bounds(when)[0] if when else UNDATED,
        taken=shown_moment(taken, zone) if taken else "",
        added=shown_moment(added, zone) if added else "",
        day=day,
        badge=badge,
        place=place,
        binary=binary_id(attachment),
        encounter=encounter_id(content),
        picture_text=join_words((badge.name, title, place, day if taken else "")),
        is_in_error=content.get("status") == "entered-in-error",
    )


def is_pdf(attachment: Resource) -> bool:
    return bool(attachment.get("contentType") == "application/pdf")


def first_attachment(content: Resource) -> Resource:
    entries = content.get("content") or [{}]
    attachment: Resource = entries[0].get("attachment", {})
    return attachment


def type_text(content: Resource) -> str:
    return concept_text(content.get("type"))


def document_badge(content: Resource, attachment: Resource) -> Badge:
    media_type = attachment.get("contentType", "")
    codes = {coding.get("code") for coding in content.get("type", {}).get("coding", ())}
    if PHOTOGRAPH in codes:
        return Badge(code="photo", name="Photo")
    if media_type.startswith("image/"):
        return Badge(code="image", name="Picture")
    if media_type.startswith("video/"):
        return Badge(code="video", name="Video")
    return Badge(code="document", name="Document")


def time_of_capture(content: Resource, attachment: Resource) -> str:
    """When the picture was taken, or what it documents took place."""
    period = content.get("context", {}).get("period", {})
    return period.get("start") or attachment.get("creation") or ""


def binary_id(attachment: Resource) -> str | None:
    """Of an attachment kept here."""
    return id_in(attachment.get("url"), "Binary")


def encounter_id(content: Resource) -> str | None:
    visits = content.get("context", {}).get("encounter", ())
    return next((found for one in visits if (found := local_id(one, "Encounter"))), None)


def body_site_text(content: Resource) -> str:
    for extension in content.get("extension", ()):
        if extension.get("url") == canonical.DOCUMENT_BODY_SITE:
            nested = extension.get("extension") or [{}]
            return concept_text(nested[0].get("valueCodeableConcept"))
    return ""


def document_side(content: Resource) -> str:
    for extension in content.get("extension", ()):
        if extension.get("url") == canonical.LATERALITY_EXTENSION:
            codings = extension.get("valueCodeableConcept", {}).get("coding") or [None]
            return laterality_text(codings[0])
    return ""
