"""The identity that a corrected study is served with: that of its Patient today, and its own UIDs.

Patient reconciliation, as the field calls it. Stored bytes stay as they came.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from imaging_fhir.fhir.dicom_identity import dicom_identity
from imaging_fhir.images.dicom_identity import coerced_json
from imaging_fhir.images.minted_uids import MintedUids
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.study import DicomJson
from imaging_fhir.services.own_orders import withheld_of
from imaging_fhir.storage import minted_uids
from imaging_fhir.storage.database import AnyRow, Connection
from imaging_fhir.storage.people import contents, resolve_patients


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`minted` is of a study that was split off another."""

    elements: DicomJson
    minted: MintedUids | None
    digest: str  # another one for another identity

    def put_in(self, dicom_json: bytes) -> bytes:
        """DICOM JSON of an instance, with this identity."""
        said = decode(dicom_json)
        found = coerced_json(
            said if self.minted is None else self.minted.in_json(said), self.elements
        )
        return encode(found)

    def of_file(self, study: str, series: str, instance: str) -> DicomJson:
        """What is written into the file of the instance that has these UIDs now."""
        if self.minted is None:
            return self.elements
        return {**self.elements, **self.minted.origin_of(study, series, instance)}


def identity_of(connection: Connection, study: AnyRow) -> Identity | None:
    """None for a study that was never corrected: it is served as it came."""
    uid = study.study_instance_uid
    if not study.corrected and not minted_uids.of_study(connection, uid):
        return None
    return identities_of(connection, [study]).get(uid)


def identities_of(connection: Connection, studies: Collection[AnyRow]) -> dict[str, Identity]:
    """Of those that were corrected, by StudyInstanceUID, in a number of statements that does not
    grow with the studies."""
    minted = minted_uids.of_studies(connection, [one.study_instance_uid for one in studies])
    corrected = [one for one in studies if one.corrected or one.study_instance_uid in minted]
    patients = resolve_patients(connection, {one.patient for one in corrected} - {None})
    encounters = {one.encounter for one in corrected} - {None}
    visits = contents(connection, "Encounter", encounters) if encounters else {}
    orders = withheld_of(connection, [one.study_instance_uid for one in corrected])
    return {
        one.study_instance_uid: identity(
            patients.get(one.patient, {}),
            visits.get(one.encounter, {}),
            minted_of(one, minted.get(one.study_instance_uid, ())),
            orders.get(one.study_instance_uid, {}),
        )
        for one in corrected
    }


def identity(
    patient: Resource, visit: Resource, minted: MintedUids | None, orders: DicomJson
) -> Identity:
    elements = {**dicom_identity(patient, visit), **orders}
    return Identity(
        elements=elements, minted=minted, digest=sha256(encode(elements)).hexdigest()[:16]
    )


def minted_of(study: AnyRow, rows: Sequence[AnyRow]) -> MintedUids | None:
    if not rows:
        return None
    at = datetime.fromtimestamp(study.created / 1000, UTC)
    return MintedUids(moved=minted_uids.by_original(rows), at=f"{at:%Y%m%d%H%M%S}.000+0000")
