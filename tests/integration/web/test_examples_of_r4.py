"""The specification's examples go in over HTTP, come out equal, and are found by what they say."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.model.codec import Resource, decode, encode
from imaging_fhir.model.search import (
    CompositeEntry,
    DateEntry,
    IndexEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TextEntry,
    TokenEntry,
    UriEntry,
)
from tests.integration.web.answers import json_of
from tests.search_population import synthea

APART = ("Binary", "ImagingStudy")  # bytes, and what is made from images: each has its own tests
NOWHERE = "nowhere-at-all"


def examples(shared_data: Path) -> Iterator[Resource]:
    """Those of the specification, and what is in their Bundles, of types that can be written."""
    for path in sorted((shared_data / "fhir" / "r4").rglob("*.json")):
        content = decode(path.read_bytes())
        for one in [content, *(entry.get("resource", {}) for entry in content.get("entry", ()))]:
            type_ = RESOURCE_TYPES.get(one.get("resourceType", ""))
            if type_ and "create" in type_.interactions and type_.name not in APART and "id" in one:
                yield one


def few_of_synthea(shared_data: Path) -> Iterator[Resource]:
    """Of each type some, with findings of every kind of value among them."""
    counts: Counter[tuple[str, ...]] = Counter()
    for one in synthea(shared_data):
        values = (name for name in one if name.startswith("value") or name == "component")
        kind = (one["resourceType"], *values)
        counts[kind] += 1
        if "create" in RESOURCE_TYPES[one["resourceType"]].interactions and counts[kind] < 4:
            yield one


def put(client: FlaskClient, content: Resource) -> None:
    address = f"/fhir/{content['resourceType']}/{content['id']}"
    answer = client.put(address, data=encode(content), content_type="application/fhir+json")
    assert answer.status_code in (200, 201), f"{address}: {answer.text}"


def without_what_the_server_owns(content: Resource) -> Resource:
    """meta, and of a document the bytes inside it, which become a Binary."""
    found = {key: value for key, value in content.items() if key != "meta"}
    if found["resourceType"] == "DocumentReference":
        owned = ("data", "url", "size", "hash")
        contents = [
            {**one, "attachment": without(one["attachment"], owned)} for one in found["content"]
        ]
        found["content"] = contents
    return found


def without(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def test_every_example_comes_out_as_it_went_in(client: FlaskClient, shared_data: Path) -> None:
    given = {f"{one['resourceType']}/{one['id']}": one for one in examples(shared_data)}
    for one in given.values():
        put(client, one)
    for reference, one in given.items():
        stored = decode(client.get(f"/fhir/{reference}").data)
        assert without_what_the_server_owns(stored) == without_what_the_server_owns(one)
        given_meta = without(one.get("meta", {}), ("versionId", "lastUpdated"))
        assert stored["meta"].items() >= given_meta.items()
    assert len(given) > 30


def test_every_example_is_found_by_all_that_it_says(client: FlaskClient, shared_data: Path) -> None:
    known = [*examples(shared_data), *few_of_synthea(shared_data)]
    given = {f"{one['resourceType']}/{one['id']}": one for one in known}
    for one in given.values():
        put(client, one)
    asked = set()
    for one in given.values():
        type_ = one["resourceType"]
        for entry in index_entries(type_, one):
            text = text_of(entry)
            if text and (type_, entry.parameter) not in asked:
                asked.add((type_, entry.parameter))
                assert one["id"] in found(client, type_, entry.parameter, text)
                absent = absent_of(entry, text)
                assert one["id"] not in found(client, type_, entry.parameter, absent)
    assert len(asked) > 150


def found(client: FlaskClient, type_: str, parameter: str, text: str) -> set[str]:
    query = urlencode({parameter: text, "_count": "1000"})
    bundle = json_of(client.get(f"/fhir/{type_}?{query}", headers={"Prefer": "handling=strict"}))
    assert bundle["resourceType"] == "Bundle", f"{type_}?{query}: {bundle}"
    return {entry["resource"]["id"] for entry in bundle.get("entry", ())}


def text_of(entry: IndexEntry) -> str:
    """How a search asks for it; empty where it is found by its meaning or identifier alone."""
    match entry:
        case TokenEntry():
            system = "" if entry.system is None else f"{escaped(entry.system)}|"
            return f"{system}{escaped(entry.value)}" if entry.value else ""
        case ReferenceEntry():
            return f"{entry.target_type}/{entry.target_id}" if entry.target_id else entry.url or ""
        case StringEntry() | UriEntry():
            return escaped(entry.value)
        case QuantityEntry():
            return "" if entry.low != entry.high else f"{entry.low!r}||{entry.code or ''}"
        case CompositeEntry():
            return "$".join((text_of(entry.first), text_of(entry.second)))
        case DateEntry():
            return "gt1800-01-01"
        case TextEntry():
            return entry.words.split()[0].removeprefix("w")


def absent_of(entry: IndexEntry, text: str) -> str:
    """What no example says."""
    match entry:
        case DateEntry():
            return "lt1800-01-01"
        case QuantityEntry():
            return "987654321"
        case CompositeEntry():
            return f"{NOWHERE}${text_of(entry.second)}"
        case TokenEntry() if text in ("true", "false"):
            return "false" if text == "true" else "true"
        case ReferenceEntry():
            return f"{text.rpartition('/')[0] or 'http://x'}/{NOWHERE}"
    return NOWHERE


def escaped(value: str) -> str:
    for letter in "\\,|$":
        value = value.replace(letter, "\\" + letter)
    return value
