"""Two instances: one is the EHR, the other takes in images. The EHR is stopped and killed."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_samples import ROOT, ct_instance
from tests.e2e.conftest import StartServer
from tests.e2e.server import FHIR_JSON, Server, free_port, import_statuses
from tests.house import HOSPITAL, VISITS, issued_by
from tests.odd_ehr import OddEhr

JANE: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "jane",
    "identifier": [{"system": HOSPITAL, "value": "4711"}],
    "name": [{"family": "Roe", "given": ["Jane"]}],
    "birthDate": "1975-03-14",
    "gender": "female",
}
VISIT: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "v1",
    "identifier": [{"system": VISITS, "value": "V-1"}],
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "subject": {"reference": "Patient/jane"},
    "period": {"start": "2026-03-14T08:00:00+01:00", "end": "2026-03-14T12:00:00+01:00"},
}


INSTANCES = pytest.mark.parametrize(
    "instances", [80, pytest.param(500, marks=pytest.mark.long)], ids=str
)


def put(server: Server, resource: dict[str, Any]) -> int:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    headers = {"Content-Type": FHIR_JSON}
    return server.request("PUT", path, json.dumps(resource).encode(), headers).status


def image(study: int, number: int = 1, patient: str = "4711") -> bytes:
    uid = f"{ROOT}.{study}"
    return ct_instance(
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.{number}",
        InstanceNumber=number,
        PatientID=patient,
        IssuerOfPatientIDQualifiersSequence=issued_by(HOSPITAL),
        AccessionNumber=None,
    )


def send(server: Server, *images: bytes) -> list[int]:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(server.import_image, images))
    return [status for answer in answers for status in import_statuses(answer)]


def wait_until(reached: Callable[[], bool], seconds: float = 90) -> None:
    latest = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < latest, "it was not reached in time"
        time.sleep(0.3)


def total(server: Server, query: str) -> int:
    return int(server.fhir(f"{query}&_summary=count")["total"])


def test_images_are_filed_by_what_another_instance_knows(start_server: StartServer) -> None:
    ehr = start_server()
    assert put(ehr, JANE) == 201
    assert put(ehr, VISIT) == 201
    server = start_server(ehr_url=ehr.base, ehr_sync="1", time_zone="Europe/Berlin")
    assert send(server, image(1), image(1, 2), image(2)) == [201, 201, 201]
    found = server.fhir("ImagingStudy?patient=jane&_include=ImagingStudy:encounter")
    kinds = sorted(entry["resource"]["resourceType"] for entry in found["entry"])
    assert kinds == ["Encounter", "ImagingStudy", "ImagingStudy"]
    assert total(server, "ImagingStudy?patient.identifier=4711") == 2
    copy = server.fhir("Patient/jane")
    assert copy["meta"]["source"] == f"{ehr.base}/Patient/jane"
    refused = server.request(
        "PUT", "/fhir/Patient/jane", json.dumps(JANE).encode(), {"Content-Type": FHIR_JSON}
    )
    assert refused.status == 405
    assert "change it there" in refused.json()["issue"][0]["diagnostics"]

    # a merge at the EHR, followed by its change alone
    put(ehr, {**JANE, "id": "jane2", "identifier": [{"system": HOSPITAL, "value": "4712"}]})
    assert send(server, image(3, patient="4712")) == [201]
    replaced = [{"other": {"reference": "Patient/jane2"}, "type": "replaced-by"}]
    assert put(ehr, {**JANE, "active": False, "link": replaced}) == 200
    wait_until(lambda: total(server, "ImagingStudy?subject=Patient/jane2") == 3)


@INSTANCES
def test_an_ehr_that_is_killed_in_the_middle_costs_no_image(
    start_server: StartServer, instances: int
) -> None:
    """Two of each study; it is away for the second half, and comes back to all that wait."""
    ehr = start_server()
    put(ehr, JANE)
    put(ehr, VISIT)
    server = start_server(
        ehr_url=ehr.base,
        ehr_confirm_seconds="1",
        ehr_copy_seconds="1",
        time_zone="Europe/Berlin",
    )
    studies, half = instances // 2, instances // 2
    images = [image(study, number) for study in range(1, studies + 1) for number in (1, 2)]
    before = send(server, *images[: half // 2])
    assert set(before) == {201}
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, server, *images[half // 2 : half])
        wait_until(lambda: total(server, "ImagingStudy?") > half // 4 or sending.done())
        ehr.kill()
        meanwhile = sending.result()
    time.sleep(1.5)  # no copy is fresh enough any more
    during = send(server, *images[half:], *images[:4])
    assert set(meanwhile) <= {200, 201, 202}
    assert set(during) <= {200, 201, 202}
    assert 202 in during
    ehr.start()
    seconds = 90 + instances
    wait_until(lambda: total(server, "ImagingStudy?encounter=v1") == studies, seconds)
    wait_until(lambda: total(server, "ImagingStudy?_tag=unconfirmed") == 0, seconds)
    assert total(server, "ImagingStudy?patient=jane") == total(server, "ImagingStudy?") == studies
    assert total(server, "Task?status=requested") == 0
    assert total(server, "Patient?_id=jane") == total(server, "Patient?") == 1
    counts = [
        entry["resource"]["numberOfInstances"]
        for entry in server.fhir("ImagingStudy?patient=jane&_count=1000")["entry"]
    ]
    assert counts == [2] * studies


MODES = ("well", "slow", "error", "rubbish", "hang", "outcome", "huge", "stopped")


@pytest.fixture
def odd_ehr() -> Iterator[OddEhr]:
    ehr = OddEhr().start()
    yield ehr
    ehr.stop()


@INSTANCES
def test_an_ehr_that_fails_in_every_way_costs_no_image(
    start_server: StartServer, odd_ehr: OddEhr, instances: int
) -> None:
    """Slowed, answering errors and rubbish, hanging, stopped: while images come in.

    Each patient has two images in two studies, the second when the EHR does otherwise.
    """
    numbers = [str(number) for number in range(1000, 1000 + instances // 2)]
    for number in numbers:
        odd_ehr.put(
            {**JANE, "id": f"p{number}", "identifier": [{"system": HOSPITAL, "value": number}]}
        )
    server = start_server(
        ehr_url=odd_ehr.base, ehr_copy_seconds="1", ehr_timeout="1", time_zone="Europe/Berlin"
    )
    images = [(f"{number}{visit}", number) for visit in (1, 2) for number in numbers]
    size = -(-len(images) // len(MODES))
    statuses: list[int] = []
    for mode, start in zip(MODES, range(0, len(images), size), strict=True):
        odd_ehr.mode = mode if mode not in ("slow", "stopped") else "well"
        odd_ehr.seconds = 0.4 if mode == "slow" else 0.0
        if mode == "stopped":
            odd_ehr.stop()
        some = images[start : start + size]
        statuses += send(server, *(image(int(study), 1, number) for study, number in some))
    assert len(statuses) == instances
    assert set(statuses) == {201, 202}
    odd_ehr.seconds = 0.05
    odd_ehr.start()
    seconds = 90 + instances
    wait_until(lambda: total(server, "ImagingStudy?") == instances, seconds)
    wait_until(lambda: total(server, "Task?status=requested") == 0, seconds)
    for study, number in images:
        found = server.fhir(f"ImagingStudy/{ROOT}.{study}")
        assert found["subject"]["reference"] == f"Patient/p{number}"
        assert found["numberOfInstances"] == 1
    assert total(server, "Patient?") == len(numbers)


def test_redis_that_is_killed_and_restarted_is_not_noticed(
    start_server: StartServer, odd_ehr: OddEhr, tmp_path: Path
) -> None:

    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for number in range(100, 108):
        odd_ehr.put(
            {**JANE, "id": f"p{number}", "identifier": [{"system": HOSPITAL, "value": str(number)}]}
        )
    server = start_server(
        ehr_url=odd_ehr.base,
        redis_url=f"redis://127.0.0.1:{port}",
        time_zone="Europe/Berlin",
        ehr_timeout="20",
    )
    try:
        statuses = []
        for start in range(0, 120, 40):
            images = [image(n, 1, str(100 + n % 8)) for n in range(start, start + 40)]
            with ThreadPoolExecutor(1) as pool:
                sending = pool.submit(send, server, *images)
                time.sleep(0.2)
                redis.kill()
                redis.wait()
                time.sleep(0.3)
                redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                statuses += sending.result()
    finally:
        redis.kill()
        redis.wait()
    assert set(statuses) == {201}
    for number in range(100, 108):
        assert total(server, f"ImagingStudy?patient=p{number}") == 15


def test_of_all_processes_one_asks_for_a_patient(
    start_server: StartServer, odd_ehr: OddEhr, redis_url: str
) -> None:
    odd_ehr.put(JANE)
    odd_ehr.put(VISIT)
    odd_ehr.seconds = 0.1
    server = start_server(
        ehr_url=odd_ehr.base, redis_url=redis_url, time_zone="Europe/Berlin", ehr_timeout="30"
    )
    assert set(send(server, *(image(number) for number in range(1, 41)))) == {201}
    assert len(odd_ehr.searches_for("Patient")) == 1
    assert len(odd_ehr.searches_for("Encounter")) == 1


def test_of_two_servers_on_one_database_one_asks_for_a_patient(
    start_server: StartServer, odd_ehr: OddEhr, redis_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    """However many images of the patient come to both at once."""
    odd_ehr.put(JANE)
    odd_ehr.put(VISIT)
    odd_ehr.seconds = 0.3
    servers = [
        start_server(
            ehr_url=odd_ehr.base,
            redis_url=redis_url,
            database_url=postgresql_url,
            blob_url=f"file://{tmp_path}/blobs",
            time_zone="Europe/Berlin",
            ehr_timeout="30",
        )
        for _ in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        sent = [
            pool.submit(send, server, *(image(number) for number in range(start, 41, 2)))
            for start, server in enumerate(servers, start=1)
        ]
        assert {status for one in sent for status in one.result()} == {201}
    assert len(odd_ehr.searches_for("Patient")) == 1
    assert len(odd_ehr.searches_for("Encounter")) == 1
    assert [total(server, "ImagingStudy?encounter=v1") for server in servers] == [40, 40]
