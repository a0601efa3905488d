"""References to what is the EHR's: stored in one form, served as configured, found by any."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.ehr.copied import NEEDED
from imaging_fhir.model.reference import COPIED
from tests.house import ORDERS, issued_by
from tests.integration.ehr.clinic import JANE, Clinic, ct, open_clinic, order, visit
from tests.judges import faults
from tests.odd_ehr import OddEhr
from tests.samples import SAMPLES

PUBLIC = "https://images.example"
PATIENTS = "Patient/jane", "jane", "{ehr}/Patient/jane", f"{PUBLIC}/fhir/Patient/jane"
VISITS = "Encounter/v1", "v1", "{ehr}/Encounter/v1"
ORDER = "ServiceRequest/o1", "{ehr}/ServiceRequest/o1"


@pytest.fixture(params=["relative", "absolute"])
def clinic(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, odd_ehr: OddEhr
) -> Iterator[Clinic]:
    opened = open_clinic(
        database_url, tmp_path, odd_ehr, public_url=PUBLIC, ehr_references=request.param
    )
    odd_ehr.patient("jane", "4711", system="urn:oid:1.2.3", **JANE)
    odd_ehr.put(visit("v1", "jane"))
    odd_ehr.put(order("o1", "jane", "A1", encounter={"reference": "Encounter/v1"}))
    numbers = {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": issued_by(ORDERS)}
    assert opened.send(ct(1, **numbers)).status == 201
    assert opened.send(ct(2, PatientID="nobody", PatientName="Nobody")).status == 201
    assert opened.send(SAMPLES["image/jpeg"](), patient="Patient/jane").status == 201
    yield opened
    opened.services.close()


@pytest.fixture
def client(clinic: Clinic) -> FlaskClient:
    return app_of(clinic.services).test_client()


def at(clinic: Clinic, reference: str) -> str:
    """As it is to be served."""
    is_absolute = clinic.services.settings.ehr_references == "absolute"
    return f"{clinic.ehr.base}/{reference}" if is_absolute else reference


def get(client: FlaskClient, address: str) -> Any:
    answer = client.get(f"/fhir/{address}")
    assert answer.status_code == 200, answer.data
    found = answer.get_json(force=True)
    assert faults(found) == []
    return found


def found(client: FlaskClient, address: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in get(client, address).get("entry", ())]


def test_the_types_that_are_copied_are_said_once() -> None:
    assert set(COPIED) == set(NEEDED)


def test_references_are_served_as_configured_by_every_door(
    client: FlaskClient, clinic: Clinic
) -> None:
    jane, visited = at(clinic, "Patient/jane"), at(clinic, "Encounter/v1")
    [study] = found(client, "ImagingStudy?patient=jane")
    address = f"ImagingStudy/{study['id']}"
    shown = [
        study,
        get(client, address),
        get(client, f"{address}?_pretty=true"),
        get(client, f"{address}/_history/{study['meta']['versionId']}"),
        found(client, f"{address}/_history")[0],
        found(client, "Patient/jane/$everything?_type=ImagingStudy")[0],
        found(client, "Patient/jane/ImagingStudy")[0],
    ]
    for one in shown:
        assert one["subject"]["reference"] == jane
        assert one["encounter"]["reference"] == visited
        assert one["basedOn"] == [{"reference": at(clinic, "ServiceRequest/o1")}]
        assert one["endpoint"][0]["reference"] == "Endpoint/dicomweb"  # ours
    [document] = found(client, "DocumentReference?patient=jane")
    assert document["subject"]["reference"] == jane
    assert document["content"][0]["attachment"]["url"].startswith(f"{PUBLIC}/fhir/Binary/")
    assert get(client, "Encounter/v1")["subject"]["reference"] == jane
    as_xml = client.get(f"/fhir/{address}", headers={"Accept": "application/fhir+xml"})
    assert f'<reference value="{jane}"/>'.encode() in as_xml.data


def test_what_was_made_here_stays_here(client: FlaskClient, clinic: Clinic) -> None:
    [provisional] = found(client, "Patient?_tag=provisional")
    [study] = found(client, f"ImagingStudy?patient={provisional['id']}")
    assert study["subject"]["reference"] == f"Patient/{provisional['id']}"
    patient = {"resourceType": "Patient", "name": [{"family": "Roe"}]}
    made = client.post("/fhir/Patient", json=patient).headers["Location"].split("/")[5]
    note = {"resourceType": "Observation", "status": "final", "code": {"text": "lump"}}
    for reference in (f"Patient/{made}", "Patient/unknown", "Patient/jane/_history/1"):
        sent = client.post("/fhir/Observation", json={**note, "subject": {"reference": reference}})
        is_of_ehr = reference == "Patient/unknown"
        expected = at(clinic, reference) if is_of_ehr else reference
        assert sent.get_json(force=True)["subject"]["reference"] == expected


def test_bundles_resolve_within_themselves(client: FlaskClient, clinic: Clinic) -> None:
    bundle = get(client, "ImagingStudy?patient=jane&_include=*&_include=ImagingStudy:encounter")
    by_url = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    [study] = [one for one in by_url.values() if one["resourceType"] == "ImagingStudy"]
    is_absolute = clinic.services.settings.ehr_references == "absolute"
    for reference in (study["subject"], study["encounter"], *study["basedOn"]):
        said = reference["reference"]
        assert (said if is_absolute else f"{PUBLIC}/fhir/{said}") in by_url
    assert f"{PUBLIC}/fhir/ImagingStudy/{study['id']}" in by_url


@pytest.mark.parametrize(
    ("address", "forms"),
    [
        ("ImagingStudy?patient={0}", PATIENTS),
        ("ImagingStudy?subject={0}", PATIENTS),
        ("DocumentReference?patient={0}", PATIENTS),
        ("ImagingStudy?encounter={0}", VISITS),
        ("ImagingStudy?basedon={0}", ORDER),
        ("ImagingStudy?encounter.patient={0}", PATIENTS),
        ("Encounter?_has:ImagingStudy:encounter:patient={0}", PATIENTS),
        ("ServiceRequest?encounter={0}", VISITS),
    ],
)
def test_each_form_is_searched_by(
    client: FlaskClient, clinic: Clinic, address: str, forms: tuple[str, ...]
) -> None:
    for form in forms:
        assert len(found(client, address.format(form.format(ehr=clinic.ehr.base)))) == 1, form
    assert found(client, address.format("https://other.example/Patient/jane")) == []


def test_what_was_read_can_be_written_back(client: FlaskClient, clinic: Clinic) -> None:
    [study] = found(client, "ImagingStudy?patient=jane")
    changed = {**study, "note": [{"text": "seen"}]}
    answer = client.put(f"/fhir/ImagingStudy/{study['id']}", json=changed)
    assert answer.status_code == 200, answer.data
    written = answer.get_json(force=True)
    assert written["note"] == [{"text": "seen"}]
    assert written["subject"]["reference"] == at(clinic, "Patient/jane")
    again = client.put(f"/fhir/ImagingStudy/{study['id']}", json=written)
    assert again.get_json(force=True)["meta"] == written["meta"]  # nothing changed
    patch = [
        {"op": "test", "path": "/subject/reference", "value": at(clinic, "Patient/jane")},
        {"op": "add", "path": "/note/-", "value": {"text": "twice"}},
    ]
    answer = client.patch(
        f"/fhir/ImagingStudy/{study['id']}",
        data=json.dumps(patch),
        content_type="application/json-patch+json",
    )
    assert answer.status_code == 200, answer.data
    assert clinic.read(f"ImagingStudy/{study['id']}")["subject"]["reference"] == "Patient/jane"


def test_either_form_is_taken_from_who_sends(client: FlaskClient, clinic: Clinic) -> None:
    for number, form in enumerate(PATIENTS[::2]):
        given = form.format(ehr=clinic.ehr.base)
        sent = client.post(
            f"/fhir/$import-image?patient={given}&description={number}",
            data=SAMPLES["image/png"](),
            content_type="application/octet-stream",
        )
        assert sent.status_code == 200, sent.data
    criteria = f"DocumentReference?patient={clinic.ehr.base}/Patient/jane&contenttype=image/png"
    assert len(found(client, criteria)) == 1  # the same bytes about the same patient


def test_the_setting_can_be_changed_at_any_time(
    client: FlaskClient, clinic: Clinic, database_url: str, tmp_path: Path
) -> None:
    [study] = found(client, "ImagingStudy?patient=jane")
    other = {"relative": "absolute", "absolute": "relative"}
    references = other[clinic.services.settings.ehr_references]
    changed = open_clinic(
        database_url, tmp_path, clinic.ehr, public_url=PUBLIC, ehr_references=references
    )
    try:
        [now] = found(app_of(changed.services).test_client(), "ImagingStudy?patient=jane")
        assert now["subject"]["reference"] == at(changed, "Patient/jane")
        assert now["subject"]["reference"] != study["subject"]["reference"]
        assert now["meta"] == study["meta"]
    finally:
        changed.services.close()
