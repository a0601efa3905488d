"""A search by the book: R4's own FHIRPath expressions on every resource, one by one.

What a parameter looks at is told by HL7's expressions and an evaluator that is not ours
(fhirpathpy); what a value means is told here anew. Only for our own parameters the expression is
the one that we publish.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from fhirpathpy import compile as compiled
from fhirpathpy.models import models

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_parameter_resource import expression_of
from imaging_fhir.fhir.soundex import soundex
from imaging_fhir.model.codec import Resource
from tests.judged_values import (
    contains_date,
    contains_number,
    interval,
    measure,
    precision,
    prefixed,
)
from tests.r4_parameters import R4Parameter, r4_parameters

CONTACTS = ("phone", "fax", "email", "pager", "url", "sms", "other")
NAME = ("text", "family", "given", "prefix", "suffix")
PARTS = (*NAME, "line", "city", "district", "state", "postalCode", "country")
PLAIN = {ord("ø"): "o", ord("đ"): "d", ord("ł"): "l", 0x131: "i"}


@dataclass(frozen=True, eq=False)
class Kept:
    """A resource as it is stored, `meta` and all."""

    type: str
    id: str
    rid: int
    content: Resource

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass
class Judge:
    kept: Sequence[Kept]
    base: str
    zone: Any
    reached: dict[tuple[int, str], list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_reference = {one.reference: one for one in self.kept}

    def found(self, type_: str, parameters: Sequence[tuple[str, str]]) -> list[Kept]:
        """The matches in order."""
        asked = [pair for pair in parameters if pair[0] != "_sort"]
        matches = [
            one for one in self.of_type(type_) if all(self.fulfils(one, *pair) for pair in asked)
        ]
        keys = [key for name, text in parameters if name == "_sort" for key in text.split(",")]
        return self.ordered(matches, keys)

    def ordered(self, matches: list[Kept], keys: list[str]) -> list[Kept]:
        """The newest first; then by each key from the last, what has none at the end."""
        matches = sorted(matches, key=lambda one: -one.rid)
        for key in reversed(keys):
            name, descending = key.removeprefix("-"), key.startswith("-")
            values = {one.rid: self.sort_value(one, name, descending) for one in matches}
            there = [one for one in matches if values[one.rid] is not None]
            there.sort(key=lambda one: values[one.rid], reverse=descending)
            matches = there + [one for one in matches if values[one.rid] is None]
        return matches

    def fulfils(self, one: Kept, key: str, text: str) -> bool:
        if key.startswith("_has:"):
            _, source, name, rest = key.split(":", 3)
            return any(
                self.refers(other, name, one) and self.fulfils(other, rest, text)
                for other in self.of_type(source)
            )
        head, dot, rest = key.partition(".")
        name, _, modifier = head.partition(":")
        if dot:
            return any(
                self.fulfils(other, rest, text)
                for other in self.referred_to(one, name)
                if modifier in ("", other.type) and knows(other.type, rest)
            )
        return self.has(one, name, modifier, text)

    def refers(self, one: Kept, name: str, other: Kept) -> bool:
        return other in self.referred_to(one, name)

    def referred_to(self, one: Kept, name: str) -> list[Kept]:
        targets = definition(one.type, name).targets
        literals = [
            self.literal(value.get("reference"))
            for value in self.values(one, name)
            if isinstance(value, dict)
        ]
        found = [self.by_reference[text] for text in literals if text in self.by_reference]
        return [other for other in found if not targets or other.type in targets]

    def of_type(self, type_: str) -> list[Kept]:
        return [one for one in self.kept if one.type == type_]

    def has(self, one: Kept, name: str, modifier: str, text: str) -> bool:
        parameter = definition(one.type, name)
        values = self.values(one, name)
        if modifier == "missing":
            return any(True for value in values if says(parameter, value)) == (text == "false")
        matches = any(
            self.is_meant(parameter, value, modifier, wanted)
            for wanted in split(text, ",")
            for value in values
        )
        return matches != (modifier == "not")

    def values(self, one: Kept, name: str) -> list[Any]:
        """What the parameter's expression leads to; of a composite the repeats."""
        key = (one.rid, name)
        if key not in self.reached:
            self.reached[key] = list(evaluated(definition(one.type, name), one.content, one.type))
        return self.reached[key]

    def is_meant(self, parameter: R4Parameter, value: Any, modifier: str, wanted: str) -> bool:
        match parameter.type:
            case "composite":
                parts = zip(value, split(wanted, "$"), strict=True)
                return all(
                    any(self.is_part(one, part, parameter, at) for one in reached)
                    for at, (reached, part) in enumerate(parts)
                )
            case "token":
                return token_is_meant(value, modifier, wanted)
            case "reference":
                return self.reference_is_meant(parameter, value, modifier, wanted)
            case "date":
                return self.date_is_meant(value, wanted)
            case "string":
                return string_is_meant(parameter, value, modifier, unescaped(wanted))
            case "uri":
                return bool(value == unescaped(wanted))
        return quantity_is_meant(value, wanted)

    def is_part(self, value: Any, wanted: str, parameter: R4Parameter, at: int) -> bool:
        """The second part of each is of the type that the parameter's name ends with."""
        if parameter.name == "relationship":
            kind = ("reference", "token")[at]
        else:
            endings = {"quantity": "quantity", "date": "date", "string": "string"}
            kind = "token" if at == 0 else endings.get(parameter.name.rpartition("-")[2], "token")
        part = R4Parameter(parameter.name, kind, "", frozenset(), (), "")
        if kind == "token" and not token_codes(value):
            return False
        return self.is_meant(part, value, "", wanted)

    def reference_is_meant(
        self, parameter: R4Parameter, value: Any, modifier: str, wanted: str
    ) -> bool:
        value = {"reference": value} if isinstance(value, str) else value
        if modifier == "text":
            return folded(value.get("display", "")).startswith(folded(unescaped(wanted)))
        if modifier == "identifier":
            identifier = value.get("identifier", {})
            return "value" in identifier and token_is_meant(identifier, "exact", wanted)
        literal, wanted = self.literal(value.get("reference")), unescaped(wanted)
        if literal is None:
            return False
        if "/" not in wanted and ":" not in wanted:
            type_, _, id_ = literal.rpartition("/")
            allowed = (modifier,) if modifier else parameter.targets
            return id_ == wanted and ":" not in type_ and (not allowed or type_ in allowed)
        return literal == self.literal(wanted)

    def literal(self, text: str | None) -> str | None:
        """Relative where it is ours, without a version."""
        if text is None or text.startswith("#"):
            return None
        return text.removeprefix(self.base + "/").partition("/_history/")[0]

    def date_is_meant(self, value: Any, wanted: str) -> bool:
        known = period(value, self.zone)
        prefix, moment = prefixed(unescaped(wanted))
        asked = interval(moment, self.zone)
        return known is not None and contains_date(known, asked, prefix)

    def sort_value(self, one: Kept, name: str, descending: bool) -> Any:
        parameter = definition(one.type, name)
        found = [
            part for value in self.values(one, name) for part in self.sorted_by(parameter, value)
        ]
        return (max if descending else min)(found) if found else None

    def sorted_by(self, parameter: R4Parameter, value: Any) -> Iterator[Any]:
        match parameter.type:
            case "token":
                yield from (folded(code) for _, code in token_codes(value))
            case "reference":
                literal = self.literal(value if isinstance(value, str) else value.get("reference"))
                if literal and ":" not in literal:
                    yield literal.rpartition("/")[2]
            case "date":
                if (known := period(value, self.zone)) is not None:
                    yield known[0]
            case "string":
                yield from (key for _, key in strings(parameter, value))
            case "uri":
                yield value
            case _:
                if (known_measure := measure(value)) is not None:
                    yield known_measure.low


@cache
def definition(type_name: str, name: str) -> R4Parameter:
    """R4's, but for what is ours, and for what docs/conformance.md says that it looks at more."""
    found = r4_parameters(type_name).get(name)
    own = RESOURCE_TYPES[type_name].by_name[name]
    if (type_name, name) == ("ImagingStudy", "modality"):
        found = None
    if found is not None:
        return found
    return R4Parameter(
        name, own.type, expression_of(type_name, own), frozenset(own.targets), (), own.url
    )


def knows(type_name: str, key: str) -> bool:
    if key.startswith("_has:"):
        source, name = key.split(":")[1:3]
        targets = definition(source, name).targets
        return not targets or type_name in targets
    return key.partition(".")[0].partition(":")[0] in RESOURCE_TYPES[type_name].by_name


@cache
def evaluator(expression: str) -> Any:
    """`as` of several values is an error in FHIRPath, and in R4's expressions: each is meant."""
    every = re.sub(r"\((\S+) as (\w+)\)", r"\1.ofType(\2)", expression).replace(".as(", ".ofType(")
    return compiled(every, model=models["r4"])


def evaluated(parameter: R4Parameter, content: Resource, type_name: str) -> Iterator[Any]:
    expression = parameter.expression
    if parameter.components:
        for base in expression.split(" | "):
            yield from repeats(parameter, content, base.strip())
        return
    if expression.startswith("Resource."):
        expression = expression.replace("Resource", type_name, 1)
    only = None
    if ".where(resolve() is " in expression:  # by what the reference says: nothing is fetched
        only = expression.partition("resolve() is ")[2].partition(")")[0]
        expression = expression.replace(f".where(resolve() is {only})", "")
    for value in evaluator(expression)(content):
        if only is None or type_said(value) in (None, only):
            yield value


def repeats(
    parameter: R4Parameter, content: Resource, base: str
) -> Iterator[tuple[list[Any], ...]]:
    """The values of the components in each repeat, asked for in a resource that has but that."""
    type_name, _, element = base.partition(".")
    alone = [{**content}] if not element else [
        {"resourceType": type_name, element: [one]} for one in content.get(element, ())
    ]  # fmt: skip
    for one in alone:
        yield tuple(evaluator(within(base, component))(one) for component in parameter.components)


def within(base: str, component: str) -> str:
    parts = component.replace("DateTime", "dateTime").split(" | ")
    return " | ".join(f"{base}.{part}" for part in parts)


def type_said(value: Any) -> str | None:
    segments = (value.get("reference") or "").partition("/_history/")[0].split("/")
    known = segments[-2] if len(segments) > 1 else None
    return known or value.get("type")


def says(parameter: R4Parameter, value: Any) -> bool:
    """Is there anything in it that the parameter could look at?"""
    match parameter.type:
        case "token":
            return bool(token_codes(value) or token_texts(value))
        case "reference":
            value = {"reference": value} if isinstance(value, str) else value
            literal = not (value.get("reference") or "#").startswith("#")
            return literal or "display" in value or "value" in value.get("identifier", {})
        case "date":
            return period(value, None) is not None
        case "string":
            return bool(strings(parameter, value))
        case "quantity" | "number":
            return measure(value) is not None
    return True


def folded(text: str) -> str:
    """Case and accents away (search.html#string)."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return plain.translate(PLAIN)


def token_codes(value: Any) -> list[tuple[str | None, str]]:
    """System and code of each thing that it is."""
    if isinstance(value, bool):
        return [(None, str(value).lower())]
    if isinstance(value, str):
        return [(None, value)]
    if "coding" in value or "text" in value:
        return [pair for coding in value.get("coding", ()) for pair in token_codes(coding)]
    if "value" in value:
        system = value.get("system")
        return [(value.get("use") if system in CONTACTS else system, value["value"])]
    return [(value.get("system"), value["code"])] if "code" in value else []


def token_texts(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    if "value" in value:
        type_ = value.get("type", {})
        displays = [coding.get("display") for coding in type_.get("coding", ())]
        return [type_["text"]] if "text" in type_ else [one for one in displays if one]
    displays = [value.get("display"), value.get("text")]
    displays += [coding.get("display") for coding in value.get("coding", ())]
    return [one for one in displays if one]


def token_is_meant(value: Any, modifier: str, wanted: str) -> bool:
    if modifier == "text":
        return any(folded(one).startswith(folded(unescaped(wanted))) for one in token_texts(value))
    parts = [unescaped(part) for part in split(wanted, "|")]
    if modifier == "of-type":
        types = [
            (coding.get("system"), coding.get("code"))
            for coding in value.get("type", {}).get("coding", ())
        ]
        is_type = any(parts[0] in ("", system) and parts[1] == code for system, code in types)
        return is_type and folded(value["value"]) == folded(parts[2])
    system, code = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    same = str if modifier == "exact" else folded
    return any(
        (system is None or (known or "") == system) and (code == "" or same(one) == same(code))
        for known, one in token_codes(value)
    )


def strings(parameter: R4Parameter, value: Any) -> list[tuple[str, str]]:
    """Each text, and what it is compared by."""
    texts = [value] if isinstance(value, str) else [
        text
        for part in PARTS
        for text in (value.get(part) if isinstance(value.get(part), list) else [value.get(part)])
        if text
    ]  # fmt: skip
    if parameter.name == "phonetic":
        return [(word, soundex(folded(word))) for text in texts for word in words(text)]
    return [(text, folded(text)) for text in texts]


def words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def string_is_meant(parameter: R4Parameter, value: Any, modifier: str, wanted: str) -> bool:
    if parameter.name == "phonetic":
        sounds = {soundex(folded(word)) for word in words(wanted)}
        return any(sound in sounds for _, sound in strings(parameter, value))
    match modifier:
        case "exact":
            return any(text == wanted for text, _ in strings(parameter, value))
        case "contains":
            return any(folded(wanted) in key for _, key in strings(parameter, value))
    return any(key.startswith(folded(wanted)) for _, key in strings(parameter, value))


def period(value: Any, zone: Any) -> tuple[Any, Any] | None:
    """A date, dateTime, instant, Period or Timing."""
    if isinstance(value, str):
        return interval(value, zone)
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if "event" in value or bounds:
        found = [interval(event, zone) for event in value.get("event", ())]
        found += [known] if bounds and (known := period(bounds, zone)) else []
        return min(low for low, _ in found), max(high for _, high in found)
    if "start" not in value and "end" not in value:
        return None
    low = interval(value["start"], zone)[0] if "start" in value else -(2**62)
    return low, interval(value["end"], zone)[1] if "end" in value else 2**62


def quantity_is_meant(value: Any, wanted: str) -> bool:
    number, *unit = [unescaped(part) for part in split(wanted, "|")]
    prefix, digits = prefixed(number)
    asked = precision(Decimal(digits), prefix)
    known = measure(value)
    return known is not None and contains_number(known, asked, prefix, unit)


def split(text: str, separator: str) -> list[str]:
    parts, escaped = [""], False
    for letter in text:
        if letter == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return parts


def unescaped(text: str) -> str:
    for letter in ",|$":
        text = text.replace("\\" + letter, letter)
    return text.replace("\\\\", "\\")
