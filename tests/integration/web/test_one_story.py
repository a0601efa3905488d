"""Whatever is moved, merged, split and undone: FHIR, QIDO-RS, WADO-RS and chart tell the same."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydicom import dcmread

from tests.dicom_samples import ct_instance
from tests.house import issued_by
from tests.integration.web.answers import json_of
from tests.integration.web.test_correction import call, value

SYSTEM = "urn:oid:1.2.3"
FAMILIES = {"jane": "Roe", "john": "Doe"}
STUDIES = {"1.2.91": "jane", "1.2.92": "john"}
Story = dict[str, set[tuple[str, str, str]]]


@pytest.fixture
def sent(client: FlaskClient) -> FlaskClient:
    """A study of two series of each of two patients."""
    for name, family in FAMILIES.items():
        content = {
            "resourceType": "Patient",
            "id": name,
            "identifier": [{"system": SYSTEM, "value": name}],
            "name": [{"family": family}],
        }
        assert client.put(f"/fhir/Patient/{name}", json=content).status_code == 201
    for study, owner in STUDIES.items():
        for number in (1, 2):
            store(client, study, owner, number)
    return client


def store(client: FlaskClient, study: str, owner: str, number: int) -> None:
    content = ct_instance(
        PatientID=owner,
        PatientName=FAMILIES[owner],
        IssuerOfPatientIDQualifiersSequence=issued_by(SYSTEM),
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.{number}",
        SeriesNumber=str(number),
        SOPInstanceUID=f"{study}.{number}.1",
    )
    answer = client.post(
        "/dicomweb/studies",
        data=content,
        content_type="application/dicom",
        headers={"Accept": "application/dicom+json"},
    )
    assert answer.status_code == 200, answer.text


def story(client: FlaskClient) -> Story:
    """Who has which (study, series, instance): all doors agree, or it fails."""
    told = {name: in_fhir(client, name) for name in FAMILIES}
    for name, images in told.items():
        assert in_qido(client, f"PatientID={name}") == images
        assert in_qido(client, f"PatientName={FAMILIES[name]}") == images
        for study in {image[0] for image in images}:
            theirs = {image for image in images if image[0] == study}
            assert in_metadata(client, study, name) == theirs
            others = json_of(client.get(f"/viewer/{study}/studies"))
            assert {first(one, "0020000D") for one in others} == {image[0] for image in images}
            assert FAMILIES[name] in client.get(f"/chart/studies/{study}").text
            for image in theirs:
                assert in_file(client, image) == (name, FAMILIES[name], *image)
    return told


def in_fhir(client: FlaskClient, name: str) -> set[tuple[str, str, str]]:
    found = json_of(client.get(f"/fhir/Patient/{name}/ImagingStudy?_count=100"))
    return {
        (study_uid(entry["resource"]), series["uid"], instance["uid"])
        for entry in found.get("entry", ())
        for series in entry["resource"]["series"]
        for instance in series["instance"]
    }


def study_uid(study: dict[str, Any]) -> str:
    [uid] = [one["value"] for one in study["identifier"] if one.get("system") == "urn:dicom:uid"]
    return str(uid.removeprefix("urn:oid:"))


def in_qido(client: FlaskClient, asked: str) -> set[tuple[str, str, str]]:
    answer = client.get(f"/dicomweb/instances?{asked}")
    assert answer.status_code in (200, 204), answer.text
    return {uids(one) for one in answer.get_json(silent=True) or ()}


def in_metadata(client: FlaskClient, study: str, name: str) -> set[tuple[str, str, str]]:
    found = json_of(client.get(f"/dicomweb/studies/{study}/metadata"))
    assert {first(one, "00100020") for one in found} == {name}
    return {uids(one) for one in found}


def in_file(client: FlaskClient, image: tuple[str, str, str]) -> tuple[str, ...]:
    study, series, instance = image
    answer = client.get(
        f"/dicomweb/studies/{study}/series/{series}/instances/{instance}",
        headers={"Accept": "application/dicom; transfer-syntax=*"},
    )
    found = dcmread(BytesIO(answer.data))
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    return (
        *(found.PatientID, str(found.PatientName)),
        *(found.StudyInstanceUID, found.SeriesInstanceUID, found.SOPInstanceUID),
    )


def uids(found: dict[str, Any]) -> tuple[str, str, str]:
    return first(found, "0020000D"), first(found, "0020000E"), first(found, "00080018")


def first(found: dict[str, Any], tag: str) -> str:
    return str(found[tag]["Value"][0])


def undo(client: FlaskClient, provenance: str) -> None:
    value(call(client, f"{provenance}/$undo", {}), "result")


def test_a_move_and_its_undoing(sent: FlaskClient) -> None:
    before = story(sent)
    assert {name: len(images) for name, images in before.items()} == {"jane": 2, "john": 2}
    moved = call(sent, "ImagingStudy/1.2.91/$link", {"patient": "Patient/john"})
    assert story(sent) == {"jane": set(), "john": before["jane"] | before["john"]}
    undo(sent, value(moved, "provenance"))
    assert story(sent) == before


def test_a_merge_and_its_undoing(sent: FlaskClient) -> None:
    before = story(sent)
    merged = call(
        sent,
        "Patient/$merge",
        {"source-patient": "Patient/jane", "target-patient": "Patient/john"},
    )
    assert merged.status_code == 200
    everything = before["jane"] | before["john"]
    assert in_fhir(sent, "john") == everything
    assert in_qido(sent, "PatientName=Doe") == everything
    assert in_qido(sent, "PatientName=Roe") == set()
    for study in STUDIES:
        assert {image[0] for image in in_metadata(sent, study, "john")} == {study}
    told = json_of(sent.get("/fhir/Provenance?target=Patient/jane&_sort=-recorded"))
    undo(sent, f"Provenance/{told['entry'][0]['resource']['id']}")
    assert story(sent) == before


def test_a_split_and_its_undoing(sent: FlaskClient) -> None:
    before = story(sent)
    parted = call(
        sent,
        "ImagingStudy/1.2.91/$link",
        {"series": {"valueId": "1.2.91.2"}, "patient": "Patient/john"},
    )
    after = story(sent)
    assert len(after["jane"]) == 1
    assert len(after["john"]) == 3
    [(study, series, instance)] = after["john"] - before["john"]
    assert not {study, series, instance} & {uid for image in before["jane"] for uid in image}
    undo(sent, value(parted, "provenance"))
    assert story(sent) == before
