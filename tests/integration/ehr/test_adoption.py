"""A site that has lived without an EHR goes over to one."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.cli import main
from imaging_fhir.cli_adoption import adoption_of
from imaging_fhir.ehr.deadline import Deadline
from imaging_fhir.services.adoption_plan import CAUSES as ALL_CAUSES
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.house import HOSPITAL, ORDERS, VISITS, issued_by
from tests.integration.ehr.clinic import JANE, Clinic, ct, open_clinic, order, visit
from tests.odd_ehr import OddEhr
from tests.samples import SAMPLES

OTHER = "urn:oid:1.2.9"
LOCAL = {
    "jane": ({}, ["4711"]),
    "same": ({}, ["1"]),
    "unknown": ({}, ["2"]),
    "nameless": ({}, []),
    "twice": ({}, ["3", "4"]),
    "differs": ({"birthDate": "1950-01-01"}, ["5"]),
    "taken": ({}, ["6"]),
    "somebody": ({}, ["7"]),
    "old": ({}, ["8"]),
}
CAUSES = {
    "jane": ("moved", "e-jane"),
    "same": ("same-id", "same"),
    "unknown": ("unknown", None),
    "nameless": ("no-identifier", None),
    "twice": ("ambiguous", None),
    "differs": ("demographics-disagree", "e-differs"),
    "taken": ("id-taken", "somebody"),
    "somebody": ("unknown", None),
    "old": ("moved", "e-new"),
}


def known_to(ehr: OddEhr) -> None:
    """The EHR: other ids, one merge, and a number that is somebody else's id here."""
    ehr.patient("e-jane", "4711", system=HOSPITAL, **JANE)
    ehr.patient("same", "1", system=HOSPITAL, **JANE)
    ehr.patient("e-three", "3", system=HOSPITAL, **JANE)
    ehr.patient("e-four", "4", system=HOSPITAL, **JANE)
    ehr.patient("e-differs", "5", system=HOSPITAL, **JANE)
    ehr.patient("somebody", "6", system=HOSPITAL, **JANE)
    replaced = [{"other": {"reference": f"{ehr.base}/Patient/e-new"}, "type": "replaced-by"}]
    ehr.patient("e-old", "8", system=HOSPITAL, link=replaced, **JANE)
    ehr.patient("e-new", "9", system=HOSPITAL, **JANE)
    ehr.patient("e-prov", "PROV", system=HOSPITAL, **JANE)
    ehr.put(visit("e-visit", "e-jane", "V-1", subject={"reference": f"{ehr.base}/Patient/e-jane"}))
    ehr.put(visit("e-other", "e-four", "V-2"))
    ehr.put(order("e-order", "e-jane", "A1", encounter={"reference": "Encounter/e-visit"}))


def put(client: FlaskClient, content: dict[str, Any]) -> None:
    address = f"/fhir/{content['resourceType']}/{content['id']}"
    answer = client.put(address, json=content)
    assert answer.status_code == 201, answer.data


def take_in(client: FlaskClient, file: bytes, given: str = "") -> None:
    sent = client.post(
        f"/fhir/$import-image{given}", data=file, content_type="application/octet-stream"
    )
    assert sent.status_code == 200, sent.data


class Site:
    def __init__(self, database_url: str, folder: Path, ehr: OddEhr) -> None:
        self.database_url, self.folder, self.ehr = database_url, folder, ehr
        services = build_services(
            Settings(
                database_url=database_url,
                data_dir=folder,
                min_free_bytes=1,
                time_zone="Europe/Berlin",
            )
        )
        try:
            self.live(app_of(services).test_client())
        finally:
            services.close()

    def live(self, client: FlaskClient) -> None:
        """Without an EHR."""
        for id_, (more, numbers) in LOCAL.items():
            identifiers = [{"system": HOSPITAL, "value": number} for number in numbers]
            named = {"identifier": identifiers} if identifiers else {}
            put(client, {"resourceType": "Patient", "id": id_, **JANE, **more, **named})
        put(client, visit("visit", "jane", "V-1"))
        put(client, visit("lonely", "jane", "V-2"))
        put(client, order("order", "jane", "A1", encounter={"reference": "Encounter/visit"}))
        finding = {"resourceType": "Observation", "id": "finding", "status": "final"}
        at = {
            "subject": {"reference": "Patient/jane"},
            "encounter": {"reference": "Encounter/visit"},
        }
        put(client, {**finding, **at, "code": {"text": "lump"}})
        take_in(
            client,
            ct(
                1,
                AdmissionID="V-1",
                IssuerOfAdmissionIDSequence=issued_by(VISITS),
                AccessionNumber="A1",
                IssuerOfAccessionNumberSequence=issued_by(ORDERS),
            ),
        )
        take_in(client, SAMPLES["image/jpeg"](), "?patient=Patient/jane&encounter=Encounter/visit")
        for number, patient in enumerate(("1", "2", "3", "8", "PROV"), start=2):
            take_in(client, ct(number, PatientID=patient, StudyDate="20200101"))

    def run(self, *arguments: str) -> Result:
        environment = {
            "IMAGING_FHIR_DATABASE_URL": self.database_url,
            "IMAGING_FHIR_DATA_DIR": str(self.folder),
            "IMAGING_FHIR_EHR_URL": self.ehr.base,
            "IMAGING_FHIR_TIME_ZONE": "Europe/Berlin",
            "IMAGING_FHIR_LOG_LEVEL": "ERROR",
        }
        return CliRunner(env=environment).invoke(main, ["adopt-ehr", *arguments])

    def told(self, *arguments: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """By Patient, and the summary."""
        result = self.run("--json", *arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        *lines, summary = [json.loads(one) for one in result.stdout.splitlines()]
        return {one["patient"]: one for one in lines}, summary

    def opened(self) -> Clinic:
        return open_clinic(self.database_url, self.folder, self.ehr)


@pytest.fixture
def site(database_url: str, tmp_path: Path, odd_ehr: OddEhr) -> Site:
    known_to(odd_ehr)
    return Site(database_url, tmp_path, odd_ehr)


@pytest.fixture
def clinic(site: Site) -> Iterator[Clinic]:
    """Not asked before the site has gone over."""
    opened = site.opened()
    yield opened
    opened.services.close()


def search(clinic: Clinic, address: str) -> list[dict[str, Any]]:
    found = app_of(clinic.services).test_client().get(f"/fhir/{address}").get_json(force=True)
    return [entry["resource"] for entry in found.get("entry", ())]


def causes(told: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """Of those whose ids the test chose."""
    return {id_: (told[id_]["cause"], told[id_]["target"]) for id_ in told if id_ in LOCAL}


def test_a_dry_run_says_what_would_be_and_does_nothing(site: Site) -> None:
    clinic = site.opened()
    addresses = ("Patient", "Encounter", "ServiceRequest", "ImagingStudy", "Provenance")
    before = {one: search(clinic, one) for one in addresses}
    told, summary = site.told("--dry-run")
    assert causes(told) == CAUSES
    [provisional] = [one for id_, one in told.items() if id_ not in LOCAL]
    assert (provisional["cause"], provisional["target"]) == ("moved", "e-prov")
    jane = told["jane"]
    assert (jane["studies"], jane["documents"]) == (1, 1)
    assert jane["visits"] == [["visit", "e-visit"]]
    assert jane["orders"] == [["order", "e-order"]]
    assert jane["left"] == [["Encounter/lonely", "unknown"]]
    assert summary["dryRun"]
    assert summary["patients"]["moved"] == 3
    assert {one: search(clinic, one) for one in addresses} == before
    clinic.services.close()


def test_what_the_ehr_knows_is_the_ehr_s_and_the_rest_stays(site: Site, clinic: Clinic) -> None:
    foreseen, _ = site.told("--dry-run")
    told, summary = site.told()
    assert told == foreseen
    assert not summary["dryRun"]
    [study] = search(clinic, "ImagingStudy?patient=e-jane")
    assert study["subject"]["reference"] == "Patient/e-jane"
    assert study["encounter"]["reference"] == "Encounter/e-visit"
    assert study["basedOn"] == [{"reference": "ServiceRequest/e-order"}]
    [document] = search(clinic, "DocumentReference?patient=e-jane")
    assert document["context"]["encounter"] == [{"reference": "Encounter/e-visit"}]
    [finding] = search(clinic, "Observation?patient=e-jane")
    assert finding["encounter"]["reference"] == "Encounter/e-visit"
    assert search(clinic, "ImagingStudy?patient=jane") == [study]  # the old id leads there
    jane = clinic.read("Patient/jane")
    assert jane["link"] == [{"other": {"reference": "Patient/e-jane"}, "type": "replaced-by"}]
    copy = clinic.read("Patient/e-jane")
    assert copy["meta"]["source"] == f"{site.ehr.base}/Patient/e-jane"
    assert "link" not in copy
    assert {one["id"] for one in search(clinic, "Encounter")} == {"e-visit", "lonely"}
    assert {one["id"] for one in search(clinic, "ServiceRequest")} == {"e-order"}
    assert clinic.read("Patient/same")["meta"]["source"] == f"{site.ehr.base}/Patient/same"
    for whose in ("same", "unknown", "twice"):
        [study] = search(clinic, f"ImagingStudy?patient={whose}")
        assert study["subject"]["reference"] == f"Patient/{whose}"
    assert len(search(clinic, "ImagingStudy?patient=e-new")) == 1
    assert len(search(clinic, "ImagingStudy?patient=e-prov")) == 1
    assert search(clinic, "Task?status=requested") == []


def test_run_again_it_finds_only_what_stays(site: Site) -> None:
    first = site.run()
    assert first.exit_code == 1  # some are for a person to look at
    assert "moved                  Patient/jane -> e-jane (1 studies, 1 documents" in first.stdout
    assert "       3  moved to the EHR's Patient" in first.stdout
    told, summary = site.told()
    assert summary["patients"] == {
        "unknown": 2, "no-identifier": 1, "ambiguous": 1, "demographics-disagree": 1, "id-taken": 1
    }  # fmt: skip
    assert set(told) == {"unknown", "somebody", "nameless", "twice", "differs", "taken"}


def test_ended_in_the_middle_it_goes_on_where_it_was(site: Site, clinic: Clinic) -> None:
    [first] = islice(adoption_of(clinic.services).run(dry_run=False), 1)
    assert (first.patient, first.cause) == ("jane", "moved")
    told, _ = site.told()
    assert "jane" not in told
    assert causes(told) == {id_: cause for id_, cause in CAUSES.items() if id_ != "jane"}


def test_an_ehr_that_is_away_ends_it_and_nothing_is_lost(site: Site) -> None:
    site.ehr.mode = "error"
    result = site.run()
    assert result.exit_code == 1
    assert "Not all were looked at" in result.stderr
    site.ehr.mode = "well"
    assert causes(site.told()[0]) == CAUSES


def test_one_who_is_written_meanwhile_is_left_for_the_next_run(site: Site, clinic: Clinic) -> None:
    adoption = adoption_of(clinic.services)
    plan = adoption.planning.plan("jane", Deadline(10))
    assert plan is not None
    client = app_of(clinic.services).test_client()
    jane = clinic.read("Patient/jane")
    changed = client.put("/fhir/Patient/jane", json={**jane, "birthDate": "1975-03-15"})
    assert changed.status_code == 200
    assert adoption.moved(plan).cause == "changed-meanwhile"
    assert "link" not in clinic.read("Patient/jane")
    assert causes(site.told()[0])["jane"] == ("demographics-disagree", "e-jane")


def test_it_is_told_by_a_provenance_and_can_be_undone(site: Site, clinic: Clinic) -> None:
    site.told()
    [told] = [
        one
        for one in search(clinic, "Provenance?target=Patient/jane")
        if one["activity"]["coding"][0]["code"] == "merge"
    ]
    client = app_of(clinic.services).test_client()
    body = {"resourceType": "Parameters"}
    undone = client.post(f"/fhir/Provenance/{told['id']}/$undo", json=body)
    assert undone.status_code == 200, undone.data
    [study] = search(clinic, "ImagingStudy?patient=jane")
    assert study["subject"]["reference"] == "Patient/jane"
    assert search(clinic, "ImagingStudy?patient=e-jane") == []
    assert clinic.read("Patient/e-jane")["meta"]["versionId"] == "1"


def test_without_an_ehr_it_is_wrong_use(site: Site) -> None:
    environment = {"IMAGING_FHIR_DATABASE_URL": site.database_url}
    result = CliRunner(env=environment).invoke(main, ["adopt-ehr"])
    assert result.exit_code == 2
    assert "IMAGING_FHIR_EHR_URL" in result.stderr


def test_every_cause_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "ehr.md").read_text()
    listed = re.findall(r"^\| `([a-z-]+)` \| ", page, re.MULTILINE)
    assert set(ALL_CAUSES) <= set(listed)
