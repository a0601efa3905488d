from typing import Any

import pytest

from imaging_fhir.errors import InvalidRequest
from imaging_fhir.services.rewriting import rewritten, with_references, without_base

BASE = "https://images.example/fhir"
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
