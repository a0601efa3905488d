from datetime import UTC, datetime

from imaging_fhir.fhir.task import facts_of, held_task

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_held_image_is_a_request_that_names_no_patient_as_its_subject() -> None:
    found = held_task(
        rule="demographics-disagree",
        reason="The birth date differs.",
        facts={"patient-id": "123", "instances": 4, "visit": None},
        authored_on=MARCH,
        priority="urgent",
    )
    assert (found["status"], found["intent"], found["priority"]) == (
        "requested",
        "order",
        "urgent",
    )
    assert not {"for", "encounter"} & set(found)
    assert found["reasonCode"]["coding"][0]["code"] == "demographics-disagree"
    assert found["reasonCode"]["text"] == "The birth date differs."


def test_the_facts_are_read_back_as_given() -> None:
    facts: dict[str, str | int | None] = {"patient-id": "123", "instances": 0}
    task = held_task(rule="r", reason="", facts=facts, authored_on=MARCH)
    assert facts_of(task) == facts
    assert task["reasonCode"]["text"] == "r"
