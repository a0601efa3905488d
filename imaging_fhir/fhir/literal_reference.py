"""What a literal reference points at (https://hl7.org/fhir/R4/references.html#literal)."""

import re
from dataclasses import dataclass

from imaging_fhir.fhir.resource_names import RESOURCE_NAMES
from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.reference import RELATIVE, local_target

_NAMES = frozenset(RESOURCE_NAMES)


@dataclass(frozen=True, slots=True)
class Target:
    """A resource of this server by type and id, or anything else by its address."""

    type: str | None = None
    id: str | None = None
    url: str | None = None

    def __str__(self) -> str:
        return self.url or f"{self.type}/{self.id}"


def target_of(text: str, *, base: str = BASE_PLACEHOLDER) -> Target | None:
    """`Type/id`, absolute or not, with or without a version; None inside the same resource."""
    if text.startswith("#"):
        return None
    local = local_target(text, base=base)
    if local and local[0] in _NAMES:
        return Target(type=local[0], id=local[1])
    return Target(url=text)


def type_in(url: str) -> str | None:
    """The type that an address of another FHIR server names."""
    end = re.search(rf"/{RELATIVE.pattern}$", url)
    return end[1] if end and end[1] in _NAMES else None
