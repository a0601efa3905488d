"""What users write of an ImagingStudy stays, whatever images come; what images say is theirs."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.dicom_samples import SERIES, STUDY, ct_instance
from tests.integration.web.answers import json_of

Json = dict[str, Any]
STUDY_PATH = f"/fhir/ImagingStudy/{STUDY}"
NUMBERS = "urn:oid:1.2.3"


def take_in(client: FlaskClient, **attributes: Any) -> None:
    octets = ct_instance(
        PatientID="4711",
        IssuerOfPatientIDQualifiersSequence=[
            {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}
        ],
        PatientName="Virtanen^Aino",
        **attributes,
    )
    answer = client.post(
        "/fhir/$import-image", data=octets, content_type="application/octet-stream"
    )
    assert json_of(answer)["entry"][0]["response"]["status"][:3] == "201", json_of(answer)


def put(client: FlaskClient, resource: Json) -> TestResponse:
    return client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource)


def visit(id_: str, patient: str) -> Json:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
    }


@pytest.fixture
def study(client: FlaskClient) -> Json:
    """As it is read: of Patient/a, who has the visit v; the visit w is that of somebody else."""
    for id_, number, family in (("a", "4711", "Virtanen"), ("b", "4712", "Korhonen")):
        patient = {
            "resourceType": "Patient",
            "id": id_,
            "identifier": [{"system": NUMBERS, "value": number}],
            "name": [{"family": family}],
        }
        assert put(client, patient).status_code == 201
    for one in (visit("v", "a"), visit("w", "b")):
        assert put(client, one).status_code == 201
    take_in(client, ReferringPhysicianName="Mäkinen^Liisa", PhysiciansOfRecord="Salo^Arvo")
    found: Json = json_of(client.get(STUDY_PATH))
    assert found["subject"]["reference"] == "Patient/a"
    return found


EDITS: Json = {
    "status": "entered-in-error",
    "encounter": {"reference": "Encounter/v"},
    "basedOn": [{"reference": "ServiceRequest/s"}],
    "reasonCode": [{"text": "fall"}],
    "reasonReference": [{"reference": "Condition/c"}],
    "note": [{"text": "seen"}],
    "procedureReference": {"reference": "Procedure/p"},
    "interpreter": [{"display": "Dr. Niemi"}],
}


def test_every_editable_element_is_kept_when_another_image_comes(
    client: FlaskClient, study: Json
) -> None:
    meta = {
        "tag": [{"system": "urn:x", "code": "teaching"}],
        "security": [{"system": "urn:x", "code": "R"}],
    }
    edits = {**EDITS, "meta": meta}
    edited = put(client, {**study, **edits})
    assert (edited.status_code, edited.headers["ETag"]) == (200, 'W/"2"'), json_of(edited)
    take_in(client, SeriesInstanceUID=f"{SERIES}.9", SOPInstanceUID=f"{SERIES}.9.1", Modality="MR")
    later = json_of(client.get(STUDY_PATH))
    assert (later["meta"]["versionId"], later["numberOfInstances"]) == ("3", 2)
    assert {name: later[name] for name in EDITS} == EDITS
    assert {name: later["meta"][name] for name in meta} == meta
    assert {one["code"] for one in later["modality"]} == {"CT", "MR"}


def test_the_study_is_found_by_what_was_edited_and_not_by_what_it_said(
    client: FlaskClient, study: Json
) -> None:
    def found(query: str) -> bool:
        return "entry" in json_of(client.get(f"/fhir/ImagingStudy?{query}"))

    assert found("status=available")
    put(client, {**study, **{name: EDITS[name] for name in ("status", "encounter")}})
    assert found("encounter=Encounter/v")
    assert found("status=entered-in-error")
    assert not found("status=available")
    assert client.delete("/fhir/Encounter/v").status_code == 409


def test_history_shows_the_version_before_and_after_the_edit(
    client: FlaskClient, study: Json
) -> None:
    put(client, {**study, "note": EDITS["note"]})
    take_in(client, SOPInstanceUID=f"{SERIES}.2", InstanceNumber=2)
    history = json_of(client.get(f"{STUDY_PATH}/_history"))["entry"]
    versions = {one["resource"]["meta"]["versionId"]: one["resource"] for one in history}
    assert ("note" in versions["1"], versions["1"]["numberOfInstances"]) == (False, 1)
    assert (versions["2"]["note"], versions["2"]["numberOfInstances"]) == (EDITS["note"], 1)
    assert (versions["3"]["note"], versions["3"]["numberOfInstances"]) == (EDITS["note"], 2)
    assert json_of(client.get(f"{STUDY_PATH}/_history/2")) == versions["2"]


def test_what_is_sent_back_as_it_was_read_makes_no_version(
    client: FlaskClient, study: Json
) -> None:
    again = put(client, study)
    assert (again.status_code, again.headers["ETag"]) == (200, 'W/"1"')
    put(client, {**study, "note": EDITS["note"]})
    edited = json_of(client.get(STUDY_PATH))
    assert put(client, edited).headers["ETag"] == 'W/"2"'


def test_an_edit_is_taken_back_by_sending_what_the_images_say(
    client: FlaskClient, study: Json
) -> None:
    put(client, {**study, "status": "entered-in-error", "note": EDITS["note"]})
    back = json_of(put(client, study))
    assert {**back, "meta": None} == {**study, "meta": None}
    assert back["meta"]["versionId"] == "3"


def test_what_the_images_say_of_an_editable_element_can_be_taken_away(
    client: FlaskClient,
) -> None:
    take_in(client, AccessionNumber="A1", ReasonForTheRequestedProcedure="cough")
    study = json_of(client.get(STUDY_PATH))
    assert study["basedOn"]
    bare = {name: value for name, value in study.items() if name != "basedOn"}
    assert "basedOn" not in json_of(put(client, bare))
    take_in(client, AccessionNumber="A1", SOPInstanceUID=f"{SERIES}.2", InstanceNumber=2)
    assert "basedOn" not in json_of(client.get(STUDY_PATH))


def series_changed(study: Json) -> Json:
    (one,) = study["series"]
    return {**study, "series": [{**one, "description": "mine", "number": 77}]}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"description": "mine", "numberOfSeries": 7},
            ["ImagingStudy.description", "ImagingStudy.numberOfSeries"],
        ),
        ({"language": "fi"}, ["ImagingStudy.language"]),
        ({"status": "cancelled"}, ["ImagingStudy.status"]),
        ({"meta": {"profile": ["http://example.org/p"]}}, ["ImagingStudy.meta.profile"]),
        ({"encounter": {"reference": "Encounter/w"}}, ["ImagingStudy.encounter"]),
        ({"encounter": {"reference": "Encounter/none"}}, ["ImagingStudy.encounter"]),
        ({"encounter": {"reference": "https://ehr/fhir/Encounter/v"}}, ["ImagingStudy.encounter"]),
        ({"basedOn": [{"reference": "ServiceRequest/other"}]}, ["ImagingStudy.basedOn[0]"]),
    ],
)
def test_an_edit_of_anything_else_is_refused_naming_each_element(
    client: FlaskClient, study: Json, change: Json, named: list[str]
) -> None:
    order = {
        "resourceType": "ServiceRequest",
        "id": "other",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/b"},
    }
    put(client, order)
    refused = put(client, {**study, **change})
    issues = json_of(refused)["issue"]
    assert (refused.status_code, sorted(one["expression"][0] for one in issues)) == (422, named)
    assert client.get(STUDY_PATH).headers["ETag"] == 'W/"1"'


def test_a_study_is_not_given_to_another_patient(client: FlaskClient, study: Json) -> None:
    subject = {**study["subject"], "reference": "Patient/b"}
    issues = json_of(put(client, {**study, "subject": subject}))["issue"]
    assert [one["expression"] for one in issues] == [["ImagingStudy.subject.reference"]]


def test_an_edit_within_a_series_is_refused_naming_each_element(
    client: FlaskClient, study: Json
) -> None:
    issues = json_of(put(client, series_changed(study)))["issue"]
    assert {one["expression"][0] for one in issues} == {
        "ImagingStudy.series[0].description",
        "ImagingStudy.series[0].number",
    }


def test_a_contained_resource_of_the_images_is_theirs_and_a_new_one_is_the_users(
    client: FlaskClient, study: Json
) -> None:
    own = study["contained"]
    assert own
    changed = [{**own[0], "id": own[0]["id"], "language": "fi"}, *own[1:]]
    refused = put(client, {**study, "contained": changed})
    assert json_of(refused)["issue"][0]["expression"] == ["ImagingStudy.contained[0]"]
    reader = {"resourceType": "Practitioner", "id": "reader", "name": [{"family": "Niemi"}]}
    edit = {"contained": [*own, reader], "interpreter": [{"reference": "#reader"}]}
    assert put(client, {**study, **edit}).status_code == 200
    take_in(client, SOPInstanceUID=f"{SERIES}.2", InstanceNumber=2)
    later = json_of(client.get(STUDY_PATH))
    assert reader in later["contained"]
    assert later["interpreter"] == [{"reference": "#reader"}]


def test_both_patches_edit_a_study(client: FlaskClient, study: Json) -> None:
    operations = [
        {"op": "test", "path": "/numberOfInstances", "value": 1},
        {"op": "add", "path": "/encounter", "value": {"reference": "Encounter/v"}},
    ]
    patched = client.patch(
        STUDY_PATH, data=json.dumps(operations), content_type="application/json-patch+json"
    )
    assert json_of(patched)["encounter"] == {"reference": "Encounter/v"}
    parts = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "ImagingStudy"},
        {"name": "name", "valueString": "note"},
        {"name": "value", "valueAnnotation": {"text": "seen"}},
    ]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": parts}],
    }
    again = client.patch(STUDY_PATH, json=parameters)
    assert (again.headers["ETag"], json_of(again)["note"]) == ('W/"3"', [{"text": "seen"}])
    assert json_of(again)["encounter"] == {"reference": "Encounter/v"}
    foreign = [{"op": "replace", "path": "/series/0/modality/code", "value": "MR"}]
    refused = client.patch(
        STUDY_PATH, data=json.dumps(foreign), content_type="application/json-patch+json"
    )
    assert refused.status_code == 422
    assert json_of(refused)["issue"][0]["expression"] == ["ImagingStudy.series[0].modality.code"]


def test_a_conditional_update_and_a_transaction_edit_a_study_too(
    client: FlaskClient, study: Json
) -> None:
    where = f"/fhir/ImagingStudy?identifier=urn:oid:{STUDY}"
    assert client.put(where, json={**study, "note": EDITS["note"]}).status_code == 200
    entry = {
        "resource": {**study, "reasonCode": EDITS["reasonCode"]},
        "request": {"method": "PUT", "url": f"ImagingStudy/{STUDY}", "ifMatch": 'W/"2"'},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answer = client.post("/fhir", json=bundle, headers={"Prefer": "return=representation"})
    found = json_of(answer)["entry"][0]["resource"]
    assert (found["reasonCode"], "note" in found) == (EDITS["reasonCode"], False)


def test_a_study_is_not_written_twice_nor_when_it_was_deleted(
    client: FlaskClient, study: Json
) -> None:
    assert put(client, {**study, "id": "another"}).status_code == 409
    assert put(client, study | {"note": EDITS["note"]}).status_code == 200
    client.delete(STUDY_PATH)
    assert put(client, study).status_code == 410


def test_if_match_guards_an_edit(client: FlaskClient, study: Json) -> None:
    take_in(client, SOPInstanceUID=f"{SERIES}.2", InstanceNumber=2)
    late = client.put(STUDY_PATH, json=study, headers={"If-Match": 'W/"1"'})
    assert late.status_code == 412


def test_a_visit_that_becomes_another_patients_leaves_the_study(
    client: FlaskClient, study: Json
) -> None:
    put(client, {**study, "encounter": EDITS["encounter"], "note": EDITS["note"]})
    put(client, visit("v", "b"))
    later = json_of(client.get(STUDY_PATH))
    assert ("encounter" in later, later["note"]) == (False, EDITS["note"])
    assert "entry" not in json_of(client.get("/fhir/ImagingStudy?encounter=Encounter/v"))


def test_a_study_marked_by_the_service_stays_marked(client: FlaskClient, study: Json) -> None:
    octets = ct_instance(
        PatientID="4712",
        IssuerOfPatientIDQualifiersSequence=[
            {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}
        ],
        PatientName="Korhonen^Eero",
        SOPInstanceUID=f"{SERIES}.3",
    )
    client.post("/fhir/$import-image", data=octets, content_type="application/octet-stream")
    disputed = json_of(client.get(STUDY_PATH))
    (mark,) = disputed["meta"]["tag"]
    own = {"system": "urn:x", "code": "teaching"}
    edited = json_of(put(client, {**disputed, "meta": {"tag": [own]}}))
    assert edited["meta"]["tag"] == [mark, own]
