"""How long searches take as studies grow: for results of one size, at 1,000 to 100,000 studies.

    python -m benchmarks.search_growth [--plans] [URL]

An empty SQLite file is filled for each size, or the empty PostgreSQL database of the URL; each
line is a search with its median in milliseconds at each size.
"""

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, insert, text

from benchmarks.report import Measured, ratio
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import Query
from imaging_fhir.storage import migrations, search, search_index
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.schema import INDEX_TABLES, metadata, resource

SIZES = (1_000, 10_000, 100_000)
STUDIES_OF_A_PATIENT = 10
LONGEST_SECONDS = 20
BASE = "http://127.0.0.1/fhir"
MODALITIES = ("CT", "MR", "DX", "US")
SEARCHES = {
    "patient": "ImagingStudy?patient=p50",
    "patient, total": "ImagingStudy?patient=Patient/p50&_total=accurate",
    "encounter": "ImagingStudy?encounter=Encounter/e500",
    "identifier": "ImagingStudy?identifier=urn:acc|A500",
    "UID": "ImagingStudy?identifier=1.2.3.500",
    "patient, CT, range, sorted": (
        "ImagingStudy?patient=p50&modality=CT&started=ge2001&started=lt2030&_sort=-started"
    ),
    "patient.identifier": "ImagingStudy?patient.identifier=urn:mrn|M50",
    "Encounter _has CT, of a patient": (
        "Encounter?patient=p50&_has:ImagingStudy:encounter:modality=CT"
    ),
    "family": "Patient?family=family50x",
    "_lastUpdated, one stamp": "ImagingStudy?_lastUpdated=1970-01-01T00:00:00.500Z",
    "newest": "ImagingStudy?_count=20",
    "newest by started": "ImagingStudy?_sort=-started&_count=20",
    "by _lastUpdated": "ImagingStudy?_sort=_lastUpdated&_count=20",
    "a quarter: CT": "ImagingStudy?modality=CT&_count=20",
    "CT by started": "ImagingStudy?modality=CT&_sort=-started&_count=20",
    "status and not CT": "ImagingStudy?status=available&modality:not=CT&_count=20",
    "rare modality": "ImagingStudy?modality=XA&_count=20",
    "no encounter": "ImagingStudy?encounter:missing=true&_count=20",
}


def main(arguments: list[str]) -> None:
    plans = "--plans" in arguments
    urls = [argument for argument in arguments if argument != "--plans"]
    times = {name: [] for name in SEARCHES}  # type: dict[str, list[float]]
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            url = urls[0] if urls else f"sqlite:///{Path(folder)}/{size}.db"
            database = fresh(url, size)
            for name, address in SEARCHES.items():
                times[name].append(measured(database, query(address)))
                if plans and size == SIZES[-1]:
                    show_plans(database, name, query(address))
            database.close()
    print(f"{'milliseconds at':32}" + "".join(f"{size:>12,}" for size in SIZES))
    for name, found in times.items():
        print(f"{name:32}" + "".join(f"{value:12.2f}" for value in found))


def results(folder: Path, sizes: tuple[int, ...]) -> Iterator[Measured]:
    """The searches that clients do most, on SQLite, with the growth of each."""
    names = ("patient", "encounter", "identifier")
    times: dict[str, list[float]] = {name: [] for name in names}
    for size in sizes:
        database = fresh(f"sqlite:///{folder}/{size}.db", size)
        for name in names:
            times[name].append(measured(database, query(SEARCHES[name])))
        database.close()
    for name in names:
        found = [
            Measured(name=f"search by {name}, {size} studies", unit="ms", values=(value,))
            for size, value in zip(sizes, times[name], strict=True)
        ]
        yield from found
        yield ratio(f"search by {name}, {sizes[-1]} / {sizes[0]}", found[-1], found[0], "at most 2")


def query(address: str) -> Query:
    type_, _, parameters = address.partition("?")
    pairs = [tuple(pair.split("=", 1)) for pair in parameters.split("&")]
    return parse_query(type_, pairs, base=BASE, strict=True)  # type: ignore[arg-type]


def fresh(url: str, size: int) -> Database:
    migrations.upgrade(url)
    database = Database(url)
    database.write(clear)
    database.write(lambda transaction: fill(transaction, size))
    if not database.is_sqlite:
        with database.engine.connect() as connection:
            connection.execute(text("ANALYZE"))
            connection.commit()
    return database


def clear(transaction: Transaction) -> None:
    for table in reversed(metadata.sorted_tables):
        if table.name != "commit_clock":
            transaction.execute(table.delete())


def fill(transaction: Transaction, size: int) -> None:
    chance = random.Random(size)
    rows = [dict(row, rid=number) for number, row in enumerate(all_resources(size, chance), 1)]
    entries: dict[str, list[dict[str, object]]] = {table.name: [] for table in INDEX_TABLES}
    for row in rows:
        content: Resource = row.pop("content")
        for entry in index_entries(row["type"], content):
            table, values = search_index.row_of(row["type"], entry)
            columns = search_index.COLUMNS[table]
            entries[table.name].append(dict(zip(columns, values, strict=True), rid=row["rid"]))
    transaction.execute(insert(resource), rows)
    for table in INDEX_TABLES:
        if entries[table.name]:
            transaction.execute(insert(table), entries[table.name])


def all_resources(size: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(size // STUDIES_OF_A_PATIENT):
        yield row("Patient", f"p{number}", number, patient(number))
    for number in range(size):
        yield row("Encounter", f"e{number}", number, encounter(number))
    for number in range(size):
        yield row("ImagingStudy", f"1.2.3.{number}", number, study(number, chance))


def row(type_: str, id_: str, number: int, content: Resource) -> dict[str, Any]:
    return {
        "type": type_,
        "id": id_,
        "version": 1,
        "last_updated": number,
        "deleted": False,
        "body": b"x" * 2000,
        "content": content,
    }


def patient(number: int) -> Resource:
    return {
        "identifier": [{"system": "urn:mrn", "value": f"M{number}"}],
        "name": [{"family": f"Family{number}x", "given": ["Given"]}],
        "gender": "other",
        "birthDate": "1970-01-01",
    }


def encounter(number: int) -> Resource:
    return {
        "identifier": [{"system": "urn:visit", "value": f"V{number}"}],
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/p{number // STUDIES_OF_A_PATIENT}"},
        "period": {"start": "2024-01-01", "end": "2024-01-02"},
    }


def study(number: int, chance: random.Random) -> Resource:
    modality = "XA" if number % 1000 == 999 else chance.choice(MODALITIES)
    return {
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:1.2.3.{number}"},
            {"system": "urn:acc", "value": f"A{number}"},
        ],
        "status": "available",
        "modality": [{"system": "DCM", "code": modality}],
        "subject": {"reference": f"Patient/p{number // STUDIES_OF_A_PATIENT}"},
        "encounter": {"reference": f"Encounter/e{number}"},
        "started": f"20{chance.randrange(10, 25)}-0{chance.randrange(1, 10)}-11T10:20:30Z",
        "endpoint": [{"reference": "Endpoint/archive"}],
    }


def measured(database: Database, asked: Query) -> float:
    taken = []
    for _ in range(15):
        start = time.perf_counter()
        with database.read() as connection, search.limited(connection, LONGEST_SECONDS):
            search.search(connection, asked)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def show_plans(database: Database, name: str, asked: Query) -> None:
    statements: list[tuple[str, object]] = []

    def keep(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", keep)
    with database.read() as connection:
        search.search(connection, asked)
        event.remove(database.engine, "before_cursor_execute", keep)
        print(f"\n## {name}")
        for statement, parameters in statements:
            print_plan(connection, statement, parameters)


def print_plan(connection: Connection, statement: str, parameters: object) -> None:
    if statement.startswith(("SELECT", "WITH")):
        is_sqlite = connection.dialect.name == "sqlite"
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        for found in connection.exec_driver_sql(explain + statement, parameters):  # type: ignore[arg-type]
            print("  ", found[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
