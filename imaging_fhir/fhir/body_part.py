"""Body Part Examined and laterality as SNOMED CT (PS3.16 Annex L, PS3.3 C.7.3.1)."""

import json
import re
from functools import cache
from importlib.resources import files

from imaging_fhir.fhir import canonical
from imaging_fhir.fhir.coding_scheme import code_of
from imaging_fhir.fhir.datatypes import coding, concept_coding, string
from imaging_fhir.model.codec import Resource
from imaging_fhir.model.study import CodedConcept

LATERALITIES = {
    "R": coding(canonical.SNOMED_CT, "24028007", "Right"),
    "L": coding(canonical.SNOMED_CT, "7771000", "Left"),
    "B": coding(canonical.SNOMED_CT, "51440002", "Right and left"),
}


def laterality(value: str | None) -> Resource | None:
    """The SNOMED CT qualifier of R, L or B; unpaired (U) and unknown say nothing."""
    return LATERALITIES.get(value or "")


def body_site(regions: tuple[CodedConcept, ...], body_part_examined: str | None) -> Resource | None:
    """A Coding: the coded region first, else Body Part Examined."""
    codings = [found for found in map(concept_coding, regions) if found]
    coded = next((found for found in codings if "code" in found), None)
    return coded or body_part(body_part_examined) or next(iter(codings), None)


def body_part(term: str | None) -> Resource | None:
    """The Coding of a defined term or of its meaning; an unknown term stays as its display."""
    shown = string(term)
    if shown is None:
        return None
    known = _by_folded_name().get(_folded(shown))
    return coding(canonical.SNOMED_CT, *known) if known else {"display": shown}


def body_site_concept(text: str) -> Resource | None:
    """What a caller calls a body site: `system|code`, a SNOMED CT code, a term, or words."""
    system, bar, code_value = text.strip().rpartition("|")
    if bar and system and code_value:
        return {"coding": [coding(system, code_value)]}
    snomed = code_of(code_value, "SCT")
    found = coding(*snomed) if snomed else body_part(code_value)
    if found is None:
        return None
    return (
        {"coding": [found], "text": found.get("display", text)}
        if "code" in found
        else {"text": found["display"]}
    )


@cache
def body_parts() -> dict[str, tuple[str, str]]:
    """Defined term of Body Part Examined -> SNOMED CT concept id and its meaning."""
    text = files("imaging_fhir.fhir").joinpath("body_parts.json").read_text("ascii")
    return {term: (concept, meaning) for term, (concept, meaning) in json.loads(text).items()}


@cache
def _by_folded_name() -> dict[str, tuple[str, str]]:
    """By term, and by meaning where it is no other term: `LUMBAR SPINE` as `LSPINE`."""
    meanings = {_folded(known[1]): known for known in body_parts().values()}
    return {**meanings, **body_parts()}


def _folded(text: str) -> str:
    """Files write WHOLE BODY and HEAD-NECK for WHOLEBODY and HEADNECK."""
    return re.sub(r"[\s_-]+", "", text).upper()
