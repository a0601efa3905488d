"""The values of search parameters (https://hl7.org/fhir/R4/search.html#ptypes), read from text.

Every reader raises ValueError for what is no value of its type.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation

from imaging_fhir.fhir.literal_reference import Target, target_of
from imaging_fhir.fhir.primitives import is_id
from imaging_fhir.fhir.search_dates import interval_of_text, micros
from imaging_fhir.fhir.search_text import words_value
from imaging_fhir.fhir.soundex import soundex
from imaging_fhir.fhir.ucum import scale
from imaging_fhir.model.reference import at_home
from imaging_fhir.model.search import (
    DICOM_PARAMETERS,
    CompositeValue,
    DateValue,
    QuantityValue,
    ReferenceValue,
    SearchParameter,
    SearchValue,
    SimpleValue,
    TokenValue,
)
from imaging_fhir.model.text import folded

OID = "urn:oid:"
_PREFIXED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\,$|])")
_PIECE = re.compile(r"\\.|.", re.DOTALL)
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a value's meaning hangs on: our own base, the zone of dates, and the time it is.

    References into the EHR that is the master, of what is copied from it, are to the copies.
    """

    base: str
    zone: tzinfo
    now: datetime
    ehr_base: str = ""


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that no backslash escapes; the escapes stay."""
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece == separator:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def values_of(
    parameter: SearchParameter, modifier: str | None, text: str, setting: Setting
) -> tuple[SearchValue, ...]:
    """The alternatives that commas part; an empty one is none."""
    if modifier == "missing":
        if text not in ("true", "false"):
            raise ValueError(":missing is true or false.")
        return (text,)
    alternatives = [part for part in split(text, ",") if part.strip()]
    if parameter.words:
        return tuple(words_value(unescaped(part)) for part in alternatives)
    if parameter.components:
        return tuple(composite_value(parameter, part, setting) for part in alternatives)
    read = reader(parameter, modifier)
    return tuple(value for part in alternatives for value in read(part, setting))


Reader = Callable[[str, Setting], Iterable[SimpleValue]]


def reader(parameter: SearchParameter, modifier: str | None) -> Reader:
    match modifier:
        case "identifier":
            return lambda text, setting: [token_value(text)]
        case "of-type":
            return lambda text, setting: [of_type_value(text)]
        case "text":
            return lambda text, setting: [unescaped(text)]
    match parameter.type:
        case "token":
            return lambda text, setting: token_values(parameter, text)
        case "reference":
            return lambda text, setting: reference_values(parameter, modifier, text, setting)
        case "date":
            return lambda text, setting: [date_value(text, setting)]
        case "quantity" | "number":
            return lambda text, setting: [quantity_value(text)]
        case "string" if parameter.phonetic:
            return lambda text, setting: sound_values(text)
    return lambda text, setting: [unescaped(text)]


def token_values(parameter: SearchParameter, text: str) -> list[TokenValue]:
    value = token_value(text)
    if parameter.name == "_id" and not (value.system is None and is_id(value.value or "")):
        raise ValueError("No id.")
    if parameter.system and value.system == parameter.system:
        value = TokenValue(system=None, value=value.value)
    return spellings(value, parameter) if parameter.uid else [value]


def token_value(text: str) -> TokenValue:
    parts = [unescaped(part.strip()) for part in split(text, "|")]
    match parts:
        case [value]:
            return TokenValue(system=None, value=value)
        case [system, value] if system or value:
            return TokenValue(system=system, value=value or None)
    raise ValueError("No token.")


def of_type_value(text: str) -> TokenValue:
    """`system|code|value` of Identifier.type and Identifier.value."""
    match [unescaped(part) for part in split(text, "|")]:
        case [system, code, value] if code and value:
            return TokenValue(system=None, value=value, type_system=system or None, type_code=code)
    raise ValueError("No type and value.")


def spellings(token: TokenValue, parameter: SearchParameter) -> list[TokenValue]:
    """A DICOM UID with and without `urn:oid:`; what the DICOM index answers, without."""
    bare = (token.value or "").removeprefix(OID)
    if parameter.name in DICOM_PARAMETERS:
        return [TokenValue(system=token.system, value=bare or None)]
    if not _UID.fullmatch(bare):
        return [token]
    return [TokenValue(system=token.system, value=text) for text in (OID + bare, bare)]


def reference_values(
    parameter: SearchParameter, modifier: str | None, text: str, setting: Setting
) -> list[ReferenceValue]:
    """An id alone is one of any type that the parameter refers to."""
    text = unescaped(text.strip())
    types = (modifier,) if modifier else parameter.targets
    if is_id(text):
        return [ReferenceValue(target_type=type_, target_id=text) for type_ in types or (None,)]
    target = literal_target(text, setting)
    if target.type is not None and types and target.type not in types:
        raise ValueError("A reference to another type.")
    return [ReferenceValue(target_type=target.type, target_id=target.id, url=target.url)]


def literal_target(text: str, setting: Setting) -> Target:
    target = target_of(at_home(text, setting.ehr_base), base=setting.base)
    if target is None or (target.url is not None and ":" not in text):
        raise ValueError("No reference.")
    return target


def composite_value(parameter: SearchParameter, text: str, setting: Setting) -> CompositeValue:
    """`first$second`, each as its own type is written."""
    parts = split(text, "$")
    if len(parts) != len(parameter.components) or not all(part.strip() for part in parts):
        raise ValueError("Not one value for each part.")
    first, second = (
        tuple(reader(component, None)(part, setting))
        for component, part in zip(parameter.components, parts, strict=True)
    )
    return CompositeValue(first=first, second=second)


def date_value(text: str, setting: Setting) -> DateValue:
    prefix, moment = prefixed(text.strip())
    interval = interval_of_text(moment.replace(" ", "+"), setting.zone)  # a plus sign, decoded
    if interval is None:
        raise ValueError("No date.")
    low, high = interval
    if prefix == "ap":
        low, high = widened(low, high, micros(setting.now))
    return DateValue(prefix=prefix, low=low, high=high)


def widened(low: int, high: int, now: int) -> tuple[int, int]:
    """By a tenth of the distance from now (search.html#prefix)."""
    margin = abs(now - (low + high) // 2) // 10
    return low - margin, high + margin


def prefixed(text: str) -> tuple[str, str]:
    match = _PREFIXED.fullmatch(text)
    return (match[1] or "eq", match[2]) if match else ("eq", text)


def quantity_value(text: str) -> QuantityValue:
    """`number`, `number|system|code` or `number||code`, with a prefix."""
    number, *unit = [unescaped(part) for part in split(text, "|")]
    if len(unit) not in (0, 2):
        raise ValueError("No quantity.")
    prefix, digits = prefixed(number.strip())
    try:
        value = Decimal(digits)
    except InvalidOperation as error:
        raise ValueError("No number.") from error
    if not value.is_finite() or abs(value.adjusted()) > 300:
        raise ValueError("No number of any measure.")
    margin = margin_of(value, prefix)  # of many digits less than what a float can tell
    system, code = unit or ("", "")
    given = QuantityValue(
        prefix=prefix,
        value=float(value),
        low=float(value - margin),
        high=above(float(value), float(value + margin)),
        system=system or None,
        code=code or None,
    )
    return replace(given, base=in_base_unit(given))


def above(value: float, high: float) -> float:
    return max(high, math.nextafter(value, math.inf))


def in_base_unit(given: QuantityValue) -> QuantityValue | None:
    known = scale(given.system, given.code)
    if known is None:
        return None
    value = known.of(given.value)
    return QuantityValue(
        prefix=given.prefix,
        value=value,
        low=min(value, known.of(given.low)),
        high=above(value, known.of(given.high)),
        code=known.unit,
    )


def margin_of(value: Decimal, prefix: str) -> Decimal:
    """Half of the last digit given; a tenth where the value is approximate."""
    exponent = value.as_tuple().exponent
    half = Decimal(5).scaleb(int(exponent) - 1)
    return max(half, abs(value) / 10) if prefix == "ap" else half


def sound_values(text: str) -> list[str]:
    """Of several words any will do: the parameter looks for a part of a name."""
    return [soundex(folded(word)) for word in re.findall(r"\w+", unescaped(text))]
