"""Whose what was asked for is: looked up when the event is moved, not while it is answered."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, or_, select

from imaging_fhir.storage.audit_writes import OWNED_BY, PATIENT
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.schema import binary, document, reference_index, resource, study


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledStudy:
    reference: str  # ImagingStudy/id
    patient: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    studies: dict[str, FiledStudy] = field(default_factory=dict)  # by StudyInstanceUID
    entities: dict[str, tuple[str, ...]] = field(default_factory=dict)  # ids, by Type/id


def of(connection: Connection, *, studies: Collection[str], entities: Collection[str]) -> Owners:
    found = Owners()
    for some in chunks(studies):
        for row in connection.execute(
            select(study.c.study_instance_uid, study.c.patient, resource.c.id)
            .join(resource, resource.c.rid == study.c.rid)
            .where(study.c.study_instance_uid.in_(some), study.c.state == "filed")
        ):
            found.studies[row.study_instance_uid] = FiledStudy(
                reference=f"ImagingStudy/{row.id}", patient=row.patient
            )
    for some in chunks(entities):
        rids = dict(rids_of(connection, some))
        found.entities.update(owners_of(connection, rids))
    return found


def rids_of(connection: Connection, names: list[str]) -> list[tuple[int, str]]:
    """Of the resources of these names, deleted or not."""
    keys = [name.partition("/")[::2] for name in names]
    is_one = or_(*(and_(resource.c.type == type_, resource.c.id == id_) for type_, id_ in keys))
    found = connection.execute(select(resource.c.rid, resource.c.type, resource.c.id).where(is_one))
    return [(row.rid, f"{row.type}/{row.id}") for row in found]


def owners_of(connection: Connection, rids: dict[int, str]) -> dict[str, tuple[str, ...]]:
    """By name; a Binary is of whose the documents of its bytes are."""
    owners: dict[str, set[str]] = {}
    for some in chunks(rids):
        of_rid = select(reference_index.c.rid, reference_index.c.target_id).where(
            reference_index.c.rid.in_(some),
            reference_index.c.target_type == PATIENT,
            or_(*(reference_index.c.parameter.like(ending) for ending in OWNED_BY)),
        )
        of_bytes = (
            select(binary.c.rid, document.c.patient)
            .join(document, document.c.blob == binary.c.blob)
            .where(binary.c.rid.in_(some), document.c.patient.is_not(None))
        )
        for rid, patient in (*connection.execute(of_rid), *connection.execute(of_bytes)):
            owners.setdefault(rids[rid], set()).add(patient)
    for name in rids.values():
        if name.startswith(f"{PATIENT}/"):
            owners.setdefault(name, set()).add(name.partition("/")[2])
    return {name: tuple(sorted(patients)) for name, patients in owners.items()}
