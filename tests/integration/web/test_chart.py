"""The chart's pages as a browser without scripts gets them."""

import html
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.model.codec import Resource
from imaging_fhir.model.link import Given
from imaging_fhir.services.composition import Services
from imaging_fhir.settings import DEFAULT_SOURCE
from imaging_fhir.web.context import EXTENSION
from tests.dicom_samples import INSTANCE, SERIES, STUDY, ct_instance, report_instance
from tests.integration.web.answers import json_of
from tests.samples import SAMPLES, animation, pdf, raster

NUMBERS = "urn:oid:1.2.3"
ISSUER = [{"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}]
HOSTILE = "<script>alert(1)</script>"
EVIL = '"><img src=x onerror=alert(2)>'


def put(client: FlaskClient, resource_type: str, resource_id: str, **content: Any) -> None:
    resource = {"resourceType": resource_type, "id": resource_id, **content}
    response = client.put(f"/fhir/{resource_type}/{resource_id}", json=resource)
    assert response.status_code in (200, 201), response.text


def put_jane(client: FlaskClient, **more: Any) -> None:
    number = {"system": NUMBERS, "value": "4711", "type": {"text": "Hospital number"}}
    name = {"family": "Roe", "given": ["Jane"]}
    known: Resource = {"name": [name], "birthDate": "1975-03-14", "gender": "female"}
    put(client, "Patient", "jane", identifier=[number], **(known | more))


def put_visit(client: FlaskClient, visit_id: str, day: str, **more: Any) -> None:
    put(
        client,
        "Encounter",
        visit_id,
        status="finished",
        **{"class": {"code": "EMER"}},
        subject={"reference": "Patient/jane"},
        period={"start": f"{day}T08:00:00Z", "end": f"{day}T18:00:00Z"},
        **more,
    )


def ct(**attributes: Any) -> bytes:
    header = {"IssuerOfPatientIDQualifiersSequence": ISSUER, "TimezoneOffsetFromUTC": "+0000"}
    return ct_instance(**(header | {"StudyDescription": "Chest"} | attributes))


def another(number: int, **attributes: Any) -> bytes:
    """One more image, of a study of its own unless it says otherwise."""
    uids = {
        "StudyInstanceUID": f"{STUDY}.{number}",
        "SeriesInstanceUID": f"{SERIES}.{number}",
        "SOPInstanceUID": f"{INSTANCE}.{number}",
    }
    return ct(**(uids | attributes))


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions[EXTENSION]
    return found


@pytest.fixture
def jane(client: FlaskClient) -> FlaskClient:
    """Jane Roe and one emergency visit are known."""
    put_jane(client)
    put_visit(client, "march", "2026-03-14", reasonCode=[{"text": "Chest pain"}])
    return client


def send(services: Services, content: bytes, **given: str) -> str:
    """Take a file in; what it became: ImagingStudy/…, DocumentReference/…, Task/…"""
    outcome = services.ingest.ingest([content], source=DEFAULT_SOURCE, given=Given(**given))
    assert outcome.filed is not None, outcome.message
    return outcome.filed.location


def send_photo(services: Services, content: bytes = b"", **given: str) -> str:
    return send(services, content or SAMPLES["image/png"](), patient="Patient/jane", **given)


def chart_of(reference: str) -> str:
    kind, _, resource_id = reference.partition("/")
    pages = {"ImagingStudy": "studies", "DocumentReference": "documents", "Task": "held"}
    return f"/chart/{pages[kind]}/{resource_id}"


def words(response: TestResponse, status: int = 200) -> str:
    """The text that a reader sees, pictures by their words."""
    assert response.status_code == status, response.text
    text = re.sub(r'<img[^>]*alt="([^"]*)"[^>]*>', r" [\1] ", response.text)
    text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    return re.sub(r"\s+", " ", text)


def test_the_root_leads_to_the_chart(client: FlaskClient) -> None:
    response = client.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/chart")


def test_an_empty_chart_says_so(client: FlaskClient) -> None:
    assert "No images yet." in words(client.get("/chart"))
    assert "Nothing is held." in words(client.get("/chart/held"))


def test_patients_with_new_images_are_listed(jane: FlaskClient, services: Services) -> None:
    put(jane, "Patient", "nobody", name=[{"family": "Unseen"}])
    send(services, ct())
    send_photo(services)
    shown = words(jane.get("/chart"))
    assert "Roe, Jane 14 Mar 1975" in shown
    assert "1 study, 1 document" in shown
    assert "Unseen" not in shown


@pytest.mark.parametrize(
    ("field", "text", "is_found"),
    [
        ("name", "roe", True),
        ("name", "Jane Roe", True),
        ("name", "Roe, Jane", True),
        ("name", "Jane Doe", False),
        ("identifier", "4711", True),
        ("identifier", "471", False),
        ("birth_date", "1975-03-14", True),
        ("birth_date", "1975", True),
        ("birth_date", "1976", False),
    ],
)
def test_a_patient_is_found(jane: FlaskClient, field: str, text: str, is_found: bool) -> None:
    shown = words(jane.post("/chart", data={field: text}))
    assert ("1 patient found" in shown, "Roe, Jane" in shown) == (is_found, is_found)


def test_all_that_is_asked_must_be_true_of_a_patient(jane: FlaskClient) -> None:
    asked = {"name": "Roe", "birth_date": "1976-01-01"}
    assert "0 patients found" in words(jane.post("/chart", data=asked))


def test_a_birth_date_that_is_none_is_told(jane: FlaskClient) -> None:
    response = jane.post("/chart", data={"birth_date": "yesterday"})
    assert 'role="alert"' in response.text
    assert response.status_code == 400


def test_the_timeline_shows_a_visit_with_its_study_and_photo(
    jane: FlaskClient, services: Services
) -> None:
    send(services, ct(BodyPartExamined="CHEST"))
    send_photo(services, encounter="Encounter/march", description="Rash", body_site="Arm")
    shown = words(jane.get("/chart/patients/jane"))
    assert "Roe, Jane Born 14 Mar 1975" in shown
    assert "Hospital number 4711" in shown
    assert "14 Mar 2026 08:00 UTC to 18:00 UTC Emergency Chest pain" in shown
    assert "[CT, Chest, series 1, 1 image, 14 Mar 2026]" in shown
    assert "[Picture, Rash, Arm" in shown
    assert "Not linked to a visit" not in shown


def test_visits_and_loose_images_are_in_one_line_of_time(
    jane: FlaskClient, services: Services
) -> None:
    put_visit(jane, "january", "2026-01-05")
    send(services, ct())
    send(services, another(2, StudyDate="20260105", StudyDescription="Knee"))
    send(services, another(3, StudyDate="20260201", StudyDescription="Hand"))
    shown = words(jane.get("/chart/patients/jane"))
    order = ("14 Mar 2026", "1 Feb 2026 Not linked to a visit Hand", "5 Jan 2026", "Knee")
    places = [shown.index(text) for text in order]
    assert places == sorted(places)


def test_visits_without_images_are_shown_on_request(jane: FlaskClient, services: Services) -> None:
    put_visit(jane, "january", "2026-01-05")
    send(services, ct())
    assert "1 visit has no images" in words(jane.get("/chart/patients/jane"))
    shown = words(jane.get("/chart/patients/jane?visits=all"))
    assert "5 Jan 2026" in shown
    assert "No images at this visit" in shown


def test_a_filter_leaves_one_kind_of_image(jane: FlaskClient, services: Services) -> None:
    send(services, ct())
    send_photo(services, description="Rash")
    shown = words(jane.get("/chart/patients/jane?show=CT"))
    assert "Only Computed tomography is shown" in shown
    assert "Chest" in shown
    assert "Rash" not in shown
    assert "Rash" in words(jane.get("/chart/patients/jane?show=nothing-of-the-kind"))


def test_text_from_files_is_never_markup(jane: FlaskClient, services: Services) -> None:
    hostile = {
        "StudyDescription": HOSTILE,
        "SeriesDescription": EVIL,
        "AccessionNumber": "<b>1</b>",
        "InstitutionName": EVIL,
        "ReferringPhysicianName": f"{HOSTILE}^X",
    }
    put_visit(jane, "march", "2026-03-14", reasonCode=[{"text": HOSTILE}])
    filed = send(services, ct(**hostile))
    stranger = {"PatientID": "9", "PatientName": f"{EVIL}^{HOSTILE}"}
    send(services, another(2, **stranger, **hostile))
    held = send(services, another(3, PatientBirthDate="19010101", **hostile))
    photo = send_photo(services, description=EVIL, body_site=HOSTILE)
    pages = [
        *map(chart_of, (filed, held, photo)),
        f"{chart_of(filed)}/series/{SERIES}",
        "/chart",
        "/chart/held",
        "/chart/patients/jane",
        *re.findall(r"/chart/patients/[\w-]+", jane.get("/chart").text),
    ]
    for address in pages:
        text = jane.get(address).text
        assert "&lt;" in text, address
        assert "<script>" not in text, address
        assert "<img src=x" not in text, address
        assert "<b>" not in text, address
    assert "<script>" not in jane.post("/chart", data={"name": HOSTILE}).text
    assert "<script>" not in jane.get(f"/chart/patients/{HOSTILE}").text


def test_a_list_makes_no_picture_and_its_first_reader_does(
    jane: FlaskClient, services: Services
) -> None:
    address = f"{chart_of(send(services, ct(rows=16, columns=16)))}/series/{SERIES}/thumbnail"
    page = jane.get("/chart/patients/jane").text
    assert f'src="{address}"' in page
    assert 'loading="lazy"' in page
    assert "rendition" not in made_by(services)
    response = jane.get(address)
    assert response.content_type == "image/jpeg"
    assert response.data.startswith(b"\xff\xd8")
    assert made_by(services) == "rendition"


def made_by(services: Services) -> str:
    """`rendition` when any picture is kept."""
    with services.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT count(*) FROM rendition").scalar_one()
    return "rendition" if rows else ""


def test_a_thumbnail_is_cached_by_its_reader_alone(jane: FlaskClient, services: Services) -> None:
    address = f"{chart_of(send(services, ct()))}/series/{SERIES}/thumbnail"
    first = jane.get(address)
    assert "private" in first.headers["Cache-Control"]
    again = jane.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_what_has_no_picture_is_drawn_with_its_kind(jane: FlaskClient, services: Services) -> None:
    report = report_instance(IssuerOfPatientIDQualifiersSequence=ISSUER)
    response = jane.get(f"{chart_of(send(services, report))}/series/{SERIES}/thumbnail")
    assert (response.status_code, response.mimetype) == (200, "image/svg+xml")
    assert "Structured report" in response.text


def test_a_study_tells_why_it_is_where_it_is(jane: FlaskClient, services: Services) -> None:
    address = chart_of(send(services, ct(ReferringPhysicianName="Berg^Ingrid")))
    shown = words(jane.get(address))
    assert "Referred by Ingrid Berg" in shown
    assert "Accession number A1" in shown
    assert "Matched by the patient identifier in the file" in shown
    assert "Emergency, 14 Mar 2026" in shown
    assert "patient-identifier" in shown
    assert f"/dicomweb/studies/{STUDY}/metadata" in jane.get(address).text


def test_a_study_shows_the_warnings_of_its_files(jane: FlaskClient, services: Services) -> None:
    same = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    reference = send(services, ct(StudyTime="99xx"))
    send(services, another(2, StudyTime="99xx", **same))
    shown = words(jane.get(chart_of(reference)))
    assert re.search(r"StudyTime [^()]+ \(2 files\)", shown)


def test_a_series_is_leafed_through_by_links(jane: FlaskClient, services: Services) -> None:
    same = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    address = f"{chart_of(send(services, ct()))}/series/{SERIES}"
    for number in (2, 3):
        send(services, another(number, InstanceNumber=number, **same))
    page = jane.get(address)
    assert "Image 2 of 3" in words(page)  # the middle one, as the thumbnail
    assert 'rel="prev" href="' + address + '?image=1&amp;frame=1"' in page.text
    last = jane.get(f"{address}?image=3")
    assert "Image 3 of 3" in words(last)
    assert 'rel="next"' not in last.text
    assert jane.get(f"{address}/preview?image=3").mimetype == "image/jpeg"


def test_frames_of_an_image_are_leafed_through(jane: FlaskClient, services: Services) -> None:
    clip = ct(NumberOfFrames=3, PixelData=bytes(2 * 4 * 4 * 3))
    address = f"{chart_of(send(services, clip))}/series/{SERIES}"
    page = jane.get(address)
    assert "Image 1 of 1, frame 2 of 3" in words(page)
    assert 'rel="next" href="' + address + '?image=1&amp;frame=3"' in page.text
    assert jane.get(f"{address}/preview?image=1&frame=3").mimetype == "image/jpeg"


def test_a_localizer_in_the_middle_is_not_the_image_a_series_is_opened_at(
    jane: FlaskClient, services: Services
) -> None:
    same = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    address = f"{chart_of(send(services, ct()))}/series/{SERIES}"
    localizer = ["DERIVED", "SECONDARY", "LOCALIZER"]
    send(services, another(2, InstanceNumber=2, ImageType=localizer, **same))
    send(services, another(3, InstanceNumber=3, **same))
    assert "Image 3 of 3" in words(jane.get(address))


@pytest.mark.parametrize("query", ["image=2", "image=1&frame=2", "image=99999999"])
def test_an_image_beyond_the_last_is_not_found(
    jane: FlaskClient, services: Services, query: str
) -> None:
    address = f"{chart_of(send(services, ct()))}/series/{SERIES}?{query}"
    assert "There is nothing here" in words(jane.get(address), 404)


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "²", "one", "99999999999"])
def test_what_is_no_number_is_refused(jane: FlaskClient, services: Services, text: str) -> None:
    address = f"{chart_of(send(services, ct()))}/series/{SERIES}"
    assert "a whole number from 1" in words(jane.get(address, query_string={"image": text}), 400)


def test_a_document_is_shown_page_by_page(jane: FlaskClient, services: Services) -> None:
    address = chart_of(send_photo(services, pdf(pages=2), description="Referral"))
    page = jane.get(address)
    assert "Page 1 of 2" in words(page)
    assert "The sender named the patient" in words(page)
    assert jane.get(f"{address}/preview?page=1").mimetype == "image/jpeg"
    second = jane.get(f"{address}?page=2")
    assert f"{address}/preview?page=2" in second.text
    assert jane.get(f"{address}?page=3").status_code == 404


def test_the_original_of_a_document_can_be_downloaded(
    jane: FlaskClient, services: Services
) -> None:
    photo = raster("PNG")
    page = jane.get(chart_of(send_photo(services, photo))).text
    link = re.search(r'href="(/fhir/Binary/[^"]+)" download', page)
    assert link is not None
    assert jane.get(link[1]).data == photo


def test_a_document_sent_over_fhir_is_shown_too(jane: FlaskClient) -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "description": "Old letter",
        "subject": {"reference": "Patient/jane"},
        "content": [{"attachment": {"contentType": "text/plain", "url": "https://x.example/1"}}],
    }
    resource_id = json_of(jane.post("/fhir/DocumentReference", json=document))["id"]
    assert "Old letter" in words(jane.get("/chart/patients/jane"))
    shown = words(jane.get(f"/chart/documents/{resource_id}"))
    assert "It was sent over FHIR with its patient" in shown
    assert "The file itself is kept elsewhere" in shown
    drawing = jane.get(f"/chart/documents/{resource_id}/thumbnail")
    assert drawing.mimetype == "image/svg+xml"


def test_a_held_image_is_listed_with_its_reason(jane: FlaskClient, services: Services) -> None:
    held = send(services, ct(PatientBirthDate="19570314"))
    assert "1 image is held" in words(jane.get("/chart"))
    row = words(jane.get("/chart/held"))
    assert "Name, birth date or sex contradict the identifier Jane Roe 14 Mar 1957 4711" in row
    page = words(jane.get(chart_of(held)))
    assert "Birth date 14 Mar 1957 14 Mar 1975 Differs" in page
    assert "demographics-disagree" in page
    assert jane.get(f"{chart_of(held)}/thumbnail").mimetype == "image/jpeg"
    assert "No images of this patient yet" in words(jane.get("/chart/patients/jane"))


def test_a_held_photo_has_a_picture(client: FlaskClient, services: Services) -> None:
    held = send(services, raster("JPEG"))
    assert "Nothing says whose image it is" in words(client.get(chart_of(held)))
    assert client.get(f"{chart_of(held)}/thumbnail").mimetype == "image/jpeg"


def test_a_conflicting_image_is_held_with_a_picture(jane: FlaskClient, services: Services) -> None:
    send(services, ct())
    held = send(services, ct(PixelData=bytes(31) + b"\x01"))
    assert "Another image has the same identity" in words(jane.get(chart_of(held)))
    assert jane.get(f"{chart_of(held)}/thumbnail").mimetype == "image/jpeg"


def test_a_decided_image_says_so(jane: FlaskClient, services: Services) -> None:
    held = send(services, ct(PatientBirthDate="19570314"))
    put_jane(jane, birthDate="1957-03-14")
    assert "This was decided" in words(jane.get(chart_of(held)))
    assert "Nothing is held" in words(jane.get("/chart/held"))


def reviewed(services: Services, jane: FlaskClient) -> str:
    """The page of the Task about a study whose patient got another date of birth."""
    send(services, ct())
    put_jane(jane, birthDate="1980-01-01")
    page = jane.get("/chart/held").text
    found = re.search(r"/chart/held/[\w-]+", page.partition("to look at again")[2])
    assert found is not None, page
    return found[0]


def test_what_is_filed_but_doubted_is_on_the_worklist(
    jane: FlaskClient, services: Services
) -> None:
    address = reviewed(services, jane)
    rows = words(jane.get("/chart/held"))
    assert "Nothing is held." in rows
    assert "Name, birth date or sex contradict the identifier Show it in its chart" in rows
    page = jane.get(address)
    assert "demographics-disagree" in words(page)
    assert f'href="/chart/studies/{STUDY}"' in page.text
    assert "It is right where it is" in words(page)


def test_a_person_closes_a_review_until_the_evidence_changes(
    jane: FlaskClient, services: Services
) -> None:
    address = reviewed(services, jane)
    closed = jane.post(address)
    assert (closed.status_code, closed.location) == (303, "/chart/held")
    assert "Nothing is to be looked at." in words(jane.get("/chart/held"))
    assert "This was looked at" in words(jane.get(address))
    assert jane.post(address).status_code == 409
    put_jane(jane, birthDate="1980-01-01", active=True)  # news, but none of what was looked at
    assert "Nothing is to be looked at." in words(jane.get("/chart/held"))
    put_jane(jane, birthDate="1980-01-02")
    assert "Show it in its chart" in words(jane.get("/chart/held"))


def test_a_held_image_is_not_closed_like_a_review(jane: FlaskClient, services: Services) -> None:
    held = send(services, ct(PatientBirthDate="19570314"))
    assert jane.post(chart_of(held)).status_code == 409
    assert "1 image is held" in words(jane.get("/chart"))
    assert jane.post("/chart/held/none").status_code == 404


def test_a_provisional_patient_is_marked(client: FlaskClient, services: Services) -> None:
    study = send(services, ct())
    assert "Provisional patient" in words(client.get(chart_of(study)))
    assert "Roe, Jane Provisional" in words(client.get("/chart"))


def test_a_disputed_study_is_marked(jane: FlaskClient, services: Services) -> None:
    put(jane, "Patient", "john", identifier=[{"system": NUMBERS, "value": "12"}])
    study = send(services, ct())
    send(services, another(2, StudyInstanceUID=STUDY, PatientID="12"))
    assert "Disputed patient" in words(jane.get("/chart/patients/jane"))
    assert "naming another known patient" in words(jane.get(chart_of(study)))
    assert "Urgent" in words(jane.get("/chart/held"))


def test_a_merged_patient_leads_to_the_one_that_is_left(
    jane: FlaskClient, services: Services
) -> None:
    send(services, ct())
    put(jane, "Patient", "new", name=[{"family": "Roe-Doe"}], birthDate="1975-03-14")
    put_jane(jane, link=[{"type": "replaced-by", "other": {"reference": "Patient/new"}}])
    response = jane.get("/chart/patients/jane")
    assert (response.status_code, response.headers["Location"]) == (302, "/chart/patients/new")
    assert "Chest" in words(jane.get("/chart/patients/new"))


def test_what_is_deleted_is_gone_from_the_chart(jane: FlaskClient, services: Services) -> None:
    study, photo = send(services, ct()), send_photo(services, description="Rash")
    for reference in (study, photo):
        jane.delete(f"/fhir/{reference}")
        assert "This was deleted" in words(jane.get(chart_of(reference)), 410)
    assert "No images of this patient yet" in words(jane.get("/chart/patients/jane"))
    assert jane.get(f"{chart_of(study)}/series/{SERIES}/thumbnail").status_code == 410


@pytest.mark.parametrize(
    "address",
    [
        "patients/nobody",
        "studies/1.2",
        "studies/1.2/series/1.3",
        "documents/x",
        "held/x",
        "x",
        "static/../chart.py",
        "static/none.css",
    ],
)
def test_an_unknown_address_is_answered_by_a_page(client: FlaskClient, address: str) -> None:
    response = client.get(f"/chart/{address}")
    assert "There is nothing here" in words(response, 404)
    assert "Go to the patients" in response.text


def test_a_page_of_another_host_is_not_answered(client: FlaskClient) -> None:
    response = client.get("/chart", headers={"Host": "evil.example"})
    assert "You may not see this" in words(response, 403)


def test_a_form_of_another_site_finds_nobody(jane: FlaskClient) -> None:
    headers = {"Origin": "https://evil.example"}
    response = jane.post("/chart", data={"name": "Roe"}, headers=headers)
    assert "Roe, Jane" not in words(response, 403)


def test_nobody_keeps_a_page_or_runs_what_is_not_ours_in_it(client: FlaskClient) -> None:
    headers = client.get("/chart").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_style_and_script_are_served(client: FlaskClient) -> None:
    page = client.get("/chart").text
    for address in re.findall(r'(?:href|src)="(/chart/static/[^"]+)"', page):
        with client.get(address) as response:
            assert response.status_code == 200
            assert response.mimetype in ("text/css", "text/javascript", "image/svg+xml")


def binary_of(client: FlaskClient, reference: str) -> str:
    attachment = json_of(client.get(f"/fhir/{reference}"))["content"][0]["attachment"]
    thumbnail: str = attachment["extension"][0]["valueUrl"]
    return thumbnail.removeprefix("https://images.example").removesuffix("/$thumbnail")


def test_a_documents_thumbnail_is_where_it_says(jane: FlaskClient, services: Services) -> None:
    binary = binary_of(jane, send_photo(services))
    first = jane.get(f"{binary}/$thumbnail")
    assert (first.status_code, first.mimetype) == (200, "image/jpeg")
    assert first.headers["Content-Security-Policy"].startswith("sandbox")
    again = jane.get(f"{binary}/$thumbnail", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_a_preview_of_any_frame_can_be_asked_for(jane: FlaskClient, services: Services) -> None:
    binary = binary_of(jane, send_photo(services, animation("GIF")))
    pictures = {jane.get(f"{binary}/$preview?frame={frame}").data for frame in (1, 2, 3)}
    assert len(pictures) == 3
    beyond = jane.get(f"{binary}/$preview?frame=4")
    assert (beyond.status_code, json_of(beyond)["resourceType"]) == (404, "OperationOutcome")
    wrong = jane.get(f"{binary}/$preview?frame=x")
    assert (wrong.status_code, json_of(wrong)["issue"][0]["expression"]) == (400, ["http.frame"])


def test_a_thumbnail_in_another_form_is_not_acceptable(
    jane: FlaskClient, services: Services
) -> None:
    binary = binary_of(jane, send_photo(services))
    refused = jane.get(f"{binary}/$thumbnail", headers={"Accept": "application/fhir+json"})
    assert (refused.status_code, json_of(refused)["resourceType"]) == (406, "OperationOutcome")
    for accepted in ("image/*", "*/*", "image/avif,image/webp,image/*;q=0.8"):
        assert jane.get(f"{binary}/$thumbnail", headers={"Accept": accepted}).status_code == 200


def test_what_is_no_image_has_no_thumbnail(client: FlaskClient) -> None:
    created = client.post("/fhir/Binary", data=b"words", content_type="text/plain")
    assert created.status_code == 201
    address = re.sub("/_history.*", "", created.headers["Location"].partition(".example")[2])
    refused = client.get(f"{address}/$thumbnail")
    assert (refused.status_code, json_of(refused)["issue"][0]["code"]) == (404, "not-found")
    assert client.get("/fhir/Binary/none/$thumbnail").status_code == 404
