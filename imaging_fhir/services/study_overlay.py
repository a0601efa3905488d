"""What users wrote of a derived ImagingStudy, as it may be shown today."""

from imaging_fhir.fhir import canonical
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.reference import local_id
from imaging_fhir.services.subject import same_subject
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import encounters_of

EDITABLE = (
    "encounter",
    "basedOn",
    "reasonCode",
    "reasonReference",
    "note",
    "procedureReference",
    "interpreter",
)
ENTERED_IN_ERROR = "entered-in-error"
DISPUTED = {
    "system": canonical.STUDY_STATE,
    "code": "disputed",
    "display": "The study arrived again naming another known patient",
}


def edited_meta(written: Resource, known: Resource) -> Resource:
    """A user's tags and labels, and the marks that the service made."""
    marks = [tag for tag in known.get("tag", ()) if is_mark(tag)]
    tags = marks + [tag for tag in written.get("tag", ()) if not is_mark(tag)]
    meta = {"security": written.get("security"), "tag": tags}
    return {name: value for name, value in meta.items() if value}


def is_mark(tag: Resource) -> bool:
    """Is it the service's own (the study is disputed, ...)?"""
    return tag.get("system") == canonical.STUDY_STATE


def disputed(study: AnyRow) -> bytes | None:
    """The overlay with the mark of a dispute; None where it has that."""
    overlay = kept_overlay(study)
    meta = overlay.get("meta", {})
    tags = meta.get("tag", ())
    if DISPUTED in tags:
        return None
    return encode({**overlay, "meta": {**meta, "tag": [*tags, DISPUTED]}})


def kept_overlay(study: AnyRow) -> Resource:
    """Element by element; None takes away what the images say."""
    overlay: Resource = decode(study.overlay) if study.overlay else {}
    return overlay


def sound_overlay(connection: Connection, study: AnyRow, patient: Resource | None) -> Resource:
    """The elements of the body, without a visit that is not the patient's (any more)."""
    overlay = {name: value for name, value in kept_overlay(study).items() if name != "meta"}
    visit = local_id(overlay.get("encounter"), "Encounter")
    if visit is not None and not is_own_visit(connection, visit, patient):
        del overlay["encounter"]
    return overlay


def is_own_visit(connection: Connection, visit: str, patient: Resource | None) -> bool:
    found = encounters_of(connection, ids=(visit,))
    return bool(found) and same_subject(connection, found[0], patient)
