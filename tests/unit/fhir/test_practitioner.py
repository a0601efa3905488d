from imaging_fhir.fhir.practitioner import contained_practitioner
from imaging_fhir.model.study import CodedConcept, PersonReference
from tests.unit.fhir.facts import GRAY


def test_a_practitioner_has_the_name_and_the_numbers_that_the_file_gives() -> None:
    numbers = (
        CodedConcept(code_value="7", coding_scheme_designator="99A", coding_scheme_uid="1.2.3"),
        CodedConcept(code_meaning="no number"),
    )
    person = PersonReference(name=GRAY, identification_codes=numbers)
    found = contained_practitioner(person, contained_id="referrer-1")
    assert found["id"] == "referrer-1"
    assert found["identifier"] == [{"system": "urn:oid:1.2.3", "value": "7"}]
    assert found["name"][0]["family"] == "Gray"
