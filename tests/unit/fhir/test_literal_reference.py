import pytest

from imaging_fhir.fhir.literal_reference import Target, target_of, type_in
from imaging_fhir.model.codec import BASE_PLACEHOLDER


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Patient/1", Target(type="Patient", id="1")),
        ("Patient/a.b-C/_history/3", Target(type="Patient", id="a.b-C")),
        (f"{BASE_PLACEHOLDER}/Patient/1", Target(type="Patient", id="1")),
        ("http://other/fhir/Patient/1", Target(url="http://other/fhir/Patient/1")),
        ("urn:uuid:1", Target(url="urn:uuid:1")),
        ("Nonsense/1", Target(url="Nonsense/1")),
        ("#referrer", None),
    ],
)
def test_a_reference_points_at_a_resource_here_or_elsewhere_or_inside(
    text: str, target: Target | None
) -> None:
    assert target_of(text) == target


def test_an_address_elsewhere_may_name_its_type() -> None:
    assert type_in("http://other/fhir/Patient/1") == "Patient"
    assert type_in("http://other/fhir/Group/1/_history/2") == "Group"
    assert type_in("urn:uuid:1") is None
