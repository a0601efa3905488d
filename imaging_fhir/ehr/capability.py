"""What the EHR's CapabilityStatement declares (https://hl7.org/fhir/R4/capabilitystatement.html).

Read tolerantly: what is not as R4 has it counts as not declared.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Capability:
    """By resource type: the search parameters that may be used; and which types can be read."""

    searches: dict[str, frozenset[str]] = field(default_factory=dict)
    readable: frozenset[str] = frozenset()
    software: str = ""
    fhir_version: str = ""

    def declares(self, resource_type: str, *parameters: str) -> bool:
        declared = self.searches.get(resource_type)
        return declared is not None and declared.issuperset(parameters)


def capability_of(statement: Any) -> Capability | None:
    """None where it is no CapabilityStatement."""
    if not isinstance(statement, dict) or statement.get("resourceType") != "CapabilityStatement":
        return None
    searches, readable = {}, set()
    for rest in objects(statement.get("rest")):
        if rest.get("mode") == "client":
            continue
        everywhere = {text(one.get("name")) for one in objects(rest.get("searchParam"))}
        for resource in objects(rest.get("resource")):
            type_ = text(resource.get("type"))
            codes = {text(one.get("code")) for one in objects(resource.get("interaction"))}
            if "read" in codes:
                readable.add(type_)
            if "search-type" in codes:
                searches[type_] = frozenset(
                    everywhere
                    | {text(one.get("name")) for one in objects(resource.get("searchParam"))}
                )
    software = statement.get("software")
    return Capability(
        searches=searches,
        readable=frozenset(readable),
        software=text(software.get("name")) if isinstance(software, dict) else "",
        fhir_version=text(statement.get("fhirVersion")),
    )


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; nothing of what is no list."""
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""
