from typing import Any

from imaging_fhir.fhir.capability_statement import Operation, capability_statement
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import require_valid


def statement(*operations: Operation) -> dict[str, Any]:
    return capability_statement(
        base="http://127.0.0.1:8080/fhir",
        software_version="1.0",
        date="2026-01-01",
        operations=operations,
    )


def of_type(name: str, found: dict[str, Any]) -> dict[str, Any]:
    (one,) = [one for one in found["rest"][0]["resource"] if one["type"] == name]
    return dict(one)


def test_it_is_valid_and_says_what_the_tables_say() -> None:
    found = statement()
    require_valid(found)
    for name, type_ in RESOURCE_TYPES.items():
        stated = of_type(name, found)
        assert {one["code"] for one in stated["interaction"]} == type_.interactions
        assert {one["name"] for one in stated["searchParam"]} == set(type_.by_name)


def test_only_what_can_be_written_is_created_under_a_condition() -> None:
    found = statement()
    assert of_type("Task", found)["conditionalCreate"] is False
    assert of_type("ImagingStudy", found)["conditionalCreate"] is True
    assert of_type("Patient", found)["updateCreate"] is True


def test_includes_are_listed_in_both_directions() -> None:
    found = statement()
    assert "ImagingStudy:endpoint" in of_type("ImagingStudy", found)["searchInclude"]
    assert "ImagingStudy:encounter" in of_type("Encounter", found)["searchRevInclude"]


def test_operations_stand_at_the_base_or_with_their_type() -> None:
    found = statement(
        Operation(name="import-image", definition="http://x/import-image"),
        Operation(name="thumbnail", definition="http://x/thumbnail", type="Binary"),
    )
    require_valid(found)
    assert [one["name"] for one in found["rest"][0]["operation"]] == ["import-image"]
    assert [one["name"] for one in of_type("Binary", found)["operation"]] == ["thumbnail"]
