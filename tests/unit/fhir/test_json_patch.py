"""RFC 6902 on resources; the operations as such are the library's."""

import random
from typing import Any

import pytest

from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.fhir.json_patch import MOST_OPERATIONS, json_patch_operations, json_patched

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "a",
    "name": [{"family": "Virtanen", "given": ["Aino", "Maria"]}],
}


def patched(*operations: dict[str, Any]) -> Any:
    return json_patched(PATIENT, json_patch_operations(list(operations)))


def test_operations_are_applied_one_after_the_other() -> None:
    found = patched(
        {"op": "test", "path": "/name/0/family", "value": "Virtanen"},
        {"op": "add", "path": "/gender", "value": "female"},
        {"op": "replace", "path": "/name/0/given/1", "value": "Elina"},
        {"op": "copy", "from": "/name/0", "path": "/name/-"},
        {"op": "move", "from": "/name/1/family", "path": "/name/1/text"},
        {"op": "remove", "path": "/name/0/given/0"},
    )
    assert found["gender"] == "female"
    assert found["name"] == [
        {"family": "Virtanen", "given": ["Elina"]},
        {"given": ["Aino", "Elina"], "text": "Virtanen"},
    ]


def test_neither_the_resource_nor_the_patch_is_changed_by_patching() -> None:
    operations = json_patch_operations(
        [
            {"op": "add", "path": "/telecom", "value": []},
            {"op": "add", "path": "/telecom/-", "value": {"system": "phone"}},
        ]
    )
    first = json_patched(PATIENT, operations)
    assert json_patched(PATIENT, operations) == first
    assert first["telecom"] == [{"system": "phone"}]
    assert "telecom" not in PATIENT


def test_an_array_whose_last_member_is_removed_goes_too() -> None:
    assert "name" not in patched({"op": "remove", "path": "/name/0"})


def test_an_array_that_is_emptied_and_filled_again_stays() -> None:
    found = patched(
        {"op": "remove", "path": "/name/0"},
        {"op": "add", "path": "/name/0", "value": {"text": "A"}},
    )
    assert found["name"] == [{"text": "A"}]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/name/0/family", "value": "Korhonen"},
        {"op": "test", "path": "/gender", "value": "male"},
        {"op": "remove", "path": "/gender"},
        {"op": "replace", "path": "/gender", "value": "male"},
        {"op": "add", "path": "/name/7", "value": {}},
        {"op": "add", "path": "/contact/0/gender", "value": "male"},
        {"op": "add", "path": "/name/0/family/deeper", "value": 1},
        {"op": "add", "path": "/name/first", "value": {}},
        {"op": "copy", "from": "/nothing", "path": "/name/-"},
        {"op": "move", "from": "/name/0", "path": "/name/0/inside"},
        {"op": "remove", "path": ""},
    ],
)
def test_what_cannot_be_applied_names_the_operation(operation: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidResource, match=rf"Operation 0 of the JSON Patch \({operation['op']}"
    ):
        patched(operation)


@pytest.mark.parametrize(
    "document",
    [
        {},
        "add",
        ["add"],
        [{}],
        [{"op": "append", "path": "/name", "value": 1}],
        [{"op": ["add"], "path": "/name", "value": 1}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": "name", "value": 1}],
        [{"op": "add", "path": "/name/~2", "value": 1}],
        [{"op": "add", "path": "/name"}],
        [{"op": "copy", "path": "/name"}],
        [{"op": "move", "path": "/name", "from": 1}],
    ],
)
def test_a_malformed_document_is_no_patch(document: Any) -> None:
    with pytest.raises(InvalidRequest):
        json_patch_operations(document)


def test_the_number_of_operations_is_bounded() -> None:
    with pytest.raises(UploadTooLarge):
        json_patch_operations([{"op": "remove", "path": "/x"}] * (MOST_OPERATIONS + 1))


def test_copies_of_copies_end_before_the_memory_does() -> None:
    doubling = [{"op": "copy", "from": "/name", "path": "/name/-"}] * 100
    with pytest.raises(UploadTooLarge, match="copies and moves more than"):
        patched(*doubling)


def test_whatever_is_sent_is_applied_or_refused() -> None:
    chance = random.Random(11)
    pointers = ["", "/", "/name", "/name/0", "/name/-", "/name/0/given/0/x", "/-", "/~0~1", "/id/3"]
    values: list[Any] = [None, 1, "x", [], {}, [[]], {"given": []}, True]
    refused = 0
    for _ in range(500):
        operations = [
            {
                "op": chance.choice(["add", "remove", "replace", "move", "copy", "test"]),
                "path": chance.choice(pointers),
                "from": chance.choice(pointers),
                "value": chance.choice(values),
            }
            for _ in range(chance.randrange(1, 5))
        ]
        try:
            patched(*operations)
        except ImagingError:
            refused += 1
    assert 0 < refused < 500
