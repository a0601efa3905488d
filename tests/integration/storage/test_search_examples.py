"""Each parameter of each type, on the specification's examples: a value that is there, one that is
not. Which parameter has no example is written down; tests/search_samples.py has one made for it.
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.search_index import index_entries
from imaging_fhir.fhir.search_query import parse_query
from imaging_fhir.model.codec import Resource, decode
from imaging_fhir.model.search import DICOM_PARAMETERS
from imaging_fhir.storage import resources, search
from imaging_fhir.storage.database import Connection, Database, Transaction
from imaging_fhir.storage.schema import resource
from tests.r4_parameters import R4Parameter
from tests.search_asking import BASE, escaped
from tests.search_judge import Judge, Kept, definition, says, strings, token_codes
from tests.search_population import synthea

WITHOUT_EXAMPLE = Path(__file__).parents[2] / "data" / "r4" / "parameters_without_example.txt"
EVERY_PARAMETER = "*"
NOWHERE = "nowhere-at-all"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def examples(shared_data: Path) -> list[Resource]:
    """Those of the specification, what is in their Bundles, and some of Synthea's."""
    found: dict[str, Resource] = {}
    for path in sorted((shared_data / "fhir" / "r4").rglob("*.json")):
        content = decode(path.read_bytes())
        entries = (entry.get("resource", {}) for entry in content.get("entry", ()))
        for one in [content, *entries]:
            if one.get("resourceType") in RESOURCE_TYPES and "id" in one:
                found[f"{one['resourceType']}/{one['id']}"] = one
    made = list(synthea(shared_data))
    for one in random.Random(1).sample(made, 150):
        found[f"{one['resourceType']}/{one['id']}"] = one
    return list(found.values())


def put_all(transaction: Transaction, contents: list[Resource]) -> None:
    for one in contents:
        entries = index_entries(one["resourceType"], one)
        resources.put(transaction, one["resourceType"], one["id"], one, entries)


def asked_for(judge: Judge, parameter: R4Parameter, value: Any) -> str:
    """The text of a search for the value; empty where it has nothing that can be asked for."""
    if parameter.type == "composite":
        kinds = ("token", composite_kind(parameter))
        if parameter.name == "relationship":
            kinds = ("reference", "token")
        parts = [
            next((text for one in reached if (text := asked_as(judge, kind, one))), "")
            for kind, reached in zip(kinds, value, strict=True)
        ]
        return "$".join(parts) if all(parts) else ""
    return asked_as(judge, parameter.type, value)


def composite_kind(parameter: R4Parameter) -> str:
    ending = parameter.name.rpartition("-")[2]
    return ending if ending in ("quantity", "date", "string") else "token"


def asked_as(judge: Judge, kind: str, value: Any) -> str:
    match kind:
        case "token":
            codes = [f"{escaped(system)}|{escaped(code)}" if system else escaped(code)
                     for system, code in token_codes(value)]  # fmt: skip
            return codes[0] if codes else ""
        case "reference":
            text = value if isinstance(value, str) else value.get("reference")
            return escaped(judge.literal(text) or "")
        case "date":
            return date_asked(value)
        case "string":
            parameter = R4Parameter("", "string", "", frozenset(), (), "")
            return next((escaped(text) for text, _ in strings(parameter, value)), "")
        case "uri":
            return escaped(value)
    if not isinstance(value, dict):
        return str(value)
    unit = f"||{escaped(value['code'])}" if value.get("code") else ""
    return f"{value['value']}{unit}" if "value" in value else ""


def date_asked(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "start" in value:
        return f"ge{value['start']}"
    return f"le{value['end']}" if "end" in value else ""


def absent(kind: str, text: str) -> str:
    if text in ("true", "false"):
        return "false" if text == "true" else "true"
    if kind == "reference" and "/" in text:
        return f"{text.rpartition('/')[0]}/{NOWHERE}"
    if kind == "composite":
        first, _, second = text.partition("$")
        return f"{absent('reference' if '/' in first else 'token', first)}${second}"
    return {"date": "lt1800-01-01", "quantity": "987654321"}.get(kind, NOWHERE)


def found(connection: Connection, type_: str, name: str, text: str) -> list[int]:
    query = parse_query(type_, [(name, text)], base=BASE, strict=True, default_count=1000)
    return [match.rid for match in search.search(connection, query).matches]


def sought(type_name: str) -> list[str]:
    """Those of DICOM are answered from the images, words have tests of their own."""
    elsewhere = DICOM_PARAMETERS if type_name == "ImagingStudy" else frozenset()
    return [
        parameter.name
        for parameter in RESOURCE_TYPES[type_name].search_parameters
        if parameter.name not in elsewhere and not parameter.words
    ]


def first_asked(judge: Judge, type_name: str, name: str) -> tuple[Kept, str] | None:
    parameter = definition(type_name, name)
    for one in judge.of_type(type_name):
        for value in judge.values(one, name):
            is_one = parameter.type == "composite" or says(parameter, value)
            if is_one and (text := asked_for(judge, parameter, value)):
                return one, text
    return None


def test_each_parameter_finds_an_example_and_not_what_none_says(
    database: Database, shared_data: Path
) -> None:
    database.write(partial(put_all, contents=examples(shared_data)))
    missing: dict[str, list[str]] = {}
    asked = 0
    with database.read() as connection:
        rows = connection.execute(select(resource).order_by(resource.c.rid))
        kept = [Kept(row.type, row.id, row.rid, decode(row.body)) for row in rows]
        judge = Judge(kept=kept, base=BASE, zone=None)
        for type_name in RESOURCE_TYPES:
            if not judge.of_type(type_name):
                missing[type_name] = [EVERY_PARAMETER]
                continue
            for name in sought(type_name):
                example = first_asked(judge, type_name, name)
                if example is None:
                    missing.setdefault(type_name, []).append(name)
                    continue
                one, text = example
                require_found(connection, judge, one, name, text)
                asked += 1
    assert asked > 200
    assert WITHOUT_EXAMPLE.read_text() == listed(missing)


def require_found(connection: Connection, judge: Judge, one: Kept, name: str, text: str) -> None:
    matches = found(connection, one.type, name, text)
    assert one.rid in matches, (one.reference, name, text)
    assert matches == [match.rid for match in judge.found(one.type, [(name, text)])], (name, text)
    other = "nowhere" if name == "_id" else absent(definition(one.type, name).type, text)
    matches = found(connection, one.type, name, other)
    assert one.rid not in matches, (one.reference, name, other)
    assert matches == [match.rid for match in judge.found(one.type, [(name, other)])], (name, other)


def listed(missing: dict[str, list[str]]) -> str:
    return "".join(f"{name}: {' '.join(names)}\n" for name, names in sorted(missing.items()))
