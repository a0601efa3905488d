"""What the chart shows of one study, one series, one document or one held image, and why there."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_fhir.errors import ResourceNotFound, UnsupportedImage
from imaging_fhir.fhir.canonical import DICOM_UID
from imaging_fhir.model.codec import Resource, decode, decode_as
from imaging_fhir.model.document import Document
from imaging_fhir.model.link import OWN_ID, Link
from imaging_fhir.model.reference import local_id
from imaging_fhir.model.study import ReadWarning
from imaging_fhir.services import representative
from imaging_fhir.services.chart import (
    Chart,
    Group,
    HeldItem,
    Places,
    held_item,
)
from imaging_fhir.services.chart_card import (
    Card,
    DocumentCard,
    PatientCard,
    SeriesCard,
    StudyCard,
    document_card,
    first_attachment,
    study_card,
)
from imaging_fhir.services.chart_report import reports_of
from imaging_fhir.services.chart_words import (
    AWAITED,
    concept_text,
    counted,
    join_words,
    reference_text,
    rule_in_words,
)
from imaging_fhir.services.pictures import DICOM, Kind, Pictures
from imaging_fhir.storage import chart, dicom_index, documents, registered_studies, resources
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import encounters_of
from imaging_fhir.storage.renditions import StoredRendition


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One decision of linking: `rule` is its stored name."""

    title: str
    reason: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    patient: Why
    encounter: Why
    waits_for: tuple[str, ...]  # identifiers that would change the decision


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWarning:
    keyword: str
    message: str
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    patient: PatientCard
    study: StudyCard
    visit: Group | None
    facts: tuple[tuple[str, str], ...]
    linked: Linked
    warnings: tuple[FileWarning, ...]
    study_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Which image of a series, and which of its frames, from 1."""

    image: int
    frame: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPage:
    patient: PatientCard
    study: StudyCard
    series: SeriesCard
    at: Position
    images: int
    frames: int
    instance_number: int | None
    study_instance_uid: str
    sop_instance_uid: str
    previous: Position | None
    next: Position | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesPage:
    """All images of a series, to choose some."""

    patient: PatientCard
    study: StudyCard
    series: SeriesCard
    uids: tuple[str, ...]  # in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPage:
    patient: PatientCard
    document: DocumentCard
    visit: Group | None
    facts: tuple[tuple[str, str], ...]
    linked: Linked | None  # None: it came over FHIR, as it is
    warnings: tuple[FileWarning, ...]
    page: int
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPage:
    item: HeldItem
    counts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePages:
    chart: Chart
    pictures: Pictures

    def study(self, resource_id: str) -> StudyPage:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.chart.database.read() as connection:
            row = study_row(connection, resource_id)
            series = chart.series_of_studies(connection, [row.pk])
            patient = self.chart.banner(connection, row.patient)
            card = self.card(connection, row, series, patient.id)
            link = decode_as(Link, row.link)
            return StudyPage(
                patient=patient,
                study=card,
                visit=self.visit(connection, card),
                facts=study_facts(decode(row.head), card),
                linked=linked(link),
                warnings=counted_warnings(chart.warnings_of_study(connection, row.pk)),
                study_instance_uid=row.study_instance_uid,
            )

    def card(
        self, connection: Connection, row: AnyRow, series: Sequence[AnyRow], patient_id: str
    ) -> StudyCard:
        zone = self.chart.zone
        resource_id = resources.find_by_rid(connection, row.rid).id
        reports = reports_of(connection, [resource_id], patient_id, zone)
        return study_card(
            row, series, zone, resource_id=resource_id, reports=reports.get(resource_id, ())
        )

    def visit(self, connection: Connection, card: Card) -> Group | None:
        known = encounters_of(connection, ids=(card.encounter,) if card.encounter else ())
        return self.chart.visit(known[0], (), Places(connection)) if known else None

    def series(
        self, resource_id: str, uid: str, *, image: int | None, frame: int | None
    ) -> SeriesPage:
        """One image of a series, without a number the one that stands for it.

        Raise ResourceNotFound, ResourceDeleted.
        """
        with self.chart.database.read() as connection:
            row = study_row(connection, resource_id)
            all_series = chart.series_of_studies(connection, [row.pk])
            patient = self.chart.banner(connection, row.patient)
            card = self.card(connection, row, all_series, patient.id)
            one = the_series(all_series, uid)
            instances = chart.instances_of_series(connection, one.pk)
            at = position(connection, one, instances, image, frame)
        instance = instances[at.image - 1]
        return SeriesPage(
            patient=patient,
            study=card,
            series=next(found for found in card.series if found.pk == one.pk),
            at=at,
            images=len(instances),
            frames=frames_of(instance),
            instance_number=instance.instance_number,
            study_instance_uid=row.study_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            previous=before(at, instances),
            next=after(at, instances),
        )

    def images(self, resource_id: str, uid: str) -> ImagesPage:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.chart.database.read() as connection:
            row = study_row(connection, resource_id)
            all_series = chart.series_of_studies(connection, [row.pk])
            patient = self.chart.banner(connection, row.patient)
            card = self.card(connection, row, all_series, patient.id)
            one = the_series(all_series, uid)
            instances = chart.instances_of_series(connection, one.pk)
        return ImagesPage(
            patient=patient,
            study=card,
            series=next(found for found in card.series if found.pk == one.pk),
            uids=tuple(instance.sop_instance_uid for instance in instances),
        )

    def series_picture(
        self, resource_id: str, uid: str, kind: Kind, *, at: Position | None = None
    ) -> tuple[int, StoredRendition]:
        """Key of the bytes it was made from, and the picture; without `at`, the series' own.

        Raise ResourceNotFound, ResourceDeleted, UnsupportedImage, UnreadableImage.
        """
        with self.chart.database.read() as connection:
            row = study_row(connection, resource_id)
            one = the_series(chart.series_of_studies(connection, [row.pk]), uid)
            blob, frame = series_blob(connection, one), 0
            if at is not None:
                instances = chart.instances_of_series(connection, one.pk)
                at = position(connection, one, instances, at.image, at.frame)
                instance = instances[at.image - 1]
                blob, frame = instance.blob, at.frame if frames_of(instance) > 1 else 0
        return blob, self.pictures.picture(blob, DICOM, kind, frame=frame)

    def modality_of(self, resource_id: str, uid: str) -> str:
        with self.chart.database.read() as connection:
            row = study_row(connection, resource_id)
            head = decode(the_series(chart.series_of_studies(connection, [row.pk]), uid).head)
        return str(head.get("modality", {}).get("code", "OT"))

    def binary_picture(
        self, binary_id: str, kind: Kind, *, frame: int = 0
    ) -> tuple[int, StoredRendition]:
        """The same of a Binary. Raise ResourceNotFound, ResourceDeleted, UnsupportedImage, ..."""
        with self.chart.database.read() as connection:
            stored = resources.read(connection, "Binary", binary_id)
            found = chart.blob_of_binary(connection, stored.rid)
        if found is None:
            raise ResourceNotFound("The bytes of this Binary were erased.")
        media_type = found.content_type.partition(";")[0].strip().lower()
        return found.blob, self.pictures.picture(found.blob, media_type, kind, frame=frame)

    def document_picture(
        self, resource_id: str, kind: Kind, *, page: int = 0
    ) -> tuple[int, StoredRendition]:
        """The same of the file of a DocumentReference."""
        with self.chart.database.read() as connection:
            stored = resources.read(connection, "DocumentReference", resource_id)
        binary = document_card(decode(stored.body or b"{}"), self.chart.zone).binary
        if binary is None:
            raise UnsupportedImage("The file is kept elsewhere.")
        return self.binary_picture(binary, kind, frame=page)

    def document(self, resource_id: str, *, page: int) -> DocumentPage:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.chart.database.read() as connection:
            stored = resources.read(connection, "DocumentReference", resource_id)
            content = decode(stored.body or b"{}")
            row = documents.by_resource(connection, stored.rid)
            card = document_card(content, self.chart.zone)
            patient = self.chart.banner(connection, subject_id(content))
            visit = self.visit(connection, card)
        facts = Document(media_type="") if row is None else decode_as(Document, row.facts)
        pages = max(facts.pages or facts.frames or 1, 1)
        if not 1 <= page <= pages:
            raise ResourceNotFound(f"The document has no page {page}.")
        return DocumentPage(
            patient=patient,
            document=card,
            visit=visit,
            facts=document_facts(content, facts, card),
            linked=None if row is None else linked(decode_as(Link, row.link)),
            warnings=tuple(
                FileWarning(keyword=one.keyword, message=one.message, files=1)
                for one in facts.warnings
            ),
            page=page,
            pages=pages,
        )

    def held(self, task_id: str) -> HeldPage:
        """Raise ResourceNotFound, ResourceDeleted."""
        with self.chart.database.read() as connection:
            stored = resources.read(connection, "Task", task_id)
            study = chart.held_study(connection, stored.rid)
        return HeldPage(
            item=held_item(decode(stored.body or b"{}"), self.chart.zone),
            counts="" if study is None else counted(study.number_of_instances, "image"),
        )

    def held_picture(self, task_id: str) -> tuple[int, StoredRendition]:
        """Of what is held: a study's first series, a document, a conflicting instance."""
        with self.chart.database.read() as connection:
            stored = resources.read(connection, "Task", task_id)
            study = chart.held_study(connection, stored.rid)
            if study is None:
                blob, media_type = held_file(connection, stored.rid)
            else:
                first = chart.series_of_studies(connection, [study.pk])[0]
                blob, media_type = series_blob(connection, first), DICOM
        return blob, self.pictures.picture(blob, media_type, "thumbnail")


def study_row(connection: Connection, resource_id: str) -> AnyRow:
    """The study behind an ImagingStudy, by its id or StudyInstanceUID, or what took its place.

    Raise ResourceNotFound, ResourceDeleted.
    """
    stored = resources.read(connection, "ImagingStudy", shown_id(connection, resource_id))
    row = dicom_index.study_of_resource(connection, stored.rid)
    if row is None:
        raise ResourceNotFound(f"ImagingStudy/{resource_id} has no images any more.")
    return row


def shown_id(connection: Connection, resource_id: str) -> str:
    """One that began as an order has another id than its UID, which the viewer's address has."""
    stored = resources.find(connection, "ImagingStudy", resource_id)
    if stored is not None:
        successor = registered_studies.successor(connection, stored.rid) if stored.deleted else None
        return successor or resource_id
    filed = dicom_index.filed_study(connection, resource_id)
    return resource_id if filed is None else resources.find_by_rid(connection, filed.rid).id


def the_series(series: Sequence[AnyRow], uid: str) -> AnyRow:
    for row in series:
        if row.series_instance_uid == uid:
            return row
    raise ResourceNotFound("The study has no such series.")


def series_blob(connection: Connection, series: AnyRow) -> int:
    """The instance that stands for the series; raise ResourceNotFound."""
    found = representative.of_series(connection, series)
    if found is None:
        raise ResourceNotFound("The series has no image.")
    return int(found.blob)


def held_file(connection: Connection, task: int) -> tuple[int, str]:
    """Key and media type of the bytes that wait for that Task; raise ResourceNotFound."""
    row = documents.by_resource(connection, task)
    if row is not None:
        return row.blob, decode_as(Document, row.facts).media_type
    blob = chart.conflicting_blob(connection, task)
    if blob is None:
        raise ResourceNotFound("Nothing is held here any more.")
    return blob, DICOM


def subject_id(content: Resource) -> str:
    found = local_id(content.get("subject"), "Patient")
    if found is None:
        raise ResourceNotFound(f"DocumentReference/{content['id']} is about no patient here.")
    return found


def frames_of(instance: AnyRow) -> int:
    return max(instance.number_of_frames or 1, 1)


def position(
    connection: Connection,
    series: AnyRow,
    instances: Sequence[AnyRow],
    image: int | None,
    frame: int | None,
) -> Position:
    """Where one is; raise ResourceNotFound for an image or frame that is not there."""
    if image is None:
        blob = series_blob(connection, series)
        blobs = [instance.blob for instance in instances]
        image = blobs.index(blob) + 1 if blob in blobs else 1
    if not 1 <= image <= len(instances):
        raise ResourceNotFound(f"The series has no image {image}.")
    frames = frames_of(instances[image - 1])
    if frame is None:
        frame = frames // 2 + 1  # as the thumbnail shows it
    if not 1 <= frame <= frames:
        raise ResourceNotFound(f"The image has no frame {frame}.")
    return Position(image=image, frame=frame)


def before(at: Position, instances: Sequence[AnyRow]) -> Position | None:
    if at.frame > 1:
        return Position(image=at.image, frame=at.frame - 1)
    if at.image > 1:
        return Position(image=at.image - 1, frame=frames_of(instances[at.image - 2]))
    return None


def after(at: Position, instances: Sequence[AnyRow]) -> Position | None:
    if at.frame < frames_of(instances[at.image - 1]):
        return Position(image=at.image, frame=at.frame + 1)
    return Position(image=at.image + 1, frame=1) if at.image < len(instances) else None


def linked(link: Link) -> Linked:
    return Linked(
        patient=Why(
            title=rule_in_words(link.patient_rule),
            reason=link.patient_reason,
            rule=link.patient_rule,
        ),
        encounter=Why(
            title=rule_in_words(link.encounter_rule),
            reason=link.encounter_reason,
            rule=link.encounter_rule,
        ),
        waits_for=tuple(
            f"{AWAITED.get(type_, type_)} {value}"
            for type_, system, value in link.awaited
            if system not in (OWN_ID, DICOM_UID)
        ),
    )


def counted_warnings(rows: Sequence[AnyRow]) -> tuple[FileWarning, ...]:
    """Each kind of warning once, with how many files have it."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        for one in decode_as(tuple[ReadWarning, ...], row.warnings):
            key = one.keyword, one.message
            counts[key] = counts.get(key, 0) + row.files
    return tuple(
        FileWarning(keyword=keyword, message=message, files=files)
        for (keyword, message), files in counts.items()
    )


def present(facts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, text) for label, text in facts if text)


def study_facts(head: Resource, card: StudyCard) -> tuple[tuple[str, str], ...]:
    people = [one for series in card.series for one in series.performers]
    procedures = [concept_text(one) for one in head.get("procedureCode", ())]
    reasons = [concept_text(one) for one in head.get("reasonCode", ())]
    readers = [reference_text(one) for one in head.get("interpreter", ())]
    return present(
        (
            ("Started", card.started),
            ("Body site", card.place),
            ("Reason", join_words(reasons)),
            ("Procedure", join_words(procedures)),
            ("Referred by", reference_text(head.get("referrer"))),
            ("Performed by", join_words(people)),
            ("Read by", join_words(readers)),
            ("Accession number", card.accession),
            ("Made at", reference_text(head.get("location"))),
            ("Holds", card.counts),
        )
    )


def document_facts(
    content: Resource, facts: Document, card: DocumentCard
) -> tuple[tuple[str, str], ...]:
    attachment = first_attachment(content)
    size = f"{facts.width} by {facts.height} pixels" if facts.width and facts.height else ""
    authors = [reference_text(one) for one in content.get("author", ())]
    return present(
        (
            ("Taken", card.taken),
            ("Added", card.added),
            ("Type", concept_text(content.get("type"))),
            ("Body site", card.place),
            ("Made by", join_words(authors)),
            ("Pages", str(facts.pages or "")),
            ("Size", size),
            ("File", join_words((attachment.get("contentType", ""), bytes_text(attachment)))),
        )
    )


def bytes_text(attachment: Resource) -> str:
    size = attachment.get("size")
    if size is None:
        return ""
    if size < 1_000_000:
        return f"{max(round(size / 1000), 1)} kB"
    return f"{size / 1_000_000:.1f} MB"
