"""A resource with just one value, where a search parameter looks for it, and how to ask for it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imaging_fhir.fhir.definitions import Element, definition
from imaging_fhir.fhir.search_index import EXTENSIONS
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.search import SearchParameter

NAMES = ("", "Miller", "Kowalski")  # of different sounds
PREFERRED = ("DateTime", "Date", "Instant", "Boolean", "CodeableConcept")


@dataclass(frozen=True)
class Sample:
    elements: Resource
    text: str  # what finds it


def samples(type_name: str, parameter: SearchParameter, number: int) -> Iterator[Sample]:
    """One for each path; another number makes other values."""
    for path in parameter.paths:
        if parameter.words:
            yield words_sample(number)
        elif parameter.components:
            yield composite_sample(type_name, parameter, path, number)
        else:
            yield sample(type_name, path, parameter, number)


def words_sample(number: int) -> Sample:
    """A narrative, which is also part of all that the resource says."""
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">Said by {NAMES[number]}</div>'
    return Sample({"text": {"status": "generated", "div": div}}, f'"by {NAMES[number]}"')


def composite_sample(type_name: str, parameter: SearchParameter, path: str, number: int) -> Sample:
    """Both parts in one repeat: merged, where the path leads through one."""
    at_path = type_at(type_name, path)
    parts = [sample(at_path, part.paths[0], part, number) for part in parameter.components]
    elements = parts[0].elements | parts[1].elements
    text = "$".join(part.text for part in parts)
    return Sample(nested(type_name, path, elements) if path else elements, text)


def type_at(type_name: str, path: str) -> str:
    for step in path.split(".") if path else []:
        type_name = definition(type_name).elements[step.partition("@")[0]].type
    return type_name


def sample(type_name: str, path: str, parameter: SearchParameter, number: int) -> Sample:
    *before, last = path.split(".")
    last = "deceasedBoolean" if parameter.exists else last
    name, element = element_of(type_at(type_name, ".".join(before)), last)
    value, text = value_of(element, parameter, number)
    elements = {name: [value] if element.is_list else value}
    return Sample(nested(type_name, ".".join(before), elements) if before else elements, text)


def element_of(type_name: str, name: str) -> tuple[str, Element]:
    """Of `value[x]` the first of the types that the tests prefer."""
    known = definition(type_name)
    if name.endswith("[x]"):
        choices = sorted(known.choices[name[:-3]])
        name = next((one for end in PREFERRED for one in choices if one.endswith(end)), choices[0])
    return name, known.elements[name]


def nested(type_name: str, path: str, elements: Resource) -> Resource:
    step, _, rest = path.partition(".")
    name, _, extension = step.partition("@")
    element = definition(type_name).elements[name]
    inner = nested(element.type, rest, elements) if rest else elements
    if extension:
        inner = {"url": EXTENSIONS.get(extension, extension), **inner}
    return {name: [inner] if element.is_list else inner}


def value_of(element: Element, parameter: SearchParameter, number: int) -> tuple[Any, str]:
    """The value, and the text of a search that finds it."""
    value, text = plain_value(element, parameter, number)
    if parameter.where:
        value = {**value, parameter.where[0]: parameter.where[1]}
        text = text.rpartition("|")[2]
    if parameter.typed:
        value = {**value, "type": {"coding": [{"code": parameter.typed[0]}]}}
    if parameter.exists:
        return number == 1, str(number == 1).lower()
    return value, text


def plain_value(element: Element, parameter: SearchParameter, number: int) -> tuple[Any, str]:
    day = f"2024-05-0{number}"
    coding = {"system": "urn:s", "code": f"c{number}"}
    target = parameter.only or (parameter.targets or ("Patient",))[0]
    quantity = {"value": 5 * number, "system": "urn:u", "code": "mm"}
    values: dict[str, tuple[Any, str]] = {
        "CodeableConcept": ({"coding": [coding]}, f"urn:s|c{number}"),
        "Coding": (coding, f"urn:s|c{number}"),
        "Identifier": ({"system": "urn:s", "value": f"i{number}"}, f"urn:s|i{number}"),
        "ContactPoint": ({"system": "phone", "value": f"p{number}"}, f"p{number}"),
        "Reference": ({"reference": f"{target}/r{number}"}, f"{target}/r{number}"),
        "Period": ({"start": day, "end": day}, day),
        "HumanName": ({"family": NAMES[number]}, NAMES[number]),
        "Address": ({"city": NAMES[number]}, NAMES[number]),
        "Quantity": (quantity, f"{5 * number}|urn:u|mm"),
        "Duration": (quantity, f"{5 * number}|urn:u|mm"),
        "SampledData": (
            {
                "origin": {**quantity, "value": 0},
                "period": 1,
                "dimensions": 1,
                "data": f"{5 * number}",
            },
            f"{5 * number}|urn:u|mm",
        ),
        "boolean": (number == 1, str(number == 1).lower()),
        "date": (day, day),
        "dateTime": (f"{day}T10:00:00Z", day),
        "instant": (f"{day}T10:00:00Z", day),
        "canonical": (f"http://x/{number}", f"http://x/{number}"),
        "unsignedInt": (number, str(number)),
    }
    text = f"{NAMES[number]}{number}" if parameter.type == "string" else f"urn:uuid:t{number}"
    if parameter.phonetic:
        text = NAMES[number]
    return values.get(element.type, (text, re.sub(r"([\\,$|])", r"\\\1", text)))
