"""Scores and grades of a match (docs/api/match.md)."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from imaging_fhir.services.matching import (
    CERTAIN,
    DOUBTFUL,
    POINTS,
    POSSIBLE,
    PROBABLE,
    Match,
    facts_of,
    graded,
    judged,
    ways_to_find,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api" / "match.md"
ELEMENTS: dict[str, Any] = {
    "birthDate": "1970-05-17",
    "family": "Núñez",
    "given": "José",
    "gender": "male",
}


def patient(*numbers: str, **elements: str) -> dict[str, Any]:
    name = {
        key: [value] if key == "given" else value
        for key, value in elements.items()
        if key in ("family", "given")
    }
    plain: dict[str, Any] = {
        key: elements[key] for key in ("birthDate", "gender") if key in elements
    }
    identifiers = [{"system": "urn:mrn", "value": number} for number in numbers]
    return {"resourceType": "Patient", "identifier": identifiers, "name": [name], **plain}


def judge(sought: dict[str, Any], known: dict[str, Any]) -> tuple[float, str | None]:
    return judged(facts_of(sought), facts_of(known))


def test_the_points_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| (.+) \| (0\.\d+) \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(float(points) for _, points in rows) == sorted(POINTS.values())


def test_nothing_is_certain_without_an_identifier_or_all_demographics() -> None:
    """All 16 subsets of what may be known, with and without the same number."""
    known = patient("1", **ELEMENTS)
    for present in product((True, False), repeat=len(ELEMENTS)):
        some = dict(
            item for item, is_there in zip(ELEMENTS.items(), present, strict=True) if is_there
        )
        score, grade = judge(patient(**some), known)
        assert score == pytest.approx(sum(POINTS[name] for name in some))
        assert (grade == CERTAIN) == all(present)
        assert judge(patient("1", **some), known) == (1.0, CERTAIN)


@pytest.mark.parametrize(
    "other",
    [{"birthDate": "1970-05-18"}, {"gender": "female"}, {"family": "Garcia"}],
)
def test_what_speaks_against_it_makes_it_possible_at_best(other: dict[str, str]) -> None:
    known = patient("1", **ELEMENTS)
    different = patient("1", **ELEMENTS | other)
    assert judge(different, known) == (DOUBTFUL, POSSIBLE)
    score, grade = judge(patient(**ELEMENTS | other), known)
    assert score <= DOUBTFUL
    assert grade in (POSSIBLE, None)


def test_another_number_of_the_same_system_speaks_against_it() -> None:
    assert judge(patient("2", **ELEMENTS), patient("1", **ELEMENTS)) == (DOUBTFUL, POSSIBLE)


def test_names_are_alike_without_case_and_accents_and_by_one_word() -> None:
    sought = patient(**ELEMENTS | {"family": "NUNEZ", "given": "jose"})
    known = patient(**ELEMENTS | {"family": "Núñez Ortega"})
    assert judge(sought, known)[1] == CERTAIN


def test_a_month_alone_is_no_birth_date_that_agrees() -> None:
    month = patient(**ELEMENTS | {"birthDate": "1970-05"})
    assert judge(month, patient(**ELEMENTS)) == (0.6, POSSIBLE)


def test_who_is_certain_by_demographics_alone_is_not_beside_another() -> None:
    def found(name: str, score: float) -> Match:
        return Match(reference=f"Patient/{name}", body=b"{}", score=score, grade=CERTAIN)

    assert [one.grade for one in graded([found("a", 0.95)])] == [CERTAIN]
    assert [one.grade for one in graded([found("a", 0.95), found("b", 0.95)])] == [PROBABLE] * 2
    best = graded([found("a", 0.95), found("b", 1.0)])
    assert [(one.reference, one.grade) for one in best] == [
        ("Patient/b", CERTAIN),
        ("Patient/a", PROBABLE),
    ]


def test_of_two_with_the_same_identifier_neither_is_certain() -> None:
    found = [Match(reference=f"Patient/{one}", body=b"", score=1.0, grade=CERTAIN) for one in "ab"]
    assert [one.grade for one in graded(found)] == [PROBABLE] * 2


def test_an_odd_patient_is_no_fault() -> None:
    odd = {"name": ["text", {"family": 5, "given": "x"}], "identifier": {"system": 1}}
    assert list(ways_to_find(facts_of(odd | {"birthDate": ["1970-05-17"], "gender": None}))) == []


def test_commas_and_bars_of_an_identifier_are_not_taken_for_syntax() -> None:
    identifier = [{"system": "urn:a|b", "value": "1,2$3"}]
    [[(name, value)]] = ways_to_find(facts_of({"identifier": identifier}))
    assert (name, value) == ("identifier", "urn:a\\|b|1\\,2\\$3")
