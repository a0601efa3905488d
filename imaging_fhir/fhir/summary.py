"""Parts of a resource: _summary and _elements (https://hl7.org/fhir/R4/search.html#summary)."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from imaging_fhir.fhir.definitions import definition
from imaging_fhir.model.codec import Resource

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
MODIFIERS = {  # elements that change what the rest means
    "DocumentReference": frozenset({"status"}),
    "Device": frozenset({"status"}),
    "Encounter": frozenset({"status"}),
    "Endpoint": frozenset({"status"}),
    "ImagingStudy": frozenset({"status"}),
    "Location": frozenset({"status"}),
    "Organization": frozenset({"active"}),
    "Patient": frozenset({"active", "deceasedBoolean", "deceasedDateTime", "link"}),
    "ServiceRequest": frozenset({"status", "intent", "doNotPerform"}),
    "Task": frozenset({"status"}),
}


def subset(resource: Resource, *, summary: str | None, elements: Collection[str] = ()) -> Resource:
    """The part asked for, tagged SUBSETTED, and all that R4 demands to be there.

    `summary` is true, text or data; `elements` are names, or names after their type and a dot.
    The resource itself where nothing is asked for.
    """
    type_ = resource["resourceType"]
    match summary:
        case "true":
            cut = summarised(resource, type_)
        case "text":
            cut = kept(resource, ALWAYS | {"text"} | required(type_))
        case "data":
            cut = {name: value for name, value in resource.items() if name != "text"}
        case _:
            names = names_of(type_, elements)
            if not names:
                return resource
            cut = kept(resource, ALWAYS | names | required(type_) | MODIFIERS.get(type_, set()))
    return tagged(with_contained(cut, resource))


def names_of(type_: str, elements: Collection[str]) -> frozenset[str]:
    """The elements of this type among those asked for; a path counts as its first element."""
    own = (name.removeprefix(f"{type_}.") for name in elements)
    return frozenset(name.split(".")[0] for name in own if not name[:1].isupper())


@cache
def required(type_: str) -> frozenset[str]:
    known = definition(type_)
    choices = (known.choices[choice] for choice in known.required_choices)
    return frozenset(known.required).union(*choices)


@cache
def in_summary(type_: str) -> frozenset[str]:
    return frozenset(get_fhir_model_class(type_).summary_elements_sequence()) | required(type_)


def kept(resource: Resource, names: Collection[str]) -> Resource:
    """The elements of these names, with the extensions of primitive ones."""
    return {name: value for name, value in resource.items() if name.removeprefix("_") in names}


def summarised(value: Resource, type_: str) -> Resource:
    """What is in the summary, on every level."""
    elements = definition(type_).elements
    names = in_summary(type_) | (ALWAYS if "resourceType" in value else {"id", "extension"})
    return {
        name: summarised_value(inner, elements[name].type) if name in elements else inner
        for name, inner in kept(value, names).items()
    }


def summarised_value(value: Any, type_: str) -> Any:
    if isinstance(value, list):
        return [summarised_value(item, type_) for item in value]
    if not isinstance(value, dict) or type_ in ("Resource", "Extension", "Meta"):
        return value
    return summarised(value, type_)


def with_contained(cut: Resource, whole: Resource) -> Resource:
    """Contained resources that what was kept refers to; no other (dom-3)."""
    contained = whole.get("contained", ())
    rest = {name: value for name, value in cut.items() if name != "contained"}
    named = set(references(rest))
    needed = [item for item in contained if f"#{item.get('id')}" in named]
    return {**rest, "contained": needed} if needed else rest


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from references(inner)


def tagged(resource: Resource) -> Resource:
    meta = resource.get("meta", {})
    tags = [tag for tag in meta.get("tag", ()) if tag.get("code") != SUBSETTED["code"]]
    return {**resource, "meta": {**meta, "tag": [*tags, SUBSETTED]}}
