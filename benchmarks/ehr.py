"""With an EHR as the master: the cost of a cached look-up, and the rate while the EHR is away."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.ingest import STUDY_NUMBERS
from benchmarks.instances import HEADER, patient_id
from benchmarks.report import Measured, ratio
from benchmarks.sender import numbered, send_all
from benchmarks.servers import HOST, Server, free_port, ours
from imaging_fhir.app import build_services
from imaging_fhir.model.person import IssuedId, Issuer, Person
from imaging_fhir.model.study import LocalDateTime
from imaging_fhir.services.evidence import Evidence
from imaging_fhir.settings import DEFAULT_SOURCE, Settings

REDIS = "IMAGING_FHIR_TEST_REDIS_URL"
NUMBERS = "urn:oid:1.2.3.4"
PER_STUDY = 10
SITE = f'[issuers]\n{HEADER["IssuerOfPatientID"]} = "{NUMBERS}"\n'


def results(root: Path, *, look_ups: int, burst: int, rounds: int) -> Iterator[Measured]:
    """Up and away take turns: one server's EHR answers, nobody listens at the other's."""
    site = root / "site.toml"
    site.write_text(SITE)
    with ExitStack() as stack:
        ehr = stack.enter_context(ours(root / "ehr"))
        studies = range(first := next(STUDY_NUMBERS), first + 1 + 2 * rounds * burst // PER_STUDY)
        for study in studies:
            write_patient(ehr, study)
        base = f"http://{HOST}:{ehr.port}/fhir"
        for name, redis_url in caches():
            yield look_up(root / name, name, base, redis_url, site, first, look_ups)
        rates: dict[str, list[float]] = {}
        servers = {
            name: stack.enter_context(
                ours(
                    root / name,
                    IMAGING_FHIR_EHR_URL=address,
                    IMAGING_FHIR_SITE_FILE=str(site),
                )
            )
            for name, address in (("up", base), ("away", f"http://{HOST}:{free_port()}/fhir"))
        }
        for one in range(rounds):
            for name, server in servers.items():
                begin = first + 1 + one * burst // PER_STUDY
                door = replace(server.stow, answers=200 if name == "up" else 202)
                seconds = send_all(door, numbered(begin, burst, PER_STUDY), 4)
                rates.setdefault(name, []).append(burst / seconds)
    up, away = (
        Measured(name=f"ours: STOW-RS, the EHR is {name}", unit="instances/s", values=tuple(found))
        for name, found in rates.items()
    )
    yield from (up, away, ratio("the EHR is away / up", away, up, "at least 0.9"))


def write_patient(ehr: Server, study: int) -> None:
    number = patient_id(study)
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": NUMBERS, "value": number}],
        "name": [{"family": "Bench", "given": ["Mark", "A"]}],
        "birthDate": "1961-02-03",
    }
    ehr.post("/fhir/Patient", "application/fhir+json", json.dumps(patient).encode())


def caches() -> Iterator[tuple[str, str]]:
    yield "memory", ""
    if REDIS in os.environ:
        yield "Redis", os.environ[REDIS]


def look_up(
    folder: Path, name: str, base: str, redis_url: str, site: Path, study: int, count: int
) -> Measured:
    services = build_services(
        Settings(
            data_dir=folder,
            database_url=f"sqlite:///{folder}.db",
            ehr_url=base,
            redis_url=redis_url,
            site_file=site,
        )
    )
    assert services.ehr is not None
    evidence = Evidence(
        person=Person(
            identifiers=(
                IssuedId(
                    value=patient_id(study),
                    issuer=Issuer(local_namespace_entity_id=HEADER["IssuerOfPatientID"]),
                ),
            )
        ),
        started=LocalDateTime(date=HEADER["StudyDate"], time="10:15:30"),
        source=DEFAULT_SOURCE,
    )
    try:
        taken = []
        for _ in range(1 + count):
            begun = time.perf_counter()
            word = services.ehr.look_up.word(evidence)
            taken.append(1000 * (time.perf_counter() - begun))
            assert word is not None
            assert word.answered
    finally:
        services.close()
    return Measured(
        name=f"cached look-up, {name}", unit="ms", values=tuple(taken[1:]), target="under 1"
    )
