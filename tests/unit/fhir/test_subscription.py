from typing import Any

import pytest

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.subscription import (
    EXTENSION,
    MASKED,
    headers,
    wanted,
    with_masked_headers,
)
from imaging_fhir.fhir.subscription_topic import TOPICS
from imaging_fhir.model.change import Change, is_moved, told

Json = dict[str, Any]
NOTHING: frozenset[str] = frozenset()


def subscription(criteria: str = "ImagingStudy?modality=CT", **channel: Any) -> Json:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": "https://ehr.example", **channel},
    }


def topical(topic: str = TOPICS[0].url, content: str = "id-only", **channel: Any) -> Json:
    level = {"url": f"{EXTENSION}payload-content", "valueCode": content}
    return subscription(
        topic, payload="application/fhir+json", _payload={"extension": [level]}, **channel
    )


def extended(name: str, value: Any) -> Json:
    return topical(extension=[{"url": f"{EXTENSION}{name}", "valueUnsignedInt": value}])


def test_criteria_are_read_as_a_search_is() -> None:
    asked = wanted(subscription("ImagingStudy?patient=Patient/1&modality=CT,MR&description=a+b"))
    [criterion] = asked.criteria
    assert asked.resource_type == criterion.resource_type == "ImagingStudy"
    assert criterion.parameters == (
        ("patient", "Patient/1"),
        ("modality", "CT,MR"),
        ("description", "a b"),
    )
    assert asked.changes == Change.CREATED | Change.UPDATED | Change.MOVED


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        (None, "empty"),
        ("application/fhir+json", "full-resource"),
        ("application/fhir+xml;charset=utf-8", "full-resource"),
    ],
)
def test_without_a_topic_the_payload_says_how_much_is_told(
    payload: str | None, content: str
) -> None:
    asked = wanted(subscription(**({"payload": payload} if payload else {})))
    assert asked.content == content
    assert asked.topic is None


def test_a_topic_may_be_named_with_its_version() -> None:
    assert wanted(topical(f"{TOPICS[1].url}|1.0")).topic == TOPICS[1]


def test_a_topic_s_own_criteria_hold_besides_the_filters() -> None:
    [held] = [topic for topic in TOPICS if topic.id == "task-held"]
    content = topical(held.url)
    url = f"{EXTENSION}filter-criteria"
    content["_criteria"] = {"extension": [{"url": url, "valueString": "Task?priority=urgent"}]}
    own, given = wanted(content).criteria
    assert own.parameters == (("code", f"{canonical.TASK_CODE}|decide-held-image"),)
    assert given.parameters == (("priority", "urgent"),)


@pytest.mark.parametrize(
    ("name", "value", "attribute", "read"),
    [
        ("timeout", 5, "timeout", 5),
        ("timeout", 999, "timeout", 30),
        ("timeout", 0, "timeout", 10),
        ("heartbeat-period", 60, "heartbeat", 60),
        ("heartbeat-period", 1, "heartbeat", 10),
        ("heartbeat-period", 0, "heartbeat", 0),
        ("max-count", 5, "most", 5),
        ("max-count", 100_000, "most", 100),
    ],
)
def test_what_a_channel_asks_for_is_kept_within_bounds(
    name: str, value: int, attribute: str, read: int
) -> None:
    assert getattr(wanted(extended(name, value)), attribute) == read


@pytest.mark.parametrize("value", [-1, "5", None, 1.5])
def test_a_number_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InvalidResource, match="no number"):
        wanted(extended("timeout", value))


def test_another_channel_of_the_backport_is_refused() -> None:
    content = topical()
    coding = {"url": f"{EXTENSION}channel-type", "valueCoding": {"code": "zulip"}}
    content["channel"]["_type"] = {"extension": [coding]}
    with pytest.raises(InvalidResource, match=r"Subscription\.channel\.type"):
        wanted(content)


def test_a_masked_header_stands_for_what_is_known_of_its_name() -> None:
    known = ["Authorization: Bearer a", "X: y"]
    channel = {"header": ["X:  z ", f"Authorization: {MASKED}"]}
    found = headers(channel, known, NOTHING)
    assert found == [("X", "z"), ("Authorization", "Bearer a")]
    shown = with_masked_headers({"channel": channel}, [name for name, _ in found])
    assert shown["channel"]["header"] == [f"X: {MASKED}", f"Authorization: {MASKED}"]


@pytest.mark.parametrize(
    "line", ["A b: c", ": c", "A", "A: b\n", "A: b\r\nC: d", "A: \x00", "A: ü", "A: " + "x" * 5000]
)
def test_what_is_no_header_is_refused(line: str) -> None:
    with pytest.raises(InvalidResource, match=r"header\[0\]"):
        headers({"header": [line]}, [], NOTHING)


def test_a_resource_that_was_created_is_new_whatever_came_after() -> None:
    assert told(Change.CREATED | Change.UPDATED | Change.MOVED) == Change.CREATED
    assert told(Change.UPDATED | Change.MOVED) == Change.UPDATED | Change.MOVED


def test_a_resource_moves_to_another_subject_or_visit() -> None:
    at = {"subject": {"reference": "Patient/1"}, "encounter": {"reference": "Encounter/1"}}
    assert not is_moved(
        at, {**at, "description": "a", "subject": {**at["subject"], "display": "b"}}
    )
    assert is_moved(at, {**at, "subject": {"reference": "Patient/2"}})
    assert is_moved(at, {"subject": at["subject"]})
    visit = [{"reference": "Encounter/2"}]
    assert is_moved({"context": {}}, {"context": {"encounter": visit}})
