"""What is installed with the package may be given away with it: nothing of GPL or AGPL."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

NAMES = re.compile(r"[-_.]+")
FORBIDDEN = re.compile(r"GPL|General Public License", re.IGNORECASE)
LESSER = re.compile(r"(GNU )?(LGPL|(Lesser|Library) General Public License)", re.IGNORECASE)


def needed(name: str) -> set[str]:
    """The distributions that this one needs, without its extras' own tools for developers."""
    found: set[str] = set()
    waiting = [Requirement(name)]
    while waiting:
        wanted = waiting.pop()
        key = f"{NAMES.sub('-', wanted.name).lower()}[{','.join(sorted(wanted.extras))}]"
        if key in found:
            continue
        found.add(key)
        extras = wanted.extras or {""}
        for text in metadata.requires(wanted.name) or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras):
                waiting.append(one)
    return {key.partition("[")[0] for key in found}


def licences(name: str) -> list[str]:
    """As its metadata name them, never the whole text of one."""
    about = metadata.metadata(name)
    classifiers = [one for one in about.get_all("Classifier") or () if one.startswith("License")]
    said = [*(about.get_all("License-Expression") or ()), *classifiers]
    if not said:
        said = [text.partition("\n")[0] for text in about.get_all("License") or ()]
    return [one for one in said if one]


NEEDED = sorted(needed("imaging-fhir"))


def test_what_the_package_needs_is_found() -> None:
    assert {"flask", "werkzeug", "pydicom", "psycopg-binary", "sqlalchemy"} <= set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_its_licence_is_told_and_binds_no_user_of_the_package(name: str) -> None:
    told = licences(name)
    assert told
    assert [one for one in told if FORBIDDEN.search(LESSER.sub("", one))] == []


@pytest.mark.parametrize(
    "text",
    [
        "GPL-3.0-only",
        "AGPL-3.0",
        "License :: OSI Approved :: GNU General Public License v2 (GPLv2)",
    ],
)
def test_a_forbidden_one_is_told(text: str) -> None:
    assert FORBIDDEN.search(LESSER.sub("", text))
