"""The table of operations, and what is derived from it."""

import pytest

from imaging_fhir.fhir.operation_definition import (
    OPERATIONS,
    OperationDefinition,
    declared,
    operation_at,
    operation_definition,
)
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import check
from imaging_fhir.linking_rules import PATIENT_RULES

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)


@each_operation
def test_its_definition_is_valid(operation: OperationDefinition) -> None:
    assert [one for one in check(operation_definition(operation)) if one.severity == "error"] == []


@each_operation
def test_it_is_found_at_each_of_its_levels_and_types(operation: OperationDefinition) -> None:
    for level in operation.levels:
        for type_ in (None,) if level == "system" else operation.all_types:
            assert operation_at(operation.code, level, type_) == operation


@each_operation
def test_it_is_declared_for_the_types_that_have_it(operation: OperationDefinition) -> None:
    of_types = {
        one.type for one in declared() if one.definition in operation.canonicals and one.type
    }
    assert of_types == set(operation.all_types)


def test_what_is_not_in_the_table_is_not_found() -> None:
    assert operation_at("dance", "system", None) is None
    assert operation_at("everything", "type", "Patient") is None
    assert operation_at("everything", "instance", "Device") is None


def test_only_what_can_be_updated_has_a_meta_to_be_edited() -> None:
    [add] = [one for one in OPERATIONS if one.code == "meta-add"]
    updatable = {name for name, one in RESOURCE_TYPES.items() if "update" in one.interactions}
    assert set(add.all_types) == updatable - {"Binary"}
    assert add.methods == ("POST",)


def test_the_rules_of_linking_are_told_where_they_are_explained() -> None:
    operation = operation_at("explain-link", "system", None)
    assert operation is not None
    told = operation_definition(operation)["description"]
    places = [told.index(f"`{one.name}`: {one.needs}: {one.proves}") for one in PATIENT_RULES]
    assert places == sorted(places)
    assert [one.documentation for one in declared() if one.name == "explain-link"] == [told]
