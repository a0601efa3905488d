"""The read before Flask answers as Flask would."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import Client

from imaging_fhir.web.plain_read import PlainReads

ADDRESSES = ["/fhir/Patient/a", "/fhir/Patient/gone", "/fhir/Patient/nobody", "/fhir/Binary/a"]
HEADERS: list[dict[str, str]] = [
    {},
    {"Accept": "application/fhir+json"},
    {"Accept": "application/fhir+xml"},
    {"If-None-Match": 'W/"1"'},
    {"Host": "evil.example"},
]


def plain_reads(app: Flask) -> PlainReads:
    layer: Any = app.wsgi_app
    while not isinstance(layer, PlainReads):
        layer = layer.application
    return layer


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_both_ways_answer_the_same(
    app: Flask, client: FlaskClient, address: str, headers: dict[str, str]
) -> None:
    for resource_id in ("a", "gone"):
        patient = {"resourceType": "Patient", "id": resource_id}
        client.put(f"/fhir/Patient/{resource_id}", json=patient)
    client.delete("/fhir/Patient/gone")

    def answer(application: Any) -> tuple[int, dict[str, str], bytes]:
        response = Client(application).get(address, headers=headers)
        told = dict(response.headers)
        assert told.pop("X-Request-Id")
        return response.status_code, told, response.get_data()

    plain = plain_reads(app)
    assert answer(plain) == answer(plain.application)
