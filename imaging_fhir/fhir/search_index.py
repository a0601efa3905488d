"""What the search index holds of a resource, by the table of search parameters."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo
from functools import cache
from itertools import product
from typing import Any

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.dicom_identity import OWN_ELEMENTS
from imaging_fhir.fhir.literal_reference import Target, target_of, type_in
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_dates import interval_of
from imaging_fhir.fhir.search_text import text_entries
from imaging_fhir.fhir.soundex import soundex
from imaging_fhir.fhir.ucum import scale
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.dicom_attribute import match_rows
from imaging_fhir.model.search import (
    DICOM_PARAMETERS,
    CompositeEntry,
    DateEntry,
    IndexEntry,
    QuantityEntry,
    ReferenceEntry,
    SearchParameter,
    SimpleEntry,
    StringEntry,
    TextEntry,
    TokenEntry,
    UriEntry,
)
from imaging_fhir.model.text import folded

OF_THE_ROW = frozenset({"_id", "_lastUpdated"})  # read from the resource's row itself
CONTACT_SYSTEMS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
NAME_PARTS = ("text", "family", "given", "prefix", "suffix")
ADDRESS_PARTS = ("text", "line", "city", "district", "state", "postalCode", "country")
PARTS = (*NAME_PARTS, *ADDRESS_PARTS[1:])
UNBOUNDED = float("inf")
LISTS = (list, tuple)
Path = tuple[str, ...]
EXTENSIONS = {  # by the names they have in paths
    "body-site": canonical.DOCUMENT_BODY_SITE,
    "modality": canonical.DOCUMENT_MODALITY,
}


def index_entries(
    resource_type: str, resource: Resource, *, zone: tzinfo | None = None
) -> list[IndexEntry]:
    """All entries of a valid resource, each once; `zone` is that of its dates without a time."""
    found: dict[IndexEntry, None] = {}
    for parameter, paths in indexed_parameters(resource_type):
        values = [
            value
            for first, path in paths
            if leads(resource, first)
            for value in reached(resource, path)
        ]
        if values or parameter.exists:
            for entry in entries_of(parameter, values, zone or UTC):
                found[entry] = None
    return [*found, *identity_entries(resource_type, resource)]


def identity_entries(resource_type: str, resource: Resource) -> list[StringEntry]:
    """By what corrected studies are found in DICOM's own queries: their Patient's and visit's."""
    elements = OWN_ELEMENTS[resource_type](resource) if resource_type in OWN_ELEMENTS else {}
    return [
        StringEntry(parameter=row.path, value=str(row.item), folded=row.value)
        for row in match_rows(elements)
    ]


def leads(resource: Resource, first: str) -> bool:
    """May a path that begins so lead to anything? A quick look, since most lead nowhere."""
    return first in resource or not first or first[-1] == "]" or "@" in first


def study_entries(
    head: Resource, series_heads: Sequence[Resource], *, zone: tzinfo | None = None
) -> list[IndexEntry]:
    """Of an ImagingStudy without its instances: those are found by the DICOM index.

    The words of each series are an entry of their own, so that one more can be added alone.
    """
    whole = index_entries("ImagingStudy", {**head, "series": series_heads}, zone=zone)
    others = [entry for entry in whole if not isinstance(entry, TextEntry)]
    parts = [head, *({"series": series} for series in series_heads)]
    texts = (entry for part in parts for entry in texts_of_study(part))
    return [*others, *dict.fromkeys(texts)]


def texts_of_study(part: Resource) -> Iterator[IndexEntry]:
    for parameter in RESOURCE_TYPES["ImagingStudy"].search_parameters:
        if parameter.words:
            values = [value for path in steps_of(parameter) for value in reached(part, path)]
            yield from text_entries(parameter, values)


@cache
def indexed_parameters(
    resource_type: str,
) -> tuple[tuple[SearchParameter, tuple[tuple[str, Path], ...]], ...]:
    """The parameters that have entries, each with its paths in steps, the first of them before."""
    elsewhere = OF_THE_ROW | (DICOM_PARAMETERS if resource_type == "ImagingStudy" else set())
    return tuple(
        (parameter, tuple((path[0] if path else "", path) for path in steps_of(parameter)))
        for parameter in RESOURCE_TYPES[resource_type].search_parameters
        if parameter.name not in elsewhere
    )


@cache
def steps_of(parameter: SearchParameter) -> tuple[Path, ...]:
    """Its paths in steps; no step is the value itself."""
    return tuple(tuple(path.split(".")) if path else () for path in parameter.paths)


def reached(value: Any, path: Path) -> list[Any]:
    """Every value at the end of the path, lists taken apart."""
    found = items(value)
    for name in path:
        found = [
            item for one in found if isinstance(one, dict) for item in items(element(one, name))
        ]
    return found


def items(value: Any) -> list[Any]:
    if isinstance(value, LISTS):
        return [inner for item in value for inner in items(item)]
    return [] if value is None else [value]


def element(value: dict[str, Any], name: str) -> Any:
    """The element; `deceased[x]` is deceasedBoolean, deceasedDateTime or what else is there.

    `extension@name` is those of the name.
    """
    if name in value:
        return value[name]
    if "@" in name:
        stem, _, key = name.partition("@")
        url = EXTENSIONS.get(key, key)
        return [one for one in value.get(stem, ()) if one.get("url") == url]
    if not name.endswith("[x]"):
        return None
    stem = name[:-3]
    return next((value[key] for key in value if is_choice(stem, key)), None)


def is_choice(stem: str, name: str) -> bool:
    return name.startswith(stem) and "A" <= name[len(stem) : len(stem) + 1] <= "Z"


def entries_of(parameter: SearchParameter, values: list[Any], zone: tzinfo) -> Iterator[IndexEntry]:
    if parameter.words:
        yield from text_entries(parameter, values)
    elif parameter.components:
        for value in values:
            yield from composite_entries(parameter, value, zone)
    else:
        yield from simple_entries(parameter, values, zone)


def simple_entries(
    parameter: SearchParameter, values: list[Any], zone: tzinfo
) -> Iterator[SimpleEntry]:
    if parameter.exists:
        there = any(value is not False for value in values)
        values = [there]
    for value in values:
        if is_meant(parameter, value):
            yield from ENTRIES[parameter.type](parameter, value, zone)


def is_meant(parameter: SearchParameter, value: Any) -> bool:
    """Is it the phone among the contacts, or the identifier of the type that is searched?"""
    if parameter.where and value.get(parameter.where[0]) != parameter.where[1]:
        return False
    if not parameter.typed:
        return True
    codings = value.get("type", {}).get("coding", ())
    return any(coding.get("code") in parameter.typed for coding in codings)


def token_entries(parameter: SearchParameter, value: Any, zone: tzinfo) -> Iterator[TokenEntry]:
    """code, boolean, id, Coding, CodeableConcept, Identifier, ContactPoint."""
    if isinstance(value, bool):
        yield TokenEntry(parameter=parameter.name, system=None, value=str(value).lower())
    elif isinstance(value, str):
        yield TokenEntry(parameter=parameter.name, system=None, value=value)
    elif "value" in value:
        yield from identifier_entries(parameter, value)
    elif "coding" in value or "text" in value:
        yield from concept_entries(parameter, value)
    elif "code" in value or "display" in value:
        yield coding_entry(parameter, value)


def coding_entry(parameter: SearchParameter, coding: Resource) -> TokenEntry:
    return TokenEntry(
        parameter=parameter.name,
        system=coding.get("system"),
        value=coding.get("code", ""),  # of a meaning without a code: found by :text alone
        text=coding.get("display"),
    )


def concept_entries(parameter: SearchParameter, concept: Resource) -> Iterator[TokenEntry]:
    codings = concept.get("coding", ())
    for coding in codings:
        yield coding_entry(parameter, coding)
    text = concept.get("text")
    if text and all(text != coding.get("display") for coding in codings):
        yield TokenEntry(parameter=parameter.name, system=None, value="", text=text)


def identifier_entries(parameter: SearchParameter, identifier: Resource) -> Iterator[TokenEntry]:
    """The namespace of a ContactPoint is its use (search.html#token)."""
    system = identifier.get("system")
    if system in CONTACT_SYSTEMS:
        system = identifier.get("use")
    type_: Resource = identifier.get("type", {})
    codings: Sequence[Resource] = type_.get("coding") or ({},)
    for coding in codings:
        yield TokenEntry(
            parameter=parameter.name,
            system=system,
            value=identifier["value"],
            text=type_.get("text") or coding.get("display"),
            type_system=coding.get("system"),
            type_code=coding.get("code"),
        )


def reference_entries(
    parameter: SearchParameter, value: Any, zone: tzinfo
) -> Iterator[ReferenceEntry]:
    """A Reference, a canonical, or an Attachment's address."""
    if isinstance(value, str):
        value = {"reference": value}
    target = target_of(value.get("reference", "#")) or Target()
    identifier = value.get("identifier", {})
    if not is_of_type(parameter.only, value, target.type or type_in(target.url or "")):
        return
    if target == Target() and not identifier.get("value") and "display" not in value:
        return
    yield ReferenceEntry(
        parameter=parameter.name,
        target_type=target.type,
        target_id=target.id,
        url=target.url,
        identifier_system=identifier.get("system"),
        identifier_value=identifier.get("value"),
        display=value.get("display"),
    )


def is_of_type(only: str, reference: Resource, literal_type: str | None) -> bool:
    """Judged by what the reference says; one that says nothing of its type may be any."""
    said = literal_type or reference.get("type")
    return not only or said is None or said == only


def date_entries(parameter: SearchParameter, value: Any, zone: tzinfo) -> Iterator[DateEntry]:
    interval = interval_of(value, zone)
    if interval is not None:
        yield DateEntry(parameter=parameter.name, low=interval[0], high=interval[1])


def string_entries(parameter: SearchParameter, value: Any, zone: tzinfo) -> Iterator[StringEntry]:
    """A string, or every part of a HumanName or Address."""
    texts = [value] if isinstance(value, str) else parts_of(value)
    for text in texts:
        if parameter.phonetic:
            yield from sounds(parameter, text)
        else:
            yield StringEntry(parameter=parameter.name, value=text, folded=folded(text))


def parts_of(value: Resource) -> Iterator[str]:
    for name in PARTS:
        part = value.get(name)
        if isinstance(part, str):
            yield part
        elif isinstance(part, list):
            yield from (text for text in part if isinstance(text, str))


def sounds(parameter: SearchParameter, text: str) -> Iterator[StringEntry]:
    for word in re.findall(r"\w+", text):
        yield StringEntry(parameter=parameter.name, value=word, folded=soundex(folded(word)))


def uri_entries(parameter: SearchParameter, value: Any, zone: tzinfo) -> Iterator[UriEntry]:
    if isinstance(value, str):
        yield UriEntry(parameter=parameter.name, value=value)


def quantity_entries(
    parameter: SearchParameter, value: Any, zone: tzinfo
) -> Iterator[QuantityEntry]:
    """Of a number its value, of a SampledData the range of its points."""
    if not isinstance(value, dict):
        number = float(value)
        yield QuantityEntry(parameter=parameter.name, low=number, high=number)
    elif "origin" in value:
        yield from sampled_entries(parameter, value)
    elif "value" in value:
        yield quantity_entry(parameter, value)


def quantity_entry(parameter: SearchParameter, value: Resource) -> QuantityEntry:
    number = float(value["value"])
    comparator = value.get("comparator", "")
    low = -UNBOUNDED if "<" in comparator else number
    high = UNBOUNDED if ">" in comparator else number
    return measured(parameter, low, high, value)


def measured(
    parameter: SearchParameter, low: float, high: float, quantity: Resource
) -> QuantityEntry:
    """In the unit that it has, and in UCUM's base unit where that is known."""
    system, code = quantity.get("system"), quantity.get("code")
    known = scale(system, code)
    return QuantityEntry(
        parameter=parameter.name,
        low=low,
        high=high,
        system=system,
        code=code,
        unit=quantity.get("unit"),
        base_unit=known.unit if known else None,
        base_low=known.of(low) if known else None,
        base_high=known.of(high) if known else None,
    )


def sampled_entries(parameter: SearchParameter, sampled: Resource) -> Iterator[QuantityEntry]:
    """`E`, `U` and `L` among the points (datatypes.html#SampledData) are no values."""
    origin, factor = sampled["origin"], float(sampled.get("factor", 1))
    texts = sampled.get("data", "").split()
    points = [
        float(origin.get("value", 0)) + factor * float(text) for text in texts if is_point(text)
    ]
    if points:
        yield measured(parameter, min(points), max(points), origin)


def is_point(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII) is not None


def composite_entries(
    parameter: SearchParameter, value: Any, zone: tzinfo
) -> Iterator[CompositeEntry]:
    """Each combination of what is in the one repeat."""
    found = (list(component_entries(part, value, zone)) for part in parameter.components)
    for first, second in product(*found):
        yield CompositeEntry(parameter=parameter.name, first=first, second=second)


def component_entries(
    component: SearchParameter, value: Any, zone: tzinfo
) -> Iterator[SimpleEntry]:
    """A text without a code is none: a composite has no `:text`."""
    values = [one for path in steps_of(component) for one in reached(value, path)]
    for entry in simple_entries(component, values, zone):
        if not isinstance(entry, TokenEntry) or entry.value:
            yield entry


ENTRIES: dict[str, Callable[[SearchParameter, Any, tzinfo], Iterator[SimpleEntry]]] = {
    "token": token_entries,
    "reference": reference_entries,
    "date": date_entries,
    "string": string_entries,
    "uri": uri_entries,
    "quantity": quantity_entries,
    "number": quantity_entries,
}
