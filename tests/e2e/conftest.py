"""A production server for a module's tests; parametrised indirectly, it gets settings."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browser import ARGUMENTS
from tests.e2e.server import Server

StartServer = Callable[..., Server]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for all tests of a module: `base`, `pid`, `data_dir` and how to ask it."""
    settings = dict(getattr(request, "param", {}))
    started = Server(tmp_path_factory.mktemp("server"), settings)
    try:
        started.start()
        yield started
    finally:
        started.stop()
        shutil.rmtree(started.data_dir)  # it can be large


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Servers of one test, each in a folder of its own."""
    started: list[Server] = []

    def start(**settings: str) -> Server:
        data_dir = tmp_path / f"server-{len(started)}"
        data_dir.mkdir()
        started.append(Server(data_dir, settings))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.stop()
            shutil.rmtree(one.data_dir)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = os.environ.get("IMAGING_FHIR_TEST_CHROMIUM")
    if not executable:
        pytest.skip("IMAGING_FHIR_TEST_CHROMIUM is not set: `make test` provides it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()
