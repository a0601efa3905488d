"""$link, $reject, $undo and Patient/$merge over HTTP."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydicom import Dataset, dcmread
from werkzeug.test import TestResponse

from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance
from tests.house import issued_by
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES

SYSTEM = "urn:oid:1.2.3"


@pytest.fixture
def patients(client: FlaskClient) -> FlaskClient:
    for name in ("jane", "john"):
        identifier = [{"system": SYSTEM, "value": name}]
        content = {"resourceType": "Patient", "id": name, "identifier": identifier}
        assert client.put(f"/fhir/Patient/{name}", json=content).status_code == 201
    return client


def held(client: FlaskClient) -> str:
    sent = client.post(
        "/fhir/$import-image",
        data=SAMPLES["image/jpeg"](),
        content_type="application/octet-stream",
    )
    assert sent.status_code == 202 or json_of(sent)["entry"][0]["response"]["status"][:3] == "202"
    found = json_of(client.get("/fhir/Task?status=requested"))
    return f"Task/{found['entry'][0]['resource']['id']}"


def call(client: FlaskClient, path: str, given: dict[str, Any], **headers: str) -> TestResponse:
    parameters = [
        {
            "name": name,
            **(
                value
                if isinstance(value, dict)
                else {"valueReference": {"reference": value}}
                if "/" in value
                else {"valueString": value}
            ),
        }
        for name, value in given.items()
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    return client.post(f"/fhir/{path}", json=body, headers=headers)


def value(answer: TestResponse, name: str) -> str:
    found = json_of(answer)
    assert answer.status_code == 200, found
    [one] = [one for one in found["parameter"] if one["name"] == name]
    return str(one["valueReference"]["reference"])


def subject(client: FlaskClient, reference: str) -> str:
    return str(json_of(client.get(f"/fhir/{reference}"))["subject"]["reference"])


def test_a_held_image_is_filed_moved_and_held_again(patients: FlaskClient) -> None:
    task = held(patients)
    filed = call(patients, f"{task}/$link", {"patient": "Patient/jane", "reason": "Her wound"})
    document = value(filed, "result")
    assert subject(patients, document) == "Patient/jane"
    moved = call(patients, f"{document}/$link", {"patient": "Patient/john"})
    assert subject(patients, document) == "Patient/john"
    told = json_of(patients.get(f"/fhir/Provenance?target={document}"))
    assert {one["resource"]["activity"]["coding"][0]["code"] for one in told["entry"]} == {"link"}
    events = json_of(patients.get(f"/fhir/AuditEvent?entity={document}"))["entry"]
    assert {one["resource"]["id"] for one in events} == {
        one["resource"]["id"] for one in told["entry"]
    }
    audited = json_of(patients.get("/fhir/AuditEvent?patient=Patient/john"))["entry"]
    assert [one["resource"]["id"] for one in audited] == [
        value(moved, "provenance").partition("/")[2]
    ]
    assert value(call(patients, f"{value(moved, 'provenance')}/$undo", {}), "result") == document
    assert subject(patients, document) == "Patient/jane"
    assert value(call(patients, f"{value(filed, 'provenance')}/$undo", {}), "result") == task
    assert patients.get(f"/fhir/{document}").status_code == 410


def test_a_moved_photo_keeps_nothing_of_the_former_patient_until_that_is_undone(
    patients: FlaskClient,
) -> None:
    document = value(
        call(patients, f"{held(patients)}/$link", {"patient": "Patient/jane"}), "result"
    )
    content = json_of(patients.get(f"/fhir/{document}"))
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/jane"},
    }
    assert patients.put("/fhir/ServiceRequest/order", json=order).status_code == 201
    context = {
        **content.get("context", {}),
        "related": [{"reference": "ServiceRequest/order"}, {"display": "A note"}],
        "sourcePatientInfo": {"reference": "Patient/jane"},
    }
    answer = patients.put(f"/fhir/{document}", json={**content, "context": context})
    assert answer.status_code == 200, answer.data
    moved = call(patients, f"{document}/$link", {"patient": "Patient/john"})
    assert b"Patient/jane" not in patients.get(f"/fhir/{document}").data
    assert json_of(patients.get(f"/fhir/{document}"))["context"]["related"] == [
        {"display": "A note"}
    ]
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    after = json_of(patients.get(f"/fhir/{document}"))
    assert after["context"]["related"] == context["related"]
    assert after["context"]["sourcePatientInfo"] == context["sourcePatientInfo"]


def test_of_two_who_decide_at_once_one_is_told(patients: FlaskClient) -> None:
    task = held(patients)
    etag = patients.get(f"/fhir/{task}").headers["ETag"]
    given = {"patient": "Patient/jane"}
    assert call(patients, f"{task}/$link", given, **{"If-Match": etag}).status_code == 200
    assert call(patients, f"{task}/$reject", {}, **{"If-Match": etag}).status_code == 412
    assert call(patients, f"{task}/$link", given).status_code == 409


def test_a_rejected_image_stays_held(patients: FlaskClient) -> None:
    task = held(patients)
    assert value(call(patients, f"{task}/$reject", {"reason": "A finger"}), "result") == task
    assert json_of(patients.get(f"/fhir/{task}"))["status"] == "rejected"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 400),
        ({"patient": "Patient/nobody"}, 422),
        ({"patient": "Encounter/1"}, 400),
        ({"patient": "https://elsewhere.example/fhir/Patient/jane"}, 400),
        ({"patient": "Patient/jane", "encounter": "Encounter/none"}, 422),
        ({"patient": "Patient/jane", "pateint": "Patient/john"}, 400),
    ],
)
def test_what_does_not_fit_is_refused(
    patients: FlaskClient, given: dict[str, Any], status: int
) -> None:
    task = held(patients)
    assert call(patients, f"{task}/$link", given).status_code == status
    assert json_of(patients.get(f"/fhir/{task}"))["status"] == "requested"


def test_two_patients_become_one_and_are_two_again(patients: FlaskClient) -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/jane"},
    }
    assert patients.put("/fhir/Encounter/visit", json=visit).status_code == 201
    number = {"valueIdentifier": {"system": SYSTEM, "value": "jane"}}
    given = {"source-patient-identifier": number, "target-patient": "Patient/john"}
    preview = call(patients, "Patient/$merge", {**given, "preview": {"valueBoolean": True}})
    assert value(preview, "result") == "Patient/john"
    assert subject(patients, "Encounter/visit") == "Patient/jane"
    merged = call(patients, "Patient/$merge", given)
    assert subject(patients, "Encounter/visit") == "Patient/john"
    assert json_of(patients.get("/fhir/Patient/jane"))["active"] is False
    call(patients, f"{value(merged, 'provenance')}/$undo", {})
    assert subject(patients, "Encounter/visit") == "Patient/jane"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"source-patient": "Patient/jane"}, 400),
        ({"source-patient": "Patient/jane", "target-patient": "Patient/jane"}, 422),
        ({"source-patient": "Patient/jane", "target-patient": "Patient/none"}, 422),
    ],
)
def test_a_merge_that_cannot_be_is_refused(
    patients: FlaskClient, given: dict[str, Any], status: int
) -> None:
    assert call(patients, "Patient/$merge", given).status_code == status


CT: dict[str, Any] = {"PatientID": "jane", "IssuerOfPatientIDQualifiersSequence": issued_by(SYSTEM)}


def send(client: FlaskClient, **attributes: Any) -> bytes:
    content = ct_instance(**CT, **attributes)
    sent = client.post("/dicomweb/studies", data=content, content_type="application/dicom")
    assert sent.status_code == 200, sent.data
    return content


def served(client: FlaskClient, query: str = "") -> bytes:
    answer = client.get(f"{WADO}{query}", headers={"Accept": "application/dicom"})
    assert answer.status_code == 200
    assert answer.content_length == len(answer.data)
    return bytes(answer.data)


WADO = f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"


def test_a_corrected_study_is_served_under_its_patient_and_the_bytes_stay(
    patients: FlaskClient,
) -> None:
    stored = send(patients)
    assert served(patients) == stored
    etag = patients.get(f"{WADO}/metadata").headers["ETag"]
    moved = call(patients, f"ImagingStudy/{STUDY}/$link", {"patient": "Patient/john"})
    assert dcmread(BytesIO(served(patients))).PatientID == "john"
    assert served(patients, "?original=true") == stored
    told = patients.get(f"{WADO}/metadata", headers={"If-None-Match": etag})
    assert told.get_json(force=True)[0]["00100020"]["Value"] == ["john"]
    whole = patients.get(f"/dicomweb/studies/{STUDY}")
    assert whole.content_length == len(whole.data)
    assert b"john" in whole.data
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    assert served(patients) == stored


def test_a_merge_is_seen_in_what_dicomweb_serves(patients: FlaskClient) -> None:
    stored = send(patients)
    given = {"source-patient": "Patient/jane", "target-patient": "Patient/john"}
    merged = call(patients, "Patient/$merge", given)
    assert dcmread(BytesIO(served(patients))).PatientID == "john"
    call(patients, f"{value(merged, 'provenance')}/$undo", {})
    assert served(patients) == stored


def test_a_moved_study_is_served_without_the_orders_of_whom_it_was_not(
    patients: FlaskClient,
) -> None:
    request = Dataset()
    request.AccessionNumber, request.RequestedProcedureID = "A1", "P1"
    stored = send(
        patients,
        AccessionNumber="A1",
        StudyID="A1",
        PlacerOrderNumberImagingServiceRequest="O1",
        RequestAttributesSequence=[request],
    )
    moved = call(patients, f"ImagingStudy/{STUDY}/$link", {"patient": "Patient/john"})
    header = dcmread(BytesIO(served(patients)))
    assert header.PatientID == "john"
    assert (header.AccessionNumber, header.StudyID) == ("", "")
    assert not header.RequestAttributesSequence
    assert not header.PlacerOrderNumberImagingServiceRequest
    [metadata] = json_of(patients.get(f"/dicomweb/studies/{STUDY}/metadata"))
    assert metadata["00080050"] == {"vr": "SH"}
    assert "A1" not in str(metadata)
    assert served(patients, "?original=true") == stored
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    assert served(patients) == stored


def test_a_merge_told_by_the_link_alone_is_seen_too_and_its_end(patients: FlaskClient) -> None:
    stored = send(patients)
    jane = json_of(patients.get("/fhir/Patient/jane"))
    link = [{"other": {"reference": "Patient/john"}, "type": "replaced-by"}]
    assert patients.put("/fhir/Patient/jane", json={**jane, "link": link}).status_code == 200
    assert dcmread(BytesIO(served(patients))).PatientID == "john"
    version = {"If-Match": patients.get("/fhir/Patient/jane").headers["ETag"]}
    assert patients.put("/fhir/Patient/jane", json=jane, headers=version).status_code == 200
    assert served(patients) == stored


def test_a_provenance_of_no_correction_cannot_be_undone(patients: FlaskClient) -> None:
    assert call(patients, "Provenance/none/$undo", {}).status_code == 404


def series_sent(client: FlaskClient) -> list[bytes]:
    """Two series of one study, two images each; the second refers to itself."""
    sent = []
    for series, number in ((1, 1), (1, 2), (2, 1), (2, 2)):
        uid = f"{STUDY}.{series}"
        content = ct_instance(
            PatientID="jane",
            IssuerOfPatientIDQualifiersSequence=issued_by(SYSTEM),
            SeriesInstanceUID=uid,
            SeriesNumber=str(series),
            SOPInstanceUID=f"{uid}.{number}",
            InstanceNumber=str(number),
            ReferencedImageSequence=[
                {"ReferencedSOPClassUID": "1.2", "ReferencedSOPInstanceUID": f"{STUDY}.2.1"}
            ],
        )
        answer = client.post("/dicomweb/studies", data=content, content_type="application/dicom")
        assert answer.status_code == 200, answer.data
        sent.append(content)
    return sent


def split(client: FlaskClient, *series: str, **headers: str) -> TestResponse:
    parameters = [
        {"name": "patient", "valueReference": {"reference": "Patient/john"}},
        *({"name": "series", "valueId": one} for one in series),
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    return client.post(f"/fhir/ImagingStudy/{STUDY}/$link", json=body, headers=headers)


def test_a_series_is_served_as_another_patients_study_and_the_bytes_stay(
    patients: FlaskClient,
) -> None:
    sent = series_sent(patients)
    report = {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "status": "final",
        "code": {"text": "CT"},
        "subject": {"reference": "Patient/jane"},
        "imagingStudy": [{"reference": f"ImagingStudy/{STUDY}"}],
    }
    assert patients.put("/fhir/DiagnosticReport/report", json=report).status_code == 201
    done = split(patients, f"urn:oid:{STUDY}.2")
    part = json_of(patients.get(f"/fhir/{value(done, 'result')}"))
    assert part["subject"]["reference"] == "Patient/john"
    [series] = part["series"]
    root = f"/dicomweb/studies/{part['id']}"
    for instance, stored in zip(series["instance"], sent[2:], strict=True):
        address = f"{root}/series/{series['uid']}/instances/{instance['uid']}"
        accept = {"Accept": "application/dicom"}
        answer = patients.get(address, headers=accept)
        assert answer.content_length == len(answer.data)
        found = dcmread(BytesIO(answer.data))
        assert (found.PatientID, found.StudyInstanceUID) == ("john", part["id"])
        assert (found.SeriesInstanceUID, found.SOPInstanceUID) == (series["uid"], instance["uid"])
        assert found.file_meta.MediaStorageSOPInstanceUID == instance["uid"]
        [referred] = found.ReferencedImageSequence
        assert referred.ReferencedSOPInstanceUID == series["instance"][0]["uid"]
        [origin] = found.OriginalAttributesSequence
        assert origin.ModifiedAttributesSequence[0].StudyInstanceUID == STUDY
        assert "jane" not in str(found)
        assert found.PixelData == dcmread(BytesIO(stored)).PixelData
        [metadata] = patients.get(f"{address}/metadata").get_json(force=True)
        assert metadata["00080018"]["Value"] == [instance["uid"]]
        assert metadata["00100020"]["Value"] == ["john"]
        assert patients.get(f"{address}?original=true", headers=accept).data == stored
    whole = patients.get(root)
    assert whole.content_length == len(whole.data)
    rest = patients.get(f"/dicomweb/studies/{STUDY}/metadata").get_json(force=True)
    assert {one["0020000E"]["Value"][0] for one in rest} == {f"{STUDY}.1"}
    assert patients.get(f"/dicomweb/studies/{STUDY}/series/{STUDY}.2").status_code == 404
    for query, found_ids in (
        ("subject=Patient/john", [part["id"]]),
        ("subject=Patient/jane", [STUDY]),
        (f"series={STUDY}.2", []),
        (f"series={series['uid']}", [part["id"]]),
        (f"instance={series['instance'][0]['uid']}", [part["id"]]),
        (f"identifier=urn:oid:{part['id']}", [part["id"]]),
    ):
        bundle = json_of(patients.get(f"/fhir/ImagingStudy?{query}"))
        assert [one["resource"]["id"] for one in bundle.get("entry", [])] == found_ids, query
    kept = json_of(patients.get("/fhir/DiagnosticReport/report"))
    assert kept["imagingStudy"] == report["imagingStudy"]
    page = patients.get(f"/chart/studies/{STUDY}").get_data(as_text=True)
    assert "2 of 4 images were moved to another patient" in page
    assert f"/chart/studies/{part['id']}" in page
    there = patients.get(f"/chart/studies/{part['id']}").get_data(as_text=True)
    assert "2 of 4 images of another study" in there
    call(patients, f"{value(done, 'provenance')}/$undo", {})
    assert patients.get(f"/fhir/ImagingStudy/{part['id']}").status_code == 410
    assert patients.get(root).status_code == 404
    again = json_of(patients.get(f"/fhir/ImagingStudy/{STUDY}"))
    assert again["numberOfInstances"] == 4
    page = patients.get(f"/chart/studies/{STUDY}").get_data(as_text=True)
    assert "Undone" in page


def test_a_later_image_stored_is_retrieved_where_its_answer_says(patients: FlaskClient) -> None:
    series_sent(patients)
    split(patients, f"{STUDY}.2")
    content = ct_instance(
        PatientID="jane",
        IssuerOfPatientIDQualifiersSequence=issued_by(SYSTEM),
        SeriesInstanceUID=f"{STUDY}.2",
        SOPInstanceUID=f"{STUDY}.2.3",
    )
    answer = patients.post("/dicomweb/studies", data=content, content_type="application/dicom")
    [stored] = answer.get_json(force=True)["00081199"]["Value"]
    assert stored["00081155"]["Value"] == [f"{STUDY}.2.3"]
    address = stored["00081190"]["Value"][0].removeprefix("http://localhost")
    served = patients.get(address, headers={"Accept": "application/dicom"})
    assert dcmread(BytesIO(served.data)).PatientID == "john"


@pytest.mark.parametrize(
    ("reference", "parameter", "expression", "status"),
    [
        (f"ImagingStudy/{STUDY}", "series", "http.series", 422),
        (f"ImagingStudy/{STUDY}", "instance", "http.instance", 422),
        ("DocumentReference/any", "series", "http.series", 400),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    patients: FlaskClient, reference: str, parameter: str, expression: str, status: int
) -> None:
    series_sent(patients)
    answer = call(patients, f"{reference}/$link", {"patient": "Patient/john", parameter: "1.9"})
    assert answer.status_code == status
    assert json_of(answer)["issue"][0]["expression"] == [expression]


def test_of_two_who_split_at_once_one_is_told(patients: FlaskClient) -> None:
    series_sent(patients)
    etag = patients.get(f"/fhir/ImagingStudy/{STUDY}").headers["ETag"]
    assert split(patients, f"{STUDY}.2", **{"If-Match": etag}).status_code == 200
    assert split(patients, f"{STUDY}.1", **{"If-Match": etag}).status_code == 412


def test_what_was_entered_in_error_is_marked_and_found_so_through_corrections_until_taken_back(
    patients: FlaskClient,
) -> None:
    series_sent(patients)
    study = json_of(patients.get(f"/fhir/ImagingStudy/{STUDY}"))
    wrong = {**study, "status": "entered-in-error"}
    assert patients.put(f"/fhir/ImagingStudy/{STUDY}", json=wrong).status_code == 200

    def found(status: str) -> list[str]:
        bundle = json_of(patients.get(f"/fhir/ImagingStudy?status={status}"))
        return [one["resource"]["id"] for one in bundle.get("entry", [])]

    moved = call(patients, f"ImagingStudy/{STUDY}/$link", {"patient": "Patient/john"})
    assert found("entered-in-error") == [STUDY]
    assert "Entered in error" in patients.get("/chart/patients/john").text
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    assert "Entered in error" in patients.get(f"/chart/studies/{STUDY}").text
    part = value(split(patients, f"{STUDY}.2"), "result").partition("/")[2]
    assert (found("entered-in-error"), found("available")) == ([STUDY], [part])
    study = json_of(patients.get(f"/fhir/ImagingStudy/{STUDY}"))
    right = {**study, "status": "available"}
    assert patients.put(f"/fhir/ImagingStudy/{STUDY}", json=right).status_code == 200
    assert found("entered-in-error") == []
    assert "Entered in error" not in patients.get(f"/chart/studies/{STUDY}").text


def test_a_photo_entered_in_error_stays_so_when_it_moves_and_back(patients: FlaskClient) -> None:
    photo = value(call(patients, f"{held(patients)}/$link", {"patient": "Patient/jane"}), "result")
    content = json_of(patients.get(f"/fhir/{photo}"))
    wrong = {**content, "status": "entered-in-error"}
    assert patients.put(f"/fhir/{photo}", json=wrong).status_code == 200
    moved = call(patients, f"{photo}/$link", {"patient": "Patient/john"})
    assert json_of(patients.get(f"/fhir/{photo}"))["status"] == "entered-in-error"
    assert "Entered in error" in patients.get("/chart/patients/john").text
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    back = json_of(patients.get(f"/fhir/{photo}"))
    assert (back["status"], back["subject"]["reference"]) == ("entered-in-error", "Patient/jane")
    assert patients.put(f"/fhir/{photo}", json={**back, "status": "current"}).status_code == 200
    assert json_of(patients.get(f"/fhir/{photo}"))["status"] == "current"
