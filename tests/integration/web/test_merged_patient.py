"""Asked for by the id of a merged Patient, every door tells of the person."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from benchmarks.statements import counting
from imaging_fhir.storage.database import Database
from imaging_fhir.storage.same_person import LONGEST, same_person
from tests.dicom_samples import ROOT, ct_instance
from tests.house import VISITS, issued_by
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES

SYSTEM = "urn:oid:1.2.3"
ASKED = (
    "ImagingStudy?patient={0}",
    "ImagingStudy?patient=Patient/{0}",
    "ImagingStudy?subject=https://images.example/fhir/Patient/{0}",
    "ImagingStudy?patient={0}&modality=CT&_sort=-started&_include=ImagingStudy:patient",
    "ImagingStudy?patient={0}&_summary=count",
    "ImagingStudy?patient._id={0}",
    "ImagingStudy?patient:Patient.identifier=urn:oid:1.2.3|{0}",
    "ImagingStudy?encounter.patient={0}",
    "DocumentReference?patient={0}",
    "DocumentReference?subject:Patient={0}",
    "Observation?subject={0}",
    "Encounter?_has:ImagingStudy:encounter:patient={0}",
    "Encounter?_has:ImagingStudy:encounter:patient._id={0}",
    "Patient/{0}/ImagingStudy",
    "Patient/{0}/DocumentReference?status=current",
    "Patient/{0}/Observation",
    "Encounter?patient={0}",
    "Patient/{0}/*?_type=ImagingStudy,DocumentReference,Observation",
    "Patient/{0}/$everything",
    "Patient/{0}/$everything?_type=Patient,ImagingStudy",
    "DocumentReference/$docref?patient={0}",
    "DocumentReference/$docref?patient={0}&start=2000-01-01",
)


@pytest.fixture
def people(client: FlaskClient) -> FlaskClient:
    """Jane with a study at her visit, a document and a finding; John and Jim with a study each."""
    for name in ("jane", "john", "jim"):
        identifier = [{"system": SYSTEM, "value": name}]
        content = {"resourceType": "Patient", "id": name, "identifier": identifier}
        assert client.put(f"/fhir/Patient/{name}", json=content).status_code == 201
    subject = {"reference": "Patient/jane"}
    number = [{"system": VISITS, "value": "V-1"}]
    visit: dict[str, Any] = {"status": "finished", "class": {"code": "AMB"}, "identifier": number}
    put(client, "Encounter/visit", subject=subject, **visit)
    put(client, "Observation/finding", status="final", subject=subject, code={"text": "lump"})
    for study, name in enumerate(("jane", "john", "jim"), start=1):
        file = ct_instance(
            PatientID=name,
            IssuerOfPatientIDQualifiersSequence=issued_by(SYSTEM),
            StudyInstanceUID=f"{ROOT}.{study}",
            SeriesInstanceUID=f"{ROOT}.{study}.1",
            SOPInstanceUID=f"{ROOT}.{study}.1.1",
            AdmissionID="V-1" if name == "jane" else None,
            IssuerOfAdmissionIDSequence=issued_by(VISITS),
        )
        take_in(client, file)
    take_in(client, SAMPLES["image/jpeg"](), "?patient=Patient/jane")
    return client


def put(client: FlaskClient, reference: str, **content: Any) -> None:
    type_, _, id_ = reference.partition("/")
    body = {"resourceType": type_, "id": id_, **content}
    assert client.put(f"/fhir/{reference}", json=body).status_code in (200, 201)


def take_in(client: FlaskClient, file: bytes, given: str = "") -> None:
    sent = client.post(
        f"/fhir/$import-image{given}", data=file, content_type="application/octet-stream"
    )
    assert sent.status_code == 200, json_of(sent)


def told(client: FlaskClient, address: str) -> tuple[Any, ...]:
    """How many, and which, with whose they are; but for what tells of corrections."""
    found = json_of(client.get(f"/fhir/{address}"))
    assert found["resourceType"] == "Bundle", found
    listed = [entry["resource"] for entry in found.get("entry", ())]
    return found.get("total"), [
        (one["resourceType"], one["id"], one.get("subject", {}).get("reference"))
        for one in listed
        if one["resourceType"] not in ("Provenance", "AuditEvent")
    ]


def story(client: FlaskClient, name: str) -> dict[str, tuple[Any, ...]]:
    return {address: told(client, address.format(name)) for address in ASKED}


def merge(client: FlaskClient, source: str, target: str) -> str:
    names = {"source-patient": source, "target-patient": target}
    parameters = [
        {"name": name, "valueReference": {"reference": f"Patient/{id_}"}}
        for name, id_ in names.items()
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    answer = json_of(client.post("/fhir/Patient/$merge", json=body))
    [made] = [one for one in answer["parameter"] if one["name"] == "provenance"]
    return str(made["valueReference"]["reference"])


def undo(client: FlaskClient, provenance: str) -> None:
    body = {"resourceType": "Parameters"}
    assert client.post(f"/fhir/{provenance}/$undo", json=body).status_code == 200


def replaced_by(client: FlaskClient, source: str, target: str, type_: str = "replaced-by") -> None:
    known = json_of(client.get(f"/fhir/Patient/{source}"))
    link = [*known.get("link", ()), {"other": {"reference": f"Patient/{target}"}, "type": type_}]
    assert client.put(f"/fhir/Patient/{source}", json={**known, "link": link}).status_code == 200


def test_a_merged_patient_s_id_tells_the_survivor_s_story_until_that_is_undone(
    people: FlaskClient,
) -> None:
    before = {name: story(people, name) for name in ("jane", "john", "jim")}
    assert before["jane"] != before["john"]
    provenance = merge(people, "jane", "john")
    by_old, by_new = story(people, "jane"), story(people, "john")
    assert by_old == by_new
    assert len(by_new["ImagingStudy?patient={0}"][1]) == 2
    assert len(by_new["DocumentReference?patient={0}"][1]) == 1
    assert by_new["Encounter?_has:ImagingStudy:encounter:patient={0}"][1] == [
        ("Encounter", "visit", "Patient/john")
    ]
    assert story(people, "jim") == before["jim"]
    undo(people, provenance)
    assert {name: story(people, name) for name in ("jane", "john", "jim")} == before


def test_a_merge_that_the_link_alone_tells_of_is_followed_and_its_end(people: FlaskClient) -> None:
    """What others wrote of the one who was replaced says so still, and is the survivor's."""
    before = {name: story(people, name) for name in ("jane", "john", "jim")}
    known = json_of(people.get("/fhir/Patient/jane"))
    replaced_by(people, "jane", "john")
    by_old, by_new = story(people, "jane"), story(people, "john")
    assert by_old == by_new
    assert by_new["Observation?subject={0}"][1] == [("Observation", "finding", "Patient/jane")]
    assert ("Observation", "finding", "Patient/jane") in by_new["Patient/{0}/$everything"][1]
    assert story(people, "jim") == before["jim"]
    version = {"If-Match": people.get("/fhir/Patient/jane").headers["ETag"]}
    assert people.put("/fhir/Patient/jane", json=known, headers=version).status_code == 200
    assert {name: story(people, name) for name in ("jane", "john", "jim")} == before


def test_a_visit_that_becomes_somebody_else_s_takes_no_image_along(people: FlaskClient) -> None:
    """The sender named the visit alone, and so the one whose it was."""
    take_in(people, SAMPLES["image/png"](), "?encounter=Encounter/visit")
    visit = json_of(people.get("/fhir/Encounter/visit"))
    people.put("/fhir/Encounter/visit", json={**visit, "subject": {"reference": "Patient/john"}})
    assert len(told(people, "DocumentReference?patient=jane")[1]) == 2
    assert told(people, "DocumentReference?patient=john")[1] == []


def test_merges_in_a_row_and_in_a_loop_are_one_person(people: FlaskClient) -> None:
    replaced_by(people, "jane", "john")
    replaced_by(people, "john", "jim")
    assert story(people, "jane") == story(people, "john") == story(people, "jim")
    assert len(told(people, "ImagingStudy?patient=jane")[1]) == 3
    replaced_by(people, "jim", "jane")
    assert story(people, "jane") == story(people, "john") == story(people, "jim")


def test_another_link_opens_no_chart(people: FlaskClient) -> None:
    before = {name: story(people, name) for name in ("jane", "john", "jim")}
    replaced_by(people, "jane", "john", "seealso")
    replaced_by(people, "jim", "john", "refer")
    assert {name: story(people, name) for name in ("jane", "john", "jim")} == before


def test_one_whose_successor_is_not_here_stays_alone(people: FlaskClient) -> None:
    replaced_by(people, "jane", "gone")
    replaced_by(people, "john", "gone")
    for name in ("jane", "john"):
        assert len(told(people, f"ImagingStudy?patient={name}")[1]) == 1


def test_links_between_records_are_searched_as_they_are(people: FlaskClient) -> None:
    merge(people, "jane", "john")
    assert told(people, "Patient?link=Patient/jane")[1] == [("Patient", "john", None)]
    assert told(people, "Patient?link=Patient/john")[1] == [("Patient", "jane", None)]
    assert told(people, "Patient?_id=jane")[1] == [("Patient", "jane", None)]


def test_what_refers_to_the_survivor_comes_with_the_one_merged(people: FlaskClient) -> None:
    merge(people, "jane", "john")
    address = "Patient?_id={}&_revinclude=ImagingStudy:patient"
    by_old, by_new = told(people, address.format("jane")), told(people, address.format("john"))
    assert by_old[1][1:] == by_new[1][1:]
    assert len(by_new[1]) == 3


def test_the_chart_by_the_old_id_leads_to_the_survivor(people: FlaskClient) -> None:
    merge(people, "jane", "john")
    answer = people.get("/chart/patients/jane")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/chart/patients/john"


@pytest.fixture
def database(database_url: str, app: Flask) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()


def test_many_merged_into_one_cost_no_more_statements_than_one(
    client: FlaskClient, database: Database, tmp_path: Path
) -> None:
    for number in range(40):
        link = [{"other": {"reference": "Patient/one"}, "type": "replaced-by"}]
        put(client, f"Patient/p{number}", link=link)
    put(client, "Patient/one", active=True)
    with database.read() as connection, counting(database) as counts:
        assert len(same_person(connection, ["p7"])["p7"]) == 41
        assert len(counts) == 3
    put(client, "Patient/none", active=True)
    with database.read() as connection, counting(database) as counts:
        assert same_person(connection, ["none"]) == {"none": frozenset({"none"})}
        assert len(counts) == 1


def test_a_row_of_merges_without_end_is_followed_for_so_long(
    client: FlaskClient, database: Database
) -> None:
    for number in range(LONGEST + 10):
        link = [{"other": {"reference": f"Patient/p{number + 1}"}, "type": "replaced-by"}]
        put(client, f"Patient/p{number}", link=link)
    with database.read() as connection, counting(database) as counts:
        assert len(same_person(connection, ["p0"])["p0"]) >= LONGEST
        assert len(counts) == LONGEST


def as_a_feed_has(client: FlaskClient, name: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """The Patient is sent again as another system has it: active, and without a link."""
    identifier = [{"system": SYSTEM, "value": name}]
    body = {"resourceType": "Patient", "id": name, "identifier": identifier, "gender": "female"}
    answer = client.put(f"/fhir/Patient/{name}", json=body, **more)
    return answer.status_code, json_of(answer)


def test_a_merge_stays_though_the_patient_is_sent_without_its_link(people: FlaskClient) -> None:
    provenance = merge(people, "jane", "john")
    merged = story(people, "jane")
    version = people.get("/fhir/Patient/jane").headers["ETag"]
    for headers in ({}, {"If-Match": version}):
        status, outcome = as_a_feed_has(people, "jane", headers=headers)
        assert status == 409
        assert outcome["issue"][0]["expression"] == ["Patient.link"]
        assert f"POST {provenance}/$undo" in outcome["issue"][0]["diagnostics"]
    patch = people.patch(
        "/fhir/Patient/jane",
        json=[{"op": "remove", "path": "/link"}],
        content_type="application/json-patch+json",
    )
    assert patch.status_code == 409
    assert story(people, "jane") == merged
    known = json_of(people.get("/fhir/Patient/jane"))
    assert people.put("/fhir/Patient/jane", json={**known, "gender": "female"}).status_code == 200
    undo(people, provenance)
    assert as_a_feed_has(people, "jane")[0] == 200


def test_a_link_is_taken_away_by_who_knows_of_it(people: FlaskClient) -> None:
    before = story(people, "jane")
    for take_away in (by_version, by_patch):
        replaced_by(people, "jane", "john")
        status, outcome = as_a_feed_has(people, "jane")
        assert status == 409
        assert "If-Match" in outcome["issue"][0]["diagnostics"]
        assert story(people, "jane") == story(people, "john")
        assert take_away(people) == 200
        assert "link" not in json_of(people.get("/fhir/Patient/jane"))
        assert story(people, "jane") == before


def by_version(client: FlaskClient) -> int:
    version = client.get("/fhir/Patient/jane").headers["ETag"]
    return as_a_feed_has(client, "jane", headers={"If-Match": version})[0]


def by_patch(client: FlaskClient) -> int:
    patch = client.patch(
        "/fhir/Patient/jane",
        json=[{"op": "remove", "path": "/link"}],
        content_type="application/json-patch+json",
    )
    return patch.status_code


def test_another_successor_is_said_by_the_link_itself(people: FlaskClient) -> None:
    replaced_by(people, "jane", "john")
    known = json_of(people.get("/fhir/Patient/jane"))
    link = [{"other": {"reference": "Patient/jim"}, "type": "replaced-by"}]
    assert people.put("/fhir/Patient/jane", json={**known, "link": link}).status_code == 200
    assert len(told(people, "ImagingStudy?patient=jim")[1]) == 2


def test_in_a_bundle_a_merge_stays_too(people: FlaskClient) -> None:
    merge(people, "jane", "john")
    body = {"resourceType": "Patient", "id": "jane", "active": True}
    entry = {"resource": body, "request": {"method": "PUT", "url": "Patient/jane"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert people.post("/fhir", json=bundle).status_code == 409
    batch = people.post("/fhir", json={**bundle, "type": "batch"})
    assert json_of(batch)["entry"][0]["response"]["status"].startswith("409")
