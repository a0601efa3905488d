"""The web application on an empty database of each engine, asked through Flask's test client."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from imaging_fhir.app import app_of
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings


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


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
