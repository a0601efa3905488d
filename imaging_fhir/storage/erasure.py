"""What belongs to a study, a document or a patient, and who else speaks of it."""

import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, or_, select, true, update

from imaging_fhir.model.codec import decode, encode
from imaging_fhir.storage import minted_uids, rejections, resources, tombstones
from imaging_fhir.storage.chunks import chunks
from imaging_fhir.storage.database import Transaction
from imaging_fhir.storage.erasure_scan import REFERENCE, Names, Scan, bodies
from imaging_fhir.storage.schema import (
    async_request,
    binary,
    conflict,
    document,
    instance,
    journal,
    reference_index,
    resource,
    series,
    study,
    token_index,
    version,
)

RESOURCE_KEY = resource.c.rid
REWRITTEN = (
    "resource",
    "version",
    "journal",
    "async_request",
    "async_step",
    "reference_index",
    "token_index",
    "text_index",
    "rendition",
    "rendered",
    "frame_table",
    "dicom_value",
    "rejection",
    "audit_event",
    "audit_name",
    "audit_agent",
    "audit_mention",
)
ABOUT_OTHERS = ("Task", "Provenance")  # without their subject they say nothing


@dataclass(slots=True, kw_only=True)
class Scope:
    """Everything that one erasure takes."""

    rids: set[int] = field(default_factory=set)
    references: set[str] = field(default_factory=set)  # Type/id of the resources
    uids: set[str] = field(default_factory=set)
    blobs: set[int] = field(default_factory=set)
    marks: set[tuple[str, str]] = field(default_factory=set)
    scan: Scan

    @property
    def names(self) -> Names:
        return Names(references=frozenset(self.references), uids=frozenset(self.uids))


def add_resources(connection: Connection, scope: Scope, rids: Collection[int]) -> None:
    for some in chunks(set(rids) - scope.rids):
        found = connection.execute(
            select(resource.c.rid, resource.c.type, resource.c.id).where(resource.c.rid.in_(some))
        )
        for row in found:
            scope.rids.add(row.rid)
            scope.references.add(f"{row.type}/{row.id}")
            scope.marks.add(("resource", f"{row.type}/{row.id}"))


def add_study(connection: Connection, scope: Scope, study_instance_uid: str) -> None:
    """All rows of that UID, filed and held, with their instances and conflicts."""
    rows = connection.execute(
        select(study.c.pk, study.c.rid).where(study.c.study_instance_uid == study_instance_uid)
    ).all()
    scope.uids.add(study_instance_uid)
    scope.marks.add(("study", study_instance_uid))
    add_resources(connection, scope, [row.rid for row in rows])
    for row in rows:
        add_instances(connection, scope, row.pk)
    for minted in minted_uids.of_study(connection, study_instance_uid):
        is_all = minted.is_whole and not minted.of_person  # else others' images are in it
        if minted.level == "instance" or (minted.level == "series" and is_all):
            scope.marks.add((minted.level, minted.original))  # refused by what its bytes say, too


def add_instances(connection: Connection, scope: Scope, study_pk: int) -> None:
    rows = connection.execute(
        select(instance.c.sop_instance_uid, instance.c.blob, series.c.series_instance_uid)
        .join(series, series.c.pk == instance.c.series)
        .where(series.c.study == study_pk)
    ).all()
    scope.blobs.update(row.blob for row in rows)
    scope.uids.update(row.series_instance_uid for row in rows)
    uids = {row.sop_instance_uid for row in rows}
    scope.uids |= uids
    scope.marks.update(("instance", uid) for uid in uids)
    for some in chunks(uids):
        add_conflicts(connection, scope, some)


def add_conflicts(connection: Connection, scope: Scope, sop_instance_uids: list[str]) -> None:
    rows = connection.execute(
        select(conflict.c.blob, conflict.c.task).where(
            conflict.c.sop_instance_uid.in_(sop_instance_uids)
        )
    ).all()
    scope.blobs.update(row.blob for row in rows)
    add_resources(connection, scope, [row.task for row in rows])


def add_document(connection: Connection, scope: Scope, rid: int) -> None:
    """The document with the Binary resources that it names and that nobody else does."""
    add_resources(connection, scope, [rid])
    found = connection.execute(select(document.c.blob).where(document.c.rid == rid)).scalars()
    scope.blobs.update(found)
    named = {
        name
        for body in bodies(connection, rid)
        for name in REFERENCE.findall(body)
        if name.startswith("Binary/")
    }
    add_binaries(connection, scope, named - named_by_others(connection, scope, named))


def named_by_others(connection: Connection, scope: Scope, names: set[str]) -> set[str]:
    probe = Names(references=frozenset(names), uids=frozenset())
    return {
        name
        for rid in scope.scan.speakers(connection, probe)
        if rid not in scope.rids
        for body in bodies(connection, rid)
        for name in names.intersection(REFERENCE.findall(body))
    }


def add_binaries(connection: Connection, scope: Scope, names: set[str]) -> None:
    rows = connection.execute(
        select(binary.c.rid, binary.c.blob)
        .join(resource, resource.c.rid == binary.c.rid)
        .where(
            resource.c.type == "Binary",
            resource.c.id.in_([name.partition("/")[2] for name in names]),
        )
    ).all()
    scope.blobs.update(row.blob for row in rows)
    add_resources(connection, scope, [row.rid for row in rows])


def add_patient(connection: Connection, scope: Scope, patient_id: str) -> None:
    """The patient, the provisional ones that it replaced, and all that has it as its subject."""
    rids = [
        row.rid
        for row in connection.execute(
            select(reference_index.c.rid, reference_index.c.parameter).where(
                reference_index.c.target_type == "Patient",
                reference_index.c.target_id == patient_id,
                or_(
                    reference_index.c.parameter.like("%.patient"),
                    reference_index.c.parameter.like("%.subject"),
                ),
            )
        )
    ]
    rids += replaced_by(connection, patient_id)
    own = connection.execute(
        select(resource.c.rid).where(resource.c.type == "Patient", resource.c.id == patient_id)
    ).scalars()
    add_resources(connection, scope, [*own, *(set(rids) - holding(connection, rids))])
    of_patient = select(study.c.study_instance_uid).where(study.c.patient == patient_id)
    for uid in list(connection.execute(of_patient).scalars()):
        add_study(connection, scope, uid)
    documents = connection.execute(
        select(document.c.rid).where(document.c.patient == patient_id)
    ).scalars()
    for rid in [*documents, *documents_among(connection, rids)]:
        add_document(connection, scope, rid)


def replaced_by(connection: Connection, patient_id: str) -> list[int]:
    """Patients whose `link` says that this one took their place."""
    rows = connection.execute(
        select(resource.c.rid, resource.c.body)
        .join(reference_index, reference_index.c.rid == resource.c.rid)
        .where(
            reference_index.c.parameter == "Patient.link",
            reference_index.c.target_id == patient_id,
            resource.c.body.is_not(None),
        )
    ).all()
    return [
        row.rid
        for row in rows
        for link in decode(row.body).get("link", ())
        if link["type"] == "replaced-by"
        and link["other"].get("reference") == f"Patient/{patient_id}"
    ]


def documents_among(connection: Connection, rids: Collection[int]) -> list[int]:
    return [
        rid
        for some in chunks(rids)
        for rid in connection.execute(
            select(resource.c.rid).where(
                resource.c.rid.in_(some), resource.c.type == "DocumentReference"
            )
        ).scalars()
    ]


def holding(connection: Connection, rids: Collection[int]) -> set[int]:
    """Those that are Tasks of held images: whose these are is not known, so they stay."""
    found: set[int] = set()
    for some in chunks(set(rids)):
        for column, held in (
            (study.c.rid, study.c.state == "held"),
            (document.c.rid, document.c.state == "held"),
            (conflict.c.task, true()),
        ):
            rows = connection.execute(select(column).where(column.in_(some), held))
            found.update(rows.scalars())
    return found


def add_what_only_speaks_of_it(connection: Connection, scope: Scope) -> set[int]:
    """Take in the Tasks and Provenances of the scope; who else names it stays and is answered."""
    others = scope.scan.speakers(connection, scope.names) - scope.rids
    about = {
        row.rid
        for some in chunks(others)
        for row in connection.execute(
            select(resource.c.rid).where(
                resource.c.rid.in_(some), resource.c.type.in_(ABOUT_OTHERS)
            )
        )
    }
    about -= holding(connection, about)
    add_resources(connection, scope, about)
    return others - about


def redact(transaction: Transaction, names: Names, rid: int) -> None:
    """Make a next version without what is erased, and take it out of the earlier ones."""
    rows = transaction.execute(
        select(version.c.version, version.c.body).where(
            version.c.rid == rid, version.c.body.is_not(None)
        )
    ).all()
    for row in rows:
        clean = zlib.compress(encode(without(names, decode(zlib.decompress(row.body)))))
        transaction.execute(
            update(version)
            .where(version.c.rid == rid, version.c.version == row.version)
            .values(body=clean)
        )
    current = resources.find_by_rid(transaction.connection, rid)
    if current.body is not None:
        rewrite(transaction, current, without(names, decode(current.body)))


def rewrite(transaction: Transaction, current: resources.StoredResource, content: Any) -> None:
    number = current.version + 1
    body = encode(resources.with_meta(content, current.id, number, transaction.now))
    transaction.execute(
        update(resource)
        .where(resource.c.rid == current.rid)
        .values(version=number, last_updated=transaction.now, body=body)
    )


def without(names: Names, value: Any) -> Any:
    """The same JSON, references to what is erased left as a display, other mentions left out."""
    if isinstance(value, str):
        return None if names.are_in(value) else value
    if isinstance(value, list):
        kept = [without(names, item) for item in value]
        return [item for item in kept if item is not None] or None
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and names.are_in(value["reference"]):
            return {"display": "Erased"}
        kept_members = {name: without(names, member) for name, member in value.items()}
        return {name: kept for name, kept in kept_members.items() if kept is not None} or None
    return value


def remove_from_index(transaction: Transaction, scope: Scope, others: Collection[int]) -> None:
    """Nobody is found any more by what is erased, nor one of the others that named it."""
    rejections.forget(transaction, scope.uids)
    for some in chunks(scope.references):
        for name in some:
            type_, _, id_ = name.partition("/")
            transaction.execute(
                delete(reference_index).where(
                    reference_index.c.target_type == type_, reference_index.c.target_id == id_
                )
            )
    named = {*scope.uids, *(f"urn:oid:{uid}" for uid in scope.uids)}
    for rid in others:
        of_it = token_index.c.rid == rid
        for value in transaction.execute(select(token_index.c.folded).where(of_it)).scalars().all():
            if value in named:
                transaction.execute(delete(token_index).where(of_it, token_index.c.folded == value))


def remove_async_requests(transaction: Transaction, pks: Collection[int]) -> None:
    """What was asked or answered about it; who still polls for it finds nothing."""
    for some in chunks(pks):
        transaction.execute(delete(async_request).where(async_request.c.pk.in_(some)))


def remove_from_journal(transaction: Transaction, keys: Collection[str]) -> None:
    for some in chunks(keys):
        transaction.execute(delete(journal).where(journal.c.path_sha256.in_(some)))


def study_instance_uid_of(connection: Connection, name: str) -> str | None:
    """By StudyInstanceUID, or by the id of the ImagingStudy."""
    by_id = select(resource.c.rid).where(resource.c.type == "ImagingStudy", resource.c.id == name)
    found: str | None = connection.execute(
        select(study.c.study_instance_uid)
        .where(or_(study.c.study_instance_uid == name, study.c.rid.in_(by_id)))
        .limit(1)
    ).scalar()
    return found


def add_marked(connection: Connection, scope: Scope, digests: Collection[str]) -> None:
    """All that is here although it was erased: what a restored backup brought back."""
    for uid in connection.execute(select(study.c.study_instance_uid).distinct()).scalars().all():
        if tombstones.digest(("study", uid)) in digests:
            add_study(connection, scope, uid)
    rows = connection.execute(select(resource.c.rid, resource.c.type, resource.c.id)).all()
    for row in rows:
        if tombstones.digest(("resource", f"{row.type}/{row.id}")) in digests:
            add_document(connection, scope, row.rid)
