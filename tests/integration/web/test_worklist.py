"""The held worklist in the chart: found, compared, decided, and undone, on both engines."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.services.composition import Services
from tests.dicom_samples import STUDY
from tests.integration.web.answers import json_of
from tests.integration.web.test_chart import (
    NUMBERS,
    another,
    chart_of,
    ct,
    jane,
    put,
    put_jane,
    put_visit,
    send,
    services,
    words,
)
from tests.samples import raster

__all__ = ["jane", "services"]  # fixtures

DOUBTED = "Name, birth date or sex contradict the identifier"
PROVENANCE = re.compile(r"/chart/corrections/([\w-]+)")


def version_in(page: str) -> str:
    found = re.search(r'name="version" value="(\d+)"', page)
    assert found, page
    return found[1]


def decide(client: FlaskClient, address: str, way: str, **form: str) -> TestResponse:
    """Post the form of a page as it is now, unless another version is given."""
    form.setdefault("version", version_in(client.get(address).text))
    return client.post(f"{address}/{way}", data=form)


def provenance(response: TestResponse) -> str:
    assert response.status_code == 303, response.text
    found = PROVENANCE.search(response.location)
    assert found, response.location
    return found[1]


def status_of(client: FlaskClient, task: str) -> str:
    return str(json_of(client.get(f"/fhir/{task}"))["status"])


def held_ct(services: Services, **attributes: Any) -> str:
    """An image with Jane's number and another birth date."""
    return send(services, ct(PatientBirthDate="19570314", StudyDate="20260314", **attributes))


def test_what_differs_is_told_in_words(jane: FlaskClient, services: Services) -> None:
    page = words(jane.get(chart_of(held_ct(services))))
    assert "Roe, Jane 1 fact differs The file has a number of theirs." in page
    assert "Name Roe, Jane Roe, Jane Same" in page
    assert "Birth date 14 Mar 1957 14 Mar 1975 Differs" in page
    assert f"Number 4711 ({NUMBERS}) 4711 ({NUMBERS}) Same" in page


def test_those_alike_come_after_those_who_are_named(jane: FlaskClient, services: Services) -> None:
    name = [{"family": "Roe", "given": ["Jane"]}]
    put(jane, "Patient", "twin", name=name, birthDate="1957-03-14", gender="female")
    put(jane, "Patient", "stranger", name=[{"family": "Other"}], birthDate="1957-03-14")
    page = jane.get(chart_of(held_ct(services))).text
    order = re.findall(r'value="Patient/(\w+)"', page)
    assert order == ["jane", "twin"]
    assert "Certain" not in page  # alike is not enough where the number says another


def test_visits_around_the_time_can_be_chosen(jane: FlaskClient, services: Services) -> None:
    put_visit(jane, "long-ago", "2020-01-01")
    page = jane.get(chart_of(held_ct(services, StudyTime="090000"))).text
    assert re.findall(r'value="Encounter/([\w-]+)"', page) == ["march"]
    assert "covers the time of the image" in page


def test_one_click_files_and_one_more_undoes(jane: FlaskClient, services: Services) -> None:
    task = held_ct(services)
    done = decide(
        jane,
        chart_of(task),
        "file",
        patient="Patient/jane",
        encounter="Encounter/march",
        reason="Typo",
    )
    told = provenance(done)
    assert "Roe, Jane Born 14 Mar 1975" in words(jane.get(done.location))
    assert "Filed by a person" in words(jane.get(done.location))
    study = json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))
    assert study["subject"]["reference"] == "Patient/jane"
    assert study["encounter"]["reference"] == "Encounter/march"
    assert "This was decided" in words(jane.get(chart_of(task)))
    assert "Typo" in words(jane.get(f"/chart/studies/{STUDY}"))
    undone = jane.post(f"/chart/corrections/{told}/undo")
    assert (undone.status_code, undone.location) == (303, chart_of(task))
    assert "Undone" in words(jane.get(chart_of(task)))
    assert "File to Roe, Jane" in words(jane.get(chart_of(task)))
    assert jane.post(f"/chart/corrections/{told}/undo").status_code == 409


def test_the_second_of_two_is_told_how_it_stands(jane: FlaskClient, services: Services) -> None:
    task = held_ct(services)
    address = chart_of(task)
    version = version_in(jane.get(address).text)
    assert decide(jane, address, "reject", version=version, reason="A test").status_code == 303
    late = decide(jane, address, "file", version=version, patient="Patient/jane")
    page = words(late, 412)
    assert "Somebody else was faster" in page
    assert "Somebody rejected it" in page
    assert "Rejected by a person" in page
    assert status_of(jane, task) == "rejected"
    assert decide(jane, address, "patient", version=version).status_code == 412
    assert jane.get("/fhir/Patient?_summary=count").json["total"] == 1  # type: ignore[index]


@pytest.mark.parametrize("version", ["", "0", "one"])
def test_a_form_without_its_version_does_nothing(
    jane: FlaskClient, services: Services, version: str
) -> None:
    task = held_ct(services)
    late = decide(jane, chart_of(task), "file", version=version, patient="Patient/jane")
    assert late.status_code == 412
    assert status_of(jane, task) == "requested"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"patient": "Patient/nobody"},
        {"patient": "jane"},
        {"patient": "Patient/jane", "encounter": "Encounter/none"},
        {"patient": "Patient/jane", "encounter": "Encounter/of-john"},
    ],
)
def test_what_does_not_fit_is_told_on_the_page(
    jane: FlaskClient, services: Services, form: dict[str, str]
) -> None:
    put(jane, "Patient", "john")
    put(
        jane,
        "Encounter",
        "of-john",
        status="finished",
        subject={"reference": "Patient/john"},
        **{"class": {"code": "EMER"}},
    )
    task = held_ct(services)
    answer = decide(jane, chart_of(task), "file", **form)
    assert "Not done." in words(answer, 422)
    assert status_of(jane, task) == "requested"


def test_a_patient_is_made_of_what_the_file_says(jane: FlaskClient, services: Services) -> None:
    task = held_ct(services)
    assert "Create Jane Roe and file" in words(jane.get(chart_of(task)))
    done = decide(jane, chart_of(task), "patient", reason="Somebody else")
    told = provenance(done)
    study = json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))
    made = json_of(jane.get(f"/fhir/{study['subject']['reference']}"))
    assert made["birthDate"] == "1957-03-14"
    assert made["meta"]["tag"][0]["code"] == "provisional"
    assert "identifier" not in made  # the number is Jane's
    assert jane.post(f"/chart/corrections/{told}/undo").status_code == 303
    assert status_of(jane, task) == "requested"


def test_a_number_that_nobody_has_goes_to_the_new_patient(
    jane: FlaskClient, services: Services
) -> None:
    task = send(services, ct(PatientID="999"), patient="Patient/jane")
    provenance(decide(jane, chart_of(task), "patient"))
    study = json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))
    made = json_of(jane.get(f"/fhir/{study['subject']['reference']}"))
    assert made["identifier"][0]["value"] == "999"


def test_nobody_is_made_of_a_photo_that_names_nobody(
    client: FlaskClient, services: Services
) -> None:
    task = send(services, raster("JPEG"))
    address = chart_of(task)
    assert "A new patient" not in words(client.get(address))
    assert "names nobody" in words(decide(client, address, "patient"), 409)


def test_another_patient_is_searched_and_filed_to(client: FlaskClient, services: Services) -> None:
    put_jane(client)
    task = send(services, raster("JPEG"))
    address = chart_of(task)
    assert "Nobody who is known here" in words(client.get(address))
    found = client.post(f"{address}/candidates", data={"name": "roe"})
    assert "Roe, Jane You searched for them." in words(found)
    none = client.post(f"{address}/candidates", data={"name": "nobody"})
    assert "No patient has all of this." in words(none)
    wrong = client.post(f"{address}/candidates", data={"birth_date": "x"})
    assert wrong.status_code == 400
    done = decide(client, address, "file", patient="Patient/jane")
    assert "/chart/documents/" in client.get(done.location).text


def test_an_image_beside_another_is_not_filed(jane: FlaskClient, services: Services) -> None:
    send(services, ct())
    task = send(services, ct(PixelData=bytes(31) + b"\x01"))
    page = words(jane.get(chart_of(task)))
    assert "cannot be filed by itself" in page
    assert "Reject" not in page
    assert jane.post(f"{chart_of(task)}/reject", data={"version": "1"}).status_code == 409


def test_a_filed_image_is_moved_and_put_back(jane: FlaskClient, services: Services) -> None:
    put(jane, "Patient", "john", name=[{"family": "Doe"}])
    study = send(services, ct())
    address = chart_of(study)
    assert f"{address}/move" in jane.get(address).text
    assert "It is filed to them" in words(jane.get(f"{address}/move"))
    found = jane.post(f"{address}/candidates", data={"name": "doe"})
    version = version_in(found.text)
    done = jane.post(f"{address}/file", data={"version": version, "patient": "Patient/john"})
    told = provenance(done)
    assert json_of(jane.get(f"/fhir/{study}"))["subject"]["reference"] == "Patient/john"
    assert f"/chart/corrections/{told}" in jane.get(address).text
    late = jane.post(f"{address}/file", data={"version": version, "patient": "Patient/jane"})
    assert "Somebody else was faster" in words(late, 412)
    undone = jane.post(f"/chart/corrections/{told}/undo", data={"reason": "Slip"})
    assert undone.location == address
    assert json_of(jane.get(f"/fhir/{study}"))["subject"]["reference"] == "Patient/jane"


def test_a_series_is_moved_from_its_page_and_both_studies_say_so(
    jane: FlaskClient, services: Services
) -> None:
    put(jane, "Patient", "john", name=[{"family": "Doe"}])
    address = chart_of(send(services, ct()))
    other = f"{STUDY}.2"
    send(services, ct(SeriesInstanceUID=other, SOPInstanceUID=f"{other}.1"))
    form = f"{address}/move?series={other}"
    assert form in jane.get(f"{address}/series/{other}").text
    assert "Only the series" in words(jane.get(form))
    found = jane.post(f"{address}/candidates", data={"name": "doe", "series": other})
    assert f'name="series" value="{other}"' in found.text
    sent = {"version": version_in(found.text), "patient": "Patient/john", "series": other}
    told = provenance(jane.post(f"{address}/file", data={**sent, "reason": "Two people"}))
    shown = words(jane.get(address))
    assert "1 of 2 images were moved to another patient, " in shown
    assert "by Caller at 127.0.0.1: Two people. The other study Show or undo" in shown
    page = jane.get(f"/chart/corrections/{told}")
    assert "1 of 2 images of another study were moved here" in words(page)
    late = jane.post(f"{address}/file", data=sent)
    assert "Somebody else was faster" in words(late, 412)
    undone = jane.post(f"/chart/corrections/{told}/undo")
    assert undone.location == address
    assert len(json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))["series"]) == 2


def test_single_images_are_chosen_on_a_page_and_moved(
    jane: FlaskClient, services: Services
) -> None:
    put(jane, "Patient", "john", name=[{"family": "Doe"}])
    address = chart_of(send(services, ct()))
    send(services, ct(SOPInstanceUID=f"{STUDY}.1.2", InstanceNumber=2))
    series = json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))["series"][0]
    of_series = f"{address}/series/{series['uid']}"
    chosen = series["instance"][1]["uid"]
    assert f"{of_series}/images" in jane.get(of_series).text
    shown = jane.get(f"{of_series}/images").text
    assert [f'value="{one["uid"]}"' in shown for one in series["instance"]] == [True, True]
    assert jane.post(f"{address}/move").status_code == 400
    asked = jane.post(f"{address}/move", data={"instance": chosen})
    assert "Move 1 image to another patient" in words(asked)
    found = jane.post(f"{address}/candidates", data={"name": "doe", "instance": chosen})
    assert f'name="instance" value="{chosen}"' in found.text
    sent = {"version": version_in(found.text), "patient": "Patient/john", "instance": chosen}
    done = jane.post(f"{address}/file", data=sent)
    assert "1 of 2 images of another study" in words(jane.get(done.location or ""))
    assert json_of(jane.get(f"/fhir/ImagingStudy/{STUDY}"))["numberOfInstances"] == 1
    assert f"{of_series}/images" not in jane.get(of_series).text


def send_three(services: Services) -> list[str]:
    """One that is certain, one that is not, and a photo that names nobody."""
    other = [{"UniversalEntityID": "1.2.9", "UniversalEntityIDType": "ISO"}]
    born = {"PatientBirthDate": "19750314", "PatientSex": "F"}
    certain = another(1, IssuerOfPatientIDQualifiersSequence=other, PatientID="5", **born)
    return [
        send(services, certain, patient="Patient/jane"),
        send(services, another(2, PatientBirthDate="19570314")),
        send(services, raster("JPEG")),
    ]


def last(client: FlaskClient) -> str:
    found = re.search(r'name="last" value="(\d+)"', client.get("/chart/held").text)
    assert found is not None
    return found[1]


def test_of_many_each_is_judged_by_itself(jane: FlaskClient, services: Services) -> None:
    tasks = send_three(services)
    done = jane.post("/chart/held", data={"all": "yes", "last": last(jane), "action": "file"})
    page = words(done)
    assert "1 of 3 done" in page
    assert page.count("no candidate alone is certain") == 2
    assert [status_of(jane, task) for task in tasks] == ["completed", "requested", "requested"]
    told = PROVENANCE.search(done.text)
    assert told is not None
    assert jane.post(told[0] + "/undo").status_code == 303
    assert status_of(jane, tasks[0]) == "requested"


def test_chosen_ones_are_rejected_unless_somebody_was_faster(
    jane: FlaskClient, services: Services
) -> None:
    tasks = send_three(services)
    boxes = re.findall(r'name="task" value="([\w.-]+)"', jane.get("/chart/held").text)
    assert [box.rpartition(".")[0] for box in boxes] == [task[5:] for task in tasks]
    decide(jane, chart_of(tasks[0]), "file", patient="Patient/jane")
    form = {"task": boxes[:2], "action": "reject", "reason": "Phantom"}
    page = words(jane.post("/chart/held", data=form))
    assert "1 of 2 done" in page
    assert "another than that of If-Match" in page or "Somebody else was faster" in page
    statuses = [status_of(jane, task) for task in tasks]
    assert statuses == ["completed", "rejected", "requested"]


@pytest.mark.parametrize("form", [{}, {"action": "erase"}, {"action": "file", "all": "yes"}])
def test_many_are_not_decided_without_an_action(jane: FlaskClient, form: dict[str, str]) -> None:
    assert jane.post("/chart/held", data=form).status_code == 400


def test_the_list_is_filtered_and_the_oldest_is_first(
    jane: FlaskClient, services: Services
) -> None:
    tasks = send_three(services)

    def listed(query: str) -> list[str]:
        page = jane.get(f"/chart/held{query}").text.partition("to look at again")[0]
        return re.findall(r'<a href="/chart/held/([\w-]+)">', page)

    ids = [task[5:] for task in tasks]
    assert listed("") == ids
    assert listed("?modality=CT") == ids[:2]
    assert listed("?modality=CT&reason=demographics-disagree") == [ids[1]]
    assert listed("?source=default&reason=no-identity") == [ids[2]]
    assert listed("?source=elsewhere") == []
    assert listed("?days=7") == []
    assert listed("?days=rubbish&reason=") == ids
    found = jane.get("/chart/held?reason=no-identity").text
    assert 'name="reason" value="no-identity"' in found  # bulk is of what is shown


def test_all_of_a_filter_are_rejected(jane: FlaskClient, services: Services) -> None:
    tasks = send_three(services)
    form = {"all": "yes", "modality": "CT", "last": last(jane), "action": "reject"}
    later = send(services, another(3, PatientBirthDate="19570314"))
    assert "2 of 2 done" in words(jane.post("/chart/held", data=form))
    assert status_of(jane, later) == "requested"  # the page did not show it
    assert status_of(jane, tasks[2]) == "requested"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("reason=demographics-disagree", 1),
        ("reason=no-identity", 1),
        ("modality=CT", 2),
        ("modality=http://dicom.nema.org/resources/ontology/DCM|CT&status=requested", 2),
        ("modality=MR", 0),
        ("source=default", 3),
        ("source=CT", 0),
        ("authored-on=gt2020-01-01", 3),
        ("authored-on=lt2020-01-01", 0),
    ],
)
def test_held_images_are_found_over_fhir(
    jane: FlaskClient, services: Services, query: str, count: int
) -> None:
    send_three(services)
    found = json_of(jane.get(f"/fhir/Task?{query}"))
    assert len(found.get("entry", ())) == count


def test_metrics_show_how_many_are_held_and_for_how_long(
    jane: FlaskClient, services: Services
) -> None:
    assert "imaging_fhir_held{" not in jane.get("/metrics").text
    send_three(services)
    text = jane.get("/metrics").text
    assert 'rule=""' not in text
    assert 'imaging_fhir_held{rule="no-identity"} 1.0' in text
    age = re.search(r'imaging_fhir_held_oldest_seconds\{rule="no-identity"\} ([\d.e+-]+)', text)
    assert age is not None
    assert 0 <= float(age[1]) < 60


@pytest.mark.parametrize(
    "path", ["", "/{task}/file", "/{task}/reject", "/{task}/patient", "/{task}/candidates"]
)
def test_a_form_of_another_site_is_refused(
    jane: FlaskClient, services: Services, path: str
) -> None:
    task = held_ct(services)
    address = "/chart/held" + path.format(task=task[5:])
    form = {"version": "1", "patient": "Patient/jane", "all": "yes", "action": "reject"}
    answer = jane.post(address, data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert status_of(jane, task) == "requested"


def test_what_is_not_there_is_not_decided(client: FlaskClient) -> None:
    for path in ("held/x/file", "held/x/reject", "studies/x/file", "documents/x/patient"):
        assert client.post(f"/chart/{path}", data={"version": "1"}).status_code == 404
    assert client.get("/chart/studies/x/move").status_code == 404
    assert client.get("/chart/corrections/x").status_code == 404
    assert client.post("/chart/corrections/x/undo").status_code == 404


def test_text_from_files_is_never_markup(jane: FlaskClient, services: Services) -> None:
    evil = '"><script>alert(1)</script>'
    task = send(services, ct(PatientName=f"{evil}^Jane", StudyDescription=evil))
    for address in (chart_of(task), "/chart/held"):
        assert "<script>alert" not in jane.get(address).text
