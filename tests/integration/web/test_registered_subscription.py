"""Subscribers hear of an order's images as of new ones, and not of the order."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from imaging_fhir.settings import Settings
from tests.house import ORDERS, issued_by
from tests.integration.web import test_subscription as told
from tests.integration.web.test_subscription import created, take_in, topical
from tests.receiver import Receiver

house, receiver = told.house, told.receiver  # fixtures


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(
        settings,
        registered_studies=True,
        subscription_http=True,
        subscription_hosts="127.0.0.1",
    )


def test_images_of_an_order_are_available_when_they_are_there(
    client: FlaskClient, house: told.House, receiver: Receiver
) -> None:
    number = {"system": "urn:oid:1.2.3", "value": "4711"}
    accession = {
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]
        },
        "system": ORDERS,
        "value": "A-1",
    }
    patient = {"resourceType": "Patient", "id": "a", "identifier": [number]}
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "identifier": [accession],
        "subject": {"reference": "Patient/a"},
    }
    created(client, topical(receiver, "imagingstudy-available", "full-resource"))
    house.work()
    client.put("/fhir/Patient/a", json=patient)
    client.put("/fhir/ServiceRequest/order", json=order)
    house.clock.pass_by(6)
    house.work()
    assert receiver.events == []
    issuer = issued_by(ORDERS)
    take_in(client, AccessionNumber="A-1", IssuerOfAccessionNumberSequence=issuer)
    house.clock.pass_by(6)
    house.work()
    (event,) = receiver.events
    study = receiver.told[-1].json()["entry"][1]["resource"]
    assert study["status"] == "available"
    assert event["focus"].endswith(f"ImagingStudy/{study['id']}")
