from typing import Any

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.services.rewriting import rewritten, with_references, without_base

BASE = "https://images.example/fhir"
EHR = "https://ehr.example/r4"
NEW = "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"reference": f"{BASE}/Patient/1"}, {"reference": "Patient/1"}),
        ({"reference": "Patient/1"}, {"reference": "Patient/1"}),
        (
            {"reference": "https://images.example.org/fhir/Patient/1"},
            {"reference": "https://images.example.org/fhir/Patient/1"},
        ),
        (
            {"reference": "https://other/fhir/Patient/1"},
            {"reference": "https://other/fhir/Patient/1"},
        ),
        ({"url": f"{BASE}/Binary/1"}, {"url": "https://base.imaging-fhir.invalid/fhir/Binary/1"}),
        (
            {"address": "https://images.example/dicomweb"},
            {"address": "https://base.imaging-fhir.invalid/dicomweb"},
        ),
        ({"text": f"see {BASE}/Patient/1"}, {"text": f"see {BASE}/Patient/1"}),
    ],
)
def test_our_own_address_is_taken_out(given: Any, kept: Any) -> None:
    assert without_base({"a": [given]}, BASE) == {"a": [kept]}


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        (f"{EHR}/Patient/1", "Patient/1"),
        (f"{EHR}/Encounter/1/_history/2", "Encounter/1/_history/2"),
        (f"{EHR}/Location/1", f"{EHR}/Location/1"),
        (f"{EHR}/Patient/1/more", f"{EHR}/Patient/1/more"),
        (f"{EHR}x/Patient/1", f"{EHR}x/Patient/1"),
        ("https://other/fhir/Patient/1", "https://other/fhir/Patient/1"),
        (f"{BASE}/Patient/1", "Patient/1"),
    ],
)
def test_what_is_copied_from_the_ehr_is_here(reference: str, kept: str) -> None:
    resource = {"subject": {"reference": reference}, "url": reference}
    found = without_base(resource, BASE, ehr_base=EHR)
    assert found["subject"] == {"reference": kept}
    assert found["url"].endswith("/fhir/Patient/1") or found["url"] == reference


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"reference": NEW}, {"reference": "Patient/1"}),
        ({"reference": f"{NEW}#part"}, {"reference": "Patient/1#part"}),
        ({"url": NEW}, {"url": "https://base.imaging-fhir.invalid/fhir/Patient/1"}),
        ({"value": NEW}, {"value": NEW}),
        ({"reference": NEW + "0"}, {"reference": NEW + "0"}),
        ({"div": f'<a href="{NEW}">x</a>'}, {"div": '<a href="Patient/1">x</a>'}),
        ({"div": f"<p>{NEW}</p>"}, {"div": f"<p>{NEW}</p>"}),
    ],
)
def test_an_address_of_the_bundle_becomes_that_of_the_resource(given: Any, kept: Any) -> None:
    assert with_references({"extension": [given]}, {NEW: "Patient/1"}) == {"extension": [kept]}


def test_madly_nested_resources_are_refused() -> None:
    nested: Any = "x"
    for _ in range(200):
        nested = [nested]
    with pytest.raises(InvalidRequest):
        rewritten({"a": nested}, lambda name, text: text)
