"""What filed images mean for the resources that they hang on."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from imaging_fhir.fhir.validation import require_valid
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES


def take_in(client: FlaskClient, octets: bytes, query: str = "") -> dict[str, Any]:
    """The one entry of the answer to $import-image."""
    response = client.post(
        f"/fhir/$import-image{query}", data=octets, content_type="application/octet-stream"
    )
    answer: dict[str, Any] = json_of(response)["entry"][0]["response"]
    assert answer["status"].startswith("201"), answer
    return answer


def location(answer: dict[str, Any]) -> str:
    return "/fhir/" + "/".join(answer["location"].split("/fhir/")[-1].split("/")[:2])


@pytest.fixture
def study(client: FlaskClient) -> str:
    return location(take_in(client, ct_instance()))


@pytest.fixture
def document(client: FlaskClient) -> str:
    client.put("/fhir/Patient/a", json={"resourceType": "Patient", "id": "a"})
    return location(take_in(client, SAMPLES["image/png"](), "?patient=Patient/a"))


def test_a_study_is_read_found_and_valid(client: FlaskClient, study: str) -> None:
    read = client.get(study)
    assert (read.status_code, json_of(read)["resourceType"]) == (200, "ImagingStudy")
    require_valid(json_of(read))
    entries = json_of(client.get("/fhir/ImagingStudy?_include=ImagingStudy:patient"))["entry"]
    assert entries[0]["resource"] == json_of(read)
    assert entries[1]["resource"]["resourceType"] == "Patient"


def test_a_summary_of_a_study_leaves_the_instances_out(client: FlaskClient, study: str) -> None:
    whole, cut = json_of(client.get(study)), json_of(client.get(f"{study}?_summary=true"))
    assert "instance" in whole["series"][0]
    assert "instance" not in cut["series"][0]
    assert cut["numberOfInstances"] == 1
    elements = json_of(client.get(f"{study}?_elements=modality"))
    assert "series" not in elements
    assert elements["modality"] == whole["modality"]


@pytest.mark.parametrize("kind", ["study", "document"])
def test_a_deleted_image_is_gone_and_found_no_more(
    client: FlaskClient, request: pytest.FixtureRequest, kind: str
) -> None:
    path = request.getfixturevalue(kind)
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 410
    assert "entry" not in json_of(client.get(path.rpartition("/")[0]))
    assert json_of(client.get(f"{path}/_history"))["entry"][0]["request"]["method"] == "DELETE"


def test_the_bytes_of_a_deleted_document_are_gone_with_it(
    client: FlaskClient, document: str
) -> None:
    attachment = json_of(client.get(document))["content"][0]["attachment"]
    binary = attachment["url"].removeprefix("https://images.example")
    assert client.get(binary).get_data() == SAMPLES["image/png"]()
    client.delete(document)
    assert client.get(binary).status_code == 410


def test_a_patient_with_images_is_not_deleted(client: FlaskClient, document: str) -> None:
    refused = client.delete("/fhir/Patient/a")
    assert (refused.status_code, json_of(refused)["issue"][0]["code"]) == (409, "conflict")
    client.delete(document)
    gone = client.delete("/fhir/Patient/a")
    assert gone.status_code == 204, json_of(gone)
