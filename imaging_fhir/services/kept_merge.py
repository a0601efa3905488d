"""A merge is not taken back by a Patient that is sent without its link.

Feeds send a Patient as their own records have it, again and again. That would give the images of
one person back to two without anybody having said so.
"""

from imaging_fhir.errors import ResourceConflict
from imaging_fhir.model.codec import decode
from imaging_fhir.services.attachment import Prepared
from imaging_fhir.storage import corrections
from imaging_fhir.storage.database import Connection
from imaging_fhir.storage.people import successor_of
from imaging_fhir.storage.resources import StoredResource

MARK = b'"replaced-by"'
MERGED_HERE = "was merged by $merge: keep Patient.link, or undo that by POST {provenance}/$undo."
MERGED_BY_LINK = (
    "is replaced by another Patient: keep Patient.link, or take it away knowing the current "
    "version, by If-Match or a patch."
)


def require_merge_kept(
    connection: Connection, current: StoredResource | None, prepared: Prepared, *, knows: bool
) -> None:
    """Whoever `knows` the current version may take a link away, but not that of a $merge.

    Raise ResourceConflict.
    """
    if current is None or current.type != "Patient" or MARK not in (current.body or b""):
        return
    successor = successor_of(decode(current.body or b"{}"))
    said = successor_of(prepared.content)
    if not successor or said == successor:
        return
    made_by = corrections.merge_of(connection, current.id)
    if made_by is not None:
        why = MERGED_HERE.format(provenance=f"Provenance/{made_by}")
    elif said or knows:
        return
    else:
        why = MERGED_BY_LINK
    raise ResourceConflict(f"{current.reference} {why}", expression="Patient.link")
