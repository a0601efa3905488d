"""A service without its doors: what linking and filing tests need, on one database and folder."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.link import Given
from imaging_fhir.policy import Policy
from imaging_fhir.services.composition import ARCHIVE_ENDPOINT, new_id
from imaging_fhir.services.correction import Corrections
from imaging_fhir.services.document_filing import DocumentFiling
from imaging_fhir.services.ingest import Ingest, Outcome
from imaging_fhir.services.linking import Linking
from imaging_fhir.services.rejecting import Rejecting
from imaging_fhir.services.relinking import Relinking
from imaging_fhir.services.source_correction import SourceCorrections
from imaging_fhir.services.studies import Studies
from imaging_fhir.services.study_filing import StudyFiling
from imaging_fhir.settings import DEFAULT_SOURCE, Site, Source
from imaging_fhir.storage import history, resources
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.migrations import upgrade
from imaging_fhir.storage.resources import StoredResource
from imaging_fhir.storage.schema import resource

HOSPITAL = "urn:oid:1.2.3"
VISITS = "urn:oid:1.2.3.9"
ORDERS = "urn:oid:1.2.3.8"


def issued_by(system: str) -> list[dict[str, str]]:
    """The issuer sequence of a system that is an OID."""
    return [{"UniversalEntityID": system.removeprefix("urn:oid:"), "UniversalEntityIDType": "ISO"}]


@dataclass(frozen=True, slots=True)
class House:
    database: Database
    store: FolderBlobStore
    ingest: Ingest
    relinking: Relinking

    def put(self, content: Resource) -> None:
        put(self.database, self.relinking, content)

    def delete(self, reference: str | None) -> None:
        """What a FHIR DELETE does."""
        resource_type, _, resource_id = (reference or "").partition("/")

        def unit(transaction: Transaction) -> None:
            stored = resources.read(transaction.connection, resource_type, resource_id)
            if stored.body is None:
                body = self.relinking.assembler.body(transaction.connection, stored)
                resources.keep_assembled(transaction, stored.rid, body)
            resources.delete(transaction, resource_type, resource_id)
            self.relinking.resources_written(transaction, [(resource_type, resource_id, None)])

        self.database.write(unit)

    def patient(self, resource_id: str, *numbers: str, system: str = HOSPITAL, **more: Any) -> None:
        self.put(patient_of(resource_id, *numbers, system=system, **more))

    def encounter(
        self, resource_id: str, patient: str, start: str = "", end: str = "", **more: Any
    ) -> None:
        self.put(encounter_of(resource_id, patient, start, end, **more))

    def send(
        self, content: bytes, *, source: Source = DEFAULT_SOURCE, **given: str | None
    ) -> Outcome:
        return self.ingest.ingest([content], source=source, given=Given(**given))

    def read(self, reference: str | None) -> Resource:
        resource_type, _, resource_id = (reference or "").partition("/")
        with self.database.read() as connection:
            stored = resources.read(connection, resource_type, resource_id)
            body = stored.body or Studies().body(connection, stored)
        found: Resource = decode(body)
        return found

    def versions(self, reference: str | None) -> list[Resource]:
        """The versions that were kept and are not deletions, newest first."""
        resource_type, _, resource_id = (reference or "").partition("/")
        with self.database.read() as connection:
            return [
                decode(stored.body or Studies().body(connection, stored))
                for stored in versions_of(connection, resource_type, resource_id)
                if not stored.deleted
            ]

    def subject(self, reference: str | None) -> str | None:
        found = self.read(reference).get("subject", {}).get("reference")
        return None if found is None else str(found)

    def open_tasks(self) -> list[Resource]:
        """Of what is held, the oldest first."""
        with self.database.read() as connection:
            query = select(resource.c.body).where(resource.c.type == "Task", ~resource.c.deleted)
            found = [decode(body) for body in connection.execute(query).scalars()]
        held = [one for one in found if one["code"]["coding"][0]["code"] == "decide-held-image"]
        return [one for one in held if one["status"] == "requested"]

    def close(self) -> None:
        self.database.close()


def put(database: Database, relinking: Relinking, content: Resource) -> None:
    """What a FHIR update does, news for waiting images included."""

    def write(transaction: Transaction) -> None:
        resource_type, resource_id = content["resourceType"], content["id"]
        entries = index_entries(resource_type, content)
        resources.put(transaction, resource_type, resource_id, content, entries)
        news = (resource_type, resource_id, content)
        relinking.resources_written(transaction, [news])

    database.write(write)


def patient_of(resource_id: str, *numbers: str, system: str = HOSPITAL, **more: Any) -> Resource:
    return {
        "resourceType": "Patient",
        "id": resource_id,
        "identifier": [{"system": system, "value": number} for number in numbers],
        **more,
    }


def encounter_of(
    resource_id: str, patient: str, start: str = "", end: str = "", **more: Any
) -> Resource:
    period = {name: time for name, time in (("start", start), ("end", end)) if time}
    return {
        "resourceType": "Encounter",
        "id": resource_id,
        "status": "finished",
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "AMB",
        },
        "subject": {"reference": f"Patient/{patient}"},
        **({"period": period} if period else {}),
        **more,
    }


def versions_of(
    connection: Connection, resource_type: str, resource_id: str
) -> tuple[StoredResource, ...]:
    """Those that were kept, newest first."""
    current = resources.find(connection, resource_type, resource_id)
    assert current is not None
    query = history.HistoryQuery(count=1000, resource_type=resource_type, rid=current.rid)
    return history.page(connection, query).versions


def build_house(
    database_url: str,
    folder: Path,
    *,
    issuers: Mapping[str, str] | None = None,
    policy: Policy | None = None,
    time_zone: str = "Europe/Berlin",
    max_bytes: int = 64 * 1024**2,
    registers: bool = False,
) -> House:
    upgrade(database_url)
    return open_house(
        database_url,
        folder,
        issuers=issuers,
        policy=policy,
        time_zone=time_zone,
        max_bytes=max_bytes,
        registers=registers,
    )


def open_house(
    database_url: str,
    folder: Path,
    *,
    issuers: Mapping[str, str] | None = None,
    policy: Policy | None = None,
    time_zone: str = "Europe/Berlin",
    max_bytes: int = 64 * 1024**2,
    registers: bool = False,
) -> House:
    """The same on a database that is up to date."""
    database = Database(database_url)
    store = FolderBlobStore(folder / "blobs")
    linking = Linking(Site(issuers=issuers or {}, policy=policy or Policy()))
    studies = StudyFiling(
        linking=linking,
        archive_endpoint=ARCHIVE_ENDPOINT,
        quiet_milliseconds=60_000,
        new_id=new_id,
        registers=registers,
    )
    documents = DocumentFiling(linking=linking, new_id=new_id)
    relinking = Relinking(assembler=Studies(), studies=studies, documents=documents)
    corrections = Corrections(database, relinking, new_id=new_id)
    return House(
        database,
        store,
        Ingest(
            database,
            store,
            studies,
            documents,
            max_bytes=max_bytes,
            time_zone=time_zone,
            followers=(
                SourceCorrections(corrections=corrections),
                Rejecting(database=database, relinking=relinking),
            ),
        ),
        relinking,
    )


def copied_house(template: Path, folder: Path, **options: Any) -> House:
    """A house on a copy of an empty SQLite database: quick enough for one an example."""
    shutil.copy(template, folder / "test.db")
    return open_house(f"sqlite:///{folder}/test.db", folder, **options)
