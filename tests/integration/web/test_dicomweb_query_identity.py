"""QIDO-RS tells of corrected studies what WADO-RS tells, and finds them by it and nothing else."""

from typing import Any

from flask.testing import FlaskClient
from pydicom import Dataset

from tests.dicom_samples import STUDY, ct_instance
from tests.integration.web.answers import json_of
from tests.integration.web.test_correction import (
    CT,
    call,
    patients,
    send,
    series_sent,
    split,
    value,
)

__all__ = ["patients"]

STORED = {"00100010": "PatientName", "00100020": "PatientID", "00080050": "AccessionNumber"}


def ask(client: FlaskClient, path: str, **parameters: str) -> list[dict[str, Any]]:
    answer = client.get(f"/dicomweb/{path}", query_string=parameters)
    assert answer.status_code in (200, 204), answer.data
    found: list[dict[str, Any]] = answer.get_json(force=True) if answer.data else []
    return found


def first(element: dict[str, Any]) -> str:
    found = element.get("Value", [""])[0]
    return str(found["Alphabetic"] if isinstance(found, dict) else found)


def found_by(client: FlaskClient, **parameters: str) -> set[str]:
    return {first(one["0020000D"]) for one in ask(client, "studies", **parameters)}


def tells_one_story(client: FlaskClient) -> list[str]:
    """Each study is told at each level as its metadata is, and found by what it is told with."""
    told = ask(client, "studies")
    for study in told:
        uid = first(study["0020000D"])
        metadata = json_of(client.get(f"/dicomweb/studies/{uid}/metadata"))
        assert {first(one["0020000D"]) for one in metadata} == {uid}
        instances = ask(client, f"studies/{uid}/instances", includefield="PatientName,PatientID")
        series = ask(client, f"studies/{uid}/series", includefield="PatientID,AccessionNumber")
        assert [first(one["00080018"]) for one in instances] == [
            first(one["00080018"]) for one in metadata
        ]
        for tag, keyword in STORED.items():
            [said] = {first(one.get(tag, {})) for one in metadata}
            assert first(study[tag]) == said
            assert {first(one[tag]) for one in (*series, *instances) if tag in one} <= {said}
            if said:
                assert uid in found_by(client, **{keyword: said})
                assert uid in found_by(client, **{keyword: said, "StudyInstanceUID": uid})
                assert uid not in found_by(client, **{keyword: f"{said}x"})
    return [first(study["00100020"]) for study in told]


def changed(client: FlaskClient, patient: str, **more: Any) -> None:
    answer = client.get(f"/fhir/Patient/{patient}")
    content = {**json_of(answer), **more}
    put = client.put(
        f"/fhir/Patient/{patient}", json=content, headers={"If-Match": answer.headers["ETag"]}
    )
    assert put.status_code == 200, put.data


def test_a_moved_study_is_found_by_its_patient_today(patients: FlaskClient) -> None:
    send(patients)
    assert tells_one_story(patients) == ["jane"]
    moved = call(patients, f"ImagingStudy/{STUDY}/$link", {"patient": "Patient/john"})
    assert tells_one_story(patients) == ["john"]
    assert not found_by(patients, PatientID="jane")
    assert not found_by(patients, PatientID="ja*")
    changed(patients, "john", name=[{"family": "Müller", "given": ["Johann"]}])
    assert tells_one_story(patients) == ["john"]
    assert found_by(patients, PatientName="MULLER^JOHANN") == {STUDY}
    assert found_by(patients, PatientName="johann muell", fuzzymatching="true") == {STUDY}
    assert not found_by(patients, PatientName="muller anna", fuzzymatching="true")
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    assert tells_one_story(patients) == ["jane"]
    assert not found_by(patients, PatientName="muller*")


def test_a_moved_study_is_not_found_by_the_orders_of_whom_it_was_not(
    patients: FlaskClient,
) -> None:
    request = Dataset()
    request.AccessionNumber, request.RequestedProcedureID = "A1", "P1"
    send(patients, AccessionNumber="A1", StudyID="A1", RequestAttributesSequence=[request])
    procedure = {"RequestAttributesSequence.RequestedProcedureID": "P1"}
    assert ask(patients, "series", **procedure)
    moved = call(patients, f"ImagingStudy/{STUDY}/$link", {"patient": "Patient/john"})
    assert tells_one_story(patients) == ["john"]
    assert not found_by(patients, AccessionNumber="A1")
    assert not found_by(patients, StudyID="A1")
    assert not ask(patients, "series", **procedure)
    assert "A1" not in str(ask(patients, "series", includefield="all"))
    assert "P1" not in str(ask(patients, "instances", includefield="all"))
    call(patients, f"{value(moved, 'provenance')}/$undo", {})
    assert found_by(patients, AccessionNumber="A1", StudyID="A1") == {STUDY}
    assert ask(patients, "series", **procedure)


def test_a_merge_is_told_and_so_is_its_end(patients: FlaskClient) -> None:
    send(patients)
    given = {"source-patient": "Patient/jane", "target-patient": "Patient/john"}
    merged = call(patients, "Patient/$merge", given)
    assert tells_one_story(patients) == ["john"]
    call(patients, f"{value(merged, 'provenance')}/$undo", {})
    assert tells_one_story(patients) == ["jane"]


def test_a_merge_by_the_link_alone_is_told(patients: FlaskClient) -> None:
    send(patients)
    link = [{"other": {"reference": "Patient/john"}, "type": "replaced-by"}]
    changed(patients, "jane", link=link)
    assert tells_one_story(patients) == ["john"]


def test_a_part_that_was_split_off_is_a_study_of_its_own(patients: FlaskClient) -> None:
    series_sent(patients)
    done = split(patients, f"urn:oid:{STUDY}.2")
    assert sorted(tells_one_story(patients)) == ["jane", "john"]
    part = value(done, "result").partition("/")[2]
    assert found_by(patients, PatientID="john") == {part}
    [series] = ask(patients, f"studies/{part}/series")
    assert not ask(patients, "series", SeriesInstanceUID=f"{STUDY}.2")
    assert ask(patients, "series", SeriesInstanceUID=first(series["0020000E"])) != []
    call(patients, f"{value(done, 'provenance')}/$undo", {})
    assert tells_one_story(patients) == ["jane"]
    assert len(ask(patients, "series", SeriesInstanceUID=f"{STUDY}.2")) == 1


def test_what_is_held_is_not_found(patients: FlaskClient) -> None:
    send(patients)
    other = ct_instance(**{**CT, "PatientID": "john"}, SOPInstanceUID=f"{STUDY}.9")
    held = patients.post("/dicomweb/studies", data=other, content_type="application/dicom")
    assert held.status_code == 202
    assert tells_one_story(patients) == ["jane"]
    assert [len(ask(patients, path)) for path in ("studies", "series", "instances")] == [1, 1, 1]
    assert not ask(patients, "instances", SOPInstanceUID=f"{STUDY}.9")
    assert not found_by(patients, PatientID="john")


def test_a_deleted_study_is_not_found(patients: FlaskClient) -> None:
    send(patients)
    assert ask(patients, "studies")
    assert patients.delete(f"/fhir/ImagingStudy/{STUDY}").status_code in (200, 204)
    assert [ask(patients, path) for path in ("studies", "series", "instances")] == [[], [], []]
