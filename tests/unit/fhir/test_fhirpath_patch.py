"""fhirpatch.html: what the official test cases show, and what they leave open."""

import random
from typing import Any

import pytest

from imaging_fhir.errors import ImagingError, InvalidRequest, InvalidResource, UploadTooLarge
from imaging_fhir.fhir.fhirpath_patch import (
    MOST_OPERATIONS,
    fhirpath_operations,
    fhirpath_patched,
)
from imaging_fhir.fhir.validation import require_valid

Json = dict[str, Any]
EXTENSION = {"url": "http://example.org/x", "valueString": "y"}


def part(name: str, value: Any = None, **values: Any) -> Json:
    """A part: of a text valueString, of a number valueInteger, else as the names say."""
    if isinstance(value, str):
        values = {"valueString": value}
    elif isinstance(value, int):
        values = {"valueInteger": value}
    return {"name": name, **values}


def operation(type_: str, path: str, *parts: Json) -> Json:
    return {
        "name": "operation",
        "part": [{"name": "type", "valueCode": type_}, part("path", path), *parts],
    }


def value(**values: Any) -> Json:
    return part("value", **values)


def parameters(*operations: Json) -> Json:
    found: Json = {"resourceType": "Parameters"}
    return {**found, "parameter": list(operations)} if operations else found


def patched(resource: Json, *operations: Json) -> Json:
    found = fhirpath_patched(resource, fhirpath_operations(parameters(*operations)))
    return {key: inner for key, inner in found.items() if key != "resourceType"}


def patient(**elements: Any) -> Json:
    return {"resourceType": "Patient", **elements}


def identifiers(*numbers: int) -> list[Json]:
    return [{"system": "http://example.org", "value": f"value {one}"} for one in numbers]


def test_a_patch_without_operations_changes_nothing() -> None:
    assert patched(patient(birthDate="1920-01-01")) == {"birthDate": "1920-01-01"}


def test_a_primitive_is_added_replaced_and_deleted() -> None:
    new = value(valueDate="1930-01-01")
    assert patched(patient(), operation("add", "Patient", part("name", "birthDate"), new)) == {
        "birthDate": "1930-01-01"
    }
    there = patient(birthDate="1920-01-01", _birthDate={"extension": [EXTENSION]})
    assert patched(there, operation("replace", "Patient.birthDate", new)) == {
        "birthDate": "1930-01-01"
    }
    assert patched(there, operation("delete", "Patient.birthDate")) == {}


def test_a_nested_primitive_is_added_replaced_and_deleted() -> None:
    there = patient(contact=[{"name": {"text": "a name"}, "gender": "male"}])
    female = value(valueCode="female")
    assert patched(there, operation("replace", "Patient.contact[0].gender", female)) == {
        "contact": [{"name": {"text": "a name"}, "gender": "female"}]
    }
    text = operation("replace", "Patient.contact[0].name.text", value(valueString="the name"))
    assert patched(there, text)["contact"][0]["name"] == {"text": "the name"}
    without = patched(there, operation("delete", "Patient.contact[0].gender"))
    assert without == {"contact": [{"name": {"text": "a name"}}]}
    add = operation("add", "Patient.contact[0]", part("name", "gender"), value(valueCode="male"))
    assert patched(patient(**without), add) == {key: there[key] for key in ("contact",)}


def test_what_a_deletion_leaves_empty_goes_too() -> None:
    there = patient(contact=[{"name": {"text": "a name"}, "gender": "male"}])
    assert patched(there, operation("delete", "Patient.contact[0].name.text")) == {
        "contact": [{"gender": "male"}]
    }
    alone = patient(active=True, contact=[{"name": {"text": "a name"}}])
    assert patched(alone, operation("delete", "Patient.contact[0].name.text")) == {"active": True}
    assert patched(alone, operation("delete", "Patient.contact[0]")) == {"active": True}


def test_a_complex_value_is_added_replaced_and_deleted_with_its_id() -> None:
    married = value(valueCodeableConcept={"id": "2", "text": "married"})
    added = patched(patient(), operation("add", "Patient", part("name", "maritalStatus"), married))
    assert added == {"maritalStatus": {"id": "2", "text": "married"}}
    there = patient(maritalStatus={"id": "1", "text": "not married"})
    assert patched(there, operation("replace", "Patient.maritalStatus", married)) == added
    assert patched(there, operation("delete", "Patient.maritalStatus")) == {}


def test_a_backbone_element_is_added_by_parts_within_parts() -> None:
    contact = value(
        part=[
            part("relationship", valueCodeableConcept={"text": "partner"}),
            part("relationship", valueCodeableConcept={"text": "next of kin"}),
            part(
                "name",
                part=[part("family", "Korhonen"), part("given", "A"), part("given", "B")],
            ),
            part("gender", valueCode="male"),
        ]
    )
    assert patched(patient(), operation("add", "Patient", part("name", "contact"), contact)) == {
        "contact": [
            {
                "relationship": [{"text": "partner"}, {"text": "next of kin"}],
                "name": {"family": "Korhonen", "given": ["A", "B"]},
                "gender": "male",
            }
        ]
    }


def test_a_value_that_may_be_of_several_types_gets_the_type_it_is_given() -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "weight"},
        "valueQuantity": {"value": 70},
    }
    text = operation("replace", "Observation.value", value(valueString="heavy"))
    found = patched(observation, text)
    assert ("valueQuantity" in found, found["valueString"]) == (False, "heavy")
    dead = operation("add", "Patient", part("name", "deceased"), value(valueBoolean=True))
    assert patched(patient(), dead) == {"deceasedBoolean": True}
    with pytest.raises(InvalidResource, match="is there already"):
        patched(patient(deceasedDateTime="2020"), dead)
    age = operation("add", "Patient", part("name", "deceased"), value(valueAge={"value": 3}))
    with pytest.raises(InvalidResource, match="cannot be a Age"):
        patched(patient(), age)
    component = operation(
        "add",
        "Observation",
        part("name", "component"),
        value(
            part=[
                part("code", valueCodeableConcept={"text": "x"}),
                part("value", valueTime="12:00:00"),
            ]
        ),
    )
    assert patched(observation, component)["component"] == [
        {"code": {"text": "x"}, "valueTime": "12:00:00"}
    ]


def test_contents_of_a_list_change_while_it_stays() -> None:
    found = patched(
        patient(identifier=identifiers(1, 2)),
        operation("replace", "Patient.identifier[0].value", value(valueString="value 2")),
        operation("replace", "Patient.identifier[1].value", value(valueString="value 1")),
    )
    assert found["identifier"] == identifiers(2, 1)


@pytest.mark.parametrize(("index", "expected"), [(0, (3, 1, 2)), (1, (1, 3, 2)), (2, (1, 2, 3))])
def test_a_member_is_inserted_at_its_place(index: int, expected: tuple[int, ...]) -> None:
    new = value(valueIdentifier=identifiers(3)[0])
    insert = operation("insert", "Patient.identifier", part("index", index), new)
    found = patched(patient(identifier=identifiers(1, 2)), insert)
    assert found["identifier"] == identifiers(*expected)


def test_the_first_member_is_added_or_inserted_into_a_list_that_is_not_there() -> None:
    new = value(valueIdentifier=identifiers(3)[0])
    for one in (
        operation("add", "Patient", part("name", "identifier"), new),
        operation("insert", "Patient.identifier", part("index", 0), new),
    ):
        assert patched(patient(), one) == {"identifier": identifiers(3)}


@pytest.mark.parametrize(("index", "expected"), [(0, (2, 3)), (1, (1, 3)), (2, (1, 2))])
def test_a_member_is_deleted_by_its_place(index: int, expected: tuple[int, ...]) -> None:
    found = patched(
        patient(identifier=identifiers(1, 2, 3)),
        operation("delete", f"Patient.identifier[{index}]"),
    )
    assert found["identifier"] == identifiers(*expected)


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([(3, 1)], (1, 4, 2, 3)),
        ([(3, 0)], (4, 1, 2, 3)),
        ([(3, 2)], (1, 2, 4, 3)),
        ([(0, 3)], (2, 3, 4, 1)),
        ([(1, 0), (2, 1)], (2, 3, 1, 4)),
        ([(3, 0), (3, 1), (3, 2)], (4, 3, 2, 1)),
    ],
)
def test_members_are_moved(moves: list[tuple[int, int]], expected: tuple[int, ...]) -> None:
    operations = [
        operation("move", "Patient.identifier", part("source", source), part("destination", to))
        for source, to in moves
    ]
    found = patched(patient(identifier=identifiers(1, 2, 3, 4)), *operations)
    assert found["identifier"] == identifiers(*expected)


def test_a_list_of_primitives_keeps_its_extensions_beside_the_right_values() -> None:
    name = {"given": ["A", "B"], "_given": [None, {"extension": [EXTENSION]}]}
    there = patient(name=[name])
    at = "Patient.name[0].given"
    insert = operation("insert", at, part("index", 1), value(valueString="X"))
    assert patched(there, insert)["name"] == [
        {"given": ["A", "X", "B"], "_given": [None, None, {"extension": [EXTENSION]}]}
    ]
    moved = patched(there, operation("move", at, part("source", 1), part("destination", 0)))
    assert moved["name"] == [{"given": ["B", "A"], "_given": [{"extension": [EXTENSION]}, None]}]
    assert patched(there, operation("delete", f"{at}[1]"))["name"] == [{"given": ["A"]}]
    bare = operation("delete", f"{at}[1].extension")
    assert patched(there, bare)["name"] == [{"given": ["A", "B"]}]


def test_a_primitive_gets_extensions_by_its_value_part_or_by_an_add() -> None:
    extended = {"extension": [EXTENSION]}
    whole = value(valueDate="2000", _valueDate=extended)
    assert patched(patient(), operation("add", "Patient", part("name", "birthDate"), whole)) == {
        "birthDate": "2000",
        "_birthDate": extended,
    }
    add = operation(
        "add", "Patient.birthDate", part("name", "extension"), value(valueReference=None)
    )
    add["part"][-1] = value(part=[part("url", valueUri=EXTENSION["url"]), part("value", "y")])
    assert patched(patient(birthDate="2000"), add) == {"birthDate": "2000", "_birthDate": extended}


def test_a_resource_can_be_contained() -> None:
    ward = {"resourceType": "Organization", "id": "o", "name": "Ward"}
    found = patched(
        patient(managingOrganization={"reference": "#o"}),
        operation("add", "Patient", part("name", "contained"), value(resource=ward)),
        operation("replace", "Patient.contained[0].name", value(valueString="Ward 7")),
    )
    assert found["contained"] == [{**ward, "name": "Ward 7"}]


def test_every_type_of_value_can_be_given() -> None:
    values: Json = {
        "valueBase64Binary": "AAAA",
        "valueBoolean": False,
        "valueInteger": 0,
        "valueInstant": "2026-03-14T00:00:00Z",
        "valuePeriod": {"start": "2026"},
        "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 2}},
        "valueHumanName": {"family": "x"},
        "valueTiming": {"event": ["2026"]},
        "valueReference": {"reference": "Patient/a"},
        "valueDosage": {"text": "x"},
    }
    for name, given in values.items():
        extension = value(part=[part("url", valueUri="http://x"), part("value", **{name: given})])
        found = fhirpath_patched(
            patient(),
            fhirpath_operations(
                parameters(operation("add", "Patient", part("name", "extension"), extension))
            ),
        )
        assert found["extension"] == [{"url": "http://x", name: given}]
        require_valid(found)


def test_to_delete_what_is_not_there_is_no_mistake() -> None:
    assert patched(patient(active=True), operation("delete", "Patient.birthDate")) == {
        "active": True
    }


NEW = value(valueString="x")
ADD = ("name", "family")
REFUSED = {
    "replaces what is not there": operation("replace", "Patient.birthDate", NEW),
    "adds to what is not there": operation(
        "add", "Patient.name.where(use = 'old').period", part("name", "end"), NEW
    ),
    "replaces several": operation("replace", "Patient.name.given", NEW),
    "deletes several": operation("delete", "Patient.name"),
    "inserts into several": operation("insert", "Patient.name.given", part("index", 0), NEW),
    "adds a second value": operation("add", "Patient.name[0]", part("name", "family"), NEW),
    "adds an unknown element": operation("add", "Patient", part("name", "colour"), NEW),
    "has an unknown element": operation("delete", "Patient.colour"),
    "inserts beyond the end": operation("insert", "Patient.name", part("index", 3), NEW),
    "inserts into no list": operation("insert", "Patient.birthDate", part("index", 0), NEW),
    "inserts an unknown element": operation("insert", "Patient.colour", part("index", 0), NEW),
    "moves beyond the end": operation(
        "move", "Patient.name", part("source", 0), part("destination", 2)
    ),
    "moves in no list": operation(
        "move", "Patient.gender", part("source", 0), part("destination", 0)
    ),
    "deletes the resource": operation("delete", "Patient"),
    "replaces the resource": operation("replace", "Patient", NEW),
    "is of another type": operation("delete", "Observation.status"),
    "has no value": operation("replace", "Patient.gender", value()),
    "has two values": operation("replace", "Patient.gender", value(valueCode="a", valueString="b")),
    "has parts of a primitive": operation("replace", "Patient.gender", value(part=[])),
}


@pytest.mark.parametrize("one", REFUSED.values(), ids=REFUSED.keys())
def test_an_operation_that_cannot_be_done_is_named_by_its_path(one: Json) -> None:
    there = patient(name=[{"family": "a", "given": ["b", "c"]}, {"text": "d"}], gender="male")
    with pytest.raises(InvalidResource) as refused:
        patched(there, one)
    assert refused.value.expression == one["part"][1]["valueString"]


def malformed(**change: Any) -> Json:
    return {**operation("delete", "Patient.gender"), **change}


@pytest.mark.parametrize(
    "one",
    [
        "operation",
        malformed(name="op"),
        malformed(part=None),
        malformed(part=["type"]),
        malformed(part=[{"name": "type", "valueCode": "delete"}]),
        malformed(part=[{"name": "type", "valueCode": "upsert"}, part("path", "Patient")]),
        malformed(part=[*operation("delete", "Patient.gender")["part"], part("path", "Patient")]),
        malformed(part=[*operation("delete", "Patient.gender")["part"], NEW]),
        operation("delete", "Patient.name.matches('x')"),
        operation("add", "Patient", NEW),
        operation("add", "Patient", part("name", 3), NEW),
        operation("insert", "Patient.name", part("index", "1"), NEW),
        operation("insert", "Patient.name", part("index", -1), NEW),
        operation("insert", "Patient.name[0]", part("index", 1), NEW),
        operation("move", "Patient.name", part("source", True), part("destination", 0)),
    ],
)
def test_what_is_no_operation_is_refused_with_its_place(one: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"Parameters.parameter\[1\]: ") as refused:
        fhirpath_operations(parameters(operation("delete", "Patient.gender"), one))
    assert refused.value.expression == "Parameters.parameter[1]"


@pytest.mark.parametrize(
    "document", [[], patient(), {"resourceType": "Parameters", "parameter": {}}]
)
def test_what_is_no_parameters_is_no_patch(document: Any) -> None:
    with pytest.raises(InvalidRequest):
        fhirpath_operations(document)


def test_the_number_of_operations_is_bounded() -> None:
    many = [operation("delete", "Patient.gender")] * (MOST_OPERATIONS + 1)
    with pytest.raises(UploadTooLarge):
        fhirpath_operations(parameters(*many))


def test_neither_the_resource_nor_the_patch_is_changed_by_patching() -> None:
    operations = fhirpath_operations(
        parameters(
            operation("add", "Patient", part("name", "name"), value(valueHumanName={"text": "x"})),
            operation("add", "Patient.name[0]", part("name", "given"), value(valueString="y")),
        )
    )
    there = patient()
    first = fhirpath_patched(there, operations)
    assert (
        fhirpath_patched(there, operations)
        == first
        == patient(name=[{"text": "x", "given": ["y"]}])
    )
    assert there == patient()


def test_whatever_is_sent_is_applied_or_refused() -> None:
    chance = random.Random(5)
    paths = [
        "Patient",
        "Patient.name",
        "Patient.name[0]",
        "Patient.name[0].given",
        "Patient.photo",
        "Patient.name[0].given[0]",
        "Patient.birthDate",
        "Patient.contact.name",
        "Patient.id",
    ]
    values: list[Json] = [
        {"valueString": "x"}, {"valueHumanName": {"given": "x", "_given": 3}}, {"valueInteger": 3},
        {"valueHumanName": {"given": [None], "_given": [1, {}]}}, {"_valueString": 7},
        {"part": [{"name": "given", "valueString": "x"}]}, {"resource": {}}, {"valueAny": []},
    ]  # fmt: skip
    done = 0
    for _ in range(1500):
        given = [
            part("name", chance.choice(["name", "given", "birthDate", "contact", "extension"]))
        ]
        kind = chance.choice(["add", "insert", "delete", "replace", "move"])
        given = {
            "add": [*given, value(**chance.choice(values))],
            "insert": [part("index", chance.randrange(3)), value(**chance.choice(values))],
            "delete": [],
            "replace": [value(**chance.choice(values))],
            "move": [part("source", chance.randrange(3)), part("destination", chance.randrange(3))],
        }[kind]
        try:
            there = patched(
                patient(name=[{"given": ["a", "b"]}]), operation(kind, chance.choice(paths), *given)
            )
            path = chance.choice(paths)
            patched(
                patient(**there),
                operation("delete", path),
                operation("insert", "Patient.name[0].given", part("index", 0), NEW),
            )
            done += 1
        except ImagingError:
            continue
    assert done > 50
