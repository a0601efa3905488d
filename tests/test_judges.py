"""The judges of the tests' answers see what is wrong, each by itself."""

import os
from typing import Any

import pytest

from tests.judges import NODE_MODULES, faults

PATIENT: dict[str, Any] = {"resourceType": "Patient", "gender": "female", "active": True}
BUNDLE: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "searchset",
    "entry": [{"fullUrl": "http://a.example/Patient/1", "resource": {**PATIENT, "id": "1"}}],
}


def judges(resource: dict[str, Any]) -> set[str]:
    return {fault.partition(":")[0] for fault in faults(resource)}


@pytest.fixture(autouse=True)
def _provided() -> None:
    if not os.environ.get(NODE_MODULES):
        pytest.skip(f"{NODE_MODULES} is not set: `make test` provides it")


def test_none_has_anything_against_what_is_valid() -> None:
    assert not faults(PATIENT)
    assert not faults(BUNDLE)


@pytest.mark.parametrize(
    "wrong", [{"gender": 5}, {"animal": True}, {"name": [{"family": ["a", "b"]}]}]
)
def test_each_finds_what_no_patient_may_have(wrong: dict[str, Any]) -> None:
    assert judges({**PATIENT, **wrong}) == {"own", "schema", "medplum"}


def test_each_looks_into_a_bundle() -> None:
    entry = {**BUNDLE["entry"][0], "resource": {**PATIENT, "id": "1", "animal": True}}
    assert judges({**BUNDLE, "entry": [entry]}) == {"own", "schema", "medplum"}
