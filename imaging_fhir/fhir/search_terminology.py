"""`:in`, `:not-in`, `:above` and `:below` of tokens (https://hl7.org/fhir/R4/search.html#token).

They become the codes that they stand for: the index knows no value sets.
"""

from collections.abc import Callable, Iterator

from imaging_fhir.fhir import terminology
from imaging_fhir.fhir.definitions import definition
from imaging_fhir.fhir.search_values import split, token_value
from imaging_fhir.model.search import SearchParameter, TokenValue

MODIFIERS = frozenset({"in", "not-in", "above", "below"})
HIERARCHY: dict[str, Callable[[str, str], set[str] | None]] = {
    "above": terminology.above,
    "below": terminology.below,
}


class NotKnown(Exception):
    """Why the codes are not known here."""


def tokens(
    resource_type: str, parameter: SearchParameter, modifier: str, text: str
) -> tuple[TokenValue, ...]:
    """Every token that the texts stand for; raise NotKnown, ValueError."""
    system_of_codes = "" if is_code(resource_type, parameter) else None
    found = (
        TokenValue(system=system if system_of_codes is None else system_of_codes, value=code)
        for part in split(text, ",")
        if part.strip()
        for system, code in codes(modifier, part.strip())
    )
    return tuple(dict.fromkeys(found))


def codes(modifier: str, text: str) -> Iterator[tuple[str, str | None]]:
    if modifier in HIERARCHY:
        yield from codes_of_hierarchy(modifier, text)
        return
    known = terminology.codes_in(text)
    if known is None:
        raise NotKnown("the value set is not known here.")
    for system, of_system in sorted(known.items()):
        for code in sorted(of_system):
            yield system, None if code == terminology.EVERY else code


def codes_of_hierarchy(modifier: str, text: str) -> Iterator[tuple[str, str]]:
    token = token_value(text)
    if not token.system or token.value is None:
        raise ValueError("A code without its system stands nowhere in a hierarchy.")
    known = HIERARCHY[modifier](token.system, token.value)
    if known is None:
        raise NotKnown("the hierarchy of its codes is not known here.")
    for code in sorted(known):
        yield token.system, code


def is_code(resource_type: str, parameter: SearchParameter) -> bool:
    """Is it an element of type `code`, whose system is left unsaid?"""
    return any(type_at(resource_type, path.split(".")) == "code" for path in parameter.paths)


def type_at(type_name: str, steps: list[str]) -> str:
    """Empty where the path leads to any of several types."""
    for step in steps:
        element = definition(type_name).elements.get(step.partition("@")[0])
        if element is None:
            return ""
        type_name = element.type
    return type_name
