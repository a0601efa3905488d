"""What US Core and IPA ask beyond R4, one breach at a time."""

from typing import Any

import pytest

from imaging_fhir.errors import InvalidResource
from imaging_fhir.fhir.definitions import definition
from imaging_fhir.fhir.profile import conforms
from imaging_fhir.fhir.profiles import (
    PACKS,
    PROFILES,
    claimed,
    declared,
    judged,
    require_conformance,
    supported_profiles,
)
from imaging_fhir.fhir.resource_type import RESOURCE_TYPES
from imaging_fhir.fhir.validation import check
from imaging_fhir.model.codec import Resource
from tests.seeded_defects import REMOVED, changed

CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
IPA = "http://hl7.org/fhir/uv/ipa/StructureDefinition/ipa-"
LOINC = "http://loinc.org"
CATEGORIES = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
PATIENT: Resource = {
    "resourceType": "Patient",
    "active": True,
    "identifier": [{"system": "urn:oid:1.2.3", "value": "7"}],
    "name": [{"family": "Gray", "text": "Gray"}],
    "telecom": [{"system": "phone", "value": "1"}],
    "gender": "unknown",
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
DOCUMENT: Resource = {
    "resourceType": "DocumentReference",
    "status": "current",
    "type": {"coding": [{"system": LOINC, "code": "72170-4"}]},
    "category": [{"text": "Imaging"}],
    "subject": {"reference": "Patient/1"},
    "content": [{"attachment": {"contentType": "image/png", "url": "https://a.example/1"}}],
    "context": {"encounter": [{"reference": "Encounter/1"}]},
}
CONFORMING: dict[str, Resource] = {
    f"{CORE}patient": PATIENT,
    f"{IPA}patient": PATIENT,
    f"{CORE}documentreference": DOCUMENT,
    f"{IPA}documentreference": DOCUMENT,
    f"{CORE}encounter": {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "identifier": [{"system": "urn:oid:1.2.3", "value": "v"}],
        "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "308335008"}]}],
        "subject": {"reference": "Patient/1"},
    },
    f"{CORE}practitioner": {
        "resourceType": "Practitioner",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "name": [{"family": "Gray"}],
    },
    f"{IPA}practitioner": {"resourceType": "Practitioner", "name": [{"text": "Gray"}]},
    f"{CORE}practitionerrole": {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "Practitioner/1"},
        "telecom": [{"system": "phone", "value": "1"}],
    },
    f"{IPA}practitionerrole": {"resourceType": "PractitionerRole", "active": True},
    f"{CORE}organization": {
        "resourceType": "Organization",
        "active": True,
        "name": "a",
        "identifier": [
            {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"},
            {"system": "urn:oid:2.16.840.1.113883.4.7", "value": "12D3456789"},
            {"system": "urn:oid:2.16.840.1.113883.6.300", "value": "12345"},
            {"system": "urn:oid:1.2.3", "value": "anything"},
        ],
    },
    f"{CORE}location": {"resourceType": "Location", "name": "a"},
    f"{CORE}servicerequest": {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "71046"}]},
        "subject": {"reference": "Patient/1"},
    },
    f"{CORE}diagnosticreport-note": {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"text": "a"}],
        "code": {"coding": [{"system": LOINC, "code": "18748-4"}]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2024",
    },
    f"{CORE}procedure": {
        "resourceType": "Procedure",
        "status": "completed",
        "code": {"text": "a"},
        "subject": {"reference": "Patient/1"},
        "performedDateTime": "2024",
    },
    f"{CORE}specimen": {"resourceType": "Specimen", "type": {"text": "a"}},
}
BREACHES: tuple[tuple[str, str, Any, str, str], ...] = (
    # profile, path of the change, its value; where it is found, and as what
    (f"{CORE}patient", "identifier", REMOVED, "Patient.identifier", "required"),
    (f"{CORE}patient", "identifier.0.system", REMOVED, "Patient.identifier[0].system", "required"),
    (f"{CORE}patient", "telecom.0.value", REMOVED, "Patient.telecom[0].value", "required"),
    (f"{CORE}patient", "gender", REMOVED, "Patient.gender", "required"),
    (f"{CORE}patient", "name", REMOVED, "Patient.name", "required"),
    (f"{CORE}patient", "name.0.family", REMOVED, "Patient.name[0]", "invariant"),
    (f"{IPA}patient", "identifier.0", {"value": "7"}, "Patient.identifier[0]", "invariant"),
    (f"{IPA}patient", "name.0", {"use": "official"}, "Patient.name[0]", "invariant"),
    (f"{IPA}patient", "active", REMOVED, "Patient", "invariant"),
    (f"{CORE}documentreference", "type", REMOVED, "DocumentReference.type", "required"),
    (f"{CORE}documentreference", "type", {"text": "a"}, "DocumentReference.type", "code-invalid"),
    (f"{CORE}documentreference", "type.coding.0.system", "urn:x", "DocumentReference.type",
     "code-invalid"),
    (f"{CORE}documentreference", "category", REMOVED, "DocumentReference.category", "required"),
    (f"{CORE}documentreference", "subject", REMOVED, "DocumentReference.subject", "required"),
    (f"{CORE}documentreference", "content.0.attachment.url", REMOVED,
     "DocumentReference.content[0].attachment", "invariant"),
    (f"{CORE}documentreference", "context.encounter", [{"reference": "Encounter/1"}] * 2,
     "DocumentReference.context.encounter", "value"),
    (f"{CORE}documentreference", "context.encounter.0.reference", "EpisodeOfCare/1",
     "DocumentReference.context.encounter[0]", "structure"),
    (f"{CORE}documentreference|6.1.0", "subject.reference", "Group/1",
     "DocumentReference.subject", "structure"),
    (f"{IPA}documentreference", "subject.reference", "Group/1", "DocumentReference.subject",
     "structure"),
    (f"{IPA}documentreference", "content.0.attachment.contentType", REMOVED,
     "DocumentReference.content[0].attachment.contentType", "required"),
    (f"{CORE}encounter", "type", REMOVED, "Encounter.type", "required"),
    (f"{CORE}encounter", "identifier.0.value", REMOVED, "Encounter.identifier[0].value",
     "required"),
    (f"{CORE}practitioner", "identifier.0.value", "1234567890", "Practitioner.identifier[0]",
     "invariant"),
    (f"{CORE}practitioner", "name.0.family", REMOVED, "Practitioner.name[0].family", "required"),
    (f"{IPA}practitioner", "name", REMOVED, "Practitioner.name", "required"),
    (f"{CORE}practitionerrole", "telecom", REMOVED, "PractitionerRole", "invariant"),
    (f"{CORE}practitionerrole", "practitioner", REMOVED, "PractitionerRole", "invariant"),
    (f"{CORE}organization", "active", REMOVED, "Organization.active", "required"),
    (f"{CORE}organization", "identifier.0.value", "1234567890", "Organization.identifier[0]",
     "invariant"),
    (f"{CORE}organization", "identifier.1.value", "1234567890", "Organization.identifier[1]",
     "invariant"),
    (f"{CORE}organization|6.1.0", "identifier.2.value", "1234", "Organization.identifier[2]",
     "invariant"),
    (f"{CORE}location", "name", REMOVED, "Location.name", "required"),
    (f"{CORE}servicerequest", "code", REMOVED, "ServiceRequest.code", "required"),
    (f"{CORE}diagnosticreport-note", "category", REMOVED, "DiagnosticReport.category", "required"),
    (f"{CORE}diagnosticreport-note", "effectiveDateTime", REMOVED, "DiagnosticReport",
     "invariant"),
    (f"{CORE}procedure", "performedDateTime", REMOVED, "Procedure", "invariant"),
    (f"{CORE}specimen", "type", REMOVED, "Specimen.type", "required"),
)  # fmt: skip


def test_every_profile_of_a_pack_has_its_conforming_resource() -> None:
    assert {profile.url for pack in PACKS.values() for profile in pack} == set(CONFORMING)


@pytest.mark.parametrize("url", CONFORMING)
def test_what_conforms_is_right_by_r4_too(url: str) -> None:
    assert check(CONFORMING[url]) == []
    assert conforms(CONFORMING[url], PROFILES[url])


@pytest.mark.parametrize("url", CONFORMING)
def test_every_element_of_a_profile_is_one_of_its_type(url: str) -> None:
    profile = PROFILES[url]
    assert profile.type in RESOURCE_TYPES
    for path in (*(one.path for one in profile.rules), *(one.path for one in profile.constraints)):
        type_ = profile.type
        for name in filter(None, path.split(".")):
            found = definition(type_)
            if name.endswith("[x]"):
                assert name[:-3] in found.choices
            else:
                type_ = found.elements[name].type


@pytest.mark.parametrize(("url", "path", "value", "expression", "code"), BREACHES)
def test_a_breach_is_found_where_it_is(
    url: str, path: str, value: Any, expression: str, code: str
) -> None:
    resource = changed(CONFORMING[url.partition("|")[0]], path, value)
    found = [issue for issue in judged(resource, PROFILES[url]) if issue.severity == "error"]
    assert (expression, code) in [(issue.expression, issue.code) for issue in found]


def test_us_core_7_allows_other_subjects_than_patients() -> None:
    document = changed(DOCUMENT, "subject.reference", "Group/1")
    assert conforms(document, PROFILES[f"{CORE}documentreference|7.0.0"])
    assert not conforms(document, PROFILES[f"{CORE}documentreference|6.1.0"])


def race(*codes: str) -> Resource:
    parts = [{"url": "ombCategory", "valueCoding": {"code": code}} for code in codes]
    return {"url": f"{CORE}race", "extension": [*parts, {"url": "text", "valueString": "-"}]}


@pytest.mark.parametrize(
    ("extensions", "conforming"),
    [
        ([race("2106-3", "2028-9")], {"6.1.0", "7.0.0"}),
        ([race("UNK")], {"6.1.0", "7.0.0"}),
        ([race("UNK", "2106-3")], {"6.1.0"}),
        ([race("2106-3"), race("2028-9")], set()),
    ],
)
def test_a_race_is_said_once_and_is_not_unknown_beside(
    extensions: list[Resource], conforming: set[str]
) -> None:
    patient = {**CONFORMING[f"{CORE}patient"], "extension": extensions}
    versions = {
        one for one in ("6.1.0", "7.0.0") if conforms(patient, PROFILES[f"{CORE}patient|{one}"])
    }
    assert versions == conforming


@pytest.mark.parametrize(
    "category",
    [
        {"coding": [{"system": CATEGORIES, "code": "clinical-note"}]},
        {"coding": [{"system": "urn:oid:1.3.6.1.4.1.19376.1.2.6.1", "code": "IMAGES"}]},
        {"text": "Imaging"},
    ],
)
def test_a_category_beside_those_of_the_slice_is_permitted(category: Resource) -> None:
    """The slice is open and optional: a required binding that slices asks for nothing else."""
    document = changed(DOCUMENT, "category.0", category)
    for version in ("6.1.0", "7.0.0"):
        assert conforms(document, PROFILES[f"{CORE}documentreference|{version}"])


def test_an_unknown_type_is_said_by_a_code_or_not_at_all() -> None:
    unknown = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"}
    document = changed(DOCUMENT, "type.coding.0", unknown)
    assert conforms(document, PROFILES[f"{CORE}documentreference"])


def test_a_code_that_was_not_checked_is_no_conformance() -> None:
    document = changed(DOCUMENT, "type.coding.0.code", "24627-2")
    (issue,) = judged(document, PROFILES[f"{CORE}documentreference"])
    assert (issue.severity, issue.code) == ("information", "not-supported")
    assert claimed(document, frozenset({"us-core"})).get("meta") is None


def test_an_extensible_binding_is_only_advised() -> None:
    encounter = changed(CONFORMING[f"{CORE}encounter"], "type.0", {"text": "a"})
    (issue,) = judged(encounter, PROFILES[f"{CORE}encounter"])
    assert issue.severity == "warning"


def test_a_profile_of_another_type_says_so() -> None:
    (issue,) = judged(PATIENT, PROFILES[f"{CORE}encounter"])
    assert issue.message == "is no Encounter"


def test_only_what_conforms_is_claimed_and_foreign_profiles_stay() -> None:
    both = frozenset({"us-core", "ipa"})
    document = {**DOCUMENT, "meta": {"profile": ["https://a.example/own"], "tag": [{"code": "a"}]}}
    found = claimed(document, both)
    assert declared(found) == [
        "https://a.example/own", f"{IPA}documentreference", f"{CORE}documentreference"
    ]  # fmt: skip
    assert found["meta"]["tag"] == [{"code": "a"}]
    without_type = {name: value for name, value in found.items() if name != "type"}
    assert declared(claimed(without_type, both)) == [
        "https://a.example/own",
        f"{IPA}documentreference",
    ]
    assert declared(claimed(DOCUMENT, frozenset())) == []


def test_a_false_claim_is_told_with_every_breach() -> None:
    patient = {"resourceType": "Patient", "meta": {"profile": [f"{CORE}patient", "urn:unknown"]}}
    with pytest.raises(InvalidResource) as raised:
        require_conformance(patient)
    assert [where for where, _ in raised.value.issues] == [
        "Patient.identifier", "Patient.name", "Patient.gender"
    ]  # fmt: skip
    require_conformance({**PATIENT, "meta": patient["meta"]})


def test_the_profiles_of_a_pack_are_listed_by_type() -> None:
    assert supported_profiles(frozenset()) == {}
    assert supported_profiles(frozenset({"ipa"}))["Patient"] == [f"{IPA}patient|1.0.0"]
