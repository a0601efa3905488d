"""Patients by the thousand, each with visits, an order and studies: one is written through the
service, the others are copies of its rows under other ids.

Each name and number of the first has MARK in it; that of the n-th copy has MARK + n in its place,
its keys are larger by n times KEYS, and its studies began n hours later.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import numpy as np
import psycopg
from pydicom import dcmread, dcmwrite
from pydicom.uid import CTImageStorage
from sqlalchemy import Table, select
from sqlalchemy.engine import make_url

from benchmarks.servers import Server
from imaging_fhir.images.sample import dicom_file
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.schema import (
    INDEX_TABLES,
    instance,
    resource,
    series,
    study,
    study_identity,
)

MARK = 7_000_000
KEYS = 1000  # more than the first one has of any kind
STUDIES = 5
VISITS = 2
NUMBERS, VISIT_NUMBERS, ACCESSIONS = (f"urn:oid:1.2.3.7.{number}" for number in (1, 2, 3))
ROOT = "1.2.826.0.1.3680043.10.1593.9"
FIRST = datetime(2001, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000  # microseconds
STARTED = re.compile(rb"2001-01-01T0(\d):20:30")
TABLES: tuple[Table, ...] = (resource, study, study_identity, series, instance, *INDEX_TABLES)
CLOCK = "UPDATE commit_clock SET stamp = (SELECT max(last_updated) FROM resource)"
SQLITE_INDEXES = """
SELECT name, sql FROM sqlite_master
WHERE type = 'index' AND sql IS NOT NULL AND tbl_name LIKE '%index'
"""
POSTGRESQL_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename LIKE '%index' AND indexname LIKE 'ix%'
"""
"""Those of the search index, made anew when it is filled: that takes a fraction of the time."""
MOVED = {"rid", "pk", "study", "series"}
"""Keys, and what refers to one; a blob is the same for all copies."""


def patient_id(number: int) -> str:
    return f"p{MARK + number}"


def study_uid(number: int, one: int) -> str:
    return f"{ROOT}.{MARK + number}.{one}"


def started(number: int) -> datetime:
    """From then on for an hour: when the studies of a patient began."""
    return FIRST + timedelta(hours=number)


def write_first(server: Server) -> None:
    """As any client would: a transaction, and images."""
    server.post("/fhir", "application/fhir+json", json.dumps(first_bundle()).encode())
    for one in range(STUDIES):
        for number in range(2):
            server.post("/fhir/$import-image", "application/dicom", first_image(one, number))


def first_bundle() -> dict[str, Any]:
    number = {"system": NUMBERS, "value": f"M{MARK}"}
    subject = {"reference": f"Patient/{patient_id(0)}"}
    doctor = {"reference": f"Practitioner/d{MARK}"}
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Practitioner",
            "id": f"d{MARK}",
            "name": [{"family": f"Doctor{MARK}", "given": ["Rosa"]}],
        },
        {
            "resourceType": "Patient",
            "id": patient_id(0),
            "identifier": [number],
            "name": [{"family": f"Family{MARK}", "given": ["Given"]}],
            "gender": "female",
            "birthDate": "1961-02-03",
            "generalPractitioner": [doctor],
        },
        *(visit(one, subject, doctor) for one in range(VISITS)),
        {
            "resourceType": "ServiceRequest",
            "id": f"r{MARK}",
            "status": "active",
            "intent": "order",
            "code": {"coding": [{"system": "http://loinc.org", "code": "24627-2"}]},
            "subject": subject,
            "encounter": {"reference": f"Encounter/e{MARK}-0"},
            "requester": doctor,
        },
    ]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def visit(one: int, subject: dict[str, Any], doctor: dict[str, Any]) -> dict[str, Any]:
    acts = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    return {
        "resourceType": "Encounter",
        "id": f"e{MARK}-{one}",
        "identifier": [{"system": VISIT_NUMBERS, "value": f"V{MARK}-{one}"}],
        "status": "finished",
        "class": {"system": acts, "code": "AMB"},
        "subject": subject,
        "participant": [{"individual": doctor}],
        "period": {"start": "2001-01-01", "end": "2001-01-02"},
    }


def first_image(one: int, number: int) -> bytes:
    """Small, for no pixel is read; its UIDs are of our own form, so that copies have others."""
    header = image_header(one)
    read = dcmread(BytesIO(dicom_file(header, np.zeros((4, 4), np.uint16), number=number, bits=12)))
    read.SeriesInstanceUID = f"{header['StudyInstanceUID']}.1"
    read.SOPInstanceUID = f"{read.SeriesInstanceUID}.{number}"
    read.file_meta.MediaStorageSOPInstanceUID = read.SOPInstanceUID
    target = BytesIO()
    dcmwrite(target, read, enforce_file_format=True)
    return target.getvalue()


def image_header(one: int) -> dict[str, Any]:
    return {
        "SOPClassUID": CTImageStorage,
        "StudyInstanceUID": study_uid(0, one),
        "Modality": ("CT", "MR")[one % 2],
        "StudyDate": "20010101",
        "StudyTime": f"0{one}2030",
        "TimezoneOffsetFromUTC": "+0000",
        "SeriesNumber": 1,
        "StudyDescription": "CT chest with contrast",
        "BodyPartExamined": "CHEST",
        "AccessionNumber": f"A{MARK}-{one}",
        "IssuerOfAccessionNumberSequence": issued_by(ACCESSIONS),
        "PatientID": f"M{MARK}",
        "IssuerOfPatientIDQualifiersSequence": issued_by(NUMBERS),
        "PatientName": f"Family{MARK}^Given",
        "PatientBirthDate": "19610203",
        "PatientSex": "F",
        "AdmissionID": f"V{MARK}-{one % VISITS}",
        "IssuerOfAdmissionIDSequence": issued_by(VISIT_NUMBERS),
    }


def issued_by(system: str) -> list[dict[str, str]]:
    oid = system.removeprefix("urn:oid:")
    return [{"UniversalEntityID": oid, "UniversalEntityIDType": "ISO"}]


@dataclass(frozen=True, slots=True)
class Template:
    """A row of the first patient's, and which of its values differ in a copy."""

    values: tuple[Any, ...]
    keys: tuple[int, ...]
    marked: tuple[int, ...]
    times: tuple[int, ...]  # of the date index
    dated: tuple[int, ...]  # JSON with the time of the study

    def copy(self, number: int) -> tuple[Any, ...]:
        values = list(self.values)
        for at in self.keys:
            values[at] += number * KEYS
        for at in self.marked:
            values[at] = renamed(values[at], number)
        for at in self.times:
            values[at] += number * HOUR
        for at in self.dated:
            values[at] = STARTED.sub(lambda found: later(found, number), values[at])
        return tuple(values)


def renamed(value: Any, number: int) -> Any:
    if isinstance(value, bytes):
        return value.replace(b"%d" % MARK, b"%d" % (MARK + number))
    return value.replace(str(MARK), str(MARK + number))


def later(found: "re.Match[bytes]", number: int) -> bytes:
    moment = started(number) + timedelta(hours=int(found[1]), minutes=20, seconds=30)
    return moment.strftime("%Y-%m-%dT%H:%M:%S").encode()


def templates(database: Database) -> dict[Table, list[Template]]:
    found: dict[Table, list[Template]] = {}
    with database.read() as connection:
        rids = {
            row.rid
            for row in connection.execute(select(resource.c.rid, resource.c.id))
            if str(MARK) in row.id
        }
        studies = {
            row.pk for row in connection.execute(select(study.c.pk, study.c.rid)) if row.rid in rids
        }
        for table in TABLES:
            rows = [dict(row) for row in connection.execute(select(table)).mappings()]
            found[table] = [
                template(table, row)
                for row in rows
                if row.get("rid", None) in rids or ("rid" not in row and belongs(row, studies))
            ]
    return found


def belongs(row: dict[str, Any], studies: set[int]) -> bool:
    """All instances and series are of the first patient."""
    return "study" not in row or row["study"] in studies


def template(table: Table, row: dict[str, Any]) -> Template:
    names, values = list(row), tuple(row.values())
    marked = [
        at
        for at, value in enumerate(values)
        if (isinstance(value, bytes) and b"%d" % MARK in value)
        or (isinstance(value, str) and str(MARK) in value)
    ]
    is_start = row.get("parameter") == "ImagingStudy.started"
    keys = [at for at, name in enumerate(names) if name in MOVED]
    assert all(0 < values[at] < KEYS for at in keys), (table.name, row)
    return Template(
        values=values,
        keys=tuple(keys),
        marked=tuple(marked),
        times=tuple(names.index(name) for name in ("low", "high") if is_start),
        dated=tuple(
            at
            for at, value in enumerate(values)
            if isinstance(value, bytes) and STARTED.search(value)
        ),
    )


def multiply(url: str, patients: int) -> int:
    """Copy the first patient until there are so many; the number of rows in the search index."""
    database = Database(url)
    try:
        found = templates(database)
    finally:
        database.close()
    write = write_sqlite if database.is_sqlite else write_postgresql
    write(url, ((table, rows_of(found[table], patients)) for table in TABLES))
    return sum(len(found[table]) for table in INDEX_TABLES) * patients


def rows_of(found: Sequence[Template], patients: int) -> Iterator[tuple[Any, ...]]:
    return (one.copy(number) for number in range(1, patients) for one in found)


Filled = Iterable[tuple[Table, Iterator[tuple[Any, ...]]]]


def write_sqlite(url: str, filled: Filled) -> None:
    """By the driver, without syncing: nobody mourns a population that was lost."""
    connection = sqlite3.connect(str(make_url(url).database))
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-256000"):
        connection.execute(f"PRAGMA {pragma}")
    indexes = connection.execute(SQLITE_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for table, rows in filled:
        names = ", ".join(column.name for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608
        connection.executemany(statement, rows)
    connection.execute(CLOCK)
    connection.commit()
    for _, definition in indexes:
        connection.execute(definition)
    connection.commit()
    connection.close()


def write_postgresql(url: str, filled: Filled) -> None:
    address = url.replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(address) as connection, connection.cursor() as cursor:
        indexes = cursor.execute(POSTGRESQL_INDEXES).fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        for table, rows in filled:
            names = ", ".join(column.name for column in table.columns)
            with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            for column in table.primary_key.columns:
                if column.autoincrement is True:
                    sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
                    highest = f"SELECT max({column.name}) FROM {table.name}"  # noqa: S608
                    cursor.execute(f"SELECT setval({sequence}, ({highest}))")
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(CLOCK)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
