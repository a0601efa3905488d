"""The web application on an empty database of each engine, asked through Flask's test client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from imaging_fhir.app import app_of
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from tests.judges import faults


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=database_url,
        data_dir=tmp_path,
        public_url="https://images.example",
        max_resource_bytes=2_000_000,
        min_free_bytes=0,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    services = build_services(settings)
    yield app_of(services)
    services.close()


class JudgedClient(FlaskClient):
    """Every FHIR answer that a test gets is valid, whatever the test is about."""

    def open(self, *arguments: Any, **options: Any) -> TestResponse:
        response = super().open(*arguments, **options)
        is_fhir = response.mimetype == "application/fhir+json" and not response.is_streamed
        if is_fhir and response.data:
            found = faults(response.get_json(force=True))
            assert not found, found[:5]
        return response


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    app.test_client_class = JudgedClient
    return app.test_client()
