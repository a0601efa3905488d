"""The operations of the FHIR base, each as its table declares it (operations.html)."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event, text
from werkzeug.test import TestResponse

from imaging_fhir.errors import AccessDenied
from imaging_fhir.fhir.operation_definition import OPERATIONS
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.settings import Settings
from imaging_fhir.storage import compartment
from imaging_fhir.storage.compartment import CompartmentQuery
from tests.integration.web.answers import json_of

BASE = "https://images.example/fhir"
MRN = "urn:oid:1.2.36.1"
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
DOE = {
    "resourceType": "Patient",
    "id": "doe",
    "identifier": [{"system": MRN, "value": "17"}],
    "name": [{"family": "Doë", "given": ["Jane", "Ann"]}],
    "birthDate": "1970-05-17",
    "gender": "female",
}


def load(client: FlaskClient, *resources: dict[str, Any]) -> None:
    for one in resources:
        answer = client.put(f"/fhir/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201, json_of(answer)


def valid(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, json_of(answer)
    found: dict[str, Any] = json_of(answer)
    assert [issue for issue in check(found) if issue.severity == "error"] == []
    return found


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    return valid(client.get(f"/fhir/{path}"))


def references(found: dict[str, Any], mode: str = "match") -> list[str]:
    return [
        entry["fullUrl"].removeprefix(f"{BASE}/")
        for entry in found.get("entry", ())
        if entry["search"]["mode"] == mode
    ]


def next_of(found: dict[str, Any]) -> str | None:
    urls = [one["url"] for one in found["link"] if one["relation"] == "next"]
    return urls[0].removeprefix(f"{BASE}/") if urls else None


def parameters(**values: Any) -> dict[str, Any]:
    """`patient_id="a"` is valueId, `resource=…` a resource; a list repeats its parameter."""
    listed = []
    for key, value in values.items():
        name, _, type_ = key.rpartition("_") if key != "resource" else ("resource", "", "")
        for one in value if isinstance(value, list) else [value]:
            held = "resource" if key == "resource" else f"value{type_[0].upper()}{type_[1:]}"
            listed.append({"name": name, held: one})
    return {"resourceType": "Parameters", "parameter": listed}


def document(id_: str, patient: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": id_,
        "status": "current",
        "subject": {"reference": f"Patient/{patient}"},
        "content": [{"attachment": {"contentType": "image/png", "url": "https://a.example/1"}}],
        **elements,
    }


def visit(id_: str, patient: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        **elements,
    }


@pytest.fixture
def chart(client: FlaskClient) -> FlaskClient:
    """Two patients; Jane Doe has two visits and three documents."""
    load(
        client,
        DOE,
        {"resourceType": "Patient", "id": "roe", "link": [
            {"other": {"reference": "Patient/doe"}, "type": "seealso"}]},
        {"resourceType": "Practitioner", "id": "who", "active": True},
        {"resourceType": "Location", "id": "ward", "name": "Ward"},
        visit(
            "v1", "doe",
            period={"start": "2024-01-10", "end": "2024-01-12"},
            location=[{"location": {"reference": "Location/ward"}}],
        ),
        visit("v2", "doe", period={"start": "2025-03-01", "end": "2025-03-01"}),
        visit("v3", "roe"),
        document("d1", "doe", date="2024-06-01T10:00:00Z",
                 author=[{"reference": "Practitioner/who"}],
                 type={"coding": [{"system": "urn:t", "code": "a"}]},
                 context={"encounter": [{"reference": "Encounter/v1"}],
                          "period": {"start": "2024-01-11", "end": "2024-01-11"}}),
        document("d2", "doe", date="2025-03-01T10:00:00Z",
                 type={"coding": [{"system": "urn:t", "code": "b"}]}),
        document("d3", "doe", date="2025-06-01T10:00:00Z", status="superseded"),
        document("d4", "roe"),
    )  # fmt: skip
    return client


def test_everything_of_a_patient_is_that_patients_and_what_it_refers_to(chart: FlaskClient) -> None:
    found = get(chart, "Patient/doe/$everything")
    belonging = ["Encounter/v1", "Encounter/v2", *(f"DocumentReference/d{n}" for n in (1, 2, 3))]
    assert references(found) == ["Patient/doe", *belonging]
    assert sorted(references(found, "include")) == ["Location/ward", "Practitioner/who"]
    other = get(chart, "Patient/roe/$everything")
    everything = references(other) + references(other, "include")
    assert everything == ["Patient/roe", "Encounter/v3", "DocumentReference/d4"]


def test_everything_comes_in_pages_that_stay_while_others_write(chart: FlaskClient) -> None:
    found = get(chart, "Patient/doe/$everything?_count=2")
    pages = [references(found)]
    chart.put("/fhir/Encounter/v1", json=visit("v1", "doe"))
    load(chart, visit("v9", "doe"))
    while following := next_of(found):
        found = get(chart, following)
        pages.append(references(found))
    assert pages == [
        ["Patient/doe", "Encounter/v1"],
        ["Encounter/v2", "DocumentReference/d1"],
        ["DocumentReference/d2", "DocumentReference/d3"],
        ["Encounter/v9"],
    ]


def test_everything_is_narrowed_by_care_dates_types_and_news(chart: FlaskClient) -> None:
    old = get(chart, "Patient/doe/$everything?end=2024-12-31")
    assert references(old) == ["Patient/doe", "Encounter/v1", "DocumentReference/d1"]
    new = get(chart, "Patient/doe/$everything?start=2025-03-01&end=2025-03")
    assert references(new) == ["Patient/doe", "Encounter/v2", "DocumentReference/d2"]
    typed = get(chart, "Patient/doe/$everything?_type=Encounter,Practitioner")
    assert references(typed) == ["Encounter/v1", "Encounter/v2"]
    assert references(typed, "include") == []
    stamp = json_of(chart.get("/fhir/DocumentReference/d2"))["meta"]["lastUpdated"]
    fresh = get(chart, f"Patient/doe/$everything?_since={stamp}")
    assert references(fresh) == ["DocumentReference/d2", "DocumentReference/d3"]
    posted = chart.post(
        "/fhir/Patient/doe/$everything",
        json=parameters(_type_code=["Encounter", "Location"], _count_integer=1),
    )
    assert references(valid(posted)) == ["Encounter/v1"]
    assert references(valid(posted), "include") == ["Location/ward"]
    assert references(get(chart, next_of(json_of(posted)) or "")) == ["Encounter/v2"]


def test_everything_of_a_visit_is_its_own_with_its_patient(chart: FlaskClient) -> None:
    found = get(chart, "Encounter/v1/$everything")
    assert references(found) == ["Encounter/v1", "DocumentReference/d1"]
    assert sorted(references(found, "include")) == [
        "Location/ward", "Patient/doe", "Practitioner/who",
    ]  # fmt: skip


class NoDocuments(AccessPolicy):
    def require(self, caller: Caller, interaction: str, resource_type: str) -> None:
        if resource_type in ("DocumentReference", "Location"):
            raise AccessDenied("Not these.")


def test_an_operation_does_no_more_than_the_caller_may(
    chart: FlaskClient, settings: Settings
) -> None:
    services = chart.application.extensions["imaging_fhir"]
    policy = NoDocuments(settings)
    object.__setattr__(services, "access", policy)
    services.everything.access = policy
    found = get(chart, "Patient/doe/$everything")
    assert references(found) == ["Patient/doe", "Encounter/v1", "Encounter/v2"]
    assert "Location/ward" not in references(found, "include")
    for path in ("DocumentReference/$docref?patient=doe", "DocumentReference/d1/$meta"):
        assert chart.get(f"/fhir/{path}").status_code == 403


def test_docref_without_dates_is_the_latest_document(chart: FlaskClient) -> None:
    assert references(get(chart, "DocumentReference/$docref?patient=doe")) == [
        "DocumentReference/d2"
    ]
    typed = get(chart, "DocumentReference/$docref?patient=doe&type=urn:t|a")
    assert references(typed) == ["DocumentReference/d1"]
    both = parameters(
        patient_id="doe",
        type_coding=[{"system": "urn:t", "code": "a"}, {"system": "urn:t", "code": "b"}],
    )
    posted = valid(chart.post("/fhir/DocumentReference/$docref", json=both))
    assert references(posted) == ["DocumentReference/d1", "DocumentReference/d2"]


def test_docref_looks_up_so_many_types_and_no_more(chart: FlaskClient) -> None:
    for count, status in ((50, 200), (51, 400)):
        types = "&".join(f"type=urn:t|{number}" for number in range(count))
        answer = chart.get(f"/fhir/DocumentReference/$docref?patient=doe&{types}")
        assert answer.status_code == status
    [issue] = json_of(answer)["issue"]
    assert (issue["code"], issue["expression"]) == ("too-costly", ["http.type"])


def test_docref_takes_the_dates_of_care_and_current_documents(chart: FlaskClient) -> None:
    care = get(chart, "DocumentReference/$docref?patient=doe&start=2024-01-01&end=2024-03-01")
    assert references(care) == ["DocumentReference/d1"]
    recorded = get(chart, "DocumentReference/$docref?patient=doe&start=2024-06-01&end=2024-06-02")
    assert references(recorded) == []
    first = get(chart, "DocumentReference/$docref?patient=doe&start=2020&_count=1")
    assert references(first) == ["DocumentReference/d1"]
    assert references(get(chart, next_of(first) or "")) == ["DocumentReference/d2"]
    typed = get(chart, "DocumentReference/$docref?patient=doe&start=2020&type=urn:t|b")
    assert references(typed) == ["DocumentReference/d2"]


@pytest.mark.parametrize(
    "query", ["patient=nobody", "patient=doe&on-demand=true", "patient=doe&profile=urn:other"]
)
def test_docref_of_what_is_not_there_is_an_empty_bundle(chart: FlaskClient, query: str) -> None:
    found = get(chart, f"DocumentReference/$docref?{query}")
    assert (found["type"], found.get("entry")) == ("searchset", None)


def severities(outcome: dict[str, Any]) -> set[str]:
    assert outcome["resourceType"] == "OperationOutcome"
    return {issue["severity"] for issue in outcome["issue"]}


def test_validate_answers_what_is_wrong_and_keeps_nothing(client: FlaskClient) -> None:
    wrong = {"resourceType": "Patient", "gender": "pink", "birthDate": "yesterday"}
    for body in (wrong, parameters(resource=wrong, mode_code="create")):
        outcome = valid(client.post("/fhir/Patient/$validate", json=body))
        expressions = {issue["expression"][0] for issue in outcome["issue"]}
        assert expressions == {"Patient.gender", "Patient.birthDate"}
    right = valid(client.post("/fhir/Patient/$validate", json=DOE))
    assert severities(right) == {"information"}
    assert json_of(client.get("/fhir/Patient?_total=accurate"))["total"] == 0


def test_validate_knows_modes_profiles_and_the_resource_that_is_kept(client: FlaskClient) -> None:
    load(client, DOE)
    assert severities(valid(client.post("/fhir/Patient/doe/$validate"))) == {"information"}
    deletion = parameters(mode_code="delete")
    assert severities(valid(client.post("/fhir/Patient/doe/$validate", json=deletion))) == {
        "information"
    }
    for path, expression in (
        ("Patient/roe/$validate", "Patient.id"),
        ("Encounter/$validate", "resourceType"),
        ("Patient/$validate?profile=http://a.example/p", "http.profile"),
    ):
        outcome = valid(client.post(f"/fhir/{path}", json=DOE))
        assert expression in str(outcome["issue"])
        assert "error" in severities(outcome)
    base = "http://hl7.org/fhir/StructureDefinition/Patient"
    checked = valid(client.post(f"/fhir/Patient/$validate?profile={base}&mode=profile", json=DOE))
    assert severities(checked) == {"information"}


TAG = {"system": "urn:tags", "code": "seen", "display": "Seen"}
LABEL = {"system": "urn:labels", "code": "R"}


def meta_of(answer: TestResponse) -> dict[str, Any]:
    [parameter] = valid(answer)["parameter"]
    assert parameter["name"] == "return"
    found: dict[str, Any] = parameter["valueMeta"]
    return found


def test_meta_is_added_and_taken_away(client: FlaskClient) -> None:
    load(client, DOE)
    given = parameters(meta_meta={"tag": [TAG], "security": [LABEL], "profile": ["urn:p"]})
    added = meta_of(client.post("/fhir/Patient/doe/$meta-add", json=given))
    assert (added["versionId"], added["tag"], added["security"]) == ("2", [TAG], [LABEL])
    again = meta_of(client.post("/fhir/Patient/doe/$meta-add", json=given))
    assert again == added == meta_of(client.get("/fhir/Patient/doe/$meta"))
    assert json_of(client.get("/fhir/Patient?_tag=urn:tags|seen&_total=accurate"))["total"] == 1
    for path in ("Patient/$meta", "$meta"):
        in_use = meta_of(client.get(f"/fhir/{path}"))
        tag = {"system": "urn:tags", "code": "seen"}
        assert in_use == {"profile": ["urn:p"], "security": [LABEL], "tag": [tag]}
    assert "tag" not in meta_of(client.get("/fhir/Encounter/$meta"))
    less = parameters(meta_meta={"tag": [{"system": "urn:tags", "code": "seen"}]})
    kept = meta_of(client.post("/fhir/Patient/doe/$meta-delete", json=less))
    assert (kept["versionId"], kept.get("tag"), kept["security"]) == ("3", None, [LABEL])
    assert json_of(client.get("/fhir/Patient/doe"))["name"] == DOE["name"]


def match(client: FlaskClient, patient: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """Id and grade of each match, the best first."""
    sent = parameters(resource={"resourceType": "Patient", **patient}, **more)
    found = valid(client.post("/fhir/Patient/$match", json=sent))
    scores = [entry["search"]["score"] for entry in found.get("entry", ())]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    grades = []
    for entry in found.get("entry", ()):
        [extension] = entry["search"]["extension"]
        assert extension["url"] == GRADE
        grades.append((entry["resource"]["id"], extension["valueCode"]))
    return grades


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in DOE.items() if name not in ("id", *names)}


@pytest.mark.parametrize(
    ("sought", "grade"),
    [
        ({"identifier": DOE["identifier"]}, "certain"),
        (without("identifier"), "certain"),
        (without("identifier") | {"name": [{"family": "DOE", "given": ["jane"]}]}, "certain"),
        (without("identifier", "gender"), "probable"),
        (without("identifier", "birthDate"), "possible"),
        ({"identifier": DOE["identifier"], "birthDate": "1971-01-01"}, "possible"),
        (without() | {"identifier": [{"system": MRN, "value": "18"}]}, "possible"),
        (without("identifier") | {"birthDate": "1970-05-18"}, "possible"),
    ],
)
def test_a_match_is_graded_by_what_agrees(
    client: FlaskClient, sought: dict[str, Any], grade: str
) -> None:
    load(client, DOE, {"resourceType": "Patient", "id": "roe", "birthDate": "1970-05-17"})
    assert match(client, sought) == [("doe", grade)]


def test_nobody_is_matched_by_too_little(client: FlaskClient) -> None:
    load(client, DOE)
    assert match(client, {"birthDate": "1970-05-17", "name": [{"family": "Roe"}]}) == []
    assert match(client, {"identifier": [{"system": "urn:other", "value": "17"}]}) == []
    for patient in ({"gender": "female"}, {"identifier": [{"value": "17"}]}):
        sent = parameters(resource={"resourceType": "Patient", **patient})
        assert client.post("/fhir/Patient/$match", json=sent).status_code == 400


def test_of_several_who_agree_none_is_certain(client: FlaskClient) -> None:
    twin = DOE | {"id": "twin", "identifier": [{"system": MRN, "value": "99"}]}
    load(client, DOE, twin)
    sought = without("identifier")
    assert match(client, sought) == [("doe", "probable"), ("twin", "probable")]
    assert match(client, sought, onlyCertainMatches_boolean=True) == []
    assert match(client, sought, count_integer=1) == [("doe", "probable")]
    assert match(client, without(), onlyCertainMatches_boolean=True) == [("doe", "certain")]


def test_a_match_by_very_many_identifiers_is_refused(client: FlaskClient) -> None:
    numbers = [{"system": "urn:other", "value": str(number)} for number in range(51)]
    sent = {"resourceType": "Patient", "identifier": numbers}
    assert client.post("/fhir/Patient/$match", json=sent).status_code == 400


def test_who_was_merged_into_another_is_not_matched(client: FlaskClient) -> None:
    link = [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]
    load(client, DOE | {"id": "new"}, DOE | {"link": link})
    assert match(client, without()) == [("new", "certain")]


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "$dance", 404, "$dance"),
        ("POST", "Patient/$dance", 404, "$dance"),
        ("GET", "Patient/doe/$dance", 404, "$dance"),
        ("GET", "Patient/$everything", 404, "$everything"),
        ("POST", "Task/1/$meta-add", 404, "$meta-add"),
        ("GET", "Spaceship/1/$meta", 404, ""),
        ("GET", "Patient/doe/$meta-add", 405, ""),
        ("GET", "Patient/$match", 405, ""),
        ("GET", "Patient/nobody/$everything", 404, "Patient/nobody"),
        ("GET", "Patient/nobody/$meta", 404, "Patient/nobody"),
        ("GET", "Patient/doe/$everything?_typ=Encounter", 400, "_typ"),
        ("GET", "Patient/doe/$everything?_type=Spaceship", 400, "_type"),
        ("GET", "Patient/doe/$everything?start=soon", 400, "start"),
        ("GET", "Patient/doe/$everything?_count=0", 400, "_count"),
        ("GET", "Patient/doe/$everything?_page=x", 400, "_page"),
        ("GET", "DocumentReference/$docref", 400, "patient"),
        ("GET", "DocumentReference/$docref?patient=a,b", 400, "patient"),
        ("GET", "DocumentReference/$docref?patient=a&patient=b", 400, "patient"),
        ("GET", "DocumentReference/$docref?patient=doe&on-demand=maybe", 400, "on-demand"),
        ("POST", "Patient/$match", 400, "resource"),
        ("POST", "Patient/$validate", 400, "resource"),
        ("POST", "Patient/doe/$meta-add", 400, "meta"),
        ("POST", "Patient/doe/$validate?mode=guess", 400, "mode"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: FlaskClient, method: str, path: str, status: int, named: str
) -> None:
    load(client, DOE)
    answer = client.open(f"/fhir/{path}", method=method)
    assert (answer.status_code, json_of(answer)["resourceType"]) == (status, "OperationOutcome")
    assert named in json_of(answer)["issue"][0]["diagnostics"]


def test_every_operation_is_declared_and_its_definition_served(client: FlaskClient) -> None:
    [rest] = json_of(client.get("/fhir/metadata"))["rest"]
    declared = {
        (one["name"], one["definition"])
        for holder in (rest, *rest["resource"])
        for one in holder.get("operation", ())
    }
    for operation in OPERATIONS:
        for definition in operation.canonicals:
            assert (operation.code, definition) in declared
        served = get(client, f"OperationDefinition/{operation.id}")
        assert (served["code"], served["id"]) == (operation.code, operation.id)
    assert client.get("/fhir/OperationDefinition/none").status_code == 404


def test_a_page_of_everything_takes_as_many_statements_however_much_is_on_it(
    chart: FlaskClient,
) -> None:
    services = chart.application.extensions["imaging_fhir"]
    asked: list[str] = []
    event.listen(
        services.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: asked.append(statement),
    )
    get(chart, "Patient/doe/$everything")
    few = len(asked)
    load(chart, *(document(f"more{number}", "doe") for number in range(30)))
    asked.clear()
    assert len(references(get(chart, "Patient/doe/$everything"))) == 36
    assert len(asked) == few


def test_the_members_of_a_compartment_are_found_by_index(chart: FlaskClient) -> None:
    services = chart.application.extensions["imaging_fhir"]
    query = CompartmentQuery(
        owner_type="Patient",
        owner_ids=("doe",),
        members={"Encounter": "patient", "DocumentReference": "patient"},
        count=10,
        period=(0, 1),
        dates={"Encounter": ("date",), "DocumentReference": ("period", "date")},
    )
    statements: list[str] = []
    with services.database.read() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            connection.execute(text("SET enable_seqscan = off"))

        @event.listens_for(connection, "before_cursor_execute", retval=True)
        def explained(*given: Any) -> tuple[str, Any]:
            statement, values = given[2], given[3]
            if statement.startswith("SELECT resource.rid"):
                statements.append(statement)
                found = connection.connection.cursor()
                explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
                found.execute(explain + statement, values)
                plan = "\n".join(str(row) for row in found.fetchall())
                assert "SCAN resource" not in plan, plan
                assert "SCAN reference_index" not in plan, plan
                assert "SCAN date_index" not in plan, plan
                assert "Seq Scan" not in plan, plan
            return statement, values

        found, has_more = compartment.members(connection, query, {})
    assert (found, has_more) == ([], False)
    assert len(statements) == 1
