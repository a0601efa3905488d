"""How many seeded defects our checker finds, beside three that others made."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.codec import Resource
from tests.judges import NODE_MODULES, against_schema, medplum_faults, node_modules, parts
from tests.seeded_defects import DEFECTS, RIGHT, Defect, changed

DEFINITIONS = {"OperationDefinition", "SearchParameter", "StructureDefinition"}  # our own only
CONFORMANCE = Path(__file__).parents[3] / "docs" / "conformance.md"


def own(resource: Resource) -> bool:
    return any(found.severity == "error" for found in check(resource))


def fhir_resources(resource: Resource) -> bool:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError):
        return True
    return False


def json_schema(resource: Resource) -> bool:
    return any(against_schema(part) for part in parts(resource))


def medplum(resource: Resource) -> bool:
    return bool(medplum_faults(resource))


JUDGES: dict[str, Callable[[Resource], bool]] = {
    "own": own,
    "fhir.resources": fhir_resources,
    "fhir.schema.json": json_schema,
    "@medplum/core": medplum,
}


def test_the_defects_are_many_of_every_kind_and_type() -> None:
    assert set(RESOURCE_TYPES) - DEFINITIONS <= set(RIGHT)
    assert {type_ for _, type_, _, _ in DEFECTS} == set(RIGHT)
    assert min(Counter(kind for kind, *_ in DEFECTS).values()) >= 5
    assert len(DEFECTS) >= 60


@pytest.mark.parametrize("type_", RIGHT)
def test_nothing_is_found_where_nothing_is_wrong(type_: str) -> None:
    judges = JUDGES if node_modules() else {"own": own}
    assert [name for name, judge in judges.items() if judge(RIGHT[type_])] == []


@pytest.mark.parametrize(
    ("kind", "type_", "path", "value"),
    DEFECTS,
    ids=[f"{kind}-{type_}.{path}-{n}" for n, (kind, type_, path, _) in enumerate(DEFECTS)],
)
def test_each_defect_is_found(kind: str, type_: str, path: str, value: Any) -> None:
    assert own(changed(RIGHT[type_], path, value))


def test_more_is_found_than_by_the_others_together() -> None:
    """The figures stand in docs/conformance.md."""
    if node_modules() is None:
        pytest.skip(f"{NODE_MODULES} is not set: `make test` provides it")
    found = {name: {n for n, one in enumerate(DEFECTS) if is_found(judge, one)}
             for name, judge in JUDGES.items()}  # fmt: skip
    together = set().union(*(those for name, those in found.items() if name != "own"))
    assert len(found["own"]) >= 0.95 * len(DEFECTS)
    assert len(found["own"]) >= len(together)
    figures = {name: len(those) for name, those in found.items()}
    row = f"| {len(DEFECTS)} | " + " | ".join(map(str, figures.values()))
    assert f"{row} | {len(together)} |" in CONFORMANCE.read_text()


def is_found(judge: Callable[[Resource], bool], defect: Defect) -> bool:
    _, type_, path, value = defect
    return judge(changed(RIGHT[type_], path, value))
