"""One search parameter with its modifiers, chains and values (search.html#combining)."""

from collections.abc import Iterator

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.fhir import search_terminology
from imaging_fhir.fhir.primitives import is_id
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_limits import MOST_LISTED, TooManyCriteria, fault_of_values
from imaging_fhir.fhir.search_values import Setting, values_of
from imaging_fhir.model.search import (
    DICOM_PARAMETERS,
    Criterion,
    ReverseCriterion,
    SearchParameter,
    TokenValue,
)

MODIFIERS: dict[str, frozenset[str]] = {
    "token": frozenset({"missing", "not", "text", "of-type"}) | search_terminology.MODIFIERS,
    "reference": frozenset({"missing", "text", "identifier"}),
    "string": frozenset({"missing", "exact", "contains"}),
    "uri": frozenset({"missing", "above", "below"}),
    "composite": frozenset(),
}
DEEPEST_CHAIN = 5
LONGEST_NAME = 80  # of a parameter, in a message


class UnknownParameter(Exception):
    """The type has no such search parameter: ignored, or refused where handling is strict."""


def invalid(key: str, why: str, error: type[InvalidRequest] = InvalidRequest) -> InvalidRequest:
    """The name is shown, never the value: it can be a patient's."""
    name = "".join(letter for letter in key[:LONGEST_NAME] if letter.isprintable())
    return error(f"Search parameter {name}: {why}", expression=f"http.{name}")


def criterion_of(
    resource_type: str, key: str, text: str, setting: Setting, *, depth: int = 0
) -> Criterion | ReverseCriterion:
    """What the parameter demands; raise UnknownParameter, InvalidRequest."""
    if depth > DEEPEST_CHAIN:
        raise invalid(key, f"more than {DEEPEST_CHAIN} references are followed.")
    if key == "_list":
        return of_list(key, text)
    if key.startswith("_has:"):
        return reverse_criterion(resource_type, key, text, setting, depth)
    head, dot, rest = key.partition(".")
    name, colon, modifier = head.partition(":")
    parameter = parameter_of(resource_type, name)
    if dot:
        return chained(parameter, key, modifier or None, rest, text, setting, depth)
    if colon:
        require_modifier(resource_type, parameter, modifier, key)
    if parameter.type == "token" and modifier in search_terminology.MODIFIERS:
        return terminology_criterion(resource_type, parameter, key, modifier, text)
    return plain_criterion(parameter, key, modifier or None, text, setting)


def parameter_of(resource_type: str, name: str) -> SearchParameter:
    parameter = RESOURCE_TYPES[resource_type].by_name.get(name)
    if parameter is None:
        raise UnknownParameter(name)
    return parameter


def require_modifier(
    resource_type: str, parameter: SearchParameter, modifier: str, key: str
) -> None:
    """Dropping a modifier would change the meaning: it is refused whatever the handling."""
    known = MODIFIERS.get(parameter.type, frozenset({"missing"}))
    if parameter.name == "_id" or is_dicom(resource_type, parameter):
        known = frozenset({"missing", "not"} if parameter.type == "token" else {"missing"})
    if parameter.phonetic or parameter.words:
        known = frozenset({"missing"})
    is_type = parameter.type == "reference" and modifier in RESOURCE_NAMES
    if modifier not in known and not is_type:
        raise invalid(key, "there is no such modifier here.")


def is_dicom(resource_type: str, parameter: SearchParameter) -> bool:
    return resource_type == "ImagingStudy" and parameter.name in DICOM_PARAMETERS


def plain_criterion(
    parameter: SearchParameter, key: str, modifier: str | None, text: str, setting: Setting
) -> Criterion:
    try:
        values = values_of(parameter, modifier, text, setting)
    except ValueError as error:
        kind = "search for words" if parameter.words else parameter.type
        raise invalid(key, f"its value is no {kind} as this server reads it.") from error
    if not values:
        raise invalid(key, "it has no value.")
    too_many = fault_of_values(parameter, modifier, values)
    if too_many is not None:
        raise invalid(key, too_many, TooManyCriteria)
    return Criterion(
        parameter=parameter.name,
        type="text" if parameter.words else parameter.type,
        modifier=None if modifier in RESOURCE_NAMES else modifier,
        values=values,
    )


def terminology_criterion(
    resource_type: str, parameter: SearchParameter, key: str, modifier: str, text: str
) -> Criterion:
    """A search for the codes themselves; `:not-in` is a `:not` of them."""
    try:
        values = search_terminology.tokens(resource_type, parameter, modifier, text)
    except search_terminology.NotKnown as error:
        raise invalid(key, str(error)) from error
    except ValueError as error:
        raise invalid(key, "its value is no code with its system.") from error
    if not values:
        raise invalid(key, "it has no value.")
    negated = "not" if modifier == "not-in" else None
    return Criterion(parameter=parameter.name, type="token", modifier=negated, values=values)


def chained(
    parameter: SearchParameter,
    key: str,
    type_: str | None,
    rest: str,
    text: str,
    setting: Setting,
    depth: int,
) -> Criterion:
    """`patient.identifier`, `subject:Patient.name`: what the target must fulfil, type by type."""
    if parameter.type != "reference":
        raise invalid(key, "it is no reference that could be followed.")
    if type_ is not None and type_ not in RESOURCE_NAMES:
        raise invalid(key, "there is no such resource type.")
    links = tuple(links_of(target_types(parameter, type_), rest, text, setting, depth))
    if not links:
        raise UnknownParameter(key)
    return Criterion(parameter=parameter.name, type="reference", chain=links)


def target_types(parameter: SearchParameter, type_: str | None) -> list[str]:
    """The types served here that the parameter may refer to."""
    allowed = parameter.targets or tuple(RESOURCE_TYPES)
    return [name for name in allowed if name in RESOURCE_TYPES and type_ in (None, name)]


def links_of(
    types: list[str], rest: str, text: str, setting: Setting, depth: int
) -> Iterator[tuple[str, Criterion | ReverseCriterion]]:
    for name in types:
        try:
            yield name, criterion_of(name, rest, text, setting, depth=depth + 1)
        except UnknownParameter:
            continue  # of several target types those count that know the parameter


def of_list(key: str, text: str) -> ReverseCriterion:
    """`_list=42` (search.html#list): what is an item of List/42, of several lists, of any."""
    ids = [part.strip() for part in text.split(",")]
    if not all(is_id(one) for one in ids):
        raise invalid(key, "it is no id of a List, and there are no functional lists here.")
    if len(ids) > MOST_LISTED:
        raise invalid(key, f"it has more than {MOST_LISTED} values.", TooManyCriteria)
    values = tuple(TokenValue(system=None, value=one) for one in ids)
    lists = Criterion(parameter="_id", type="token", values=values)
    return ReverseCriterion(resource_type="List", reference_parameter="item", criterion=lists)


def reverse_criterion(
    resource_type: str, key: str, text: str, setting: Setting, depth: int
) -> ReverseCriterion:
    """`_has:DocumentReference:encounter:type=…` (search.html#has)"""
    parts = key.split(":", 3)
    if len(parts) != 4:
        raise invalid(key, "it is not of the form _has:TYPE:REFERENCE:PARAMETER.")
    _, source_type, name, rest = parts
    if source_type not in RESOURCE_TYPES:
        raise UnknownParameter(key)
    reference = parameter_of(source_type, name)
    if reference.type != "reference" or resource_type not in target_types(reference, None):
        raise UnknownParameter(key)
    return ReverseCriterion(
        resource_type=source_type,
        reference_parameter=name,
        criterion=criterion_of(source_type, rest, text, setting, depth=depth + 1),
    )
