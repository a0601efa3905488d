"""The value sets that R4 binds elements of the served types to, and hierarchies of its codes.

Out of HL7's package hl7.fhir.r4.core 4.0.1 (CC0): the sets that list their codes, of up to 1,200,
and the complete code systems that these are from. `*` stands for every code of a system.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

EVERY = "*"


@cache
def value_sets() -> dict[str, dict[str, frozenset[str]]]:
    """By canonical: the codes of each system."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for url, system, codes in rows("value_sets.tsv"):
        found.setdefault(url, {})[system] = frozenset(codes.split("|"))
    return found


@cache
def parents() -> dict[str, dict[str, frozenset[str]]]:
    """By system: the codes above each code that has one; of a flat system there are none."""
    found: dict[str, dict[str, frozenset[str]]] = {}
    for system, code, above_it in rows("code_systems.tsv"):
        of_system = found.setdefault(system, {})
        if code:
            of_system[code] = frozenset(above_it.split("|"))
    return found


def rows(name: str) -> Iterator[list[str]]:
    text = files(__package__).joinpath(name).read_text()
    for line in text.splitlines()[1:]:
        yield line.split("\t")


def codes_in(url: str) -> dict[str, frozenset[str]] | None:
    """The codes of a value set of R4, by system; None where it is not known here."""
    canonical, _, version = url.partition("|")
    return value_sets().get(canonical) if version in ("", "4.0.1") else None


def above(system: str, code: str) -> set[str] | None:
    """The code and all those that include it; None where the system is not known here."""
    known = parents().get(system)
    if known is None:
        return None
    found, fresh = {code}, {code}
    while fresh:
        fresh = {one for each in fresh for one in known.get(each, ())} - found
        found |= fresh
    return found


def below(system: str, code: str) -> set[str] | None:
    """The code and all those that it includes; None where the system is not known here."""
    known = parents().get(system)
    if known is None:
        return None
    found, fresh = {code}, {code}
    while fresh:
        fresh = {one for one, over in known.items() if over & fresh} - found
        found |= fresh
    return found
