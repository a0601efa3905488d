"""What is defined here is served as resources, and found by its address."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import imaging_fhir
from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.capability_statement import DEFINITIONS
from tests.integration.web.answers import json_of
from tests.samples import pdf

PACKAGE = Path(imaging_fhir.__file__).parent


def found(client: FlaskClient, type_name: str, query: str = "") -> list[dict[str, Any]]:
    bundle = json_of(client.get(f"/fhir/{type_name}{query}"))
    entries = bundle.get("entry", [])
    assert bundle["total"] == len(entries)
    return [entry["resource"] for entry in entries]


@pytest.mark.parametrize("type_name", DEFINITIONS)
def test_each_definition_is_listed_read_and_found(client: FlaskClient, type_name: str) -> None:
    listed = found(client, type_name)
    assert listed
    for one in listed:
        assert json_of(client.get(f"/fhir/{type_name}/{one['id']}")) == one
        assert found(client, type_name, f"?url={one['url']}") == [one]
        assert found(client, type_name, f"?_id=none,{one['id']}") == [one]
        assert one in found(client, type_name, f"?name={one['name'][:4].lower()}&status=active")
        posted = client.post(f"/fhir/{type_name}/_search", data={"url": one["url"]})
        assert json_of(posted)["total"] == 1
    assert found(client, type_name, "?status=draft") == []
    assert client.get(f"/fhir/{type_name}/none").status_code == 404
    assert client.get(f"/fhir/{type_name}?uri=misspelled").status_code == 400
    assert client.post(f"/fhir/{type_name}", json={}).status_code in (404, 405)


def test_every_extension_of_our_own_is_defined(client: FlaskClient) -> None:
    """By its address in the code."""
    ours = {
        value
        for value in vars(canonical).values()
        if isinstance(value, str) and value.startswith(f"{canonical.BASE}/StructureDefinition/")
    }
    assert {one["url"] for one in found(client, "StructureDefinition")} == ours
    sources = (path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "canonical.py")
    assert not [text for text in sources if re.search(r"BASE\}/StructureDefinition/", text)]


def test_an_extension_that_is_emitted_is_as_it_is_defined(client: FlaskClient) -> None:
    assert client.put("/fhir/Patient/a", json={"resourceType": "Patient", "id": "a"})
    address = "/fhir/$import-image?patient=Patient/a&laterality=L"
    answer = client.post(address, data=pdf(), content_type="application/octet-stream")
    [content] = found(client, "DocumentReference", "?patient=a&_total=accurate")
    assert answer.status_code == 200
    defined = {
        one["url"]: one["differential"]["element"][-1]["type"][0]["code"]
        for one in found(client, "StructureDefinition")
    }
    emitted = [*content["extension"], *content["content"][0]["attachment"]["extension"]]
    assert {extension["url"] for extension in emitted} >= set(defined)
    for extension in emitted:
        code = defined.get(extension["url"])
        assert code is None or f"value{code[0].upper()}{code[1:]}" in extension
