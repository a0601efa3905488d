"""Changing the addresses inside a resource, wherever they stand."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from imaging_fhir.ehr.copied import NEEDED
from imaging_fhir.errors import InvalidRequest
from imaging_fhir.model.codec import BASE_PLACEHOLDER, ROOT_PLACEHOLDER, Resource
from imaging_fhir.model.reference import local_target

DEEPEST = 100  # R4 resources are a few levels deep; what is deeper means harm

Change = Callable[[str, str], str]  # of an element's name and its text, to the text it becomes


def rewritten(resource: Resource, change: Change) -> Resource:
    """A copy with every text passed through `change`; raise InvalidRequest when nested madly."""
    copy: Resource = rewritten_value("", resource, change, 0)
    return copy


def rewritten_value(name: str, value: Any, change: Change, depth: int) -> Any:
    if depth > DEEPEST:
        raise InvalidRequest(f"The resource is nested more than {DEEPEST} levels deep.")
    if isinstance(value, dict):
        return {
            key: change(key, inner)
            if isinstance(inner, str)
            else rewritten_value(key, inner, change, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [rewritten_value(name, inner, change, depth + 1) for inner in value]
    return change(name, value) if isinstance(value, str) else value


def without_base(resource: Resource, base: str, *, ehr_base: str = "") -> Resource:
    """Our own address taken out: references become relative, other addresses a placeholder.

    So do references into the EHR that is the master, to what is copied from it under its ids. All
    others stay absolute: an id of another server is somebody else's here.
    """
    root = base.removesuffix("/fhir")

    def change(name: str, text: str) -> str:
        if name == "reference" and ehr_base and text.startswith(ehr_base + "/"):
            target = local_target(text, base=ehr_base)
            return text.removeprefix(ehr_base + "/") if target and target[0] in NEEDED else text
        if not text.startswith(root + "/"):
            return text
        if name == "reference" and text.startswith(base + "/"):
            return text.removeprefix(base + "/")
        return ROOT_PLACEHOLDER + text.removeprefix(root)

    return rewritten(resource, change)


def with_references(resource: Resource, targets: Mapping[str, str]) -> Resource:
    """A bundle's own addresses (`fullUrl`) replaced by what their resources are stored as.

    A reference becomes `Type/id`; every other text that is one of the addresses becomes the
    absolute address, and in narrative those in quotes do (bundle.html#references).
    """

    def change(name: str, text: str) -> str:
        if name == "div":
            return QUOTED.sub(lambda found: targets.get(found[0], found[0]), text)
        bare, fragment = text.partition("#")[::2] if name == "reference" else (text, "")
        if bare not in targets:
            return text
        if name == "reference":
            return targets[bare] + (f"#{fragment}" if fragment else "")
        return text if name in IDENTITIES else f"{BASE_PLACEHOLDER}/{targets[bare]}"

    return rewritten(resource, change)


QUOTED = re.compile(r'(?<=")[^"]*(?=")')
IDENTITIES = frozenset({"value", "system", "id", "versionId"})  # say who, not where
