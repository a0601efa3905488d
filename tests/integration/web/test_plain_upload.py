"""The uploads that are taken in before Flask are answered as Flask would, and by the same rules."""

import gzip
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from imaging_fhir.web.context import EXTENSION
from imaging_fhir.web.plain_upload import PlainUploads
from imaging_fhir.web.wsgi import Application, Environ
from tests.dicom_samples import STUDY, ct_instance
from tests.integration.web.dicomweb import RELATED, STUDIES, related
from tests.samples import SAMPLES

IMPORT = "/fhir/$import-image"
CT = ct_instance()
OTHER = ct_instance(SOPInstanceUID="1.2.3.4")
STOW: dict[str, Any] = {"path": STUDIES, "data": related(CT), "content_type": RELATED}
IMAGE: dict[str, Any] = {"path": IMPORT, "data": CT, "content_type": "application/dicom"}
PLAIN: dict[str, dict[str, Any]] = {
    "STOW-RS": STOW,
    "STOW-RS of two": STOW | {"data": related(CT, OTHER)},
    "STOW-RS, JSON": STOW | {"headers": {"Accept": "application/dicom+json"}},
    "import": IMAGE,
    "import of another file": IMAGE | {"data": SAMPLES["image/png"](), "content_type": "image/png"},
    "import, no type": IMAGE | {"content_type": None},
}
FLASKS: dict[str, dict[str, Any]] = {
    "no DICOM": STOW | {"data": related(b"no image at all" * 300)},
    "one of two": STOW | {"data": related(CT, b"no image at all" * 300)},
    "no parts": STOW | {"data": related()},
    "no end": STOW | {"data": related(CT)[:-20]},
    "no boundary": STOW | {"content_type": 'multipart/related; type="application/dicom"'},
    "wrong part": STOW | {"data": related(CT, content_type="image/png")},
    "one instance": STOW | {"data": CT, "content_type": "application/dicom"},
    "to a study": STOW | {"path": f"{STUDIES}/{STUDY}"},
    "XML": STOW | {"headers": {"Accept": "application/dicom+xml"}},
    "nothing": STOW | {"headers": {"Accept": "image/png"}},
    "evil host": STOW | {"headers": {"Host": "evil.example"}},
    "evil page": STOW | {"headers": {"Origin": "https://evil.example"}},
    "gzip": STOW | {"data": gzip.compress(related(CT)), "headers": {"Content-Encoding": "gzip"}},
    "no image": IMAGE | {"data": b"no image at all" * 300},
    "no body": IMAGE | {"data": b""},
    "a query": IMAGE | {"query_string": {"type": "x"}},
    "FHIR XML": IMAGE | {"headers": {"Accept": "application/fhir+xml"}},
    "later": IMAGE | {"headers": {"Prefer": "respond-async"}},
}


def uploads(app: Flask) -> PlainUploads:
    """The layer in the application."""
    layer: Any = app.wsgi_app
    while not isinstance(layer, PlainUploads):
        layer = layer.application
    return layer


def answer(application: Application, asked: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    response = Client(application).post(**asked)
    told = dict(response.headers)
    assert told.pop("X-Request-Id")
    told.pop("Content-Location", None)  # of what is answered later: a new one each time
    return response.status_code, told, response.get_data()


@pytest.mark.parametrize("asked", (PLAIN | FLASKS).values(), ids=(PLAIN | FLASKS).keys())
def test_both_ways_answer_the_same(app: Flask, asked: dict[str, Any]) -> None:
    whole, layer = app.wsgi_app, uploads(app)
    answer(whole, asked)  # from now on it is known, and the answers are alike
    ours = answer(whole, asked)
    layer.is_open = False
    assert ours == answer(whole, asked)


@pytest.mark.parametrize("asked", PLAIN.values(), ids=PLAIN.keys())
def test_what_is_plain_does_not_reach_flask(
    app: Flask, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads(app), "application", None)
    status, _, body = answer(app.wsgi_app, asked)
    assert (status, bool(body)) == (200, True)


def test_what_was_taken_in_is_taken_in_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask answers what went wrong, with what came of it before Flask."""
    ingest = app.extensions[EXTENSION].ingest
    outcomes: list[int] = []
    monkeypatch.setattr(ingest, "counted", lambda outcome: outcomes.append(outcome.status))
    status, _, _ = answer(app.wsgi_app, FLASKS["one of two"])
    assert (status, outcomes) == (202, [201, 415])


@pytest.mark.parametrize("asked", [STOW, IMAGE], ids=("STOW-RS", "import"))
def test_a_body_that_breaks_off_is_refused_and_not_kept(app: Flask, asked: dict[str, Any]) -> None:
    environ: Environ = EnvironBuilder(method="POST", **asked).get_environ()
    environ["CONTENT_LENGTH"] = str(int(environ["CONTENT_LENGTH"]) + 1)
    if asked is STOW:  # whose end says itself that it is one
        environ["wsgi.input"].seek(-20, 2)
        environ["wsgi.input"].truncate()
        environ["wsgi.input"].seek(0)
    _, status, _ = run_wsgi_app(app.wsgi_app, environ)
    assert status.startswith("400")
    found = Client(app.wsgi_app).get("/fhir/ImagingStudy?_summary=count").json
    assert found is not None
    assert found["total"] == 0


def test_where_callers_are_known_flask_asks_who_it_is(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = uploads(app)
    seen: list[str] = []
    inner = layer.application

    def flask(environ: Environ, start_response: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    monkeypatch.setattr(layer, "application", flask)
    client.post(IMPORT, data=CT, headers={"Authorization": "Bearer x"})
    client.post(IMPORT, data=CT)
    layer.is_open = False
    client.post(IMPORT, data=CT)
    assert seen == [IMPORT, IMPORT]
