"""The identity that a corrected study is served with: that of its Patient today.

Patient reconciliation, as the field calls it. Stored bytes stay as they came.
"""

from dataclasses import dataclass
from hashlib import sha256

from imaging_fhir.fhir.dicom_identity import dicom_identity
from imaging_fhir.images.dicom_identity import coerced_json
from imaging_fhir.model.codec import decode, encode
from imaging_fhir.model.study import DicomJson
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import encounters_of, resolve_patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    elements: DicomJson
    digest: str  # another one for another identity

    def put_in(self, dicom_json: bytes) -> bytes:
        """DICOM JSON of an instance, with this identity."""
        return encode(coerced_json(decode(dicom_json), self.elements))


def identity_of(connection: Connection, study: AnyRow) -> Identity | None:
    """None for a study that was never corrected: it is served as it came."""
    if not study.corrected:
        return None
    patient = resolve_patient(connection, study.patient or "") or {}
    visits = encounters_of(connection, ids=(study.encounter,)) if study.encounter else []
    elements = dicom_identity(patient, visits[0] if visits else {})
    return Identity(elements=elements, digest=sha256(encode(elements)).hexdigest()[:16])
