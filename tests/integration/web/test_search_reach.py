"""Searches over more than one type: in compartments, and of the whole system."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from imaging_fhir.fhir.compartments import COMPARTMENTS, ITSELF
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.audit import Agent, Event
from imaging_fhir.storage import resources
from imaging_fhir.web.context import EXTENSION
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of

FORM = "application/x-www-form-urlencoded"


def put(client: FlaskClient, content: dict[str, Any]) -> None:
    address = f"/fhir/{content['resourceType']}/{content['id']}"
    answer = client.put(address, json=content, content_type="application/fhir+json")
    assert answer.status_code == 201, answer.text


def found(client: FlaskClient, address: str) -> list[str]:
    answer = client.get(f"/fhir{address}")
    assert answer.status_code == 200, answer.text
    return references(json_of(answer))


def references(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", ())
        if entry["search"]["mode"] == mode
    ]


def reference(text: str) -> dict[str, str]:
    return {"reference": text}


def document(id_: str, **elements: Any) -> dict[str, Any]:
    attachment = {"contentType": "image/png", "url": "http://x/1.png"}
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "content": [{"attachment": attachment}],
        **elements,
    }


def media(id_: str, subject: str, **elements: Any) -> dict[str, Any]:
    content = {"contentType": "image/png", "url": "http://x/1.png"}
    return {
        "resourceType": "Media",
        "id": id_,
        "status": "completed",
        "subject": reference(subject),
        "content": content,
        **elements,
    }


@pytest.fixture
def chart(client: FlaskClient) -> FlaskClient:
    """Two patients, a visit of the first, and what is about, by or at them."""
    ann, bob, visit = "Patient/ann", "Patient/bob", reference("Encounter/e1")
    put(client, {"resourceType": "Patient", "id": "ann"})
    put(client, {"resourceType": "Patient", "id": "bob"})
    encounter = {"resourceType": "Encounter", "id": "e1", "status": "finished"}
    put(client, {**encounter, "class": {"code": "AMB"}, "subject": reference(ann)})
    at_visit = {"context": {"encounter": [visit]}}
    put(client, document("d1", subject=reference(ann), date="2024-03-01T00:00:00Z", **at_visit))
    put(client, document("d2", subject=reference(bob), author=[reference(ann)]))
    put(client, document("d3", subject=reference(bob), date="2024-01-01T00:00:00Z"))
    put(client, media("m1", ann, createdDateTime="2024-02-01", encounter=visit))
    put(client, media("m2", bob, createdDateTime="2024-04-01"))
    put(client, media("m3", ann))
    put(client, {"resourceType": "BodyStructure", "id": "b1", "patient": reference(ann)})
    return client


def test_a_compartment_holds_what_is_about_the_patient_or_made_by_him(chart: FlaskClient) -> None:
    assert found(chart, "/Patient/ann/DocumentReference") == [
        "DocumentReference/d2",
        "DocumentReference/d1",
    ]
    assert found(chart, "/Patient/ann/DocumentReference?subject=Patient/bob") == [
        "DocumentReference/d2"
    ]
    assert found(chart, "/Encounter/e1/DocumentReference") == ["DocumentReference/d1"]
    assert found(chart, "/Patient/ann/ImagingStudy") == []
    assert found(chart, "/Encounter/e1/ImagingStudy") == []
    assert found(chart, "/RelatedPerson/r/DocumentReference") == []


def test_a_whole_compartment_is_found_at_once(chart: FlaskClient) -> None:
    assert set(found(chart, "/Patient/ann/*")) == {
        "Patient/ann",
        "Encounter/e1",
        "DocumentReference/d1",
        "DocumentReference/d2",
        "Media/m1",
        "Media/m3",
        "BodyStructure/b1",
    }
    assert set(found(chart, "/Encounter/e1/*")) == {
        "Encounter/e1",
        "DocumentReference/d1",
        "Media/m1",
    }
    assert found(chart, "/Patient/ann/*?_type=Media,Encounter") == [
        "Media/m3",
        "Media/m1",
        "Encounter/e1",
    ]
    posted = chart.post("/fhir/Patient/ann/*/_search", data="_type=Media", content_type=FORM)
    assert references(json_of(posted)) == ["Media/m3", "Media/m1"]


@pytest.mark.parametrize(
    "address",
    ["/Patient/ann/Organization", "/Organization/o/*", "/Nothing/x/*", "/RelatedPerson/a b/Media"],
)
def test_what_is_in_no_compartment_is_not_found(chart: FlaskClient, address: str) -> None:
    assert chart.get(f"/fhir{address}").status_code == 404


def test_every_compartment_is_by_references_that_can_lead_to_its_owner() -> None:
    for owner, types in COMPARTMENTS.items():
        for name, parameters in types.items():
            for parameter in set(parameters) - {ITSELF}:
                known = RESOURCE_TYPES[name].by_name[parameter]
                assert known.type == "reference"
                assert not known.targets or owner in known.targets, f"{owner}: {name}.{parameter}"


def test_images_of_all_kinds_are_found_by_one_query(chart: FlaskClient) -> None:
    by_patient = "/?_type=DocumentReference,Media&patient=ann"
    assert found(chart, f"{by_patient}&_sort=-_lastUpdated") == [
        "Media/m3",
        "Media/m1",
        "DocumentReference/d1",
    ]
    assert found(chart, f"{by_patient}&_sort=_lastUpdated")[0] == "DocumentReference/d1"
    dated = found(chart, "?_type=DocumentReference,Media,BodyStructure&_sort=-date")
    assert dated[:4] == ["Media/m2", "DocumentReference/d1", "Media/m1", "DocumentReference/d3"]
    assert dated[4:] == ["BodyStructure/b1", "Media/m3", "DocumentReference/d2"]  # without a date
    posted = chart.post(
        "/fhir/_search", data="_type=Media&status=completed&_total=accurate", content_type=FORM
    )
    assert json_of(posted)["total"] == 3


@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-date", "&_sort=-_lastUpdated,date"])
def test_pages_over_all_types_hold_everything_once_and_in_order(
    chart: FlaskClient, sort: str
) -> None:
    whole = found(chart, f"/Patient/ann/*?_count=100{sort}")
    pages, address = [], f"/fhir/Patient/ann/*?_count=2{sort}"
    for _ in range(10):
        bundle = json_of(chart.get(address))
        pages += references(bundle)
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        if "next" not in links:
            break
        address = links["next"].removeprefix("https://images.example")
        assert address.startswith("/fhir/Patient/ann/*?")
    assert pages == whole
    assert len(whole) == 7


def test_a_parameter_that_one_type_lacks_is_left_out_for_all(chart: FlaskClient) -> None:
    address = "/fhir?_type=Media,DocumentReference&view=front&patient=ann"
    bundle = json_of(chart.get(address))
    assert "view" not in bundle["link"][0]["url"]
    assert "view" in bundle["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    strict = chart.get(address, headers={"Prefer": "handling=strict"})
    assert strict.status_code == 400
    assert chart.get("/fhir?_type=Media,Location&patient=ann").status_code == 400
    assert chart.get("/fhir?_type=Medium").status_code == 400
    assert chart.get("/fhir/Patient/ann/*?_type=Location").status_code == 400


def test_includes_are_those_that_any_of_the_types_has(chart: FlaskClient) -> None:
    bundle = json_of(
        chart.get(
            "/fhir?_type=Media,DocumentReference&patient=ann&_include=Media:encounter"
            "&_include=DocumentReference:subject&_include=Nothing:x"
        )
    )
    assert set(references(bundle, "include")) == {"Encounter/e1", "Patient/ann"}
    assert "Nothing" not in bundle["link"][0]["url"]


def statements(app: Flask, client: FlaskClient, address: str) -> int:
    """How many the search takes."""
    executed: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("SET LOCAL"):  # PostgreSQL's time limit
            executed.append(statement)

    engine = app.extensions[EXTENSION].database.engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        assert client.get(f"/fhir{address}").status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", count)
    return len(executed)


@pytest.mark.parametrize(
    ("address", "most"),
    [
        ("/Media?_include=Media:subject&_revinclude=Provenance:target", 6),
        ("/Media?_include=Media:subject&_include:iterate=Patient:link", 9),
        ("/Media?patient.gender=male&encounter.class=AMB", 4),
        ("/Patient?_has:Media:subject:encounter.class=AMB", 4),
        ("?_type=Media,DocumentReference&patient=ann&_sort=-date", 6),
    ],
)
def test_statements_do_not_grow_with_what_is_found(
    app: Flask, chart: FlaskClient, address: str, most: int
) -> None:
    add_men(chart, range(2))
    few = statements(app, chart, address)
    add_men(chart, range(2, 30))
    assert statements(app, chart, address) == few
    assert few <= most


def add_men(client: FlaskClient, numbers: range) -> None:
    """Each with a picture taken at the visit."""
    for number in numbers:
        put(client, {"resourceType": "Patient", "id": f"p{number}", "gender": "male"})
        put(client, media(f"x{number}", f"Patient/p{number}", encounter=reference("Encounter/e1")))


@pytest.mark.parametrize(
    "address",
    [
        "/ImagingStudy?_count=100",
        "/ImagingStudy?_count=100&_summary=true",
        "/ImagingStudy?_count=100&_elements=status",
        "/ImagingStudy?_count=100&_include=ImagingStudy:patient&_sort=-started",
        "/Patient?_id=ann&_revinclude=ImagingStudy:patient",
        "/Patient/ann/ImagingStudy?_count=100",
        "/Patient/ann/*?_count=100",
        "?_type=ImagingStudy,Media&patient=ann&_count=100",
        "/Patient/ann/$everything?_count=100",
        "/ImagingStudy/_history?_count=100",
    ],
)
def test_studies_of_a_page_are_put_together_by_as_many_statements_for_40_as_for_5(
    app: Flask, chart: FlaskClient, address: str
) -> None:
    take_in_studies(chart, range(5))
    few = statements(app, chart, address)
    take_in_studies(chart, range(5, 40))
    answer = json_of(chart.get(f"/fhir{address}"))
    shown = [
        one for one in (entry["resource"] for entry in answer["entry"])
        if one["resourceType"] == "ImagingStudy"
    ]  # fmt: skip
    assert len({one["id"] for one in shown}) == len(shown) == 40
    assert statements(app, chart, address) == few
    for one in shown:
        whole = json_of(chart.get(f"/fhir/ImagingStudy/{one['id']}"))
        assert len(whole["series"][0]["instance"]) == 1
        if "_summary" in address or "_elements" in address:
            assert whole.items() >= {"id": one["id"], "status": one["status"]}.items()
        else:
            assert one == whole


def test_a_page_without_instances_reads_none_of_them(app: Flask, chart: FlaskClient) -> None:
    take_in_studies(chart, range(3))
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(app.extensions[EXTENSION].database.engine, "before_cursor_execute", note)
    cut = json_of(chart.get("/fhir/ImagingStudy?_summary=true"))
    assert not any("instance.fragment" in one for one in asked)
    assert [one["resource"]["numberOfInstances"] for one in cut["entry"]] == [1, 1, 1]
    assert all("instance" not in one["resource"]["series"][0] for one in cut["entry"])
    chart.get("/fhir/ImagingStudy")
    assert any("instance.fragment" in one for one in asked)


def take_in_studies(client: FlaskClient, numbers: range) -> None:
    """Each of one image, of Ann."""
    for number in numbers:
        uid = f"2.25.{1000 + number}"
        octets = ct_instance(
            StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1"
        )
        answer = client.post(
            "/fhir/$import-image?patient=Patient/ann",
            data=octets,
            content_type="application/octet-stream",
        )
        assert json_of(answer)["entry"][0]["response"]["status"][:3] == "201", json_of(answer)


def test_our_own_search_parameters_are_declared_and_served(client: FlaskClient) -> None:
    statement = json_of(client.get("/fhir/metadata"))
    stated = {
        parameter.get("definition")
        for resource in statement["rest"][0]["resource"]
        for parameter in resource.get("searchParam", ())
    }
    own = [
        (type_.name, parameter)
        for type_ in RESOURCE_TYPES.values()
        for parameter in type_.search_parameters
        if parameter.own
    ]
    assert len(own) == 14
    for type_name, parameter in own:
        assert parameter.url in stated
        answer = client.get(f"/fhir/SearchParameter/{parameter.url.rpartition('/')[2]}")
        served = json_of(answer)
        require_valid(served)
        assert (served["url"], served["base"]) == (parameter.url, [type_name])
    assert client.get("/fhir/SearchParameter/Patient-name").status_code == 404
    assert client.get("/fhir/SearchParameter/nothing").status_code == 404


def test_a_document_is_found_by_what_r4_has_no_parameter_for(client: FlaskClient) -> None:
    modality = {"coding": [{"system": "urn:s", "code": "XC"}]}
    site = {"coding": [{"system": "urn:s", "code": "arm"}]}
    base = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference"
    concept = {"url": "concept", "valueCodeableConcept": site}
    type_ = {"coding": [{"code": "ACSN"}]}
    content = document(
        "d",
        extension=[
            {"url": f"{base}.modality", "valueCodeableConcept": modality},
            {"url": f"{base}.bodySite", "extension": [concept]},
        ],
        context={
            "related": [
                {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}},
                {"identifier": {"type": type_, "system": "urn:a", "value": "A7"}},
            ]
        },
    )
    content["content"][0]["attachment"]["creation"] = "2024-05-01"
    put(client, content)
    for name, text in (
        ("modality", "XC"),
        ("bodysite", "urn:s|arm"),
        ("anatomical-region", "arm"),
        ("study-instance-uid", "1.2.3"),
        ("accession-number", "urn:a|A7"),
        ("creation", "2024-05"),
    ):
        assert found(client, f"/DocumentReference?{name}={text}") == ["DocumentReference/d"], name
        assert found(client, f"/DocumentReference?{name}=2023") == [], name


def test_where_our_own_look_is_said_in_fhirpath(client: FlaskClient) -> None:
    def expression(id_: str) -> str:
        return str(json_of(client.get(f"/fhir/SearchParameter/{id_}"))["expression"])

    base = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DocumentReference"
    assert expression("ImagingStudy-bodysite-text") == "ImagingStudy.series.bodySite.display"
    assert expression("DocumentReference-bodysite") == (
        f"DocumentReference.extension.where(url='{base}.bodySite')"
        ".extension.where(url='concept').value"
    )
    assert expression("DocumentReference-study-instance-uid") == (
        "DocumentReference.context.related.identifier.where(system='urn:dicom:uid')"
    )
    assert expression("DocumentReference-accession-number") == (
        "DocumentReference.context.related.identifier"
        ".where(type.coding.where(code='ACSN' or code='121022').exists())"
    )


def test_an_audit_shownis_found_and_read_but_never_written(app: Flask, client: FlaskClient) -> None:
    kept = Event(
        id="a",
        recorded=1_714_557_600_000,
        kind="read",
        agent=Agent(name="Ann", subject="ann", fhir_user="Patient/ann").text,
        patient="ann",
        entity="ImagingStudy/1",
    )
    app.extensions[EXTENSION].audit.record(kept)
    assert found(client, "/AuditEvent?patient=ann&date=2024-05-01&type=rest") == ["AuditEvent/a"]
    assert found(client, "/Patient/ann/AuditEvent") == ["AuditEvent/a"]
    shown = client.get("/fhir/AuditEvent/a").get_json(force=True)
    assert shown["agent"][-1]["who"]["reference"] == "Patient/ann"
    assert client.get("/fhir/AuditEvent/a/_history/1").get_json(force=True) == shown
    assert client.get("/fhir/AuditEvent/a/_history/2").status_code == 404
    assert client.get("/fhir/AuditEvent/b").status_code == 404
    headers = {"Content-Type": "application/fhir+json"}
    assert client.post("/fhir/AuditEvent", json=shown, headers=headers).status_code == 405
    assert client.put("/fhir/AuditEvent/a", json=shown, headers=headers).status_code == 405
    assert client.delete("/fhir/AuditEvent/a").status_code == 405


def put_unseen(app: Flask, content: dict[str, Any]) -> None:
    """As the service itself stores what nobody may write."""
    type_, id_ = content["resourceType"], content["id"]
    entries = index_entries(type_, content)
    database = app.extensions[EXTENSION].database
    database.write(lambda transaction: resources.put(transaction, type_, id_, content, entries))
