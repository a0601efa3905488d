"""What a caller's scopes open, door by door: of one patient, with another one's data beside it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.app import app_of
from imaging_fhir.fhir.operation_definition import CODES
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.model.caller import LOCAL, Caller
from imaging_fhir.services.composition import build_services
from imaging_fhir.services.grants import OWNED_BY, REACHED, STAFF_ONLY
from imaging_fhir.settings import Settings
from imaging_fhir.smart.scope import parse_scopes
from imaging_fhir.web.authentication import KNOWN
from imaging_fhir.web.gate import OPERATIONS, RULES
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of
from tests.samples import raster
from tests.tokens import Issuer, site_file

UIDS = {"a": "1.2.826.1", "b": "1.2.826.2"}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        auth="smart",
        database_url=database_url,
        data_dir=tmp_path,
        public_url="https://images.example",
        site_file=site_file(tmp_path, Issuer()),
        min_free_bytes=0,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    services = build_services(settings)
    yield app_of(services)
    services.close()


def with_scopes(scopes: str, **more: Any) -> Caller:
    return Caller(issuer="https://ehr.example", subject="x", scopes=parse_scopes(scopes), **more)


def of_a(scopes: str) -> Caller:
    return with_scopes(scopes, patient="a")


class Client:
    """Asks as a caller; as the service itself where none is named."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()

    def __call__(
        self, method: str, path: str, caller: Caller = LOCAL, **options: Any
    ) -> TestResponse:
        return self.client.open(
            path, method=method, environ_overrides={KNOWN: caller}, buffered=True, **options
        )

    def get(self, path: str, caller: Caller = LOCAL, **options: Any) -> TestResponse:
        return self("GET", path, caller, **options)

    def put(self, type_: str, id_: str, **content: Any) -> None:
        body = {"resourceType": type_, "id": id_, **content}
        answer = self("PUT", f"/fhir/{type_}/{id_}", json=body)
        assert answer.status_code == 201, answer.text


def populate(ask: Client, person: str) -> None:
    """A patient with a visit, a study, a photo and a finding."""
    subject = {"reference": f"Patient/{person}"}
    ask.put("Practitioner", f"dr-{person}", name=[{"family": f"Dr{person}"}])
    ask.put("Patient", person, identifier=[{"system": "urn:n", "value": person}])
    visit = {"status": "finished", "class": {"code": "AMB"}}
    ask.put("Encounter", f"visit-{person}", subject=subject, **visit)
    ask.put(
        "Observation",
        f"finding-{person}",
        status="final",
        code={"text": "x"},
        subject=subject,
        performer=[{"reference": f"Practitioner/dr-{person}"}],
    )
    uid = UIDS[person]
    image = ct_instance(
        PatientID="",
        PatientName="",
        StudyInstanceUID=uid,
        SeriesInstanceUID=f"{uid}.1",
        SOPInstanceUID=f"{uid}.1.1",
        AccessionNumber="",
    )
    address = f"/fhir/$import-image?patient=Patient/{person}"
    for content, type_ in ((image, "application/dicom"), (raster("PNG"), "image/png")):
        sent = ask("POST", address, data=content, content_type=type_)
        entry = json_of(sent)["entry"][0]["response"]
        assert entry["status"].startswith("201"), sent.text


@pytest.fixture
def ask(app: Flask) -> Client:
    client = Client(app)
    populate(client, "a")
    populate(client, "b")
    return client


def ids(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    found = [entry["resource"] for entry in json_of(answer).get("entry", ())]
    return sorted(f"{one['resourceType']}/{one['id']}" for one in found)


ALL = of_a("patient/*.cruds")


def test_every_address_and_operation_has_its_rule(app: Flask) -> None:
    named = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith(("/auth", "/.well-known", "/fhir/.well-known"))
    }
    assert named - set(RULES) == set()
    assert set(OPERATIONS) == CODES


def test_a_patient_reads_what_is_theirs_and_nothing_else(ask: Client) -> None:
    for type_, own in (("Encounter", "visit-"), ("Observation", "finding-"), ("ImagingStudy", "")):
        mine, other = (
            f"/fhir/{type_}/{own}{UIDS[one] if type_ == 'ImagingStudy' else one}" for one in "ab"
        )
        assert ask.get(mine, ALL).status_code == 200
        hidden, unknown = ask.get(other, ALL), ask.get(f"{other}x", ALL)
        assert (hidden.status_code, unknown.status_code) == (404, 404)
        assert hidden.text.replace(other[6:], "") == unknown.text.replace(f"{other[6:]}x", "")
        assert ask.get(f"{other}/_history", ALL).status_code == 404
        assert ask.get(f"{other}/_history/1", ALL).status_code == 404
        assert ask.get(f"{other}?_summary=true", ALL).status_code == 404
        assert ask.get(f"{other}/$meta", ALL).status_code == 404


def test_another_patient_is_refused_in_the_same_words_whether_or_not_they_exist(
    ask: Client,
) -> None:
    for path in (
        "/fhir/Patient/{}",
        "/fhir/Patient/{}/_history",
        "/fhir/Patient/{}/_history/1",
        "/fhir/Patient/{}/ImagingStudy",
        "/fhir/Patient/{}/*",
        "/fhir/Patient/{}/$everything",
        "/fhir/ImagingStudy?patient={}",
        "/fhir/ImagingStudy?patient=Patient/a,Patient/{}",
        "/fhir/ImagingStudy?patient._id={}",
        "/fhir/Observation?subject=Patient/{}",
        "/fhir/Patient?_id={}",
        "/fhir/DocumentReference/$docref?patient={}",
    ):
        there, nowhere = (ask.get(path.format(one), ALL) for one in ("b", "zz"))
        assert (there.status_code, nowhere.status_code) == (403, 403), path
        assert there.text == nowhere.text
        assert ask.get(path.format("a"), ALL).status_code == 200, path


def test_searches_find_what_is_theirs(ask: Client) -> None:
    assert ids(ask.get("/fhir/Encounter", ALL)) == ["Encounter/visit-a"]
    assert ids(ask.get("/fhir/Patient", ALL)) == ["Patient/a"]
    assert json_of(ask.get("/fhir/ImagingStudy?_total=accurate", ALL))["total"] == 1
    assert ids(ask.get("/fhir/Practitioner", ALL)) == ["Practitioner/dr-a"]
    assert ids(ask.get("/fhir/Endpoint", ALL)) == ["Endpoint/dicomweb"]
    assert len(ids(ask.get("/fhir/Binary", ALL))) == 1
    assert ids(ask.get("/fhir/Patient?_has:Observation:subject:_id=finding-b", ALL)) == []
    assert ids(ask.get("/fhir/Encounter?patient.identifier=urn:n|b", ALL)) == []
    found = ids(ask.get("/fhir/Practitioner?_revinclude=Observation:performer", ALL))
    assert found == ["Observation/finding-a", "Practitioner/dr-a"]
    found = ids(ask.get("/fhir", ALL))
    assert "Encounter/visit-a" in found
    assert not {"Patient/b", "Encounter/visit-b", "Practitioner/dr-b"} & set(found)
    everything = ids(ask.get("/fhir?_type=Encounter,Patient,Observation", ALL))
    assert everything == ["Encounter/visit-a", "Observation/finding-a", "Patient/a"]
    versions = json_of(ask.get("/fhir/_history", ALL))["entry"]
    named = {one["fullUrl"].rpartition("/")[2] for one in versions}
    assert {"visit-a", "finding-a", UIDS["a"]} <= named
    assert not named & {"b", "visit-b", "finding-b", "dr-b", UIDS["b"]}


def test_an_endpoint_comes_with_the_study(ask: Client) -> None:
    caller = of_a("patient/ImagingStudy.rs")
    found = ids(ask.get("/fhir/ImagingStudy?patient=a&_include=ImagingStudy:endpoint", caller))
    assert found == ["Endpoint/dicomweb", f"ImagingStudy/{UIDS['a']}"]
    assert ask.get("/fhir/Encounter/visit-a", caller).status_code == 403
    assert ids(ask.get("/fhir/ImagingStudy?patient.identifier=urn:n|a", caller)) == []


def test_reading_is_not_searching_and_the_other_way_round(ask: Client) -> None:
    reads, searches = of_a("patient/Encounter.r"), of_a("patient/Encounter.s")
    assert ask.get("/fhir/Encounter/visit-a", reads).status_code == 200
    assert ask.get("/fhir/Encounter", reads).status_code == 403
    assert ask.get("/fhir/Encounter/visit-a", searches).status_code == 403
    assert ids(ask.get("/fhir/Encounter", searches)) == ["Encounter/visit-a"]
    assert ask.get(f"/dicomweb/studies/{UIDS['a']}", searches).status_code == 403


def test_bytes_are_as_open_as_their_document(ask: Client) -> None:
    documents = json_of(ask.get("/fhir/DocumentReference"))["entry"]
    for entry in documents:
        person = entry["resource"]["subject"]["reference"][-1]
        address = entry["resource"]["content"][0]["attachment"]["url"].partition("/fhir/")[2]
        expected = 200 if person == "a" else 404
        for path in (address, f"{address}/$thumbnail", f"{address}/_history/1"):
            answer = ask.get(f"/fhir/{path}", of_a("patient/DocumentReference.rs"))
            assert answer.status_code == expected, path
        steal = {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": "Patient/a"},
            "content": [{"attachment": {"url": f"https://images.example/fhir/{address}"}}],
        }
        stolen = ask("POST", "/fhir/DocumentReference", ALL, json=steal)
        assert stolen.status_code == (201 if person == "a" else 403), stolen.text


def test_pixels_are_as_open_as_their_study(ask: Client) -> None:
    caller = of_a("patient/ImagingStudy.rs")
    for person, uid in UIDS.items():
        study, series = f"/dicomweb/studies/{uid}", f"/dicomweb/studies/{uid}/series/{uid}.1"
        instance = f"{series}/instances/{uid}.1.1"
        for path in (
            study,
            series,
            instance,
            f"{study}/metadata",
            f"{instance}/metadata",
            f"{instance}/frames/1",
            f"{study}/rendered",
            f"{study}/thumbnail",
            f"{instance}/rendered",
            f"{instance}/thumbnail",
            f"/dicomweb/wado?requestType=WADO&studyUID={uid}&seriesUID={uid}.1&objectUID={uid}.1.1",
        ):
            answer = ask.get(path, caller)
            unknown = ask.get(path.replace(uid, "1.2.826.9"), caller)
            assert answer.status_code == (200 if person == "a" else 404), path
            if person == "b":
                assert answer.text == unknown.text
        searched = ask.get(f"/dicomweb/studies?StudyInstanceUID={uid}", caller)
        assert searched.status_code == (200 if person == "a" else 204)
        assert ask.get(f"{study}?original=true", caller).status_code == 403
    assert len(ask.get("/dicomweb/studies", caller).get_json()) == 1
    assert len(ask.get("/dicomweb/instances", caller).get_json()) == 1


def test_a_granular_scope_opens_what_it_finds(ask: Client) -> None:
    for modality, status in (("CT", 200), ("MR", 404)):
        caller = of_a(f"patient/ImagingStudy.rs?modality={modality}")
        assert ask.get(f"/fhir/ImagingStudy/{UIDS['a']}", caller).status_code == status
        assert ask.get(f"/dicomweb/studies/{UIDS['a']}", caller).status_code == status
        other = ask.get(f"/fhir/ImagingStudy/{UIDS['b']}", caller)
        assert other.status_code == 404
    both = of_a("patient/ImagingStudy.rs?modality=MR patient/ImagingStudy.rs?modality=CT")
    assert ids(ask.get("/fhir/ImagingStudy", both)) == [f"ImagingStudy/{UIDS['a']}"]


def test_writes_stay_with_the_patient(ask: Client) -> None:
    def visit(person: str) -> dict[str, Any]:
        content = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}
        return {**content, "subject": {"reference": f"Patient/{person}"}}

    assert ask("POST", "/fhir/Encounter", ALL, json=visit("a")).status_code == 201
    assert ask("POST", "/fhir/Encounter", ALL, json=visit("b")).status_code == 403
    for id_ in ("visit-b", "nowhere"):
        own = {**visit("a"), "id": id_}
        answers = [
            ask("PUT", f"/fhir/Encounter/{id_}", ALL, json=own),
            ask("DELETE", f"/fhir/Encounter/{id_}", ALL),
            ask(
                "PATCH",
                f"/fhir/Encounter/{id_}",
                ALL,
                json=[{"op": "replace", "path": "/status", "value": "planned"}],
                content_type="application/json-patch+json",
            ),
        ]
        assert [one.status_code for one in answers] == [404, 204, 404]
    assert json_of(ask.get("/fhir/Encounter/visit-b"))["meta"]["versionId"] == "1"
    moved = {**visit("b"), "id": "visit-a"}
    assert ask("PUT", "/fhir/Encounter/visit-a", ALL, json=moved).status_code == 403
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": visit(one), "request": {"method": "POST", "url": "Encounter"}}
            for one in "ab"
        ],
    }
    before = len(ids(ask.get("/fhir/Encounter")))
    assert ask("POST", "/fhir", ALL, json=bundle).status_code == 403
    assert len(ids(ask.get("/fhir/Encounter"))) == before


def test_a_patient_sends_only_their_own_images(ask: Client) -> None:
    for path, status in (("", 200), ("?patient=Patient/a", 200), ("?patient=Patient/b", 403)):
        answer = ask(
            "POST",
            f"/fhir/$import-image{path}",
            ALL,
            data=raster("JPEG"),
            content_type="image/jpeg",
        )
        assert answer.status_code == status, answer.text
    documents = json_of(ask.get("/fhir/DocumentReference?patient=b"))
    assert len(documents["entry"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/chart",
        "/chart/patients/a",
        "/chart/held",
        "/fhir/Task",
        "/fhir/AuditEvent",
        "/fhir/Provenance",
        "/fhir/Subscription",
    ],
)
def test_the_work_of_the_staff_is_closed_to_a_patient(ask: Client, path: str) -> None:
    assert ask.get(path, ALL).status_code == 403
    assert ask.get(path, with_scopes("user/*.cruds")).status_code == 200


def test_the_viewer_shows_what_is_theirs(ask: Client) -> None:
    for person, uid in UIDS.items():
        answer = ask.get(f"/viewer/{uid}/studies", of_a("patient/*.rs"))
        assert answer.status_code == (200 if person == "a" else 404)


def test_a_backend_service_sees_its_studies(ask: Client) -> None:
    caller = with_scopes("system/*.rs", studies=frozenset({UIDS["b"]}))
    assert ids(ask.get("/fhir/ImagingStudy", caller)) == [f"ImagingStudy/{UIDS['b']}"]
    assert ids(ask.get("/fhir/Patient", caller)) == ["Patient/b"]
    assert ids(ask.get("/fhir/Endpoint", caller)) == ["Endpoint/dicomweb"]
    assert ask.get("/fhir/Encounter", caller).status_code == 403
    assert ask.get(f"/dicomweb/studies/{UIDS['a']}", caller).status_code == 404


def test_a_merge_counts_from_the_next_request(ask: Client) -> None:
    merge = "/fhir/Patient/$merge"
    given = [
        {"name": f"{which}-patient", "valueReference": {"reference": f"Patient/{one}"}}
        for which, one in (("source", "b"), ("target", "a"))
    ]
    body = {"resourceType": "Parameters", "parameter": given}
    assert ask("POST", merge, ALL, json=body).status_code == 403
    answer = ask("POST", merge, with_scopes("user/*.cruds"), json=body)
    assert answer.status_code == 200, answer.text
    assert ask.get("/fhir/Patient/b", ALL).status_code == 200
    assert ask.get(f"/dicomweb/studies/{UIDS['b']}", ALL).status_code == 200
    [undo] = [
        one["valueReference"]["reference"]
        for one in json_of(answer)["parameter"]
        if one["name"] == "provenance"
    ]
    told = json_of(ask.get(f"/fhir/{undo}"))
    assert told["agent"][0]["who"]["display"] == "x"
    undone = ask("POST", f"/fhir/{undo}/$undo", with_scopes("user/*.cruds"))
    assert undone.status_code == 200, undone.text
    assert ask.get("/fhir/Patient/b", ALL).status_code == 403
    assert ask.get(f"/dicomweb/studies/{UIDS['b']}", ALL).status_code == 404


def test_the_docs_say_what_is_a_patients_own() -> None:
    lines = Path("docs/access.md").read_text().splitlines()
    told = [re.fullmatch(r"\| `(\w+)` \| (\w+) \|", line) for line in lines]
    owned = {one[1]: "" if one[2] == "itself" else one[2] for one in told if one}
    assert owned == OWNED_BY
    text = " ".join(lines)
    for one in REACHED | STAFF_ONLY:
        assert f"`{one}`" in text, one
    assert set(OWNED_BY) | REACHED | STAFF_ONLY | {"Binary"} == set(RESOURCE_TYPES)
