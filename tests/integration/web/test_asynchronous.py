"""`Prefer: respond-async` on both engines: asked now, answered later, and done once."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from imaging_fhir.errors import AccessDenied
from imaging_fhir.fhir.openapi import openapi
from imaging_fhir.model.caller import Caller
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.asynchronous import LAST_ATTEMPT, Answered, Asked, Asynchronous
from imaging_fhir.services.composition import Services
from imaging_fhir.services.erase import Erase
from imaging_fhir.storage import async_requests, leases
from imaging_fhir.storage.schema import async_request, async_step, resource
from imaging_fhir.web.asynchronous import BODIES, performing
from imaging_fhir.web.context import EXTENSION
from tests.integration.web.answers import json_of

ASYNC = {"Prefer": "respond-async"}
JSON = {"Content-Type": "application/fhir+json"}


class Killed(BaseException):
    """The process ends here, as far as the database can tell."""


@dataclass
class Service:
    app: Flask
    client: FlaskClient

    @property
    def services(self) -> Services:
        found: Services = self.app.extensions[EXTENSION]
        return found

    @property
    def asynchronous(self) -> Asynchronous:
        return self.services.asynchronous

    def asked(self, method: str, path: str, **options: Any) -> str:
        headers = {**ASYNC, **options.pop("headers", {})}
        response = self.client.open(path, method=method, headers=headers, **options)
        assert (response.status_code, response.data) == (202, b""), response.data
        assert response.headers["Preference-Applied"] == "respond-async"
        return response.headers["Content-Location"].removeprefix("https://images.example")

    def work(self) -> None:
        while self.asynchronous.work(performing(self.app)):
            pass

    def work_until_killed(self) -> None:
        """At the latest when all is done, but for noting the answer."""

        def perform(asked: Asked) -> Answered:
            performing(self.app)(asked)
            raise Killed

        with pytest.raises(Killed):
            self.asynchronous.work(perform)
        self.services.database.write(leases.release_all)
        self.hurry()

    def hurry(self) -> None:
        """What was begun is due again."""
        self.services.database.write(
            lambda transaction: async_requests.postpone(transaction, 1, pause=-1)
        )

    def answered(self, status: str) -> Any:
        """The entry of the answer."""
        response = self.client.get(status)
        assert response.status_code == 200, response.data
        assert response.headers["Expires"].endswith("GMT")
        bundle = json_of(response)
        assert bundle["type"] == "batch-response"
        (entry,) = bundle["entry"]
        return entry

    def count(self, column: Any) -> int:
        with self.services.database.read() as connection:
            return int(connection.execute(select(func.count(column))).scalar_one())

    def total(self, query: str) -> int:
        return int(json_of(self.client.get(f"/fhir/{query}"))["total"])


@pytest.fixture
def service(app: Flask, client: FlaskClient) -> Service:
    return Service(app, client)


def patient(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:a", "value": str(number)}],
        "name": [{"family": f"Doe{number}"}],
    }


def bundle(kind: str, count: int = 3) -> bytes:
    entries = [
        {"resource": patient(number), "request": {"method": "POST", "url": "Patient"}}
        for number in range(count)
    ]
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}).encode()


def put_patient(client: FlaskClient) -> None:
    sent = {**patient(7), "id": "jane"}
    assert client.put("/fhir/Patient/jane", json=sent, headers=JSON).status_code == 201


READS: list[tuple[str, str, Any]] = [
    ("GET", "/fhir/Patient?identifier=urn:a|7&_summary=true", None),
    ("POST", "/fhir/Patient/_search", {"identifier": "urn:a|7"}),
    ("GET", "/fhir?_type=Patient,Encounter", None),
    ("POST", "/fhir/_search", {"_type": "Patient"}),
    ("GET", "/fhir/Patient/jane/Encounter", None),
    ("GET", "/fhir/Patient/jane/*", None),
    ("GET", "/fhir/Patient/jane/$everything", None),
    ("GET", "/fhir/Patient/jane/_history", None),
    ("GET", "/fhir/Patient/_history", None),
    ("GET", "/fhir/_history", None),
    ("GET", "/fhir/Patient/$meta", None),
    ("GET", "/fhir/Patient/other/$everything", None),
    ("GET", "/fhir/Patient?birthdate=tomorrow", None),
    ("GET", "/fhir/Patient?nonsense=1", None),
]


@pytest.mark.parametrize(("method", "path", "form"), READS)
def test_the_answer_is_that_of_a_request_that_is_answered_at_once(
    service: Service, method: str, path: str, form: Any
) -> None:
    put_patient(service.client)
    status = service.asked(method, path, data=form)
    waiting = service.client.get(status)
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (202, "2")
    assert waiting.headers["X-Progress"] == "waiting"
    service.work()
    entry = service.answered(status)
    at_once = service.client.open(path, method=method, data=form)
    said = entry["resource"] if at_once.status_code == 200 else entry["response"]["outcome"]
    assert timeless(said) == timeless(json_of(at_once))
    assert entry["response"]["status"].upper() == at_once.status.upper()


def timeless(content: Any) -> Any:
    """Without what is of the moment."""
    if "meta" in content:
        content = {**content, "meta": {**content["meta"], "lastUpdated": ""}}
    return {name: value for name, value in content.items() if name != "id"}


def test_strict_handling_is_still_wanted(service: Service) -> None:
    prefer = {"Prefer": "handling=strict, respond-async"}
    status = service.asked("GET", "/fhir/Patient?nonsense=1", headers=prefer)
    service.work()
    assert service.answered(status)["response"]["status"] == "400 Bad Request"


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_is_answered_later(service: Service, kind: str) -> None:
    status = service.asked("POST", "/fhir", data=bundle(kind), headers=JSON)
    assert service.total("Patient?_summary=count") == 0
    service.work()
    response = service.answered(status)["resource"]
    assert response["type"] == f"{kind}-response"
    assert [one["response"]["status"] for one in response["entry"]] == ["201 Created"] * 3
    assert service.total("Patient?_summary=count") == 3
    assert service.count(async_step.c.number) == 0


def test_operations_are_answered_later(service: Service) -> None:
    put_patient(service.client)
    for path, content, expected in (
        ("Patient/$validate", patient(1), "OperationOutcome"),
        ("Patient/$match", parameters({"name": "resource", "resource": patient(7)}), "Bundle"),
    ):
        status = service.asked("POST", f"/fhir/{path}", json=content, headers=JSON)
        service.work()
        assert service.answered(status)["resource"]["resourceType"] == expected


def parameters(*given: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(given)}


def merge_of(source: str, target: str) -> dict[str, Any]:
    return parameters(
        *(
            {"name": f"{name}-patient", "valueReference": {"reference": f"Patient/{one}"}}
            for name, one in (("source", source), ("target", target))
        )
    )


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_bundle_is_applied_once_though_its_worker_was_killed_after_it(
    service: Service, kind: str
) -> None:
    status = service.asked("POST", "/fhir", data=bundle(kind), headers=JSON)
    service.work_until_killed()
    waiting = service.client.get(status)
    assert waiting.headers["X-Progress"].startswith("in progress, ")
    before = service.count(resource.c.rid)
    service.work()
    entries = service.answered(status)["resource"]["entry"]
    assert service.count(resource.c.rid) == before
    locations = [one["response"]["location"] for one in entries]
    assert len(set(locations)) == 3
    for location in locations:
        assert service.client.get(f"/fhir/{location}").status_code == 200


def test_a_batch_goes_on_behind_the_last_entry_that_was_committed(service: Service) -> None:
    sent = json.loads(bundle("batch", 4))
    sent["entry"][2:2] = [{"request": {"method": "DELETE", "url": "Patient/none"}}]
    status = service.asked("POST", "/fhir", json=sent, headers=JSON)
    kill_after(service, 2)
    service.work_until_killed()
    assert service.client.get(status).headers["X-Progress"] == "in progress, 2 done"
    service.work()
    entries = service.answered(status)["resource"]["entry"]
    statuses = [one["response"]["status"][:3] for one in entries]
    assert statuses == ["201", "201", "204", "201", "201"]
    assert service.total("Patient?_summary=count") == 4


def kill_after(service: Service, steps: int) -> None:
    """The next transaction is never begun once so many entries are committed."""
    database, clock = service.services.database, service.services.database.clock

    def last() -> int:
        if service.count(async_step.c.number) == steps:
            database.clock = clock
            raise Killed
        return clock()

    database.clock = last


def test_a_merge_is_done_once_and_answered_as_it_was(service: Service) -> None:
    for one in ("a", "b"):
        sent = {"resourceType": "Patient", "id": one}
        service.client.put(f"/fhir/Patient/{one}", json=sent, headers=JSON)
    path = "/fhir/Patient/$merge"
    status = service.asked("POST", path, json=merge_of("a", "b"), headers=JSON)
    service.work_until_killed()
    service.work()
    entry = service.answered(status)
    assert entry["response"]["status"] == "200 OK"
    names = [one["name"] for one in entry["resource"]["parameter"]]
    assert names == ["outcome", "result", "provenance"]
    assert service.total("Provenance?_summary=count") == 1


def test_who_was_overtaken_by_another_worker_answers_nothing(service: Service) -> None:
    """It was held up so long that its lease ran out: the other's answer counts."""
    status = service.asked("POST", "/fhir", data=bundle("batch", 2), headers=JSON)

    def overtaken(asked: Asked) -> Answered:
        service.services.database.write(leases.release_all)
        service.hurry()
        service.work()
        answered = performing(service.app)(asked)
        assert [one["response"]["status"] for one in json.loads(answered.body)["entry"]] == [
            "503"
        ] * 2
        return answered

    service.asynchronous.work(overtaken)
    entries = service.answered(status)["resource"]["entry"]
    assert [one["response"]["status"] for one in entries] == ["201 Created"] * 2
    assert service.total("Patient?_summary=count") == 2


def test_a_request_can_be_given_up(service: Service) -> None:
    status = service.asked("POST", "/fhir", data=bundle("transaction"), headers=JSON)
    assert service.client.delete(status).status_code == 202
    assert service.client.get(status).status_code == 404
    assert service.client.delete(status).status_code == 404
    service.work()
    assert service.total("Patient?_summary=count") == 0


def test_what_is_not_done_when_it_is_given_up_is_not_done(service: Service) -> None:
    status = service.asked("POST", "/fhir", data=bundle("transaction"), headers=JSON)

    def given_up(asked: Asked) -> Answered:
        assert service.client.delete(status).status_code == 202
        return performing(service.app)(asked)

    service.asynchronous.work(given_up)
    assert service.total("Patient?_summary=count") == 0
    assert service.client.get(status).status_code == 404


def test_what_storage_cannot_do_now_is_tried_again(service: Service) -> None:
    status = service.asked("GET", "/fhir/Patient")
    down = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"transient"}]}'

    def without_storage(asked: Asked) -> Answered:
        return Answered(status=503, body=down)

    for _ in range(LAST_ATTEMPT - 1):
        service.asynchronous.work(without_storage)
        assert service.client.get(status).headers["X-Progress"] == "in progress"
        service.hurry()
    service.asynchronous.work(without_storage)
    assert service.answered(status)["response"]["status"] == "503 Service Unavailable"


def test_a_request_that_kills_its_worker_each_time_comes_to_an_end(service: Service) -> None:
    status = service.asked("GET", "/fhir/Patient")
    for _ in range(LAST_ATTEMPT):
        service.work_until_killed()
    service.work()
    assert service.answered(status)["response"]["status"] == "500 Internal Server Error"


def test_the_bytes_of_a_request_go_when_it_is_done(service: Service) -> None:
    service.asked("POST", "/fhir", data=bundle("batch"), headers=JSON)
    cancelled = service.asked("POST", "/fhir", data=bundle("transaction"), headers=JSON)
    service.client.delete(cancelled)
    service.work()
    assert list(service.services.blobs.blobs()) == []


def test_an_answer_is_kept_for_as_long_as_the_setting_says(service: Service) -> None:
    status = service.asked("GET", "/fhir/Patient")
    service.work()
    clock = service.services.database.clock
    service.services.database.clock = lambda: clock() + 86_401_000
    assert service.client.get(status).status_code == 404
    service.services.background.clean_up(0)
    assert service.count(async_request.c.pk) == 0


def test_so_many_may_wait_and_no_more(service: Service) -> None:
    object.__setattr__(service.asynchronous, "most_waiting", 2)
    for path in ("/fhir/Patient", "/fhir/Encounter"):
        service.asked("GET", path)
    refused = service.client.post("/fhir", data=bundle("batch"), headers={**JSON, **ASYNC})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert json_of(refused)["issue"][0]["code"] == "throttled"
    service.work()
    service.asked("GET", "/fhir/Patient")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/fhir/Patient/jane"), ("GET", "/fhir/metadata"), ("DELETE", "/fhir/Patient/none")],
)
def test_what_is_quick_is_answered_at_once(service: Service, method: str, path: str) -> None:
    put_patient(service.client)
    response = service.client.open(path, method=method, headers=ASYNC)
    assert response.status_code in (200, 204)
    assert "Preference-Applied" not in response.headers


def test_a_request_that_makes_no_sense_is_refused_at_once(service: Service) -> None:
    for query, headers, status in (
        ("_outputFormat=application/fhir%2Bndjson", {}, 400),
        ("", {"Accept": "image/png"}, 406),
    ):
        refused = service.client.get(f"/fhir/Patient?{query}", headers={**ASYNC, **headers})
        assert refused.status_code == status


def test_the_status_address_speaks_xml_too(service: Service) -> None:
    content = b'<Patient xmlns="http://hl7.org/fhir"><gender value="femal"/></Patient>'
    xml = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
    status = service.asked("POST", "/fhir/Patient/$validate", data=content, headers=xml)
    service.work()
    answer = service.client.get(status, headers={"Accept": "application/fhir+xml"})
    assert answer.mimetype == "application/fhir+xml"
    assert b"code-invalid" in answer.data


def test_only_whose_it_is_may_see_it(service: Service) -> None:
    class OwnOnly(AccessPolicy):
        def require_owner(self, caller: Caller, owner: Caller) -> None:
            if caller != owner:
                raise AccessDenied("This was asked by somebody else.")

    policy = OwnOnly(service.services.settings)
    object.__setattr__(service.asynchronous, "access", policy)
    status = service.asked("GET", "/fhir/Patient")
    other = {"REMOTE_ADDR": "10.0.0.7"}
    for method in ("GET", "DELETE"):
        refused = service.client.open(status, method=method, environ_overrides=other)
        assert refused.status_code == 403
    service.work()
    assert service.client.get(status, environ_overrides=other).status_code == 403
    assert service.answered(status)["response"]["status"] == "200 OK"


def test_erasing_takes_answers_and_what_was_asked(service: Service) -> None:
    put_patient(service.client)
    done = service.asked("GET", "/fhir/Patient/jane/$everything")
    service.work()
    about_it = service.asked("GET", "/fhir/Encounter?patient=Patient/jane")
    other = service.asked("GET", "/fhir/Encounter")
    erase = Erase(database=service.services.database, store=service.services.blobs)
    erase.patient("jane")
    for status, expected in ((done, 404), (about_it, 404), (other, 202)):
        assert service.client.get(status).status_code == expected


def test_what_can_be_answered_later_is_described_so(service: Service) -> None:
    described = openapi(root="https://images.example", version="1")["paths"]
    routed = service.app.url_map.bind("images.example")
    found: dict[str, set[bool]] = {}
    for path, item in described.items():
        for method, call in item.items():
            if method != "parameters":
                place = path.replace("{type}", "Encounter").replace("{", "").replace("}", "")
                endpoint, _ = routed.match(place, method.upper())
                found.setdefault(endpoint, set()).add("429" in call["responses"])
                assert "202" in call["responses"] or "429" not in call["responses"]
    assert {endpoint for endpoint, later in found.items() if True in later} == BODIES.keys()
    assert all(len(later) == 1 for later in found.values())
