from typing import Any

import pytest

from imaging_fhir.errors import InvalidRequest, InvalidResource, VersionConflict
from imaging_fhir.model.caller import LOCAL
from imaging_fhir.services.bundle_entry import entry_at, named

BASE = "https://images.example/fhir"


@pytest.mark.parametrize(
    ("method", "url", "resource_id", "query"),
    [
        ("POST", "Patient", None, None),
        ("POST", "Patient?_format=json", None, "_format=json"),
        ("PUT", "Patient/1", "1", None),
        ("PUT", f"{BASE}/Patient/1", "1", None),
        ("PATCH", "/Patient/1", "1", None),
        ("PUT", "Patient?identifier=a|b", None, "identifier=a|b"),
        ("DELETE", "Patient/1", "1", None),
    ],
)
def test_an_entry_says_what_it_writes_to(
    method: str, url: str, resource_id: str | None, query: str | None
) -> None:
    entry = entry_at(0, {"request": {"method": method, "url": url}}, BASE, LOCAL)
    assert (entry.resource_type, entry.resource_id, entry.query) == ("Patient", resource_id, query)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"request": None},
        {"request": {"method": "GET"}},
        {"request": {"method": 1, "url": "Patient/1"}},
        {"request": {"method": "TRACE", "url": "Patient/1"}},
        {"request": {"method": "GET", "url": "Patient/1", "ifModifiedSince": 5}},
        {"request": {"method": "PUT", "url": "../Patient/1"}},
        {"request": {"method": "PUT", "url": "https://other.example/fhir/Patient/1"}},
        {"request": {"method": "POST", "url": "$import-image"}},
        {"request": {"method": "POST", "url": "Patient/1"}},
        {"request": {"method": "POST", "url": "Patient?identifier=a"}},
        {"request": {"method": "PUT", "url": "Patient/1?identifier=a"}},
        {"request": {"method": "PUT", "url": "Patient/1/_history/2"}},
        {"request": {"method": "PATCH", "url": "Patient/1?name="}},
        {"request": {"method": "DELETE", "url": "Patient/1?_cascade=delete"}},
    ],
)
def test_what_asks_for_nothing_is_refused(entry: Any) -> None:
    with pytest.raises(InvalidRequest):
        entry_at(0, entry, BASE, LOCAL)


def test_an_error_names_its_entry() -> None:
    with pytest.raises(VersionConflict) as caught, named(3):
        raise VersionConflict("another version")
    assert str(caught.value) == "Bundle.entry[3]: another version"
    assert caught.value.expression == "Bundle.entry[3]"


def test_each_fault_of_an_invalid_resource_names_its_entry() -> None:
    with pytest.raises(InvalidResource) as caught, named(3):
        raise InvalidResource("bad", issues=(("Patient.gender", "is none"),))
    assert caught.value.issues == (("Bundle.entry[3]: Patient.gender", "is none"),)
