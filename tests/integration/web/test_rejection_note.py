"""What a rejection note hides is hidden at every door."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance, data_set, dicom_file
from tests.house import issued_by
from tests.integration.web.answers import json_of

SYSTEM = "urn:oid:1.2.3"
OF_JANE: dict[str, Any] = {
    "PatientID": "jane",
    "IssuerOfPatientIDQualifiersSequence": issued_by(SYSTEM),
}
NOTE = "1.2.9.100"


@pytest.fixture
def study(client: FlaskClient) -> FlaskClient:
    identifier = [{"system": SYSTEM, "value": "jane"}]
    content = {"resourceType": "Patient", "id": "jane", "identifier": identifier}
    assert client.put("/fhir/Patient/jane", json=content).status_code == 201
    for number in (1, 2):
        assert store(client, ct_instance(**OF_JANE, SOPInstanceUID=uid(number))) == 200
    return client


def uid(number: int) -> str:
    return f"{INSTANCE}.{number}"


def store(client: FlaskClient, content: bytes) -> int:
    sent = client.post("/dicomweb/studies", data=content, content_type="application/dicom")
    return sent.status_code


def reject(client: FlaskClient, *uids: str) -> None:
    images = [{"ReferencedSOPClassUID": "1.2.3", "ReferencedSOPInstanceUID": one} for one in uids]
    evidence = {
        "StudyInstanceUID": STUDY,
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": SERIES, "ReferencedSOPSequence": images}
        ],
    }
    title = {"CodeValue": "113001", "CodingSchemeDesignator": "DCM", "CodeMeaning": "Rejected"}
    attributes = {
        **OF_JANE,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59",
        "Modality": "KO",
        "SeriesInstanceUID": f"{NOTE}.1",
        "SOPInstanceUID": NOTE,
        "ConceptNameCodeSequence": [title],
        "CurrentRequestedProcedureEvidenceSequence": [evidence],
    }
    assert store(client, dicom_file(data_set(attributes))) == 202


def found(client: FlaskClient, address: str) -> list[str]:
    """SOPInstanceUIDs by DICOMweb."""
    answer = client.get(f"/dicomweb/studies/{STUDY}/{address}")
    listed = json_of(answer) if answer.status_code == 200 else []
    return [one["00080018"]["Value"][0] for one in listed]


def total(client: FlaskClient, query: str) -> int:
    return int(json_of(client.get(f"/fhir/ImagingStudy?{query}&_summary=count"))["total"])


def instance(number: int) -> str:
    return f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{uid(number)}"


def test_a_part_of_a_study_is_hidden(study: FlaskClient) -> None:
    reject(study, uid(1))
    told = json_of(study.get(f"/fhir/ImagingStudy/{STUDY}"))
    assert (told["numberOfSeries"], told["numberOfInstances"]) == (1, 1)
    assert [one["uid"] for one in told["series"][0]["instance"]] == [uid(2)]
    assert found(study, "metadata") == found(study, "instances") == [uid(2)]
    assert study.get(f"{instance(1)}/metadata").status_code == 404
    assert study.get(f"{instance(2)}/metadata").status_code == 200
    assert total(study, f"instance=urn:oid:{uid(1)}") == 0
    assert total(study, f"instance=urn:oid:{uid(2)}") == 1
    assert total(study, "modality=KO") == 0
    [task] = json_of(study.get("/fhir/Task?reason=rejected-by-note"))["entry"]
    assert task["resource"]["status"] == "rejected"


def test_a_whole_study_is_hidden_and_shown_again_by_a_person(study: FlaskClient) -> None:
    page = study.get("/chart/patients/jane").text
    assert f"/chart/studies/{STUDY}" in page
    reject(study, uid(1), uid(2))
    assert study.get(f"/fhir/ImagingStudy/{STUDY}").status_code == 410
    assert total(study, "patient=jane") == 0
    assert found(study, "metadata") == found(study, "instances") == []
    entries = json_of(study.get("/fhir/Patient/jane/$everything"))["entry"]
    assert {one["resource"]["resourceType"] for one in entries} == {"Patient"}
    assert f"/chart/studies/{STUDY}" not in study.get("/chart/patients/jane").text
    [task] = json_of(study.get("/fhir/Task?reason=rejected-by-note"))["entry"]
    patient = {"name": "patient", "valueReference": {"reference": "Patient/jane"}}
    body = {"resourceType": "Parameters", "parameter": [patient]}
    address = f"/fhir/Task/{task['resource']['id']}/$link"
    assert study.post(address, json=body).status_code == 200
    assert set(found(study, "metadata")) == {uid(1), uid(2), NOTE}
