"""The specification's examples go in over HTTP, come out equal, and are found by what they say."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient

from imaging_fhir.fhir.attachment import attachments, with_attachments
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
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
from tests.search_asking import searched_entries
from tests.search_population import synthea
from tests.seeded_defects import RIGHT
from tests.unit.fhir.test_xml import canonical

APART = ("Binary",)  # bytes, which have tests of their own
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


OF_ATTACHMENTS = ("data", "url", "size", "hash")


def without_what_the_server_owns(content: Resource) -> Resource:
    """meta, and of an attachment the bytes inside it, which become a Binary."""

    def change(_: str, attachment: Resource) -> Resource:
        return without(attachment, OF_ATTACHMENTS)

    return with_attachments({key: value for key, value in content.items() if key != "meta"}, change)


def is_kept(stored: Resource, given: Resource) -> bool:
    """Does it come out as it went in? Bytes of attachments by what is said of them."""
    pairs = zip(attachments(stored), attachments(given), strict=True)
    meta = without(given.get("meta", {}), ("versionId", "lastUpdated"))
    return (
        without_what_the_server_owns(stored) == without_what_the_server_owns(given)
        and stored["meta"].items() >= meta.items()
        and all(is_same_content(after, before) for after, before in pairs)
    )


def is_same_content(after: Resource, before: Resource) -> bool:
    if "data" not in before:
        return after == before
    octets = base64.b64decode(before["data"])
    digest = hashlib.sha1(octets, usedforsecurity=False).digest()
    said = base64.b64encode(digest).decode(), len(octets)
    return "data" not in after and (after["hash"], after["size"]) == said


def without(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def everything(shared_data: Path) -> dict[str, Resource]:
    """The examples, some of Synthea's, and a resource of every type that has none of either."""
    made = [
        {**one, "id": "made"}
        for type_, one in RIGHT.items()
        if type_ in RESOURCE_TYPES
        and type_ not in APART
        and "create" in RESOURCE_TYPES[type_].interactions
    ]
    known = [*examples(shared_data), *few_of_synthea(shared_data), *made]
    return {f"{one['resourceType']}/{one['id']}": one for one in known}


def test_every_example_comes_out_as_it_went_in(client: FlaskClient, shared_data: Path) -> None:
    given = everything(shared_data)
    for one in given.values():
        put(client, one)
    for reference, one in given.items():
        assert is_kept(decode(client.get(f"/fhir/{reference}").data), one), reference
    writable = {name for name, one in RESOURCE_TYPES.items() if "create" in one.interactions}
    assert {one["resourceType"] for one in given.values()} == writable - set(APART)
    assert len(list(examples(shared_data))) > 30


def test_every_example_can_be_posted(client: FlaskClient, shared_data: Path) -> None:
    """Its id is the server's then."""
    for reference, one in everything(shared_data).items():
        answer = client.post(
            f"/fhir/{one['resourceType']}",
            data=encode(one),
            content_type="application/fhir+json",
        )
        assert answer.status_code == 201, f"{reference}: {answer.text}"
        stored = decode(answer.data)
        assert stored["id"] != one["id"]
        assert is_kept({**stored, "id": one["id"]}, one), reference


def test_all_examples_go_in_by_one_transaction(client: FlaskClient, shared_data: Path) -> None:
    given = everything(shared_data)
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": reference}}
        for reference, one in given.items()
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = client.post("/fhir", data=encode(bundle), content_type="application/fhir+json")
    assert answer.status_code == 200, answer.text
    for reference, one in given.items():
        assert is_kept(decode(client.get(f"/fhir/{reference}").data), one), reference


def test_every_example_goes_round_by_xml(client: FlaskClient, shared_data: Path) -> None:
    """Read as XML and written back; narratives are compared as canonical XML."""
    for reference, one in everything(shared_data).items():
        put(client, one)
        as_json = client.get(f"/fhir/{reference}")
        as_xml = client.get(f"/fhir/{reference}", headers={"Accept": "application/fhir+xml"})
        again = client.put(
            f"/fhir/{reference}", data=as_xml.data, content_type="application/fhir+xml"
        )
        assert again.status_code == 200, f"{reference}: {again.text}"
        before, after = (decode(answer.data) for answer in (as_json, again))
        assert canonical({**after, "meta": before["meta"]}) == canonical(before), reference


def test_what_is_read_and_written_back_is_no_new_version(
    client: FlaskClient, shared_data: Path
) -> None:
    for reference, one in everything(shared_data).items():
        put(client, one)
        as_json = client.get(f"/fhir/{reference}")
        again = client.put(
            f"/fhir/{reference}", data=as_json.data, content_type="application/fhir+json"
        )
        assert (again.status_code, again.data) == (200, as_json.data), reference


def test_every_example_is_found_by_all_that_it_says(client: FlaskClient, shared_data: Path) -> None:
    known = [*examples(shared_data), *few_of_synthea(shared_data)]
    given = {f"{one['resourceType']}/{one['id']}": one for one in known}
    for one in given.values():
        put(client, one)
    asked = set()
    for one in given.values():
        type_ = one["resourceType"]
        for entry in searched_entries(type_, one):
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
