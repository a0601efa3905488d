"""The value sets and hierarchies of R4 that are known here."""

from imaging_fhir.fhir.definitions import definition
from imaging_fhir.fhir.terminology import above, below, codes_in, parents, value_sets

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
BOUND = {
    "administrative-gender": ("Patient", "gender"),
    "encounter-status": ("Encounter", "status"),
    "observation-status": ("Observation", "status"),
    "document-reference-status": ("DocumentReference", "status"),
    "task-status": ("Task", "status"),
    "request-intent": ("ServiceRequest", "intent"),
}


def test_a_value_set_has_the_codes_that_the_element_bound_to_it_may_have() -> None:
    for name, (type_name, element) in BOUND.items():
        (codes,) = (codes_in(f"http://hl7.org/fhir/ValueSet/{name}") or {}).values()
        assert codes == definition(type_name).elements[element].codes, name


def test_every_hierarchy_ends() -> None:
    assert len(value_sets()) > 100
    for system, known in parents().items():
        for code in known:
            up = above(system, code) or set()
            assert known[code] <= up
            assert all(code in (below(system, one) or set()) for one in known[code])


def test_a_flat_system_and_an_unknown_one_differ() -> None:
    assert below("http://hl7.org/fhir/administrative-gender", "male") == {"male"}
    assert below("http://loinc.org", "1-8") is None
    assert above("http://loinc.org", "1-8") is None
    assert below(ACT_CODE, "IMP") == {"IMP", "ACUTE", "NONAC"}
