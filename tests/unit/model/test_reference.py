import pytest

from imaging_fhir.model.codec import BASE_PLACEHOLDER
from imaging_fhir.model.reference import id_in, local_id, local_target

FOREIGN = (
    "https://other.example/fhir/Patient/1",
    "https://other.example/fhir/Patient/1/_history/2",
    f"{BASE_PLACEHOLDER}.evil.example/Patient/1",
    f"{BASE_PLACEHOLDER}/more/Patient/1",
    "urn:uuid:0b1e2d3c-0000-4000-8000-00000000000a",
    "urn:oid:1.2.3",
    "#1",
    "#",
    "Patient",
    "Patient/",
    "Patient/1/more",
    "Patient/1/_history/",
    "Patient/1#part",
    "Patient?identifier=1",
    "/Patient/1",
    "//other.example/Patient/1",
    "",
    None,
    5,
    {"reference": "Patient/1"},
)


@pytest.mark.parametrize("text", FOREIGN)
def test_what_is_not_ours_leads_nowhere_here(text: object) -> None:
    assert local_target(text) is None
    assert id_in(text, "Patient") is None


@pytest.mark.parametrize(
    "text",
    [
        "Patient/a.b-C",
        "Patient/a.b-C/_history/3",
        f"{BASE_PLACEHOLDER}/Patient/a.b-C",
        f"{BASE_PLACEHOLDER}/Patient/a.b-C/_history/3",
    ],
)
def test_what_is_ours_leads_to_the_resource_whatever_its_version(text: str) -> None:
    assert local_target(text) == ("Patient", "a.b-C")


def test_what_is_ours_depends_on_the_base() -> None:
    ehr = "https://ehr.example/r4"
    assert local_target(f"{ehr}/Patient/1", base=ehr) == ("Patient", "1")
    assert local_target(f"{BASE_PLACEHOLDER}/Patient/1", base=ehr) is None


def test_an_id_is_that_of_a_resource_of_the_type() -> None:
    assert local_id({"reference": "Patient/1"}, "Patient") == "1"
    assert local_id({"reference": "Group/1"}, "Patient") is None
    assert local_id({"identifier": {"value": "1"}}, "Patient") is None
    assert local_id(None, "Patient") is None
