"""Images to FHIR with no server: entries of a transaction that another FHIR server can take."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

from imaging_fhir.errors import ImagingError, ResourceConflict, UnreadableImage
from imaging_fhir.fhir.document_reference import document_reference
from imaging_fhir.fhir.encounter import visit_reference
from imaging_fhir.fhir.imaging_study import (
    SeriesFragment,
    assemble,
    imaging_study_head,
    imaging_study_instance,
    imaging_study_series_head,
    study_resource_id,
)
from imaging_fhir.fhir.patient import patient, subject_reference
from imaging_fhir.images import read_image
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.document import Document
from imaging_fhir.model.merge import Merged, Rank, rank
from imaging_fhir.model.person import Issuer, Person, Visit
from imaging_fhir.model.study import DicomInstance, SeriesAttributes, StudyAttributes
from imaging_fhir.services import demographics
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.moments import zone_of
from imaging_fhir.settings import Source

ANOTHER_PERSON = "The study is of the person whom an earlier file names; this one names another."


@dataclass(slots=True)
class SeriesInHand:
    merged: Merged = field(default_factory=Merged)
    instances: dict[str, tuple[Rank, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class StudyInHand:
    """A study of one person, as far as its files have been read."""

    person: Person
    zone: str
    identities: set[bytes] = field(default_factory=set)  # ways in which files name that person
    merged: Merged = field(default_factory=Merged)
    series: dict[str, SeriesInHand] = field(default_factory=dict)

    def add(self, image: DicomInstance) -> None:
        position = rank(
            image.series.series_number,
            image.instance.instance_number,
            image.instance.sop_instance_uid,
        )
        self.merged.add(image.study, position)
        self.merged.add(image.visit, position)
        self.merged.add_modality(image.series.modality, image.series.series_number)
        series = self.series.setdefault(image.series.series_instance_uid, SeriesInHand())
        series.merged.add(image.series, position)
        fragment = encode(imaging_study_instance(image.instance))
        series.instances.setdefault(image.instance.sop_instance_uid, (position, fragment))


@dataclass(slots=True)
class Conversion:
    """Of all files only some facts are held; a document's bytes are read when it is written."""

    linking: Linking
    source: Source
    time_zone: str
    now: datetime
    refused: list[tuple[Path, ImagingError]] = field(default_factory=list)

    def entries(self, paths: Iterable[Path]) -> Iterator[Resource]:
        """Every resource after those it refers to by their urn:uuid; `refused` grows meanwhile."""
        studies: dict[str, StudyInHand] = {}  # by StudyInstanceUID
        documents: list[tuple[Path, Document]] = []
        for path in paths:
            self.read(path, studies, documents)
        patients: dict[bytes, Resource] = {}
        for study in studies.values():
            identity = encode(study.person)
            if identity not in patients:
                patients[identity] = self.patient_entry(study.person)
                yield patients[identity]
            yield self.study_entry(study, patients[identity])
        if documents:
            nobody = self.patient_entry(Person(is_placeholder=True))
            yield nobody
            for path, document in documents:
                yield from self.document_entries(path, document, nobody)

    def read(
        self,
        path: Path,
        studies: dict[str, StudyInHand],
        documents: list[tuple[Path, Document]],
    ) -> None:
        try:
            with path.open("rb") as stream:
                image = read_image(stream)
            if isinstance(image, DicomInstance):
                self.add(image, studies)
            else:
                documents.append((path, image))
        except OSError as error:
            self.refused.append((path, UnreadableImage(f"It cannot be read: {error.strerror}.")))
        except ImagingError as error:
            self.refused.append((path, error))

    def add(self, image: DicomInstance, studies: dict[str, StudyInHand]) -> None:
        """Raise ResourceConflict where another person is named than before in this study."""
        zone = image.timezone_offset or self.source.time_zone or self.time_zone
        study = studies.setdefault(image.study.study_instance_uid, StudyInHand(image.person, zone))
        identity = encode(image.person)
        if identity not in study.identities:
            self.require_same_person(study, image.person)
            study.identities.add(identity)
        study.add(image)

    def require_same_person(self, study: StudyInHand, person: Person) -> None:
        """As when an image is filed beside others; whoever has a number stands for the person."""
        numbers, known = numbers_of(person), numbers_of(study.person)
        holder = self.patient_entry(study.person)["resource"]
        if (numbers and known and not numbers & known) or demographics.disagreement(person, holder):
            raise ResourceConflict(ANOTHER_PERSON)
        if numbers and not known:
            study.person = person

    def system_of(self, default: str | None, issuer: Issuer | None) -> str | None:
        return self.linking.system_of(issuer) if issuer else default

    def patient_entry(self, person: Person) -> Resource:
        """A Patient that is created only where nobody has its first identifier yet."""
        system_of = partial(self.system_of, self.source.patient_id_system)
        numbers = self.linking.numbers(person.identifiers, self.source.patient_id_system)
        usable = bool(numbers) and not person.is_placeholder
        content = patient(person, system_of=system_of, with_identifiers=usable)
        condition = f"identifier={'|'.join(numbers[0])}" if usable else None
        return post(content, condition)

    def study_entry(self, study: StudyInHand, of: Resource) -> Resource:
        attributes = study.merged.as_type(StudyAttributes)
        zone = zone_of(study.zone)
        head = imaging_study_head(
            attributes,
            subject=subject_of(of),
            encounter=visit_reference(
                study.merged.as_type(Visit),
                system_of=partial(self.system_of, self.source.visit_number_system),
            ),
            modalities=study.merged.ordered_modalities(),
            zone=zone,
            system_of=partial(self.system_of, self.source.accession_number_system),
            archive_endpoint=None,
        )
        series = [
            fragment_of(
                item,
                imaging_study_series_head(
                    item.merged.as_type(SeriesAttributes),
                    zone=zone,
                    system_of=self.linking.system_of,
                ),
            )
            for item in sorted(study.series.values(), key=first_rank)
        ]
        uid = attributes.study_instance_uid
        pieces = assemble(
            encode(head),
            resource_id=study_resource_id(uid),
            meta={"lastUpdated": self.now.isoformat(timespec="milliseconds")},
            number_of_series=len(series),
            number_of_instances=sum(item.number_of_instances for item in series),
            series=series,
        )
        content = decode(b"".join(pieces))
        return post(content, f"identifier=urn:dicom:uid|urn:oid:{uid}")

    def document_entries(
        self, path: Path, document: Document, nobody: Resource
    ) -> Iterator[Resource]:
        """The bytes as a Binary, and the DocumentReference; the file says not whose it is."""
        content = path.read_bytes()
        binary = post(
            {
                "resourceType": "Binary",
                "contentType": document.media_type,
                "data": base64.b64encode(content).decode(),
            }
        )
        yield binary
        sha1 = hashlib.sha1(content, usedforsecurity=False).digest()
        unique = f"urn:uuid:{uuid4()}"
        reference = document_reference(
            document,
            identifier={"system": "urn:ietf:rfc:3986", "value": unique},
            subject=subject_of(nobody),
            date=self.now,
            zone=zone_of(self.source.time_zone or self.time_zone),
            binary_url=binary["fullUrl"],
            size=len(content),
            sha1_base64=base64.b64encode(sha1).decode(),
        )
        yield post(reference, f"identifier=urn:ietf:rfc:3986|{unique}")


def numbers_of(person: Person) -> set[str]:
    return {issued.value for issued in person.identifiers}


def first_rank(series: SeriesInHand) -> Rank:
    return min(position for position, _ in series.instances.values())


def fragment_of(series: SeriesInHand, head: Resource) -> SeriesFragment:
    ordered = sorted(series.instances.values(), key=lambda item: item[0])
    return SeriesFragment(
        head=encode(head),
        number_of_instances=len(ordered),
        instances=[fragment for _, fragment in ordered],
    )


def subject_of(entry: Resource) -> Resource:
    reference = subject_reference("", entry["resource"])
    return {**reference, "reference": entry["fullUrl"]}


def post(content: Resource, if_none_exist: str | None = None) -> Resource:
    request = {"method": "POST", "url": content["resourceType"]}
    if if_none_exist is not None:
        request["ifNoneExist"] = if_none_exist
    return {"fullUrl": f"urn:uuid:{uuid4()}", "resource": content, "request": request}
