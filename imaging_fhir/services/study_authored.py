"""An ImagingStudy that a client wrote: kept as authored until its images come.

When they do and are of its subject, it becomes the overlay of what they say; else they are held.
"""

import re

from imaging_fhir.errors import InvalidResource, ResourceConflict
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.datatypes import local_references
from imaging_fhir.fhir.imaging_study import study_resource_id
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.link import Link, id_of
from imaging_fhir.services.study_overlay import EDITABLE, ENTERED_IN_ERROR, edited_meta
from imaging_fhir.services.subject import subject_of
from imaging_fhir.storage import authored_study, dicom_index
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import resolve_patient
from imaging_fhir.storage.resources import StoredResource

UID_PREFIX = "urn:oid:"
UID = re.compile(r"[0-9.]{1,128}", re.ASCII)
ANOTHER_SUBJECT = (
    "An ImagingStudy with this UID was written for another Patient than the one this file names."
)


def uid_of(content: Resource) -> str | None:
    """The StudyInstanceUID (imagingstudy.html#notes); raise InvalidResource for several."""
    found = [
        one.get("value", "").removeprefix(UID_PREFIX)
        for one in content.get("identifier", ())
        if one.get("system") == canonical.DICOM_UID and one.get("value", "").startswith(UID_PREFIX)
    ]
    if len(set(found)) > 1:
        raise InvalidResource(
            "An ImagingStudy has one StudyInstanceUID.", expression="ImagingStudy.identifier"
        )
    return found[0] if found else None


def id_of_study(content: Resource) -> str | None:
    """The id that its images would give it; of what was not checked yet."""
    listed = content.get("identifier")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("system") == canonical.DICOM_UID:
            uid = str(one.get("value", "")).removeprefix(UID_PREFIX)
            return study_resource_id(uid) if UID.fullmatch(uid) else None
    return None


def held_for(connection: Connection, resource_id: str, content: Resource | None) -> list[int]:
    """Keys of the held studies that may wait for this ImagingStudy; None: it was deleted."""
    uid = None if content is None else uid_of(content)
    return authored_study.held_studies(connection, {resource_id, uid or resource_id})


def is_authored(connection: Connection, stored: StoredResource) -> bool:
    """Does it say what a client wrote, with no image behind it?"""
    return dicom_index.study_of_resource(connection, stored.rid) is None


def authored_of(connection: Connection, study_instance_uid: str) -> StoredResource | None:
    """The one that a client wrote of that study."""
    return next(
        (
            one
            for one in authored_study.with_uid(connection, study_instance_uid)
            if one.body is not None and is_authored(connection, one)
        ),
        None,
    )


def require_free(connection: Connection, content: Resource, resource_id: str) -> None:
    """A study has one ImagingStudy; raise ResourceConflict, InvalidResource."""
    uid = uid_of(content)
    for one in authored_study.with_uid(connection, uid) if uid else ():
        if one.id != resource_id:
            raise ResourceConflict(f"{one.reference} is of the same StudyInstanceUID.")


def agrees(connection: Connection, authored: StoredResource, link: Link) -> bool:
    """Are the images of the Patient that it was written for?"""
    subject = subject_of(connection, decode(authored.body or b"{}"))
    patient = resolve_patient(connection, id_of(link.patient) or "")
    return subject is not None and patient is not None and subject["id"] == patient["id"]


def overlay_from(content: Resource) -> Resource:
    """What of it a user may say of a derived ImagingStudy too."""
    overlay = {name: content[name] for name in EDITABLE if name in content}
    if content.get("status") == ENTERED_IN_ERROR:
        overlay["status"] = ENTERED_IN_ERROR
    used = set(local_references(overlay))
    contained = [one for one in content.get("contained", ()) if f"#{one.get('id')}" in used]
    if contained:
        overlay["contained"] = contained
    meta = edited_meta(content.get("meta", {}), {})
    return {**overlay, "meta": meta} if meta else overlay
