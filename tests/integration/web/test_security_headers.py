"""What a browser is told with every answer, and that no odd request is a fault of ours."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from imaging_fhir.app import app_of
from imaging_fhir.services.composition import build_services
from imaging_fhir.settings import Settings
from imaging_fhir.web.security_headers import TRANSPORT

ALWAYS = (
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Resource-Policy",
    "Strict-Transport-Security",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ODD", "get")
SEGMENTS = (
    "x",
    "..",
    "\x00",
    "a" * 3000,
    "é\u202e",
    "'\";--",
    "<script>",
    "1.2.3",
    "$x",
    "\r\nX: y",
)
QUERIES = (
    "",
    "%ff=%00",
    "_format=\xff",
    "_format=%3Cscript%3E",
    "a" * 9000,
    "_count=" + "9" * 30,
    "&=&;",
    "_id=" + "1," * 500,
)
BODIES = (b"", b"{}", b"\xff\x00", b"[", b"<a/>", b'{"resourceType":"Parameters","parameter":[1]}')
ODD_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"HTTP_HOST": "[::1"},
    {"HTTP_HOST": ""},
    {"HTTP_HOST": "images.example:99999999"},
    {"HTTP_ORIGIN": "http://[::1"},
    {"HTTP_ACCEPT": "\xff/;;q=z, */*;q=1e999"},
    {"HTTP_ACCEPT": "text/html"},
    {"CONTENT_TYPE": "multipart/related; boundary="},
    {"CONTENT_TYPE": "application/json; charset=zzz"},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "many"},
    {"HTTP_RANGE": "bytes=9-1,-"},
    {"HTTP_IF_MATCH": 'W/"x', "HTTP_IF_NONE_MATCH": '"', "HTTP_IF_MODIFIED_SINCE": "never"},
    {"HTTP_PREFER": "respond-async;;;="},
    {"HTTP_AUTHORIZATION": "Bearer \xff"},
    {"HTTP_CONTENT_ENCODING": "gzip"},
    {"HTTP_COOKIE": "=;;\xff", "HTTP_ACCEPT_ENCODING": "gzip;q=z"},
    {"HTTP_X_REQUEST_ID": "a\x7f", "HTTP_ACCEPT_LANGUAGE": "\xff"},
    {"HTTP_IF_NONE_EXIST": "%ff=\x00"},
)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\son\w+\s*=|\sstyle\s*=|javascript:", re.I)


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    (tmp_path / "test.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{tmp_path}/test.db"


def answered(app: Flask, environ: dict[str, Any]) -> tuple[int, Headers, bytes]:
    body, status, headers = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    return int(status[:3]), headers, b"".join(body)


def odd_requests(app: Flask) -> Iterator[dict[str, Any]]:
    """Each route by each method; what is odd of it goes round, so that all of it is met."""
    for number, rule in enumerate(sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)):
        for step, method in enumerate(METHODS * 2):
            turn = number * 7 + step * 3 + step // len(METHODS)
            segment = SEGMENTS[turn % len(SEGMENTS)]
            path = segment.join(re.split(r"<[^>]+>", rule.rule))
            body = BODIES[turn % len(BODIES)]
            builder = EnvironBuilder("/", "https://images.example", data=body, method=method)
            environ = builder.get_environ()
            builder.close()
            environ["PATH_INFO"] = path.encode().decode("latin-1")
            environ["QUERY_STRING"] = QUERIES[(turn // 2) % len(QUERIES)]
            yield environ | ODD_HEADERS[(turn + number) % len(ODD_HEADERS)]


def test_no_odd_request_is_a_fault_and_every_answer_is_safe_in_a_browser(app: Flask) -> None:
    asked = 0
    for environ in odd_requests(app):
        told = (environ["REQUEST_METHOD"], environ["PATH_INFO"][:80], environ["QUERY_STRING"][:40])
        status, headers, body = answered(app, environ)
        asked += 1
        assert status < 500, told
        counts = Counter(name.lower() for name, _ in headers)
        assert [name for name in ALWAYS if counts[name.lower()] != 1] == [], told
        assert not any("\r" in value or "\n" in value for _, value in headers), told
        if dict(headers).get("Content-Type", "").startswith("text/html"):
            policy = dict(headers)["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy, told
            assert "unsafe" not in policy, told
            assert not INLINE.search(body.decode()), told
    assert asked > 1000


@pytest.mark.parametrize(
    "address",
    ["/chart", "/fhir/metadata?_format=html", "/fhir/Patient/none?_format=html", "/fhir/openapi"],
)
def test_no_page_has_script_or_style_in_it(client: FlaskClient, address: str) -> None:
    page = client.get(address, headers={"Accept": "text/html"})
    assert page.mimetype == "text/html"
    assert not INLINE.search(page.text)
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_only_where_clients_come_over_tls_are_they_told_to_stay_there(settings: Settings) -> None:
    services = build_services(replace(settings, public_url="http://images.example"))
    answer = app_of(services).test_client().get("/fhir/metadata", base_url="http://images.example")
    services.close()
    assert answer.status_code == 200
    assert TRANSPORT[0] not in answer.headers


def test_pages_of_listed_origins_may_show_pictures_of_the_api(settings: Settings) -> None:
    services = build_services(replace(settings, cors_origins="https://app.example"))
    client = app_of(services).test_client()
    shared, own = client.get("/fhir/metadata"), client.get("/chart")
    services.close()
    assert shared.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert own.headers["Cross-Origin-Resource-Policy"] == "same-origin"
