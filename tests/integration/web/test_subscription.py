"""Subscriptions over real sockets, on both databases: what is told, in which order, and when not.

The work of the background threads is done by the test itself, so that it knows when all is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, update
from werkzeug.test import TestResponse

from imaging_fhir.fhir.subscription_topic import BY_URL, TOPICS
from imaging_fhir.fhir.xml import from_xml
from imaging_fhir.model.caller import Caller
from imaging_fhir.model.search import Criterion, Restrictions, TokenValue
from imaging_fhir.services.access import AccessPolicy
from imaging_fhir.services.composition import Services, build_services
from imaging_fhir.settings import Settings
from imaging_fhir.storage import outbox, schema, subscriptions
from imaging_fhir.storage.database import Transaction
from tests.dicom_samples import STUDY, ct_instance
from tests.integration.web.answers import json_of
from tests.judges import faults
from tests.receiver import Receiver, status_of

Json = dict[str, Any]
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
TOPIC = "https://imaging-fhir.org/fhir/SubscriptionTopic"
NUMBERS = "urn:oid:1.2.3"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(
        settings,
        subscription_hosts="127.0.0.1",
        subscription_http=True,
        subscription_attempts=3,
        subscription_settle_seconds=5,
    )


@dataclass
class Clock:
    """Real time, and what was passed over."""

    services: Services
    milliseconds: int = 0

    def pass_by(self, seconds: float) -> None:
        self.milliseconds += int(seconds * 1000)


@dataclass
class House:
    services: Services
    clock: Clock

    def work(self) -> None:
        """All that is due now."""
        while self.services.notifying.work() or self.services.delivery.work():
            pass


@pytest.fixture
def house(app: Flask) -> House:
    services: Services = app.extensions["imaging_fhir"]
    clock, real = Clock(services), services.database.clock
    services.database.clock = lambda: real() + clock.milliseconds
    return House(services, clock)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as listening:
        yield listening


def plain(receiver: Receiver, criteria: str, payload: str | None = None, **more: Any) -> Json:
    """R4's own."""
    channel = {"type": "rest-hook", "endpoint": receiver.url, "payload": payload}
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "to be told",
        "criteria": criteria,
        "channel": {name: value for name, value in channel.items() if value},
        **more,
    }


def topical(
    receiver: Receiver, topic: str, content: str = "id-only", *filters: str, **extensions: int
) -> Json:
    """As the backport has it."""
    found = plain(receiver, f"{TOPIC}/{topic}", "application/fhir+json")
    found["channel"]["_payload"] = {
        "extension": [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": content}]
    }
    if filters:
        url = f"{BACKPORT}/backport-filter-criteria"
        found["_criteria"] = {"extension": [{"url": url, "valueString": one} for one in filters]}
    if extensions:
        found["channel"]["extension"] = [
            {"url": f"{BACKPORT}/backport-{name.replace('_', '-')}", "valueUnsignedInt": value}
            for name, value in extensions.items()
        ]
    return found


def post(client: FlaskClient, resource: Json) -> TestResponse:
    return client.post(f"/fhir/{resource['resourceType']}", json=resource)


def created(client: FlaskClient, resource: Json) -> str:
    answer = post(client, resource)
    assert answer.status_code == 201, answer.text
    return str(json_of(answer)["id"])


def status(client: FlaskClient, id_: str) -> str:
    return str(json_of(client.get(f"/fhir/Subscription/{id_}"))["status"])


def document(**more: Any) -> Json:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"url": "https://elsewhere.example/a", "title": "a"}}],
        **more,
    }


def put_patient(client: FlaskClient, id_: str, number: str = "4711", **more: Any) -> None:
    patient = {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": NUMBERS, "value": number}],
        "name": [{"family": "Virtanen"}],
        **more,
    }
    assert client.put(f"/fhir/Patient/{id_}", json=patient).status_code in (200, 201)


def take_in(
    client: FlaskClient, number: int = 1, *, status: str = "201", **attributes: Any
) -> None:
    issuer = [{"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}]
    octets = ct_instance(
        **{
            "PatientID": "4711",
            "IssuerOfPatientIDQualifiersSequence": issuer,
            "PatientName": "Virtanen^Aino",
            "SOPInstanceUID": f"{STUDY}.1.{number}",
            "InstanceNumber": number,
            **attributes,
        }
    )
    answer = client.post(
        "/fhir/$import-image", data=octets, content_type="application/octet-stream"
    )
    assert json_of(answer)["entry"][0]["response"]["status"][:3] == status, json_of(answer)


# What is accepted


REFUSED: list[tuple[Json, str]] = [
    ({"criteria": "Unknown?a=b"}, "Subscription.criteria"),
    ({"criteria": "patient=Patient/1"}, "Subscription.criteria"),
    ({"criteria": "ImagingStudy?nonsense=1"}, "Subscription.criteria"),
    ({"criteria": "ImagingStudy?started=gestern"}, "Subscription.criteria"),
    ({"criteria": "ImagingStudy?modality:above=CT"}, "Subscription.criteria"),
    ({"criteria": "ImagingStudy?modality="}, "Subscription.criteria"),
    ({"criteria": "ImagingStudy?_include=ImagingStudy:patient"}, "Subscription.criteria"),
    ({"criteria": "Subscription?status=active"}, "Subscription.criteria"),
    ({"criteria": "AuditEvent?"}, "Subscription.criteria"),
    ({"criteria": "https://elsewhere.example/SubscriptionTopic/a"}, "Subscription.criteria"),
    ({"channel": {"type": "email", "endpoint": "mailto:a@b.example"}}, "Subscription.channel.type"),
    ({"channel": {"type": "websocket"}}, "Subscription.channel.type"),
    ({"channel": {"type": "rest-hook"}}, "Subscription.channel.endpoint"),
    ({"payload": "text/plain"}, "Subscription.channel.payload"),
    ({"end": "2020-01-01T00:00:00Z"}, "Subscription.end"),
    ({"header": ["Host: other.example"]}, "Subscription.channel.header[0]"),
    ({"header": ["A: b", "content-length: 5"]}, "Subscription.channel.header[1]"),
    ({"header": ["Transfer-Encoding: chunked"]}, "Subscription.channel.header[0]"),
    ({"header": ["A: b\r\nC: d"]}, "Subscription.channel.header[0]"),
    ({"header": ["no header"]}, "Subscription.channel.header[0]"),
    ({"header": ["Authorization: ********"]}, "Subscription.channel.header[0]"),
    ({"endpoint": "ftp://ehr.example"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://localhost:1/"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://2130706434/"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://0177.0.0.2/"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://[::ffff:127.0.0.1]/"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://169.254.169.254/latest/meta-data"}, "Subscription.channel.endpoint"),
    ({"endpoint": "http://10.0.0.1/"}, "Subscription.channel.endpoint"),
]


@pytest.mark.parametrize(("change", "expression"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: FlaskClient, receiver: Receiver, change: Json, expression: str
) -> None:
    resource = plain(receiver, "ImagingStudy?modality=CT")
    for name, value in change.items():
        (resource if name in ("criteria", "channel", "end") else resource["channel"])[name] = value
    answer = post(client, resource)
    assert answer.status_code == 422, answer.text
    assert json_of(answer)["issue"][0]["expression"] == [expression], answer.text
    assert json_of(client.get("/fhir/Subscription?_summary=count"))["total"] == 0


def test_a_topic_is_refused_without_a_level_or_with_another_filter(
    client: FlaskClient, receiver: Receiver
) -> None:
    odd_filter = topical(receiver, "imagingstudy-available", "id-only", "Patient?name=a")
    no_level = topical(receiver, "imagingstudy-available")
    del no_level["channel"]["_payload"]
    for resource, expression in (
        (odd_filter, "Subscription.criteria.extension[0]"),
        (no_level, "Subscription.channel.payload.extension"),
        (
            topical(receiver, "imagingstudy-available", "everything"),
            "Subscription.channel.payload.extension",
        ),
    ):
        answer = post(client, resource)
        assert answer.status_code == 422
        assert json_of(answer)["issue"][0]["expression"] == [expression]


def test_the_topics_are_in_the_capability_statement(client: FlaskClient) -> None:
    [subscription] = [
        one
        for one in json_of(client.get("/fhir/metadata"))["rest"][0]["resource"]
        if one["type"] == "Subscription"
    ]
    listed = {one["valueCanonical"] for one in subscription["extension"]}
    assert listed == set(BY_URL) == {topic.url for topic in TOPICS}
    assert subscription["supportedProfile"] == [f"{BACKPORT}/backport-subscription"]


def test_headers_are_sent_and_never_shown(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    resource = plain(receiver, "Patient?")
    resource["channel"]["header"] = ["Authorization: Bearer s3cret", "X-Site: north"]
    id_ = created(client, resource)
    house.work()
    for path in (f"/{id_}", f"/{id_}/_history/1", f"/{id_}/_history", "?_count=5"):
        text = client.get(f"/fhir/Subscription{path}").text
        assert "s3cret" not in text
        assert "Authorization: ********" in text
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    read["reason"] = "another"
    assert client.put(f"/fhir/Subscription/{id_}", json=read).status_code == 200
    house.work()
    put_patient(client, "a")
    house.work()
    assert receiver.told[0].headers["authorization"] == "Bearer s3cret"
    assert receiver.told[0].headers["x-site"] == "north"


def test_it_is_found_by_every_parameter_of_r4(client: FlaskClient, receiver: Receiver) -> None:
    resource = plain(
        receiver, "Patient?name=a", "application/fhir+json", contact=[{"system": "phone"}]
    )
    resource["contact"] = [{"system": "phone", "value": "123"}]
    id_ = created(client, resource)
    for query in (
        "contact=123",
        "criteria=Patient",
        "payload=application/fhir%2Bjson",
        "status=requested",
        "type=rest-hook",
        f"url={receiver.url}",
    ):
        found = json_of(client.get(f"/fhir/Subscription?{query}"))["entry"]
        assert [one["resource"]["id"] for one in found] == [id_], query


# R4's own criteria


def test_an_empty_payload_is_a_ping_for_each_change(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    id_ = created(client, plain(receiver, "DocumentReference?status=current"))
    assert status(client, id_) == "requested"
    house.work()
    assert status(client, id_) == "active"
    assert receiver.told == []
    known = created(client, document())
    created(client, document(status="superseded"))
    client.put(f"/fhir/DocumentReference/{known}", json=document(id=known, description="b"))
    house.work()
    assert [(one.method, one.path, one.body) for one in receiver.told] == [
        ("POST", "/hook", b""),
        ("POST", "/hook", b""),
    ]


@pytest.mark.parametrize("payload", ["application/fhir+json", "application/fhir+xml"])
def test_the_resource_is_put_below_the_endpoint_in_order(
    client: FlaskClient, house: House, receiver: Receiver, payload: str
) -> None:
    created(client, plain(receiver, "DocumentReference?type=http://loinc.org|1-8", payload))
    house.work()
    type_ = {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}
    ids = [created(client, document(type=type_)) for _ in range(5)]
    created(client, document())
    house.work()
    assert [one.path for one in receiver.told] == [f"/hook/DocumentReference/{id_}" for id_ in ids]
    for one in receiver.told:
        assert one.method == "PUT"
        assert one.headers["content-type"].startswith(payload)
        content = from_xml(one.body) if payload.endswith("xml") else one.json()
        assert content["content"][0]["attachment"]["title"] == "a"
        assert faults(content) == []


def test_what_came_before_is_not_told(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    with Receiver().listening() as earlier:
        created(client, plain(earlier, "Patient?"))
        house.work()
        put_patient(client, "a")
        created(client, plain(receiver, "Patient?", "application/fhir+json"))
        put_patient(client, "b")
        house.work()
        assert len(earlier.told) == 2
    assert [one.path for one in receiver.told] == ["/hook/Patient/b"]


def test_a_transaction_that_fails_is_not_told(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, plain(receiver, "Patient?"))
    house.work()
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": {"resourceType": "Patient"},
                "request": {"method": "POST", "url": "Patient"},
            },
            {"request": {"method": "GET", "url": "Patient/unknown"}},
        ],
    }
    assert client.post("/fhir", json=bundle).status_code == 404
    house.work()
    assert receiver.told == []


def test_a_subscription_comes_in_a_transaction_too(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    entry = {
        "resource": plain(receiver, "Patient?"),
        "request": {"method": "POST", "url": "Subscription"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert client.post("/fhir", json=bundle).status_code == 200
    entry["resource"]["channel"]["type"] = "sms"
    assert client.post("/fhir", json=bundle).status_code == 422
    house.work()
    put_patient(client, "a")
    house.work()
    assert len(receiver.told) == 1


# Topics of the backport


def test_a_handshake_comes_before_anything_else(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    id_ = created(client, topical(receiver, "documentreference-new"))
    first = created(client, document())
    assert status(client, id_) == "requested"
    house.work()
    assert status(client, id_) == "active"
    handshake, event = receiver.told
    assert handshake.status["type"] == "handshake"
    assert handshake.status["status"] == "requested"
    assert handshake.status["subscription"] == f"https://images.example/fhir/Subscription/{id_}"
    assert event.status["type"] == "event-notification"
    [noted] = event.status["events"]
    assert noted["event-number"] == "1"
    assert noted["focus"] == f"https://images.example/fhir/DocumentReference/{first}"
    for one in receiver.told:
        assert faults(one.json()) == []


def test_a_handshake_that_fails_is_an_error_at_once(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    receiver.answers = [500]
    id_ = created(client, topical(receiver, "documentreference-new"))
    house.work()
    house.clock.pass_by(100_000)
    house.work()
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    assert (read["status"], read["error"]) == ("error", "The endpoint answered 500.")
    assert (len(receiver.told), len(receiver.refused)) == (0, 1)


@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
def test_no_more_is_told_than_was_asked_for(
    client: FlaskClient, house: House, receiver: Receiver, content: str
) -> None:
    created(client, topical(receiver, "documentreference-new", content))
    house.work()
    id_ = created(client, document(description="secret words"))
    house.work()
    bundle, told = receiver.told[1].json(), receiver.told[1].status
    assert faults(bundle) == []
    [event] = told["events"]
    assert ("focus" in event) == (content != "empty")
    assert ("topic" in told) == (content != "empty")
    assert (id_ in receiver.told[1].body.decode()) == (content != "empty")
    assert ("secret words" in receiver.told[1].body.decode()) == (content == "full-resource")
    assert len(bundle["entry"]) == (1 if content == "empty" else 2)


def test_several_events_come_together_up_to_max_count(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "documentreference-new", "full-resource", max_count=3))
    house.work()
    ids = [created(client, document(description=str(number))) for number in range(7)]
    house.work()
    sizes = [len(one.status["events"]) for one in receiver.told]
    assert sizes == [0, 3, 3, 1]
    assert [one["event-number"] for one in receiver.events] == list("1234567")
    assert [one["focus"].rpartition("/")[2] for one in receiver.events] == ids
    bodies = [entry["resource"] for one in receiver.told for entry in one.json()["entry"][1:]]
    assert [one["description"] for one in bodies] == list("0123456")
    assert receiver.told[-1].status["events-since-subscription-start"] == "7"


def test_all_filters_must_hold(client: FlaskClient, house: House, receiver: Receiver) -> None:
    filters = ("DocumentReference?status=current", "DocumentReference?description=wound,burn")
    created(client, topical(receiver, "documentreference-new", "id-only", *filters))
    house.work()
    for state, words in (("current", "eye"), ("superseded", "wound"), ("current", "burn")):
        created(client, document(status=state, description=words))
    house.work()
    assert len(receiver.events) == 1


def test_a_study_is_new_and_then_grows(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    """Images that follow one another are told of together, once no more come."""
    put_patient(client, "a")
    with Receiver().listening() as growing:
        created(client, topical(receiver, "imagingstudy-available", "full-resource"))
        created(client, topical(growing, "imagingstudy-updated", "full-resource"))
        house.work()
        for number in range(1, 4):
            take_in(client, number)
        house.work()
        assert len(receiver.told) == 1  # the handshake: the study may still grow
        house.clock.pass_by(6)
        house.work()
        assert growing.events == []
        for number in range(4, 8):
            take_in(client, number)
        house.work()
        house.clock.pass_by(6)
        house.work()
        [updated] = growing.events
        content = growing.told[-1].json()["entry"][1]["resource"]
    [available] = receiver.events
    assert available["focus"] == updated["focus"]
    first = receiver.told[-1].json()["entry"][1]["resource"]
    assert (first["numberOfInstances"], content["numberOfInstances"]) == (3, 7)
    assert content["subject"]["reference"] == "Patient/a"


def test_a_study_that_never_rests_is_told_of_all_the_same(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "imagingstudy-available"))
    house.work()
    for number in range(1, 20):
        take_in(client, number)
        house.clock.pass_by(4)
        house.work()
    assert len(receiver.events) == 1


@pytest.mark.parametrize("content", ["id-only", "full-resource"])
def test_a_study_that_finds_its_patient_is_relinked(
    client: FlaskClient, house: House, receiver: Receiver, content: str
) -> None:
    take_in(client)
    created(client, topical(receiver, "imagingstudy-relinked", content, "ImagingStudy?patient=a"))
    house.work()
    take_in(client, 2)
    house.clock.pass_by(6)
    house.work()
    assert receiver.events == []
    put_patient(client, "a")
    house.work()
    assert [one["focus"] for one in receiver.events] == [
        f"https://images.example/fhir/ImagingStudy/{STUDY}"
    ]


def test_a_document_of_another_patient_is_relinked(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    put_patient(client, "a")
    put_patient(client, "b", "4712")
    id_ = created(client, document(subject={"reference": "Patient/a"}))
    created(client, topical(receiver, "documentreference-relinked"))
    house.work()
    for words, patient in (("x", "a"), ("x", "b"), ("y", "b")):
        changed = document(id=id_, description=words, subject={"reference": f"Patient/{patient}"})
        assert client.put(f"/fhir/DocumentReference/{id_}", json=changed).status_code == 200
    house.work()
    assert [one["event-number"] for one in receiver.events] == ["1"]


def test_an_image_that_is_held_is_a_topic(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "task-held"))
    house.work()
    put_patient(client, "a", birthDate="1980-01-01")
    take_in(client, PatientName="Korhonen^Eino", PatientBirthDate="19010101", status="202")
    house.work()
    held = json_of(client.get("/fhir/Task"))["entry"][0]["fullUrl"]
    assert [one["focus"] for one in receiver.events] == [held]


def test_a_sign_of_life_comes_only_where_nothing_else_was_sent(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "documentreference-new", heartbeat_period=60))
    house.work()
    house.clock.pass_by(50)
    created(client, document())
    house.work()
    house.clock.pass_by(50)
    house.work()
    assert [one.status["type"] for one in receiver.told] == ["handshake", "event-notification"]
    for _ in range(2):
        house.clock.pass_by(61)
        house.work()
    assert [one.status["type"] for one in receiver.told[2:]] == ["heartbeat", "heartbeat"]
    assert receiver.told[-1].status["events-since-subscription-start"] == "1"


# When it fails


@pytest.mark.parametrize("is_topic", [False, True])
def test_what_failed_comes_again_before_what_came_later(
    client: FlaskClient, house: House, receiver: Receiver, is_topic: bool
) -> None:
    resource = (
        topical(receiver, "documentreference-new", max_count=1)
        if is_topic
        else plain(receiver, "DocumentReference?", "application/fhir+json")
    )
    created(client, resource)
    house.work()
    receiver.told.clear()
    receiver.answers = [500, 503]
    ids = [created(client, document()) for _ in range(3)]
    house.work()
    assert (len(receiver.told), len(receiver.refused)) == (0, 1)
    house.clock.pass_by(2.1)
    house.work()
    assert (len(receiver.told), len(receiver.refused)) == (0, 2)
    house.clock.pass_by(2.1)
    house.work()
    assert (len(receiver.told), len(receiver.refused)) == (0, 2)  # the pause has grown
    house.clock.pass_by(2.1)
    house.work()
    found = [
        event["focus"].rpartition("/")[2] if is_topic else one.path.rpartition("/")[2]
        for one in receiver.told
        for event in (one.status["events"] if is_topic else [{}])
    ]
    assert found == ids


def test_after_the_last_attempt_only_its_client_starts_it_again(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    id_ = created(client, topical(receiver, "documentreference-new", "id-only"))
    house.work()
    created(client, document())
    receiver.answers = [500] * 3
    for _ in range(5):
        house.work()
        house.clock.pass_by(3600)
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    assert read["status"] == "error"
    assert "500" in read["error"]
    assert len(receiver.refused) == 3
    created(client, document())
    house.work()
    told = status_of(
        json_of(client.get(f"/fhir/Subscription/{id_}/$status"))["entry"][0]["resource"]
    )
    assert (told["status"], told["events-since-subscription-start"]) == ("error", "2")
    assert len(receiver.told) == 1

    read["reason"] = "written while it is in error"
    client.put(f"/fhir/Subscription/{id_}", json=read)
    house.work()
    assert status(client, id_) == "error"

    read["status"] = "requested"
    again = json_of(client.put(f"/fhir/Subscription/{id_}", json=read))
    assert (again["status"], "error" in again) == ("requested", False)
    house.work()
    assert status(client, id_) == "active"
    assert [one.status["type"] for one in receiver.told[1:]] == ["handshake", "event-notification"]
    assert [one["event-number"] for one in receiver.events] == ["1", "2"]


def test_an_address_that_may_not_be_sent_to_any_more_is_an_error_at_once(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    id_ = created(client, topical(receiver, "documentreference-new"))
    house.work()
    created(client, document())
    hook = house.services.delivery.hook
    stricter = replace(hook, guard=replace(hook.guard, listed=frozenset()))
    delivery = replace(house.services.delivery, hook=stricter)
    while house.services.notifying.work() or delivery.work():
        pass
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    assert read["status"] == "error"
    assert "not public" in read["error"]
    assert len(receiver.told) == 1


def test_a_redirect_is_a_failure(client: FlaskClient, house: House, receiver: Receiver) -> None:
    receiver.answers = [307]
    id_ = created(client, topical(receiver, "documentreference-new"))
    house.work()
    assert status(client, id_) == "error"
    assert [one.path for one in receiver.refused] == ["/hook"]
    assert receiver.told == []


def test_it_ends_when_it_is_off_deleted_or_over(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    off = created(client, plain(receiver, "Patient?"))
    gone = created(client, plain(receiver, "Patient?"))
    end = "2999-01-01T00:00:00Z"
    over = created(client, plain(receiver, "Patient?", end=end))
    house.work()
    read = json_of(client.get(f"/fhir/Subscription/{off}"))
    client.put(f"/fhir/Subscription/{off}", json={**read, "status": "off"})
    assert client.delete(f"/fhir/Subscription/{gone}").status_code == 204
    body = select(schema.resource.c.body).where(schema.resource.c.id == over)

    def age(transaction: Transaction) -> None:
        stored = transaction.execute(body).scalar_one()
        aged = stored.replace(end.encode(), b"2020-01-01T00:00:00Z")
        transaction.execute(
            update(schema.resource).where(schema.resource.c.id == over).values(body=aged)
        )
        transaction.execute(update(schema.subscription).values(due=0))

    house.services.database.write(age)
    house.work()
    assert (status(client, off), status(client, over)) == ("off", "off")
    assert client.get(f"/fhir/Subscription/{gone}").status_code == 410
    put_patient(client, "a")
    house.work()
    assert receiver.told == []


def test_what_is_turned_off_and_on_again_hears_only_of_what_comes_then(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    id_ = created(client, topical(receiver, "documentreference-new"))
    house.work()
    created(client, document())
    house.work()
    for state in ("off", "active"):
        read = json_of(client.get(f"/fhir/Subscription/{id_}"))
        assert client.put(f"/fhir/Subscription/{id_}", json={**read, "status": state})
        if state == "off":
            created(client, document())
            house.work()
    house.work()
    created(client, document())
    house.work()
    assert [one["event-number"] for one in receiver.events] == ["1", "2"]


def test_a_deleted_resource_is_told_of_without_its_name(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    """Events that wait say what is there when they are told."""
    created(client, topical(receiver, "documentreference-new", "full-resource"))
    house.work()
    receiver.answers = [500]
    id_ = created(client, document())
    house.work()
    client.delete(f"/fhir/DocumentReference/{id_}")
    house.clock.pass_by(3)
    house.work()
    [event] = receiver.events
    assert "focus" not in event
    assert id_ not in receiver.told[-1].body.decode()


# Who may see what


class OnlyPublished(AccessPolicy):
    """A caller who may see documents of one type alone."""

    def restrictions(self, caller: Caller, letters: str = "s") -> Restrictions:
        value = TokenValue(system=None, value="allowed")
        return {"DocumentReference": (Criterion(parameter="type", type="token", values=(value,)),)}


def test_only_what_its_creator_may_see_is_told(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "documentreference-new", "full-resource"))
    policy = OnlyPublished(house.services.settings)
    notifying = replace(house.services.notifying, access=policy)
    delivery = replace(house.services.delivery, access=policy)
    ids = [
        created(client, document(type={"coding": [{"code": code}]}))
        for code in ("hidden", "allowed", "hidden")
    ]
    while notifying.work() or delivery.work():
        pass
    assert [one["focus"].rpartition("/")[2] for one in receiver.events] == [ids[1]]


def test_what_may_not_be_seen_any_more_is_not_told(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    created(client, topical(receiver, "documentreference-new", "full-resource"))
    house.work()
    id_ = created(client, document(description="hidden words"))
    house.services.notifying.work()
    policy = OnlyPublished(house.services.settings)
    delivery = replace(house.services.delivery, access=policy)
    while delivery.work():
        pass
    assert id_ not in receiver.told[-1].body.decode()
    assert [one["event-number"] for one in receiver.events] == ["1"]


# $status and $events


def test_status_of_some_or_all(client: FlaskClient, house: House, receiver: Receiver) -> None:
    first = created(client, topical(receiver, "documentreference-new"))
    house.work()
    second = created(client, plain(receiver, "Patient?"))

    def ids(query: str) -> list[str]:
        bundle = json_of(client.get(f"/fhir/Subscription{query}"))
        assert bundle["type"] == "searchset"
        told = [status_of(one["resource"]) for one in bundle.get("entry", ())]
        assert all(one["type"] == "query-status" for one in told)
        return [one["subscription"].rpartition("/")[2] for one in told]

    assert ids("/$status") == [first, second]
    assert ids("/$status?status=off") == []
    assert ids("/$status?status=active") == [first]
    assert ids(f"/$status?id={second}&id={first}&status=requested") == [second]
    assert ids(f"/{first}/$status") == [first]
    assert client.get("/fhir/Subscription/unknown/$status").status_code == 404
    assert client.get("/fhir/Subscription/$status?status=odd").status_code == 400


def test_events_can_be_had_again(client: FlaskClient, house: House, receiver: Receiver) -> None:
    id_ = created(client, topical(receiver, "documentreference-new", "full-resource"))
    house.work()
    for number in range(4):
        created(client, document(description=str(number)))
    house.work()

    def events(query: str = "") -> Json:
        bundle: Json = json_of(client.get(f"/fhir/Subscription/{id_}/$events{query}"))
        assert bundle["type"] == "history"
        return bundle

    def numbers(bundle: Json) -> list[str]:
        told = status_of(bundle["entry"][0]["resource"])
        assert told["type"] == "query-event"
        return [one["event-number"] for one in told["events"]]

    assert numbers(events()) == ["1", "2", "3", "4"]
    some = events("?eventsSinceNumber=2&eventsUntilNumber=3")
    assert numbers(some) == ["2", "3"]
    assert [one["resource"]["description"] for one in some["entry"][1:]] == ["1", "2"]
    assert all("resource" not in one for one in events("?content=id-only")["entry"][1:])
    assert len(events("?content=empty")["entry"]) == 1
    assert client.get(f"/fhir/Subscription/{id_}/$events?content=odd").status_code == 400
    house.clock.pass_by(8 * 24 * 3600)
    house.services.delivery.forget_outdated()
    assert numbers(events()) == []


# What it costs, and what is kept


def waiting(house: House) -> int:
    with house.services.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.outbox)).scalar_one())


def test_nothing_is_written_where_nobody_listens(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    take_in(client, 1)
    assert waiting(house) == 0
    id_ = created(client, plain(receiver, "Patient?"))
    take_in(client, 2)
    take_in(client, 3)
    assert waiting(house) == 1  # of one study, however many images
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    client.put(f"/fhir/Subscription/{id_}", json={**read, "status": "off"})
    assert waiting(house) == 0
    take_in(client, 4)
    assert waiting(house) == 0


def test_an_image_takes_as_many_statements_as_ever_where_nobody_listens(
    client: FlaskClient, house: House, receiver: Receiver, database_url: str
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("statements are counted by SQLite's own trace; they are the same")
    said: list[str] = []

    @event.listens_for(house.services.database.engine, "connect")
    def trace(connection: Any, _record: object) -> None:
        connection.set_trace_callback(said.append)

    house.services.database.close()

    def statements(number: int) -> list[str]:
        said.clear()
        take_in(client, number)
        return [one.split()[1] for one in said if one.split()[0] == "INSERT"] + [str(len(said))]

    take_in(client, 1)
    before = statements(2)
    id_ = created(client, plain(receiver, "Patient?"))
    watched = statements(3)
    read = json_of(client.get(f"/fhir/Subscription/{id_}"))
    client.put(f"/fhir/Subscription/{id_}", json={**read, "status": "off"})
    assert statements(4) == before
    assert int(watched[-1]) == int(before[-1]) + 1


def test_another_process_on_the_same_database_hears_of_it(
    client: FlaskClient, house: House, receiver: Receiver, database_url: str
) -> None:
    """Nothing about subscriptions is remembered by a process."""
    put_patient(client, "x")
    other = build_services(house.services.settings)
    try:
        other.resources.create("Patient", {"resourceType": "Patient"})
        created(client, plain(receiver, "Patient?"))
        house.work()
        other.resources.create("Patient", {"resourceType": "Patient"})
        while other.notifying.work() or other.delivery.work():
            pass
        assert len(receiver.told) == 1
    finally:
        other.close()


def test_two_processes_tell_each_event_once(
    client: FlaskClient, house: House, receiver: Receiver
) -> None:
    """Both have read the same changes; one of them takes them."""
    id_ = created(client, topical(receiver, "documentreference-new"))
    house.work()
    created(client, document())
    database = house.services.database
    with database.read() as connection:
        rows = outbox.ripe(connection, now=database.clock(), settle=0, longest=0)
        [known] = subscriptions.listed(connection, watching=True)
    assert house.services.notifying.work()
    assert database.write(lambda transaction: outbox.take(transaction, rows)) == set()
    due = database.clock()
    with database.read() as connection:
        first = subscriptions.next_due(connection, due)
        assert first is not None
    taken = [
        database.write(lambda transaction: subscriptions.take(transaction, first, 10_000))
        for _ in range(2)
    ]
    assert taken[0] is not None
    assert taken[1] is None
    assert not house.services.delivery.work()  # another has it
    house.clock.pass_by(11)  # and died with it
    house.work()
    assert [one["event-number"] for one in receiver.events] == ["1"]
    assert known.id == id_
