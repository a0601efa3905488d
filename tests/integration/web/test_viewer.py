"""The viewer's page and files, with a small site in OHIF's place, and Invoke Image Display."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.errors import InvalidSetting
from imaging_fhir.model.link import Given
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import DEFAULT_SOURCE, Settings, Site
from imaging_fhir.web.context import EXTENSION
from imaging_fhir.web.viewer_site import ViewerSite
from tests.dicom_samples import STUDY, ct_instance
from tests.house import issued_by

NUMBERS, OTHERS = "urn:oid:1.2.3", "https://other.example/numbers"
PAGE = """<!doctype html><html><head><script>window.PUBLIC_URL="/"</script>
<script rel="preload" as="script" src="/app-config.js"></script><script rel="preload" as="script"
 type="module" src="/init-service-worker.js"></script>
<script defer src="/app.bundle.0123456789abcdef.js"></script></head></html>"""
BUNDLE = b"console.log('viewer');" * 100
ADDRESS = "/app.bundle.0123456789abcdef.js"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (folder / "index.html").write_text(PAGE)
    (folder / ADDRESS[1:]).write_bytes(BUNDLE)
    (folder / f"{ADDRESS[1:]}.gz").write_bytes(gzip.compress(BUNDLE))
    (folder / "assets").mkdir()
    (folder / "assets" / "logo.svg").write_text("<svg/>")
    for name in ("sw.js", "init-service-worker.js", "app-config.js"):
        (folder / name).write_text("left out")
    return folder


@pytest.fixture
def settings(settings: Settings, site: Path) -> Settings:
    return replace(settings, viewer_dir=str(site))


@pytest.fixture
def patients(client: FlaskClient) -> FlaskClient:
    put(client, "Patient", "jane", identifier=[{"system": NUMBERS, "value": "4711"}])
    put(client, "Patient", "john", identifier=[{"system": NUMBERS, "value": "9"}])
    return client


def put(client: FlaskClient, resource_type: str, id_: str, **content: Any) -> None:
    resource = {"resourceType": resource_type, "id": id_, **content}
    assert client.put(f"/fhir/{resource_type}/{id_}", json=resource).status_code in (200, 201)


def send(app: Flask, number: str = "4711", **header: Any) -> str:
    """The StudyInstanceUID of what was filed to the Patient of that number."""
    issuer: dict[str, Any] = {"IssuerOfPatientIDQualifiersSequence": issued_by(NUMBERS)}
    content = ct_instance(PatientID=number, **issuer, **header)
    outcome = app.extensions[EXTENSION].ingest.ingest(
        [content], source=DEFAULT_SOURCE, given=Given()
    )
    assert outcome.status == 201
    return str(header.get("StudyInstanceUID", STUDY))


def leads_to(client: FlaskClient, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 302, response.text
    return response.headers["Location"]


def shown(client: FlaskClient, address: str) -> tuple[int, str]:
    response = client.get(address)
    return response.status_code, response.text


def test_the_page_is_the_sites_own_with_our_configuration(
    app: Flask, patients: FlaskClient
) -> None:
    send(app)
    page = patients.get(f"/viewer?StudyInstanceUIDs={STUDY}")
    assert page.status_code == 200
    assert f'src="/viewer/app-config.js?StudyInstanceUIDs={STUDY}"' in page.text
    assert f'src="{ADDRESS}"' in page.text
    assert "service-worker" not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    policy = page.headers["Content-Security-Policy"]
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert policy.count("'sha256-") == 1


def test_the_configuration_names_our_addresses_and_shows_no_list_of_all(
    app: Flask, patients: FlaskClient
) -> None:
    send(app)
    answer = patients.get(f"/viewer/app-config.js?StudyInstanceUIDs={STUDY}")
    assert answer.mimetype == "text/javascript"
    config = json.loads(answer.text.removeprefix("window.config = ").removesuffix(";\n"))
    assert config["showStudyList"] is False
    [source] = config["dataSources"]
    assert source["configuration"]["wadoRoot"] == "/dicomweb"
    assert source["configuration"]["qidoRoot"] == f"/viewer/{STUDY}"


def test_the_files_are_served_and_nothing_else(client: FlaskClient) -> None:
    plain = client.get(ADDRESS, buffered=True)
    assert (plain.data, plain.mimetype) == (BUNDLE, "text/javascript")
    assert "31536000" in plain.headers["Cache-Control"]
    known = {"If-None-Match": plain.headers["ETag"]}
    again = client.get(ADDRESS, headers=known, buffered=True)
    assert again.status_code == 304
    packed = client.get(ADDRESS, headers={"Accept-Encoding": "gzip"}, buffered=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == BUNDLE
    assert client.get("/assets/logo.svg", buffered=True).data == b"<svg/>"
    assert client.post(ADDRESS).status_code == 404
    for name in ("/sw.js", "/init-service-worker.js", "/app-config.js", "/index.html", "/assets"):
        assert client.get(name).status_code == 404, name
    assert client.get("/assets/../index.html").status_code == 404
    assert client.get(f"{ADDRESS}.gz").status_code == 404


def test_studies_of_two_patients_are_not_shown_side_by_side(
    app: Flask, patients: FlaskClient
) -> None:
    send(app)
    other = send(app, "9", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    status, text = shown(patients, f"/viewer?StudyInstanceUIDs={STUDY},{other}")
    assert status == 400
    assert "several patients" in text
    assert shown(patients, f"/viewer?StudyInstanceUIDs={other}")[0] == 200


def test_studies_of_one_patient_are(app: Flask, patients: FlaskClient) -> None:
    prior = send(app, StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    send(app)
    address = f"/viewer?StudyInstanceUIDs={STUDY},{prior}"
    assert shown(patients, address)[0] == 200
    twice = f"/viewer?StudyInstanceUIDs={STUDY}&StudyInstanceUIDs={prior},{STUDY}"
    assert leads_to(patients, twice) == address


def found(client: FlaskClient, path: str) -> set[str]:
    """The StudyInstanceUIDs of what a search of the viewer finds."""
    answer = client.get(path)
    assert answer.status_code in (200, 204), answer.text
    return {one["0020000D"]["Value"][0] for one in answer.get_json(silent=True) or ()}


def test_the_viewer_finds_other_studies_of_its_patient_and_of_nobody_of_the_same_number(
    app: Flask, patients: FlaskClient
) -> None:
    send(app)
    prior = send(app, StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    put(patients, "Patient", "jim", identifier=[{"system": "urn:oid:1.2.99", "value": "4711"}])
    other = ct_instance(
        PatientID="4711",
        IssuerOfPatientIDQualifiersSequence=issued_by("urn:oid:1.2.99"),
        StudyInstanceUID="1.2.8",
        SOPInstanceUID="1.2.8.1",
    )
    services = app.extensions[EXTENSION]
    assert services.ingest.ingest([other], source=DEFAULT_SOURCE, given=Given()).status == 201
    assert found(patients, "/dicomweb/studies?PatientID=4711") == {STUDY, prior, "1.2.8"}
    for number in ("PatientID=4711", "00100020=4711", "00100020=9"):
        assert found(patients, f"/viewer/{STUDY}/studies?{number}") == {STUDY, prior}
    assert found(patients, "/viewer/1.2.8/studies?PatientID=4711") == {"1.2.8"}
    assert found(patients, f"/viewer/{STUDY}/studies?StudyInstanceUID=1.2.8") == set()
    assert found(patients, f"/viewer/{STUDY}/studies/1.2.8/series") == set()
    assert found(patients, f"/viewer/{STUDY}/studies/{prior}/series") == {prior}
    assert patients.get("/viewer/1.2.7/studies").status_code == 404


def test_the_viewer_finds_what_was_another_patients_before_a_merge(
    app: Flask, patients: FlaskClient
) -> None:
    send(app)
    prior = send(app, "9", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    assert found(patients, f"/viewer/{STUDY}/studies") == {STUDY}
    john, jane = ({"reference": f"Patient/{one}"} for one in ("john", "jane"))
    asked = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "source-patient", "valueReference": john},
            {"name": "target-patient", "valueReference": jane},
        ],
    }
    assert patients.post("/fhir/Patient/$merge", json=asked).status_code == 200
    assert found(patients, f"/viewer/{STUDY}/studies?PatientID=4711") == {STUDY, prior}


@pytest.mark.parametrize("query", ["", "?StudyInstanceUIDs=", "?StudyInstanceUIDs=,,"])
def test_no_study_is_no_request(client: FlaskClient, query: str) -> None:
    assert shown(client, f"/viewer{query}")[0] == 400


def test_an_unknown_study_is_not_there(client: FlaskClient) -> None:
    assert shown(client, "/viewer?StudyInstanceUIDs=1.2.3")[0] == 404
    assert shown(client, "/viewer/app-config.js?StudyInstanceUIDs=1.2.3")[0] == 404


def test_a_deleted_study_is_not_shown(app: Flask, patients: FlaskClient) -> None:
    send(app)
    assert patients.delete(f"/fhir/ImagingStudy/{STUDY}").status_code == 204
    assert shown(patients, f"/viewer?StudyInstanceUIDs={STUDY}")[0] == 410


def test_the_chart_leads_to_the_viewer(app: Flask, patients: FlaskClient) -> None:
    send(app)
    assert (
        f'href="/viewer?StudyInstanceUIDs={STUDY}"' in patients.get(f"/chart/studies/{STUDY}").text
    )


def test_the_study_says_where_it_can_be_seen(app: Flask, patients: FlaskClient) -> None:
    send(app)
    study = patients.get(f"/fhir/ImagingStudy/{STUDY}").get_json()
    endpoint, picture = study["contained"]
    assert endpoint["connectionType"]["code"] == "ihe-iid"
    assert picture["address"].endswith(f"/dicomweb/studies/{STUDY}/thumbnail?viewport=1024,1024")
    base, _, path = endpoint["address"].partition("/iid")
    assert base == "https://images.example"
    assert leads_to(patients, f"/iid{path}") == f"/viewer?StudyInstanceUIDs={STUDY}"


def test_a_study_is_invoked_by_its_accession_number(app: Flask, patients: FlaskClient) -> None:
    send(app, AccessionNumber="A,1")
    address = "/iid/IHEInvokeImageDisplay?requestType=STUDY&accessionNumber="
    assert shown(patients, f"{address}A")[0] == 404  # a comma lists numbers, in the profile
    send(app, AccessionNumber="A-2", StudyInstanceUID="1.2.8", SOPInstanceUID="1.2.8.1")
    assert leads_to(patients, f"{address}A-2") == "/viewer?StudyInstanceUIDs=1.2.8"


def test_an_accession_number_of_two_patients_shows_neither(
    app: Flask, patients: FlaskClient
) -> None:
    send(app, AccessionNumber="A-2")
    send(app, "9", AccessionNumber="A-2", StudyInstanceUID="1.2.8", SOPInstanceUID="1.2.8.1")
    status, text = shown(patients, "/iid?requestType=STUDY&accessionNumber=A-2")
    assert status == 400
    assert "several patients" in text


def test_a_patient_is_invoked_by_number_and_authority(patients: FlaskClient) -> None:
    address = "/iid?requestType=PATIENT&patientID="
    assert leads_to(patients, f"{address}4711^^^%261.2.3%26ISO") == "/chart/patients/jane"
    assert leads_to(patients, f"{address}4711") == "/chart/patients/jane"
    assert shown(patients, f"{address}4712")[0] == 404
    assert shown(patients, f"{address}4711^^^ELSEWHERE")[0] == 404


def test_an_authority_of_the_site_file_is_known(settings: Settings) -> None:
    services = build_services(settings)
    display = replace(services.image_display, site=Site(issuers={"HOSPITAL": OTHERS}))
    assert display.token("47,11^^^HOSPITAL") == f"{OTHERS}|47\\,11"
    services.close()


def test_a_number_of_two_patients_leads_to_neither(patients: FlaskClient) -> None:
    put(patients, "Patient", "jim", identifier=[{"system": OTHERS, "value": "4711"}])
    status, text = shown(patients, "/iid?requestType=PATIENT&patientID=4711")
    assert status == 400
    assert "assigning authority" in text


def test_another_birth_date_leads_nowhere(patients: FlaskClient) -> None:
    number = [{"system": NUMBERS, "value": "5"}]
    put(patients, "Patient", "joan", identifier=number, birthDate="1970-02-03")
    address = "/iid?requestType=PATIENT&patientID=5&patientBirthDate="
    assert leads_to(patients, f"{address}19700203") == "/chart/patients/joan"
    assert shown(patients, f"{address}19700204")[0] == 400


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?requestType=SERIES",
        "?requestType=STUDY",
        "?requestType=PATIENT",
        "?requestType=STUDY&studyUID=1.2&accessionNumber=3",
    ],
)
def test_an_incomplete_request_is_refused(client: FlaskClient, query: str) -> None:
    assert shown(client, f"/iid{query}")[0] == 400


def test_what_is_no_viewer_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="OHIF"):
        ViewerSite.of(str(tmp_path))


class TestWithoutViewer:
    @pytest.fixture
    def plain(self, settings: Settings) -> Iterator[Flask]:
        services = build_services(replace(settings, viewer_dir=""))
        yield app_of(services)
        services.close()

    def test_the_chart_is_shown_in_its_place(self, plain: Flask) -> None:
        client = plain.test_client()
        put(client, "Patient", "jane", identifier=[{"system": NUMBERS, "value": "4711"}])
        send(plain)
        prior = send(plain, StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
        one, both = f"/iid?requestType=STUDY&studyUID={STUDY}", f"{STUDY},{prior}"
        assert leads_to(client, one) == f"/chart/studies/{STUDY}"
        both_at = f"/iid?requestType=STUDY&studyUID={both}"
        assert leads_to(client, both_at) == "/chart/patients/jane"
        assert "/viewer" not in client.get(f"/chart/studies/{STUDY}").text
        assert shown(client, f"/viewer?StudyInstanceUIDs={STUDY}")[0] == 404
        assert client.get(ADDRESS).status_code == 404
