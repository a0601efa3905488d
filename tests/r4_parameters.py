"""R4's own definitions of search parameters: what ours are held against."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "data" / "r4" / "search_parameters.tsv"
NO_DOMAIN_RESOURCE = ("Binary",)


@dataclass(frozen=True)
class R4Parameter:
    name: str
    type: str
    expression: str  # in FHIRPath, from the resource
    targets: frozenset[str]  # none: any type
    components: tuple[str, ...]  # of a composite: expressions, from what its own leads to
    url: str


@cache
def r4_parameters(type_name: str) -> dict[str, R4Parameter]:
    """Those of the type and of every resource, by name."""
    bases = {type_name, "Resource"}
    if type_name not in NO_DOMAIN_RESOURCE:
        bases.add("DomainResource")
    with FILE.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {row["code"]: parameter_of(row) for row in rows if row["base"] in bases}


def parameter_of(row: dict[str, str]) -> R4Parameter:
    components = [part.partition("=")[2] for part in row["components"].split(";") if part]
    targets = frozenset() if row["target"] == "any" else frozenset(row["target"].split(","))
    return R4Parameter(
        name=row["code"],
        type=row["type"],
        expression=row["expression"],
        targets=targets - {""},
        components=tuple(components),
        url=row["url"],
    )
