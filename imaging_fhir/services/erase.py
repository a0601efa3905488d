"""Erases for good: every version, fragment, picture and byte, with a tombstone without data left.

The tombstone is a digest, by which a resend is known and refused, and by which a restored backup
is erased again.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.blob import Blob
from imaging_fhir.model.codec import decode
from imaging_fhir.storage import audit, blobs, erasure, removal, resources, search_index, tombstones
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.erasure import Scope
from imaging_fhir.storage.erasure_scan import (
    Names,
    Scan,
    ScanOutdated,
    async_requests_of,
    journal_of,
)
from imaging_fhir.storage.ports import BlobStore

NAME = re.compile(r"[A-Za-z0-9\-.]+")  # an id or a UID in a query
Collect = Callable[[Connection, Scope], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was erased, or by a dry run would be."""

    rows: Counter[str]  # of each table
    resources: Counter[str]  # of each type
    redacted: int  # other resources that named it, and do no more
    blobs: int
    bytes: int
    shared_blobs: int  # stay, since something else refers to them
    audit_rows: int = 0  # of the audit trail, which no more say who is meant
    removed: tuple[Blob, ...] = ()


class DryRun(Exception):
    """Ends a transaction that must leave nothing behind."""

    def __init__(self, erasure: Erasure) -> None:
        super().__init__("Dry run.")
        self.erasure = erasure


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase:
    database: Database
    store: BlobStore

    def study(self, study: str, *, dry_run: bool = False) -> Erasure:
        """By StudyInstanceUID or id of the ImagingStudy; raise ResourceNotFound."""
        return self.erase(partial(collect_study, study=study), dry_run=dry_run)

    def document(self, document_id: str, *, dry_run: bool = False) -> Erasure:
        """A DocumentReference with its Binary; raise ResourceNotFound."""
        return self.erase(partial(collect_document, document_id=document_id), dry_run=dry_run)

    def patient(self, patient_id: str, *, dry_run: bool = False) -> Erasure:
        """A Patient with everything of theirs; raise ResourceNotFound.

        Held images that only may be theirs stay, since nobody knows whose they are.
        """
        return self.erase(partial(collect_patient, patient_id=patient_id), dry_run=dry_run)

    def again(self, digests: Collection[str]) -> Erasure:
        """What a restored backup brought back although these tombstones say it was erased."""
        return self.erase(partial(collect_marked, digests=digests), dry_run=False)

    def erase(self, collect: Collect, *, dry_run: bool) -> Erasure:
        """Raise StorageUnavailable while a backup is running, or when readers hold the log."""
        try:
            erased, names = self.erased(collect, dry_run=dry_run)
        except DryRun as dry:
            return dry.erasure
        for blob in erased.removed:
            self.store.remove(blob)
        self.sweep(names)
        removal.scrub(self.database, [*erased.rows, *erasure.REWRITTEN])
        return erased

    def erased(self, collect: Collect, *, dry_run: bool) -> tuple[Erasure, Names]:
        """All is looked through first, while others write; in the transaction, what is new."""
        while True:
            with self.database.read() as connection:
                scan = Scan.begin(connection)
                scope = Scope(scan=scan)
                collect(connection, scope)
                erasure.add_what_only_speaks_of_it(connection, scope)
                scan.end(connection, scope.names)
            unit = partial(erase_rows, collect=collect, dry_run=dry_run, scan=scan)
            with suppress(ScanOutdated):
                return self.database.write(unit)

    def sweep(self, names: Names) -> None:
        """What was noted of it while it was being erased."""
        with self.database.read() as connection:
            journal = journal_of(connection, names.are_in)
            later = async_requests_of(connection, names.are_in)
        if journal or later:
            self.database.write(partial(forget_notes, journal=journal, async_requests=later))

    def allow_again(self, kind: str, value: str) -> None:
        """Take in again a `study`, `series`, `instance` or `content`, by its UID or hash."""
        self.database.write(partial(tombstones.remove, marks=[(kind, value)]))


def collect_study(connection: Connection, scope: Scope, study: str) -> None:
    uid = erasure.study_instance_uid_of(connection, study)
    if uid is None:
        raise ResourceNotFound("No study has that StudyInstanceUID or id.")
    erasure.add_study(connection, scope, uid)


def collect_document(connection: Connection, scope: Scope, document_id: str) -> None:
    rid = known(connection, "DocumentReference", document_id)
    erasure.add_document(connection, scope, rid)


def collect_patient(connection: Connection, scope: Scope, patient_id: str) -> None:
    known(connection, "Patient", patient_id)
    erasure.add_patient(connection, scope, patient_id)


def collect_marked(connection: Connection, scope: Scope, digests: Collection[str]) -> None:
    erasure.add_marked(connection, scope, digests)


def known(connection: Connection, resource_type: str, resource_id: str) -> int:
    """The row of a resource, deleted or not; raise ResourceNotFound."""
    found = resources.find(connection, resource_type, resource_id)
    if found is None:
        raise ResourceNotFound(f"{resource_type}/{resource_id} is not known.")
    return found.rid


def index_words_again(transaction: Transaction, rid: int) -> None:
    """Of a resource that named what is erased: the name was one of its words."""
    left = resources.find_by_rid(transaction.connection, rid)
    if left.body is not None:
        entries = index_entries(left.type, decode(left.body))
        search_index.replace_texts(transaction, rid, left.type, entries)


def forget_notes(transaction: Transaction, journal: list[str], async_requests: list[int]) -> None:
    erasure.remove_from_journal(transaction, journal)
    erasure.remove_async_requests(transaction, async_requests)


def asks_for(scope: Scope) -> Callable[[str], bool]:
    """Does a query name something of it, by its id or UID?"""
    ids = {name.partition("/")[2] for name in scope.references} | scope.uids

    def asks(query: str) -> bool:
        return not ids.isdisjoint(NAME.findall(query))

    return asks


def audited_names(scope: Scope) -> set[str]:
    """As the audit trail has them."""
    return {*scope.references, *(f"urn:oid:{uid}" for uid in scope.uids)}


def erase_rows(
    transaction: Transaction, collect: Collect, *, dry_run: bool, scan: Scan
) -> tuple[Erasure, Names]:
    """Raise ScanOutdated."""
    scope = Scope(scan=scan)
    collect(transaction.connection, scope)
    others = erasure.add_what_only_speaks_of_it(transaction.connection, scope)
    tombstones.put(transaction, sorted(scope.marks))
    names = scope.names
    for rid in others:
        erasure.redact(transaction, names, rid)
        index_words_again(transaction, rid)
    erasure.remove_from_index(transaction, scope, others)
    forget_notes(transaction, scan.journal, scan.async_requests)
    audit_rows = audit.erase(transaction, audited_names(scope), asks_for(scope))
    rows = removal.remove_rows(transaction, erasure.RESOURCE_KEY, scope.rids)
    dead = blobs.mark_dead(transaction, sorted(scope.blobs))
    tombstones.put(transaction, [("content", blob.sha256) for blob in dead])
    erased = Erasure(
        rows=rows,
        resources=Counter(name.partition("/")[0] for name in scope.references),
        redacted=len(others),
        blobs=len(dead),
        bytes=sum(blob.size for blob in dead),
        shared_blobs=len(scope.blobs) - len(dead),
        audit_rows=audit_rows,
        removed=tuple(dead),
    )
    if dry_run:
        raise DryRun(erased)
    return erased, names
