"""Health, metrics, and what is done around every request."""

import logging
import shutil
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.settings import Settings
from imaging_fhir.web.context import EXTENSION
from tests.integration.web.answers import json_of


def test_a_service_that_lives_says_so(client: FlaskClient) -> None:
    assert json_of(client.get("/healthz")) == {"status": "ok"}


def test_a_service_that_can_serve_is_ready(client: FlaskClient) -> None:
    response = client.get("/readyz")
    assert (response.status_code, json_of(response)) == (200, {"database": "ok", "blobs": "ok"})


def test_a_service_without_its_blobs_is_not_ready(client: FlaskClient, settings: Settings) -> None:
    shutil.rmtree(settings.data_dir / "blobs")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert json_of(response)["database"] == "ok"
    assert json_of(response)["blobs"] != "ok"


def test_requests_are_counted_by_route_and_status(client: FlaskClient) -> None:
    client.get("/fhir/Patient/nobody")
    counted = client.get("/metrics").get_data(as_text=True)
    labels = 'method="GET",route="/fhir/<type_name>/<resource_id>",status="404"'
    assert f"imaging_fhir_request_seconds_count{{{labels}}}" in counted
    assert "nobody" not in counted


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("abc-1", True), ("", False), ("x" * 65, False), ("new line", False), ("<script>", False)],
)
def test_a_request_has_an_id_the_clients_own_where_it_is_plausible(
    client: FlaskClient, given: str, is_kept: bool
) -> None:
    answered = client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) == is_kept
    assert answered


@pytest.mark.parametrize(
    "path", ["/fhir/Patient/secret-id", "/fhir/Patient?name=Secretname", "/secret", "/fhir/Secret"]
)
def test_the_log_names_routes_and_nobody(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO):
        client.get(path)
    assert len([one for one in caplog.records if one.name == "imaging_fhir.request"]) == 1
    assert "ecret" not in caplog.text


def test_a_fault_is_logged_whole_and_told_to_nobody(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("the inside story")

    response = client.get("/fault")
    assert response.status_code == 500
    assert json_of(response)["issue"][0]["code"] == "exception"
    assert "inside story" not in response.get_data(as_text=True)
    assert "inside story" in caplog.text


def test_a_foreign_host_or_page_is_refused(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403
    response = client.post(
        "/fhir/Patient",
        json={"resourceType": "Patient"},
        headers={"Origin": "https://evil.example"},
    )
    assert (response.status_code, json_of(response)["issue"][0]["code"]) == (403, "forbidden")


def test_no_answer_opens_itself_to_other_origins(client: FlaskClient) -> None:
    for response in (
        client.get("/fhir/Patient/a", headers={"Origin": "https://evil.example"}),
        client.options("/fhir/Patient/a", headers={"Origin": "https://evil.example"}),
    ):
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_a_database_that_does_not_answer_is_a_reason_to_try_again(
    app: Flask, client: FlaskClient, tmp_path: Path
) -> None:
    services = app.extensions[EXTENSION]
    services.close()
    if not services.database.is_sqlite:
        pytest.skip("a closed pool opens again")
    for file in tmp_path.glob("test.db*"):
        file.unlink()
    (tmp_path / "test.db").mkdir()
    response = client.get("/fhir/Patient/a")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert json_of(response)["issue"][0]["code"] == "transient"
