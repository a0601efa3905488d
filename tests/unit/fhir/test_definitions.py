import pytest

from imaging_fhir.fhir.definitions import BINDINGS, PRIMITIVES, definition
from imaging_fhir.fhir.resource_names import RESOURCE_NAMES, UNDEFINED

KNOWN = [name for name in RESOURCE_NAMES if name not in UNDEFINED]


def test_there_are_the_146_concrete_resource_types_of_r4() -> None:
    assert len(set(RESOURCE_NAMES)) == len(RESOURCE_NAMES) == 146
    assert not {"SubscriptionTopic", "Citation", "Ingredient"} & set(RESOURCE_NAMES)


@pytest.mark.parametrize("name", KNOWN)
def test_every_type_is_defined_down_to_its_primitives(name: str) -> None:
    seen: set[str] = set()
    left = [name]
    while left:
        for element in definition(left.pop()).elements.values():
            assert element.is_primitive == (element.type in PRIMITIVES)
            if not element.is_primitive and element.type not in seen | {"Resource"}:
                seen.add(element.type)
                left.append(element.type)


def test_every_binding_of_the_table_is_in_force() -> None:
    for path, codes in BINDINGS.items():
        type_, _, name = path.partition(".")
        assert definition(type_).elements[name].codes == frozenset(codes.split())


@pytest.mark.parametrize(
    ("type_", "name", "code"),
    [
        ("Identifier", "use", "old"),
        ("HumanName", "use", "maiden"),
        ("ContactPoint", "system", "sms"),
        ("Address", "type", "postal"),
        ("Narrative", "status", "additional"),
        ("Patient", "gender", "unknown"),
        ("PatientLink", "type", "replaced-by"),
        ("ImagingStudy", "status", "registered"),
        ("DocumentReference", "docStatus", "preliminary"),
        ("Bundle", "type", "searchset"),
        ("BundleEntryRequest", "method", "HEAD"),
        ("Endpoint", "status", "off"),
        ("Device", "status", "inactive"),
        ("DeviceDeviceName", "type", "model-name"),
        ("Location", "mode", "kind"),
        ("ServiceRequest", "intent", "filler-order"),
        ("Task", "priority", "stat"),
        ("ProvenanceEntity", "role", "removal"),
        ("CapabilityStatementRest", "mode", "client"),
        ("List", "status", "retired"),
        ("Media", "status", "not-done"),
    ],
)
def test_the_required_bindings_of_our_types_are_known(type_: str, name: str, code: str) -> None:
    codes = definition(type_).elements[name].codes
    assert codes is not None
    assert code in codes


def test_the_types_of_elements_are_r4s() -> None:
    patient = definition("Patient").elements
    assert (patient["birthDate"].type, patient["birthDate"].is_list) == ("date", False)
    assert (patient["name"].type, patient["name"].is_list) == ("HumanName", True)
    assert patient["deceasedBoolean"].choice == "deceased"
    assert patient["managingOrganization"].targets == frozenset({"Organization"})
    assert definition("Meta").elements["profile"].type == "canonical"
    assert definition("ImagingStudySeries").elements["uid"].type == "id"
    assert definition("Encounter").required == ("status", "class")
    assert "valueRatioRange" not in definition("Extension").elements
