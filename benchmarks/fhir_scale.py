"""The FHIR API with few and many studies: how long what clients ask most takes, and its growth.

Both servers run at once, and each round asks the one and then the other: what else the machine
does weighs on both. Answers are of one size at both, and each is about another patient.
"""

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.population import (
    ACCESSIONS,
    MARK,
    NUMBERS,
    STUDIES,
    VISIT_NUMBERS,
    multiply,
    patient_id,
    started,
    study_uid,
    write_first,
)
from benchmarks.report import Measured, ratio
from benchmarks.sender import TIMEOUT_SECONDS, Connection
from benchmarks.servers import HOST, Server, ours
from benchmarks.statements import counted_statements

POSTGRESQL = "IMAGING_FHIR_TEST_POSTGRESQL_URL"
CLIENTS = (1, 16)
JSON = "application/fhir+json"

Asked = Callable[[int], str]  # the n-th patient -> path and query
ASKED: dict[str, Asked] = {
    "read of a Patient": lambda n: f"Patient/{patient_id(n)}",
    "read of an ImagingStudy": lambda n: f"ImagingStudy/{study_uid(n, 1)}",
    "patient= and _include": lambda n: (
        f"ImagingStudy?patient={patient_id(n)}"
        "&_include=ImagingStudy:patient&_include=ImagingStudy:encounter"
    ),
    "chained: patient.identifier": lambda n: (
        f"ImagingStudy?patient.identifier={NUMBERS}|M{MARK + n}"
    ),
    "chained twice: encounter.patient.identifier": lambda n: (
        f"ImagingStudy?encounter.patient.identifier={NUMBERS}|M{MARK + n}"
    ),
    "_has: patients by accession number": lambda n: (
        f"Patient?_has:ImagingStudy:patient:identifier={ACCESSIONS}|A{MARK + n}-2"
    ),
    "_has: visits of a patient with a CT": lambda n: (
        f"Encounter?patient={patient_id(n)}&_has:ImagingStudy:encounter:modality=CT"
    ),
    "range of started, sorted": lambda n: (
        f"ImagingStudy?started=ge{started(n):%Y-%m-%dT%H:%M:%SZ}"
        f"&started=lt{started(n + 4):%Y-%m-%dT%H:%M:%SZ}&_sort=-started&_count=20"
    ),
    "newest 20 by started": lambda n: "ImagingStudy?_sort=-started&_count=20",
    "Patient/$everything": lambda n: f"Patient/{patient_id(n)}/$everything",
}
TRANSACTION = "transaction of"


@dataclass(frozen=True, slots=True)
class Filled:
    """A server with so many patients."""

    server: Server
    patients: int
    database_url: str

    @property
    def studies(self) -> int:
        return self.patients * STUDIES

    @property
    def host(self) -> str:
        return f"{HOST}:{self.server.port}"


@dataclass(slots=True)
class Timed:
    """What each answer took, in milliseconds, and answers a second."""

    taken: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        return sorted(self.taken)[min(len(self.taken) - 1, len(self.taken) * percent // 100)]


def results(
    root: Path, *, sizes: Sequence[int], seconds: float, rounds: int, entries: int
) -> Iterator[Measured]:
    """On SQLite, and on PostgreSQL where its address is in the environment."""
    for engine, databases in engines(root):
        with ExitStack() as stack:
            filled = []
            for size in sizes:
                url = stack.enter_context(databases(size))
                folder = root / f"{engine}-{size}"
                folder.mkdir()
                filled.append(stack.enter_context(serving(folder, url, size // STUDIES)))
            yield from measured(engine, filled, seconds, rounds, entries)


def engines(root: Path) -> Iterator[tuple[str, Callable[[int], Any]]]:
    yield "SQLite", partial(sqlite_database, root)
    if POSTGRESQL in os.environ:
        yield "PostgreSQL", postgresql_database


@contextmanager
def sqlite_database(root: Path, size: int) -> Iterator[str]:
    yield f"sqlite:///{root}/{size}.db"


@contextmanager
def postgresql_database(size: int) -> Iterator[str]:
    server, name = os.environ[POSTGRESQL], f"benchmark_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield f"{server.replace('postgresql:', 'postgresql+psycopg:').rpartition('/')[0]}/{name}"
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def serving(folder: Path, url: str, patients: int) -> Iterator[Filled]:
    begun = time.perf_counter()
    with ours(folder, database_url=url) as server:
        write_first(server)
    rows = multiply(url, patients)
    say(f"{patients * STUDIES} studies, {rows} index rows in {time.perf_counter() - begun:.0f} s")
    with ours(folder, database_url=url) as server:
        yield Filled(server, patients, url)


def say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def measured(
    engine: str, filled: Sequence[Filled], seconds: float, rounds: int, entries: int
) -> Iterator[Measured]:
    for name, asked in ASKED.items():
        yield from compared(
            f"{engine}: {name}",
            filled,
            partial(read_again_and_again, asked=asked, seconds=seconds),
            rounds,
        )
        counts = counted_statements(
            filled[-1].database_url, filled[-1].server.folder, f"/fhir/{asked(1)}"
        )
        yield Measured(name=f"{engine}: {name}", unit="statements", values=(counts,))
    name = f"{engine}: {TRANSACTION} {entries}"
    yield from compared(name, filled, partial(transact, entries=entries), 1)


Work = Callable[[Filled, Connection, random.Random], list[float]]


def compared(name: str, filled: Sequence[Filled], work: Work, rounds: int) -> Iterator[Measured]:
    """Small and large in turns; with one client their growth is told."""
    for clients in CLIENTS:
        timed = [Timed() for _ in filled]
        for _ in range(rounds):
            for one, times in zip(filled, timed, strict=True):
                at_once(one, clients, work, times)
        label = f"{name}, clients: {clients}"
        medians = []
        for one, times in zip(filled, timed, strict=True):
            of_size = f"{label}, {one.studies} studies"
            medians.append(
                Measured(name=of_size, unit="ms", values=(statistics.median(times.taken),))
            )
            yield medians[-1]
            yield Measured(name=f"{of_size}, p99", unit="ms", values=(times.percentile(99),))
            yield Measured(name=of_size, unit="answers/s", values=tuple(times.rates))
        if len(filled) > 1:
            growth = f"{label}, {filled[-1].studies} / {filled[0].studies}"
            yield ratio(growth, medians[-1], medians[0], "at most 2")


def at_once(filled: Filled, clients: int, work: Work, timed: Timed) -> None:
    """So many client processes, each with a connection that it keeps."""
    context = get_context("fork")
    ready, answers = context.Barrier(clients), context.SimpleQueue()
    processes = [
        context.Process(target=client, args=(filled, work, number, ready, answers))
        for number in range(clients)
    ]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    for one in found:
        if isinstance(one, str):
            raise RuntimeError(one)
    timed.taken += [time for one in found for time in one]
    timed.rates.append(sum(1000 * len(one) / sum(one) for one in found))


def client(filled: Filled, work: Work, number: int, ready, answers) -> None:  # type: ignore[no-untyped-def]
    chance = random.Random(f"{number} {time.time_ns()}")
    connection = Connection(HOST, filled.server.port)
    try:
        ready.wait(TIMEOUT_SECONDS)
        answers.put(work(filled, connection, chance))
    except Exception as error:
        answers.put(repr(error))
    finally:
        connection.close()


def read_again_and_again(
    filled: Filled, connection: Connection, chance: random.Random, *, asked: Asked, seconds: float
) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        path = f"/fhir/{asked(chance.randrange(filled.patients - 4))}"
        begun = time.perf_counter()
        connection.get(path, filled.host)
        taken.append(1000 * (time.perf_counter() - begun))
    return taken


def transact(
    filled: Filled, connection: Connection, chance: random.Random, *, entries: int
) -> list[float]:
    body = json.dumps(transaction(entries, chance)).encode()
    begun = time.perf_counter()
    answer = connection.post("/fhir", filled.host, JSON, body)
    taken = 1000 * (time.perf_counter() - begun)
    statuses = [entry["response"]["status"][:3] for entry in json.loads(answer)["entry"]]
    assert statuses == ["201"] * entries
    return [taken]


def transaction(entries: int, chance: random.Random) -> dict[str, object]:
    """A patient, a visit, then observations of both, all by urn:uuid."""
    number = chance.randrange(10**12)
    patient, encounter = f"urn:uuid:{uuid4()}", f"urn:uuid:{uuid4()}"
    subject = {"reference": patient}
    resources: list[Mapping[str, object]] = [
        {
            "resourceType": "Patient",
            "identifier": [{"system": NUMBERS, "value": f"T{number}"}],
            "name": [{"family": f"Transacted{number}"}],
        },
        {
            "resourceType": "Encounter",
            "identifier": [{"system": VISIT_NUMBERS, "value": f"T{number}"}],
            "status": "finished",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB",
            },
            "subject": subject,
        },
        *(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                "subject": subject,
                "encounter": {"reference": encounter},
                "effectiveDateTime": f"2024-03-05T10:{one % 60:02}:00Z",
                "valueQuantity": {
                    "value": 60 + one % 40,
                    "unit": "/min",
                    "system": "http://unitsofmeasure.org",
                    "code": "/min",
                },
            }
            for one in range(entries - 2)
        ),
    ]
    addresses = [patient, encounter, *(f"urn:uuid:{uuid4()}" for _ in range(entries - 2))]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": address,
                "resource": resource,
                "request": {"method": "POST", "url": resource["resourceType"]},
            }
            for address, resource in zip(addresses, resources, strict=True)
        ],
    }
