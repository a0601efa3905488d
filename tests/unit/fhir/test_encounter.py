from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.encounter import visit_reference
from imaging_fhir.model.person import IssuedId, Visit
from tests.unit.fhir.facts import HOSPITAL


def test_a_visit_nobody_knows_is_a_logical_reference() -> None:
    visit = Visit(
        admission_id=IssuedId(value="V1", issuer=HOSPITAL),
        service_episode_id=IssuedId(value="E1"),
    )
    found = visit_reference(visit, system_of=universal_system)
    assert found is not None
    assert found["type"] == "Encounter"
    assert found["identifier"]["system"] == "urn:oid:1.2.3.4"
    assert found["identifier"]["value"] == "V1"
    assert found["identifier"]["type"]["coding"][0]["code"] == "VN"


def test_without_a_number_there_is_no_visit() -> None:
    assert visit_reference(Visit(), system_of=universal_system) is None
