"""`$explain-link`: the rules one by one, for a file, for what is here, and for evidence told."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.app import app_of
from imaging_fhir.errors import AccessDenied
from imaging_fhir.linking_rules import BY_NAME, PATIENT_RULES, VISIT_RULES
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.composition import build_services
from imaging_fhir.services.explain_words import CHANGES, USES
from imaging_fhir.settings import Settings
from tests.dicom_samples import ct_instance, data_set, dicom_file
from tests.house import HOSPITAL, VISITS, issued_by
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES

DICOM = "application/dicom"
JANE: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "jane",
    "identifier": [{"system": HOSPITAL, "value": "4711"}],
    "name": [{"family": "Roe", "given": ["Jane"]}],
    "birthDate": "1975-03-14",
    "gender": "female",
}
VISIT: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "visit",
    "status": "finished",
    "class": {"code": "AMB"},
    "identifier": [{"system": VISITS, "value": "V1"}],
    "subject": {"reference": "Patient/jane"},
    "period": {"start": "2026-03-14", "end": "2026-03-14"},
}


def load(client: FlaskClient, *resources: dict[str, Any]) -> None:
    for one in resources:
        assert client.put(f"/fhir/{one['resourceType']}/{one['id']}", json=one).status_code < 300


def ct(**attributes: Any) -> bytes:
    return ct_instance(**{"IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL), **attributes})


def explain(client: FlaskClient, content: bytes, query: str = "") -> dict[str, Any]:
    return explanation(client.post(f"/fhir/$explain-link{query}", data=content, content_type=DICOM))


def ask(client: FlaskClient, *parameters: dict[str, Any]) -> TestResponse:
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return client.post(
        "/fhir/$explain-link", data=json.dumps(body), content_type="application/fhir+json"
    )


def explanation(answer: TestResponse) -> dict[str, Any]:
    """Lists of what is told by name; `decision` as it is."""
    assert answer.status_code == 200, json_of(answer)
    found: dict[str, Any] = {}
    for one in json_of(answer)["parameter"]:
        value = (
            {part["name"]: value_of(part) for part in one["part"]}
            if "part" in one
            else value_of(one)
        )
        found.setdefault(one["name"], []).append(value)
    found["decision"] = found["decision"][0]
    return found


def value_of(parameter: dict[str, Any]) -> Any:
    [(key, value)] = [(key, value) for key, value in parameter.items() if key != "name"]
    return value["reference"] if key == "valueReference" else value


def rule(found: dict[str, Any], name: str, list_: str = "patient") -> dict[str, Any]:
    rules: list[dict[str, Any]] = found["rule"]
    [one] = [one for one in rules if (one["name"], one["list"]) == (name, list_)]
    return one


def test_every_rule_has_words() -> None:
    assert set(USES) == set(CHANGES) == set(BY_NAME)


def test_a_file_is_explained_rule_by_rule(client: FlaskClient) -> None:
    load(client, JANE, VISIT)
    content = ct(AdmissionID="V1", IssuerOfAdmissionIDSequence=issued_by(VISITS))
    found = explain(client, content)
    assert found["decision"] == {
        "state": "filed",
        "patientRule": "patient-identifier",
        "patientReason": "The file's patient identifier is this Patient's, and nothing contradicts "
        "it.",
        "patient": "Patient/jane",
        "encounterRule": "visit-number",
        "encounterReason": "The file's visit number leads here.",
        "encounter": "Encounter/visit",
    }
    assert [one["name"] for one in found["rule"]] == [
        one.name for one in (*PATIENT_RULES, *VISIT_RULES)
    ]
    by_number = rule(found, "patient-identifier")
    assert by_number["state"] == "decides"
    assert by_number["found"] == "Patient/jane"
    assert by_number["there"] == f"patient-numbers: 1 of {HOSPITAL}"
    assert rule(found, "identifiers-conflict")["state"] == "does-not-apply"
    assert rule(found, "provisional-alone")["state"] == "not-reached"
    assert rule(found, "visit-number", "visit")["found"] == "Encounter/visit"
    assert rule(found, "period", "visit")["state"] == "not-reached"
    assert [(one["reference"], one["taken"]) for one in found["candidate"]] == [
        ("Patient/jane", True),
        ("Encounter/visit", True),
    ]
    assert CHANGES["patient-identifier"] in found["change"]


def test_no_number_name_or_date_of_the_file_is_told(client: FlaskClient) -> None:
    load(client, JANE)
    answer = client.post("/fhir/$explain-link", data=ct(), content_type=DICOM)
    for secret in ("4711", "Roe", "1975", "2026-03-14", "A1"):
        assert secret not in answer.text


def test_candidates_say_why_they_were_not_taken(client: FlaskClient) -> None:
    load(client, {**JANE, "birthDate": "1999-09-09"}, {**VISIT, "status": "cancelled"})
    found = explain(client, ct())
    assert found["decision"]["state"] == "held"
    assert found["decision"]["patientRule"] == "demographics-disagree"
    assert found["candidate"] == [
        {
            "list": "patient",
            "reference": "Patient/jane",
            "taken": False,
            "by": "a number of the file",
            "why": "The file's birthDate contradicts it.",
        }
    ]
    load(client, JANE)
    [_, visit] = explain(client, ct())["candidate"]
    assert (visit["taken"], visit["why"]) == (False, "Its status is cancelled.")


def test_a_header_is_enough_and_a_whole_form_does(client: FlaskClient) -> None:
    load(client, JANE)
    header = data_set(
        {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "Modality": "CT",
            "IssuerOfPatientIDQualifiersSequence": issued_by(HOSPITAL),
        }
    )
    assert explain(client, dicom_file(header))["decision"]["patient"] == "Patient/jane"
    form = {"file": (BytesIO(SAMPLES["image/jpeg"]()), "a.jpg"), "patient": "Patient/jane"}
    answer = client.post("/fhir/$explain-link", data=form)
    assert explanation(answer)["decision"]["patientRule"] == "given-patient"


def test_the_header_of_an_image_that_is_kept_is_taken_for_it(client: FlaskClient) -> None:
    load(client, JANE)
    content = ct(PatientID="9")
    client.post("/fhir/$import-image", data=content, content_type=DICOM)
    header = ct(PatientID="9", PixelData=None, Rows=None)
    found = explain(client, header)
    assert found["decision"]["patientRule"] == "provisional-identifier"
    assert any("without its pixel data" in note for note in found["note"])
    other = explain(client, ct(PatientID="9", PatientComments="other"))
    assert other["decision"]["patientRule"] == "sop-instance-uid-conflict"


def test_a_study_that_is_filed_to_somebody_else_decides(client: FlaskClient) -> None:
    load(client, JANE, {**JANE, "id": "max", "identifier": [{"system": HOSPITAL, "value": "9"}]})
    client.post("/fhir/$import-image", data=ct(), content_type=DICOM)
    found = explain(client, ct(PatientID="9", SOPInstanceUID="1.2.3"))
    assert found["decision"]["patientRule"] == "study-of-another-patient"
    assert rule(found, "study-of-another-patient")["state"] == "decides"
    assert rule(found, "patient-identifier")["state"] == "overruled"


def test_what_would_be_refused_says_so(client: FlaskClient) -> None:
    load(client, JANE, VISIT, {"resourceType": "Patient", "id": "max"})
    found = explain(client, ct(), "?encounter=Encounter/none")
    assert found["decision"]["state"] == "refused"
    assert "not a known Encounter" in found["decision"]["patientReason"]
    photo = client.post(
        "/fhir/$explain-link?patient=Patient/max&encounter=Encounter/visit",
        data=SAMPLES["image/jpeg"](),
        content_type="image/jpeg",
    )
    assert explanation(photo)["decision"]["state"] == "refused"


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"no image at all", 415)])
def test_what_is_no_image_is_refused(client: FlaskClient, content: bytes, status: int) -> None:
    answer = client.post("/fhir/$explain-link", data=content, content_type=DICOM)
    assert answer.status_code == status


def test_images_that_are_here_are_explained_by_the_rules_of_today(client: FlaskClient) -> None:
    load(client, JANE)
    sent = client.post("/fhir/$import-image", data=ct(), content_type=DICOM)
    study = json_of(sent)["entry"][0]["response"]["location"].partition("/fhir/")[2]
    held = client.post(
        "/fhir/$import-image", data=SAMPLES["image/jpeg"](), content_type="image/jpeg"
    )
    task = json_of(held)["entry"][0]["response"]["location"].partition("/fhir/")[2]
    filed = explanation(ask(client, {"name": "reference", "valueReference": {"reference": study}}))
    assert filed["decision"]["patient"] == "Patient/jane"
    assert any(note.startswith("It is filed") for note in filed["note"])
    [provenance] = filed["provenance"]
    assert provenance["target"] == [{"reference": study}]
    assert [one["coding"][0]["code"] for one in provenance["reason"]] == [
        "patient-identifier",
        "no-visit",
    ]
    words = BY_NAME["patient-identifier"].words
    assert provenance["activity"]["coding"][0]["display"] == words
    assert f"patient-numbers: 1 of {HOSPITAL}" in [
        one["what"]["display"] for one in provenance["entity"]
    ]
    held_one = explanation(
        ask(client, {"name": "reference", "valueReference": {"reference": task}})
    )
    assert held_one["decision"]["patientRule"] == "no-identity"
    assert (
        client.post(
            f"/fhir/{task}/$link",
            json={
                "resourceType": "Parameters",
                "parameter": [{"name": "patient", "valueReference": {"reference": "Patient/jane"}}],
            },
            content_type="application/fhir+json",
        ).status_code
        == 200
    )
    document = json_of(client.get("/fhir/DocumentReference"))["entry"][0]["resource"]["id"]
    reference = {"reference": f"https://images.example/fhir/DocumentReference/{document}"}
    decided = explanation(ask(client, {"name": "reference", "valueReference": reference}))
    assert decided["decision"]["patientRule"] == "decided"
    assert rule(decided, "decided")["state"] == "decides"


@pytest.mark.parametrize(
    ("reference", "status"),
    [("ImagingStudy/none", 404), ("Patient/jane", 400), ("DocumentReference/own", 409)],
)
def test_what_is_no_image_here_cannot_be_explained(
    client: FlaskClient, reference: str, status: int
) -> None:
    load(
        client,
        JANE,
        {
            "resourceType": "DocumentReference",
            "id": "own",
            "status": "current",
            "content": [{"attachment": {"url": "https://a.example/1"}}],
        },
    )
    answer = ask(client, {"name": "reference", "valueReference": {"reference": reference}})
    assert answer.status_code == status


def test_an_image_that_is_kept_only_beside_another_cannot_be_explained(
    client: FlaskClient,
) -> None:
    for content in (ct(), ct(PatientComments="other")):
        sent = client.post("/fhir/$import-image", data=content, content_type=DICOM)
    task = json_of(sent)["entry"][0]["response"]["location"].partition("/fhir/")[2]
    answer = ask(client, {"name": "reference", "valueReference": {"reference": task}})
    assert answer.status_code == 409
    assert "beside another" in json_of(answer)["issue"][0]["diagnostics"]


def test_the_place_of_a_source_is_told(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text('[[sources]]\nid = "ct-1"\nlocation = "Location/ward"\n')
    settings = Settings(database_url=database_url, data_dir=tmp_path, site_file=str(path))
    services = build_services(settings)
    found = explain(app_of(services).test_client(), ct(), "?source=ct-1")
    [told] = [one["there"] for one in found["evidence"] if one["kind"] == "time"]
    assert told == "a day and time, in no known zone, at the location of its source"
    services.close()


EVIDENCE = (
    {"name": "identifier", "valueIdentifier": {"system": HOSPITAL, "value": "4711"}},
    {"name": "name", "valueHumanName": {"family": "Roe", "given": ["J."]}},
    {"name": "birthDate", "valueDate": "1975-03-14"},
    {"name": "gender", "valueCode": "female"},
    {"name": "started", "valueDateTime": "2026-03-14T10:15:00+01:00"},
    {"name": "modality", "valueCode": "CT"},
)


def test_evidence_alone_is_explained(client: FlaskClient) -> None:
    load(client, JANE, VISIT)
    found = explanation(ask(client, *EVIDENCE))
    assert found["decision"]["patientRule"] == "patient-identifier"
    assert found["decision"]["encounterRule"] == "period"
    number = {"name": "visitNumber", "valueIdentifier": {"system": VISITS, "value": "V1"}}
    assert (
        explanation(ask(client, *EVIDENCE, number))["decision"]["encounterRule"] == "visit-number"
    )
    document = {"name": "kind", "valueCode": "document"}
    assert explanation(ask(client, document))["decision"]["patientRule"] == "no-identity"


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "kind", "valueCode": "film"},
        {"name": "started", "valueDateTime": "yesterday"},
        {"name": "birthDate", "valueDate": "14.3.1975"},
        {"name": "gender", "valueCode": "f"},
        {"name": "identifier", "valueString": "4711"},
        {"name": "identifier", "valueIdentifier": {"system": HOSPITAL}},
        {"name": "identifier", "valueIdentifier": {"system": "hospital", "value": "1"}},
        {"name": "name", "valueHumanName": {"family": 5}},
        {"name": "patient", "valueReference": {"reference": "Encounter/1"}},
        {"name": "source", "valueString": "nowhere"},
        {"name": "reference", "valueBoolean": True},
        {"name": "colour", "valueString": "red"},
    ],
    ids=str,
)
def test_a_parameter_of_another_shape_is_named(
    client: FlaskClient, parameter: dict[str, Any]
) -> None:
    answer = ask(client, parameter)
    assert answer.status_code == 400
    [issue] = json_of(answer)["issue"]
    assert issue["expression"] == [f"http.{parameter['name']}"]


def test_a_reference_goes_alone(client: FlaskClient) -> None:
    reference = {"name": "reference", "valueReference": {"reference": "Task/1"}}
    assert ask(client, reference, EVIDENCE[0]).status_code == 400


def test_a_rule_that_is_off_says_so_and_a_source_may_be_named(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        '[linking]\noff = ["patient-identifier", "period"]\ntrusted_sources = []\n'
        f'[[sources]]\nid = "ct-1"\npatient_id_system = "{HOSPITAL}"\n'
    )
    settings = Settings(
        database_url=database_url, data_dir=tmp_path, site_file=str(path), min_free_bytes=0
    )
    services = build_services(settings)
    client = app_of(services).test_client()
    load(client, JANE)
    bare = explain(client, ct_instance(), "?source=ct-1")
    assert bare["decision"]["patientRule"] == "switched-off"
    assert rule(bare, "patient-identifier")["state"] == "switched-off"
    assert rule(bare, "switched-off")["state"] == "decides"
    assert explain(client, ct_instance())["decision"]["patientRule"] == "provisional-alone"
    services.close()


def test_what_the_caller_may_not_see_is_not_named(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(client, JANE, VISIT)
    monkeypatch.setattr(
        "imaging_fhir.services.explain_link.compartment.find_visible", lambda *_: None
    )
    found = explain(client, ct())
    assert "patient" not in found["decision"]
    assert found["decision"]["patientRule"] == "patient-identifier"
    assert all("reference" not in one for one in found["candidate"])
    assert "jane" not in json.dumps(found)


def test_who_may_send_no_image_may_ask_of_none(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def require(_self: AccessPolicy, _caller: Caller, interaction: str, resource_type: str) -> None:
        if (interaction, resource_type) == ("create", "ImagingStudy"):
            raise AccessDenied("No.")

    monkeypatch.setattr(AccessPolicy, "require", require)
    assert client.post("/fhir/$explain-link", data=ct(), content_type=DICOM).status_code == 403
    assert ask(client, *EVIDENCE).status_code == 403
