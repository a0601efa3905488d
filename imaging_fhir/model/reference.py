"""What a literal reference leads to here (https://hl7.org/fhir/R4/references.html#literal).

The one place that reads an id out of a reference: of an address of another server the last part
is an id there, and somebody else's here.
"""

import re
from typing import Any

from imaging_fhir.model.codec import BASE_PLACEHOLDER, Resource

ID = r"[A-Za-z0-9\-.]{1,64}"
COPIED = ("Patient", "Practitioner", "Encounter", "ServiceRequest")
"""Types that are the EHR's, where one is the master, and are kept here under its ids."""

RELATIVE = re.compile(rf"([A-Z][A-Za-z]+)/({ID})(?:/_history/{ID})?", re.ASCII)


def local_target(text: object, *, base: str = BASE_PLACEHOLDER) -> tuple[str, str] | None:
    """Type and id of `Type/id`, relative or under that base, with or without a version.

    None for all else: an address elsewhere, `urn:uuid:`, what is contained (`#id`).
    """
    if not isinstance(text, str):
        return None
    found = RELATIVE.fullmatch(text.removeprefix(f"{base}/"))
    return (found[1], found[2]) if found else None


def local_id(
    reference: Resource | None, resource_type: str, *, base: str = BASE_PLACEHOLDER
) -> str | None:
    """The id in a Reference to a resource of that type here; None where it is to anything else."""
    return id_in((reference or {}).get("reference"), resource_type, base=base)


def id_in(text: Any, resource_type: str, *, base: str = BASE_PLACEHOLDER) -> str | None:
    """The same of the text of a reference, or of an address."""
    target = local_target(text, base=base)
    return target[1] if target and target[0] == resource_type else None


def at_home(text: str, ehr_base: str) -> str:
    """`Type/id` of an address at the EHR, of a type that is copied; any other text as it is."""
    if not ehr_base or not text.startswith(f"{ehr_base}/"):
        return text
    target = local_target(text, base=ehr_base)
    return "/".join(target) if target and target[0] in COPIED else text
