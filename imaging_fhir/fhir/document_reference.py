"""DocumentReference: every image that is not DICOM (https://hl7.org/fhir/R4/documentreference.html)."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.body_part import laterality as laterality_qualifier
from imaging_fhir.fhir.datatypes import (
    SystemOf,
    date_time,
    dicom_uid,
    instant,
    present,
    string,
    without_empty,
)
from imaging_fhir.fhir.device import device_reference
from imaging_fhir.fhir.imaging_study import accessions
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.document import Document
from imaging_fhir.model.study import StudyAttributes

PHOTOGRAPH = {
    "coding": [{"system": canonical.LOINC, "code": "72170-4", "display": "Photographic image"}]
}
IMAGING = {
    "coding": [{"system": canonical.DOCUMENT_CATEGORY, "code": "imaging", "display": "Imaging"}]
}
NORMAL = {"coding": [{"system": canonical.CONFIDENTIALITY, "code": "N", "display": "normal"}]}
ANY_FORMAT = {
    "system": canonical.FORMAT_CODE,
    "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
    "display": "mimeType Sufficient",
}


def document_reference(
    document: Document,
    *,
    identifier: Resource,
    subject: Resource,
    encounter: Resource | None = None,
    date: datetime,
    zone: tzinfo | None,
    binary_url: str,
    size: int,
    sha1_base64: str,
    type_: Resource | None = None,
    category: Resource | None = None,
    body_site: Resource | None = None,
    laterality: str | None = None,
    description: str | None = None,
    taken: str | None = None,
    author: Sequence[Resource] = (),
    related: Sequence[Resource] = (),
    security_label: Resource | None = None,
    thumbnail_url: str | None = None,
) -> Resource:
    """The DocumentReference of a document, without id.

    `date` is the time of indexing. `type_`, `category`, `body_site` and `security_label` are
    CodeableConcepts; `laterality` is R, L or B; `taken` is an R4 dateTime that wins over the
    file's own. Only a photograph has a type by default: of other kinds it would be a guess.
    """
    captured = taken or date_time(document.taken, zone)
    attachment = without_empty(
        {
            "extension": present([_thumbnail(thumbnail_url)]),
            "contentType": document.media_type,
            "url": binary_url,
            "size": size,
            "hash": sha1_base64,
            "title": string(description),
            "creation": captured,
        }
    )
    return without_empty(
        {
            "resourceType": "DocumentReference",
            "extension": present([_body_site(body_site), _laterality(laterality)]),
            "masterIdentifier": identifier,
            "identifier": [identifier],
            "status": "current",
            "type": type_ or (PHOTOGRAPH if document.is_photograph else None),
            "category": [category or IMAGING],
            "subject": subject,
            "date": instant(date),
            "author": list(author) or _camera(document),
            "description": string(description),
            "securityLabel": [security_label or NORMAL],
            "content": [{"attachment": attachment, "format": ANY_FORMAT}],
            "context": _context(encounter, captured, related),
        }
    )


def encapsulated_document_reference(
    study: StudyAttributes,
    document: Document,
    *,
    imaging_study: str,
    identifier: Resource,
    subject: Resource,
    encounter: Resource | None = None,
    date: datetime,
    zone: tzinfo | None,
    binary_url: str,
    size: int,
    sha1_base64: str,
    system_of: SystemOf,
    title: str | None = None,
) -> Resource:
    """The file inside an encapsulated DICOM object (PDF, CDA, STL), related to its ImagingStudy.

    The study's UID and accession numbers stand in `context.related`, where IHE MADO looks for them.
    """
    return document_reference(
        document,
        identifier=identifier,
        subject=subject,
        encounter=encounter,
        date=date,
        zone=zone,
        binary_url=binary_url,
        size=size,
        sha1_base64=sha1_base64,
        description=title or study.study_description,
        taken=date_time(document.taken or study.started, zone),
        related=[
            {"reference": imaging_study, "identifier": dicom_uid(study.study_instance_uid)},
            *({"identifier": number} for number in accessions(study, system_of)),
        ],
    )


def _camera(document: Document) -> list[Resource]:
    """The camera by maker and model only: its serial number would point to its owner."""
    if document.equipment is None:
        return []
    return present([device_reference(document.equipment, with_serial_number=False)])


def _context(
    encounter: Resource | None, captured: str | None, related: Sequence[Resource]
) -> Resource:
    return without_empty(
        {
            "encounter": present([encounter]),
            "period": {"start": captured, "end": captured} if captured else None,
            "related": list(related),
        }
    )


def _body_site(concept: Resource | None) -> Resource | None:
    """R5's DocumentReference.bodySite in R4 (cross-version extension)."""
    if not concept:
        return None
    nested = {"url": "concept", "valueCodeableConcept": concept}
    return {"url": canonical.DOCUMENT_BODY_SITE, "extension": [nested]}


def _laterality(value: str | None) -> Resource | None:
    qualifier = laterality_qualifier(value)
    if qualifier is None:
        return None
    return {
        "url": canonical.LATERALITY_EXTENSION,
        "valueCodeableConcept": {"coding": [qualifier]},
    }


def _thumbnail(url: str | None) -> Resource | None:
    return {"url": canonical.THUMBNAIL_EXTENSION, "valueUrl": url} if url else None
