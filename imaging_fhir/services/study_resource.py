"""The ImagingStudy that a study's images are served as: a new one, or one that is there already."""

from imaging_fhir.fhir.imaging_study import study_resource_id
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.model.link import Link
from imaging_fhir.services.registering import Registering
from imaging_fhir.services.study_authored import agrees, authored_of, overlay_from
from imaging_fhir.storage import resources
from imaging_fhir.storage.database import Connection, Transaction


def may_file(connection: Connection, study_instance_uid: str, link: Link) -> bool:
    """Is there no ImagingStudy that a client wrote for somebody else?"""
    authored = authored_of(connection, study_instance_uid)
    return authored is None or link.state == "held" or agrees(connection, authored, link)


def resource_of(
    transaction: Transaction, registering: Registering, study_instance_uid: str, link: Link
) -> tuple[int, bytes | None]:
    """The row of an ImagingStudy, and the overlay it begins with.

    It is what a client wrote, one whose images were held again meanwhile, what stood for the order
    without images, or a new one.
    """
    connection = transaction.connection
    authored = authored_of(connection, study_instance_uid)
    if authored is not None:
        overlay = overlay_from(decode(authored.body or b"{}"))
        resources.next_version(transaction, authored, body=None)
        return authored.rid, encode(overlay) if overlay else None
    resource_id = study_resource_id(study_instance_uid)
    former = resources.find(connection, "ImagingStudy", resource_id) or registering.taken_over(
        transaction, study_instance_uid, link
    )
    if former is None:
        inserted = resources.insert_resource(transaction, "ImagingStudy", resource_id, None)
        return inserted.rid, None
    return resources.next_version(transaction, former, body=None).rid, None
