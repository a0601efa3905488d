"""The description of the API is that of the API: no address, status or fault beyond it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import status_code_conformance
from schemathesis.transport.serialization import serialize_binary

from imaging_fhir.app import BLUEPRINTS, app_of
from imaging_fhir.fhir.openapi import openapi
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.dicom_samples import ct_instance
from tests.integration.web.answers import json_of

ROOT = "https://images.example"
SAMPLES = {
    "type_name": "Patient",
    "owner_type": "Patient",
    "resource_id": "1",
    "owner_id": "1",
    "version_id": "1",
    "request_id": "1",
    "code": "meta",
    "definition_id": "Patient-match",
    "study": "1.2",
    "series": "1.2.3",
    "instance": "1.2.3.4",
    "path": "7FE00010",
}
NOT_DESCRIBED = {"/fhir/openapi.json", "/fhir/docs", "/fhir/"}  # these describe; the last is /fhir
CASES = 4  # of each call
MANY_CASES = 60
KNOWN = {
    "id": "known",
    "version": "1",
    "study": "1.2.826.0.1.3680043.8.498.1",
    "series": "1.2.826.0.1.3680043.8.498.1.1",
    "instance": "1.2.826.0.1.3680043.8.498.1.1.1",
    "path": "7FE00010",
}
RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "known", "name": [{"family": "Virtanen"}]},
    {"resourceType": "Organization", "id": "known", "name": "Clinic"},
    {"resourceType": "Binary", "id": "known", "contentType": "text/plain", "data": "e30="},
    {
        "resourceType": "Encounter",
        "id": "known",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/known"},
    },
]
SEED = 20_250_304


def addresses() -> list[tuple[str, str]]:
    """Method and address of every route of the two APIs, with something in each place."""
    app = Flask("addresses", static_folder=None)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    return [
        (method, re.sub(r"<(?:\w+:)?(\w+)>", lambda place: SAMPLES.get(place[1], "1"), rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/fhir", "/dicomweb")) and rule.rule not in NOT_DESCRIBED
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


def test_every_route_is_described() -> None:
    described = [
        (method.upper(), re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))))
        for path, item in openapi(root=ROOT, version="1")["paths"].items()
        for method in item
    ]
    missing = [
        f"{method} {address}"
        for method, address in addresses()
        if not any(method == one and path.fullmatch(address) for one, path in described)
    ]
    assert missing == []


@schemathesis.serializer("application/dicom", "multipart/related", "*/*", "application/fhir+xml")
def as_bytes(_context: Any, value: Any) -> Any:
    """What the case has made up, as it is."""
    return serialize_binary(value)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Flask]:
    services = build_services(
        Settings(
            database_url=f"sqlite:///{tmp_path}/test.db",
            data_dir=tmp_path,
            public_url="http://localhost",
            max_resource_bytes=2_000_000,
            min_free_bytes=0,
        )
    )
    app = app_of(services)
    fill(app.test_client())
    yield app
    services.close()


def fill(client: FlaskClient) -> None:
    """Something is there under the names of `KNOWN`."""
    fhir = {"Content-Type": "application/fhir+json"}
    for resource in RESOURCES:
        path = f"/fhir/{resource['resourceType']}/{KNOWN['id']}"
        assert client.put(path, json=resource, headers=fhir).status_code == 201
    image = ct_instance(
        StudyInstanceUID=KNOWN["study"],
        SeriesInstanceUID=KNOWN["series"],
        SOPInstanceUID=KNOWN["instance"],
    )
    sent = client.post("/dicomweb/studies", data=image, content_type="application/dicom")
    assert sent.status_code == 200, sent.data


def test_every_described_call_can_be_made(api: Flask) -> None:
    """No call leads to an address that is not there, or is not asked by this method."""
    client = api.test_client()
    routed = api.url_map.bind("localhost")
    for path, item in openapi(root=ROOT, version="1")["paths"].items():
        for method in item.keys() - {"parameters"}:
            rule, _ = routed.match(re.sub(r"\{\w+\}", "1.2", path), method.upper())
            assert rule
    assert client.get("/fhir/openapi.json").status_code == 200


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [CASES, pytest.param(MANY_CASES, marks=pytest.mark.long)])
def test_whatever_is_sent_the_answer_is_one_that_is_described(api: Flask, cases: int) -> None:
    described = schemathesis.openapi.from_wsgi("/fhir/openapi.json", api)
    described.config.generation.update(modes=list(GenerationMode), allow_x00=False)
    faults: dict[str, str] = {}
    asked = 0
    for found in described.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        asked += len(answers_of(operation, faults, cases))
    assert faults == {}
    assert asked >= 125 * cases


def answers_of(operation: Any, faults: dict[str, str], cases: int) -> list[int]:
    """The statuses of some answers of a call; what they should not be goes to `faults`."""
    statuses: list[int] = []

    @given(case=operation.as_strategy(), of_what_is_there=booleans())
    @settings(
        max_examples=cases,
        phases=[Phase.generate],
        derandomize=True,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, of_what_is_there: bool) -> None:
        if of_what_is_there and case.method != "DELETE":
            places = case.path_parameters or {}
            case.path_parameters = places | {one: KNOWN.get(one, places[one]) for one in places}
        response = case.call()
        statuses.append(response.status_code)
        try:
            case.validate_response(response, checks=[not_a_server_error, status_code_conformance])
        except (Failure, FailureGroup) as failed:
            faults[f"{operation.label} {response.status_code}"] = str(failed)

    ask()
    return statuses


def test_the_document_is_read_once(client: FlaskClient) -> None:
    first = client.get("/fhir/openapi.json")
    assert first.headers["ETag"].startswith('W/"')
    known = {"If-None-Match": first.headers["ETag"], "Accept-Encoding": "gzip"}
    again = client.get("/fhir/openapi.json", headers=known)
    assert (again.status_code, again.data) == (304, b"")


def test_xml_is_described_wherever_json_is(client: FlaskClient) -> None:
    described = json_of(client.get("/fhir/openapi.json"))
    create = described["paths"]["/fhir/Patient"]["post"]
    assert "application/fhir+xml" in create["requestBody"]["content"]
    assert "application/fhir+xml" in create["responses"]["201"]["content"]
    assert "xml" in described["components"]["parameters"]["_format"]["schema"]["enum"]


@pytest.fixture
def page(client: FlaskClient) -> str:
    answer = client.get("/fhir/docs")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return answer.text


def test_the_page_shows_every_call(page: str) -> None:
    shown = set(re.findall(r'<span class="method">(\w+)</span> <code>([^<]+)</code>', page))
    described = openapi(root=ROOT, version="1")["paths"]
    assert shown == {
        (method.upper(), path)
        for path, item in described.items()
        for method in item
        if method != "parameters"
    }


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []
