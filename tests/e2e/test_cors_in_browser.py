"""A page of another port in Chromium: of a listed origin it may read and write, else neither."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.server import Server, free_port

ASK = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    const read = (name) => answer.headers.get(name);
    return {
      status: answer.status, etag: read("ETag"), location: read("Location"),
      id: read("X-Request-Id"), text: await answer.text(),
    };
  } catch (error) {
    return {blocked: String(error)};
  }
}"""
FHIR_JSON = "application/fhir+json"
PATIENT = '{"resourceType":"Patient","id":"p","gender":"other"}'
Ask = Callable[..., Any]


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>An app</title>")

    def log_message(self, *_args: Any) -> None:
        """Nothing: the tests say what matters."""


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    """The origin of a page that asks from elsewhere."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, app: str) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("cors")
    server = Server(folder, settings={"cors_origins": app, "workers": "1"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ask(browser: Browser, site: Server) -> Ask:
    """What a page of the origin gets for a `fetch` of an address below the FHIR base."""

    def asked(origin: str, path: str, **options: Any) -> Any:
        page = browser.new_page()
        try:
            page.goto(origin)
            return page.evaluate(ASK, [f"{site.base}{path}", options])
        finally:
            page.close()

    return asked


def test_a_listed_app_reads_writes_and_is_told_no(ask: Ask, app: str) -> None:
    headers = {"Content-Type": FHIR_JSON, "Accept": FHIR_JSON, "X-Request-Id": "from-the-app"}
    made = ask(app, "/Patient/p", method="PUT", headers=headers, body=PATIENT)
    assert made["status"] == 201
    assert made["etag"] == 'W/"1"'
    assert made["location"].endswith("/Patient/p/_history/1")
    assert made["id"] == "from-the-app"
    read = ask(app, "/Patient/p", headers={"Authorization": "Bearer of-nothing"})
    assert (read["status"], '"gender":"other"' in read["text"]) == (200, True)
    stale = headers | {"If-Match": 'W/"7"'}
    lost = ask(app, "/Patient/p", method="PUT", headers=stale, body=PATIENT)
    assert (lost["status"], "OperationOutcome" in lost["text"]) == (412, True)
    assert ask(app, "/Patient/none")["status"] == 404
    assert ask(app, "/metadata")["status"] == 200
    assert ask(app, "/Patient/p", method="DELETE")["status"] == 204


def test_another_page_neither_reads_nor_writes(ask: Ask, app: str, site: Server) -> None:
    foreign = app.replace("127.0.0.1", "localhost")  # the same page by another name
    assert "blocked" in ask(foreign, "/metadata")
    headers = {"Content-Type": FHIR_JSON}
    assert "blocked" in ask(
        foreign, "/Patient/evil", method="PUT", headers=headers, body=PATIENT.replace("p", "evil")
    )
    plain = {"Content-Type": "text/plain"}  # which needs no preflight
    assert "blocked" in ask(foreign, "/Binary", method="POST", headers=plain, body="evil")
    assert ask(app, "/Patient/evil")["status"] == 404
    assert '"total":0' in ask(app, "/Binary?_total=accurate")["text"]
