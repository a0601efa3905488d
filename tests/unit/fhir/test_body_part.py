from typing import Any

import pydicom.sr._concepts_dict as dicom
import pytest

from imaging_fhir.fhir.body_part import (
    body_part,
    body_parts,
    body_site,
    body_site_concept,
    laterality,
)
from imaging_fhir.model.study import CodedConcept

CHEST = {"system": "http://snomed.info/sct", "code": "816094009", "display": "Chest"}
BRAIN = CodedConcept(code_value="T-A0100", coding_scheme_designator="SRT", code_meaning="Brain")
ODD = CodedConcept(code_value="1", coding_scheme_designator="99X", code_meaning="Left ear lobe")


def test_every_code_of_the_table_is_a_concept_of_dicoms_own() -> None:
    concepts: dict[str, Any] = dicom.concepts["SCT"]
    codes = {code for found in concepts.values() for code in found}
    assert len(body_parts()) > 250
    for term, (code, meaning) in body_parts().items():
        assert code in codes, term
        assert meaning[0].isupper(), term
        assert "(" not in meaning, term


def test_a_defined_term_is_coded_and_an_unknown_one_shown() -> None:
    assert body_part("chest ") == CHEST
    assert body_part("LEFT EAR LOBE") == {"display": "LEFT EAR LOBE"}
    assert body_part("  ") is None


@pytest.mark.parametrize(
    ("term", "code"),
    [
        ("WHOLE BODY", "38266002"),
        ("Head-Neck", "774007"),
        ("LUMBAR SPINE", "122496007"),
        ("lspine", "122496007"),
    ],
)
def test_a_term_is_known_however_it_is_spaced_or_by_its_meaning(term: str, code: str) -> None:
    found = body_part(term)
    assert found is not None
    assert found["code"] == code


def test_a_coded_region_goes_before_the_body_part() -> None:
    found = body_site((BRAIN,), "CHEST")
    assert found is not None
    assert (found["code"], found["display"]) == ("12738006", "Brain")


def test_a_region_without_a_known_code_gives_way_to_a_known_body_part() -> None:
    assert body_site((ODD,), "CHEST") == CHEST
    assert body_site((ODD,), None) == {"display": "Left ear lobe"}


def test_unpaired_says_nothing_of_laterality() -> None:
    assert laterality("U") is None
    found = laterality("L")
    assert found is not None
    assert found["code"] == "7771000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CHEST", {"coding": [CHEST], "text": "Chest"}),
        ("http://a.example|x", {"coding": [{"system": "http://a.example", "code": "x"}]}),
        (
            "76752008",
            {"coding": [{"system": CHEST["system"], "code": "76752008"}], "text": "76752008"},
        ),
        ("left shin", {"text": "left shin"}),
        (" ", None),
    ],
)
def test_a_caller_names_a_body_site_by_code_term_or_words(
    text: str, expected: dict[str, object] | None
) -> None:
    assert body_site_concept(text) == expected
