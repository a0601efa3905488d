"""The audit trail of a whole service: nothing is answered or written that is not in it."""

import os
import resource as limits
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.model.audit import Event
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.services.erase import Erase
from imaging_fhir.settings import Settings
from imaging_fhir.storage import audit_chain, audit_search
from imaging_fhir.storage.audit_spool import Spool
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES

FHIR = {"Content-Type": "application/fhir+json"}
STUDY = "2.25.551"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, audit="yes")


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["imaging_fhir"]
    return found


def events(services: Services) -> list[Event]:
    """In the order in which they were appended."""
    services.audit.move()
    with services.database.read() as connection:
        return list(audit_search.between(connection, since=None, until=None))


def facts(services: Services, number: int) -> list[tuple[str, str, str | None, str | None]]:
    """Of those since then."""
    return [(one.kind, one.outcome, one.patient, one.entity) for one in events(services)[number:]]


def put(client: FlaskClient, type_: str, id_: str, **content: object) -> None:
    body = {"resourceType": type_, "id": id_, **content}
    assert client.put(f"/fhir/{type_}/{id_}", json=body, headers=FHIR).status_code in (200, 201)


@pytest.fixture
def study(client: FlaskClient) -> FlaskClient:
    """Ann, whose study of one image and whose photo are here, and Bob."""
    number = [{"system": "urn:h", "value": "1"}]
    put(client, "Patient", "ann", identifier=number, name=[{"family": "Moss"}])
    put(client, "Patient", "bob", name=[{"family": "Moss"}])
    image = ct_instance(StudyInstanceUID=STUDY, PatientID="1", PatientName="Moss")
    answer = client.post("/fhir/$import-image?patient=Patient/ann", data=image)
    assert answer.status_code == 200, answer.text
    photo = client.post("/fhir/$import-image?patient=Patient/ann", data=SAMPLES["image/jpeg"]())
    assert photo.status_code == 200, photo.text
    return client


def test_each_write_is_in_its_own_transaction(study: FlaskClient, services: Services) -> None:
    with services.database.read() as connection:  # nothing is moved from the spool before
        written = list(audit_search.between(connection, since=None, until=None))
    told = {(one.kind, one.patient, (one.entity or "").partition("/")[0]) for one in written}
    assert {
        ("create", "ann", "Patient"),
        ("create", "bob", "Patient"),
        ("create", "ann", "ImagingStudy"),
        ("create", "ann", "DocumentReference"),
    } <= told
    assert {one.address for one in written if one.patient} == {"127.0.0.1"}
    number = len(events(services))
    put(study, "Patient", "bob", active=True)
    put(study, "Encounter", "v", status="planned", **{"class": {"code": "AMB"}}, subject=ref("bob"))
    study.delete("/fhir/Encounter/v")
    assert facts(services, number) == [
        ("update", "0", "bob", "Patient/bob"),
        ("create", "0", "bob", "Encounter/v"),
        ("delete", "0", "bob", "Encounter/v"),
    ]


def ref(patient: str) -> dict[str, str]:
    return {"reference": f"Patient/{patient}"}


def test_a_write_that_changes_nothing_or_is_refused_is_told_too(
    study: FlaskClient, services: Services
) -> None:
    number = len(events(services))
    study.delete("/fhir/Encounter/nobody")
    study.put("/fhir/Patient/bob", json={"resourceType": "Patient", "id": "x"}, headers=FHIR)
    study.post("/fhir/Patient", data=b"{", headers=FHIR)
    assert facts(services, number) == [
        ("delete", "0", None, "Encounter/nobody"),
        ("update", "4", "bob", "Patient/bob"),
        ("create", "4", None, None),
    ]


def read_instance(client: FlaskClient) -> str:
    instance = json_of(client.get(f"/dicomweb/studies/{STUDY}/instances"))[0]
    series, image = instance["0020000E"]["Value"][0], instance["00080018"]["Value"][0]
    return f"/dicomweb/studies/{STUDY}/series/{series}/instances/{image}"


def test_what_is_read_is_told_with_whose_it_is(study: FlaskClient, services: Services) -> None:
    imaging_study = f"ImagingStudy/{STUDY}"
    [document] = json_of(study.get("/fhir/DocumentReference?patient=ann"))["entry"]
    photo = document["resource"]["content"][0]["attachment"]["url"].partition("/fhir/")[2]
    instance = read_instance(study)
    for address, kind, patient, entity in (
        ("/fhir/Patient/ann", "read", "ann", "Patient/ann"),
        ("/fhir/Patient/ann?_pretty=true", "read", "ann", "Patient/ann"),
        (f"/fhir/{imaging_study}", "read", "ann", imaging_study),
        ("/fhir/Patient/ann/_history/1", "vread", "ann", "Patient/ann"),
        ("/fhir/Patient/ann/_history", "history", "ann", "Patient/ann"),
        (f"/fhir/{photo}", "read", "ann", photo),
        (f"/fhir/{photo}/$thumbnail", "retrieve", "ann", photo),
        ("/fhir/ImagingStudy?patient=ann", "search", "ann", None),
        ("/fhir/Patient/ann/ImagingStudy", "search", "ann", "Patient/ann"),
        ("/fhir/Patient/ann/$everything", "export", "ann", "Patient/ann"),
        ("/dicomweb/studies", "search", "ann", imaging_study),
        (f"/dicomweb/studies/{STUDY}", "retrieve", "ann", imaging_study),
        (f"/dicomweb/studies/{STUDY}/metadata", "retrieve", "ann", imaging_study),
        (instance, "retrieve", "ann", imaging_study),
        (f"{instance}/rendered", "retrieve", "ann", imaging_study),
        (f"{instance}/frames/1", "retrieve", "ann", imaging_study),
        ("/chart/patients/ann", "view", "ann", "Patient/ann"),
        (f"/chart/studies/{STUDY}", "view", "ann", imaging_study),
        ("/fhir/metadata", "", None, None),
        ("/healthz", "", None, None),
    ):
        number = len(events(services))
        answer = study.get(address)
        assert (answer.status_code, bool(answer.data)) == (200, True), address
        told = facts(services, number)
        assert told == ([(kind, "0", patient, entity)] if kind else []), address


def test_a_search_is_told_of_for_each_patient_it_found(
    study: FlaskClient, services: Services
) -> None:
    number = len(events(services))
    assert json_of(study.get("/fhir/Patient?family=Moss"))["entry"]
    found = events(services)[number:]
    assert {one.patient for one in found} == {"ann", "bob"}
    assert {one.query for one in found} == {"/fhir/Patient?family=Moss"}
    assert len({one.request for one in found}) == 1


def test_failures_and_refusals_are_told(study: FlaskClient, services: Services) -> None:
    number = len(events(services))
    assert study.get("/fhir/Patient/nobody").status_code == 404
    assert study.get("/fhir/Patient/ann", headers={"Host": "evil.example"}).status_code == 403
    assert study.get("/nowhere", headers={"Host": "evil.example"}).status_code == 403
    assert facts(services, number) == [
        ("read", "4", None, "Patient/nobody"),
        ("refusal", "4", "ann", "Patient/ann"),
        ("refusal", "4", None, None),
    ]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("patient=ann", 3),
        ("patient=Patient/bob", 2),
        ("entity=Patient/ann", 3),
        ("action=R", 2),
        ("action=E", 2),
        ("action:not=E", 4),
        ("outcome=4", 1),
        ("outcome=http://hl7.org/fhir/audit-event-outcome|0", 5),
        ("type=rest", 6),
        ("type=http://x|rest", 0),
        ("subtype=read", 2),
        ("subtype=http://hl7.org/fhir/restful-interaction|search", 2),
        ("agent-name=caller at", 6),
        ("agent-name:exact=caller at", 0),
        ("agent-name:contains=127", 6),
        ("address=127.0.0.1", 6),
        ("agent=Practitioner/x", 0),
        ("agent-role=clinician", 0),
        ("altid=x", 0),
        ("entity-type=1", 5),
        ("entity-role=24", 2),
        ("site=x", 0),
        ("site:missing=true", 6),
        ("patient:missing=true", 1),
        ("date=gt2020-01-01", 6),
        ("date=lt2020-01-01", 0),
        ("patient=ann&action=R", 1),
        ("_summary=count", 6),
    ],
)
def test_the_trail_is_searched(
    client: FlaskClient, services: Services, query: str, number: int
) -> None:
    address = f"/fhir/AuditEvent?_total=accurate&{query}"
    spool, services.audit.spool = services.audit.spool, None
    at_start = json_of(client.get(address))["total"]  # what was written when it started
    services.audit.spool = spool
    put(client, "Patient", "ann", name=[{"family": "Moss"}])
    put(client, "Patient", "bob", name=[{"family": "Moss"}])
    for one in ("Patient/ann", "Patient/nobody", "Patient?family=Moss"):
        client.get(f"/fhir/{one}")
    services.audit.move()
    services.audit.spool = None
    assert json_of(client.get(address))["total"] - at_start == number


def test_the_trail_is_paged_in_both_directions(client: FlaskClient, services: Services) -> None:
    for number in range(5):
        put(client, "Patient", f"p{number}")
    for order, expected in (("-date", [4, 3, 2, 1, 0]), ("date", [0, 1, 2, 3, 4])):
        query = f"action=C&patient:missing=false&_count=2&_sort={order}"
        address = f"/fhir/AuditEvent?{query}"
        found: list[str] = []
        while address:
            page = json_of(client.get(address))
            found += [one["resource"]["entity"][0]["what"]["reference"] for one in page["entry"]]
            links = {one["relation"]: one["url"] for one in page["link"]}
            address = links.get("next", "").partition("https://images.example")[2]
        assert found == [f"Patient/p{number}" for number in expected]


@pytest.mark.parametrize(
    "query",
    ["_sort=patient", "patient.name=x", "_include=AuditEvent:patient", "type:text=x", "_page=x"],
)
def test_what_is_not_searched_by_here_is_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/fhir/AuditEvent?{query}").status_code == 400


@pytest.mark.parametrize(
    "query", ["_has:AuditEvent:entity:action=R", "_revinclude=AuditEvent:patient"]
)
def test_other_searches_do_not_reach_the_trail(client: FlaskClient, query: str) -> None:
    assert client.get(f"/fhir/Patient?{query}").status_code == 400


@contextmanager
def full_disk(spool: Spool) -> Iterator[None]:
    """The kernel says ENOSPC to every write."""
    assert spool.path is not None
    kept = spool.descriptor
    spool.descriptor = os.open("/dev/full", os.O_WRONLY | os.O_APPEND)
    try:
        yield
    finally:
        os.close(spool.descriptor)
        spool.descriptor = kept


def test_where_the_trail_cannot_be_written_nothing_is_answered(
    study: FlaskClient, services: Services
) -> None:
    spool = services.audit.spool
    assert spool is not None
    study.get("/fhir/Patient/ann")
    number = len(events(services))
    addresses = (
        "/fhir/Patient/ann",
        "/fhir/Patient?family=Moss",
        f"/dicomweb/studies/{STUDY}",
        "/chart/patients/ann",
    )
    with full_disk(spool):
        for address in addresses:
            answer = study.get(address)
            assert answer.status_code == 503, address
            assert answer.headers["Retry-After"]
            assert b"Moss" not in answer.data
    for address in addresses:
        answer = study.get(address)
        assert (answer.status_code, bool(answer.data)) == (200, True)
    told = events(services)[number:]
    assert {one.status for one in told} == {200}


def test_a_line_that_was_cut_off_is_refused_and_spoils_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path, sync=True)
    spool.add(b"[1]\n")
    assert spool.path is not None
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (8, hard))
    try:
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                spool.add(b"[2, 2, 2]\n")
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
    spool.add(b"[3]\n")
    assert spool.path.read_bytes() == b"[1]\n[2, \n[3]\n"
    spool.close()


def test_what_a_process_left_behind_is_moved_by_the_next(
    study: FlaskClient, services: Services, settings: Settings
) -> None:
    number = len(events(services))
    assert study.get("/fhir/Patient/ann").status_code == 200
    spool = services.audit.spool
    assert spool is not None
    assert spool.path is not None
    left = spool.path
    other = build_services(settings)
    other.audit.move()
    assert facts(other, number) == []
    spool.close()  # as the end of the process does
    assert facts(other, number) == [("read", "0", "ann", "Patient/ann")]
    assert facts(other, number) == [("read", "0", "ann", "Patient/ann")]
    assert not left.exists()
    other.close()


def test_a_large_spool_is_given_up_once_it_is_moved(
    study: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imaging_fhir.storage.audit_spool.LARGEST", 1)
    number = len(events(services))
    for _ in range(3):
        assert study.get("/fhir/Patient/ann").status_code == 200
        services.audit.move()
    assert facts(services, number) == [("read", "0", "ann", "Patient/ann")] * 3
    assert list((services.settings.data_dir / "audit-spool").iterdir()) == []


def test_after_an_erasure_the_trail_holds_and_names_nobody(
    study: FlaskClient, services: Services
) -> None:
    study.get("/fhir/Patient/ann")
    study.get("/fhir/Patient?_id=ann,bob")
    events(services)
    services.audit.seal()
    study.get("/fhir/Patient/ann")  # spooled, and moved only after the erasure
    Erase(database=services.database, store=services.blobs).patient("ann")
    found = events(services)
    services.audit.seal()
    assert "ann" not in {one.patient for one in found}
    assert not any("ann" in name for one in found for name in (*one.names, one.query or ""))
    assert "bob" in {one.patient for one in found}
    with services.database.read() as connection:
        verified = audit_chain.verify(connection)
    assert (verified.faults, verified.unsealed) == ((), 0)
    assert verified.erased > 0


@pytest.mark.parametrize("audit", ["no", "auto"])
def test_an_open_server_keeps_no_trail_unless_told_to(settings: Settings, audit: str) -> None:
    services = build_services(replace(settings, audit=audit))
    client = app_of(services).test_client()
    put(client, "Patient", "ann")
    client.get("/fhir/Patient/ann")
    assert events(services) == []
    assert not (settings.data_dir / "audit-spool").exists()
    services.close()
