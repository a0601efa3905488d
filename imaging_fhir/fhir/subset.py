"""A resource cut to what was asked for: `_summary` and `_elements` (search.html#summary)."""

from collections.abc import Collection
from functools import cache
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from imaging_fhir.fhir.canonical import OBSERVATION_VALUE
from imaging_fhir.fhir.definitions import definition
from imaging_fhir.model.codec import Resource

ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
MODIFIERS = frozenset({"status", "active", "deceasedBoolean", "deceasedDateTime", "link"})
SUBSETTED = {
    "system": OBSERVATION_VALUE,
    "code": "SUBSETTED",
    "display": "Resource encoded in summary mode",
}


def is_cut(summary: str | None, elements: Collection[str]) -> bool:
    return bool(elements) or summary in ("true", "text", "data")


def wants_instances(summary: str | None, elements: Collection[str]) -> bool:
    """Would the instances of an ImagingStudy be shown?"""
    if elements:
        return any(name.rpartition(".")[2] == "series" for name in elements)
    return summary in (None, "data")


def subset(resource: Resource, *, summary: str | None, elements: Collection[str]) -> Resource:
    """The cut resource, which says so by a tag; `_elements` comes before `_summary`."""
    type_name = resource["resourceType"]
    if elements:
        kept = only(resource, asked_for(type_name, elements) | required(type_name) | MODIFIERS)
    elif summary == "true":
        kept = summarised(type_name, resource)
    elif summary == "text":
        kept = only(resource, required(type_name) | {"text"})
    elif summary == "data":
        kept = {name: value for name, value in resource.items() if name != "text"}
    else:
        return resource
    meta = kept.get("meta", {})
    return {**kept, "meta": {**meta, "tag": [*meta.get("tag", []), SUBSETTED]}}


def asked_for(type_name: str, elements: Collection[str]) -> frozenset[str]:
    """Those of this type: `name`, or `Type.name` where a Bundle has several types."""
    return frozenset(
        name.rpartition(".")[2] for name in elements if name.rpartition(".")[0] in ("", type_name)
    )


def required(type_name: str) -> frozenset[str]:
    found = definition(type_name)
    names = {name for choice in found.required_choices for name in found.choices[choice]}
    return frozenset(names | set(found.required))


def only(resource: Resource, names: Collection[str]) -> Resource:
    """The elements with what extends their primitive values (`_name`)."""
    kept = ALWAYS | frozenset(names)
    return {name: value for name, value in resource.items() if name.removeprefix("_") in kept}


def summarised(type_name: str, value: Any) -> Any:
    """The elements that R4 marks with a Σ, in backbone elements as well."""
    if isinstance(value, list):
        return [summarised(type_name, item) for item in value]
    if not isinstance(value, dict):
        return value
    names, elements = summary_elements(type_name), definition(type_name).elements
    return {
        name: summarised(elements[name].type, item)
        if name in elements and is_backbone(elements[name].type, type_name)
        else item
        for name, item in value.items()
        if name.removeprefix("_") in names | ALWAYS | required(type_name)
    }


def is_backbone(type_name: str, owner: str) -> bool:
    return type_name.startswith(owner) and type_name != owner


@cache
def summary_elements(type_name: str) -> frozenset[str]:
    return frozenset(
        info.alias or name
        for name, info in get_fhir_model_class(type_name).model_fields.items()
        if isinstance(info.json_schema_extra, dict)
        and info.json_schema_extra.get("summary_element_property")
    )
