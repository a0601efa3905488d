from typing import Any

import pytest

from imaging_fhir.fhir.human import Words, label_of, lines_of, title_of, words_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"family": "Virtanen", "given": ["Aino", "Maria"]}, "Virtanen, Aino Maria"),
        ({"text": "A. Virtanen", "family": "Virtanen"}, "A. Virtanen"),
        ({"coding": [{"code": "CT", "display": "Computed tomography"}]}, "Computed tomography"),
        ({"system": "http://loinc.org", "code": "18748-4"}, "18748-4"),
        ({"start": "2025-01-01"}, "2025-01-01 to …"),
        ({"value": 5.4, "unit": "mm"}, "5.4 mm"),
        ({"system": "urn:oid:1.2", "value": "104363"}, "104363 (urn:oid:1.2)"),
        (True, "yes"),
        (None, ""),
        ([1, 2], "1, 2"),
        ("x" * 301, "x" * 299 + "…"),
    ],
)
def test_a_value_is_told_by_its_shape(value: Any, text: str) -> None:
    assert words_of(value) == Words(text)


def test_a_reference_leads_somewhere() -> None:
    told = words_of({"reference": "Patient/p", "display": "Aino"})
    assert told == Words("Aino", "Patient/p")


def test_an_attachment_leads_to_its_bytes() -> None:
    content = {"attachment": {"contentType": "image/jpeg", "url": "https://h/fhir/Binary/b"}}
    assert words_of(content).reference == "https://h/fhir/Binary/b"


def test_a_line_has_what_an_element_says_and_no_more_than_can_be_read() -> None:
    [line] = lines_of({"resourceType": "Patient", "id": "p", "given": [str(n) for n in range(10)]})
    assert (line.label, len(line.values), line.more) == ("Given", 8, 2)


def test_primitives_beside_extensions_are_no_lines() -> None:
    assert lines_of({"_birthDate": {"extension": []}, "text": {"div": "x"}, "meta": {}}) == []


def test_the_title_is_the_first_name_there_is() -> None:
    assert title_of({"code": {"text": "Chest X-ray"}, "description": ""}) == "Chest X-ray"
    assert title_of({"id": "x"}) == ""


def test_a_label_is_words() -> None:
    assert label_of("numberOfSeries") == "Number of series"
