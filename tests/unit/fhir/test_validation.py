"""The checker against R4's published examples, one fault at a time, and hostile input."""

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from imaging_fhir.errors import InvalidRequest, InvalidResource
from imaging_fhir.fhir.faults import MAX_ISSUES
from imaging_fhir.fhir.validation import check, require_valid
from imaging_fhir.model.codec import Resource, decode
from tests.seeded_defects import REMOVED, changed

DATA = Path(__file__).parents[4] / "shared" / "data"
EXAMPLES = sorted(DATA.glob("fhir/r4/**/*.json")) + sorted(DATA.glob("fhir/synthea_r4/**/*.json"))
HOSTILE = sorted(DATA.glob("hostile/json/**/*.json")) + sorted(DATA.glob("hostile/fhir/**/*.json"))

DCM = "http://dicom.nema.org/resources/ontology/DCM"
VALID: dict[str, Resource] = {
    "Patient": {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "1", "lastUpdated": "2024-05-01T10:00:00.000Z", "profile": ["a:b"]},
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Ann</p></div>',
        },
        "contained": [{"resourceType": "Organization", "id": "o", "name": "St. Elsewhere"}],
        "identifier": [{"use": "usual", "system": "urn:oid:1.2.3", "value": "7"}],
        "active": True,
        "name": [
            {
                "use": "official",
                "family": "Gray",
                "given": ["Ann", None],
                "_given": [None, {"extension": [{"url": "a:b", "valueCode": "x"}]}],
                "period": {"start": "2020", "end": "2024-01-01"},
            }
        ],
        "telecom": [{"system": "phone", "value": "1", "rank": 1}],
        "gender": "female",
        "birthDate": "1970-02-28",
        "_birthDate": {"extension": [{"url": "a:b", "valueDateTime": "1970-02-28T10:00:00Z"}]},
        "address": [{"use": "home", "type": "both"}],
        "multipleBirthInteger": 2,
        "contact": [{"name": {"text": "Bob"}}],
        "managingOrganization": {"reference": "#o"},
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    },
    "ImagingStudy": {
        "resourceType": "ImagingStudy",
        "status": "available",
        "modality": [{"system": DCM, "code": "CT"}],
        "subject": {"reference": "Patient/1"},
        "encounter": {"type": "Encounter", "identifier": {"value": "v"}},
        "started": "2024-05-01T10:00:00+02:00",
        "numberOfSeries": 1,
        "series": [
            {
                "uid": "1.2.3",
                "number": 0,
                "modality": {"system": DCM, "code": "CT"},
                "instance": [{"uid": "1.2.4", "sopClass": {"code": "urn:oid:1.2"}, "number": 1}],
            }
        ],
    },
    "DocumentReference": {
        "resourceType": "DocumentReference",
        "status": "current",
        "date": "2024-05-01T10:00:00Z",
        "content": [{"attachment": {"contentType": "image/png", "data": "YQ==", "size": 1}}],
    },
    "Encounter": {
        "resourceType": "Encounter",
        "status": "entered-in-error",
        "class": {"code": "AMB"},
        "length": {"value": 1, "system": "http://unitsofmeasure.org", "code": "h"},
    },
    "Task": {
        "resourceType": "Task",
        "status": "on-hold",
        "intent": "order",
        "authoredOn": "2024-05-01",
        "lastModified": "2024-05-02",
        "input": [{"type": {"text": "a"}, "valueString": "b"}],
    },
    "Endpoint": {
        "resourceType": "Endpoint",
        "status": "active",
        "connectionType": {"code": "dicom-wado-rs"},
        "payloadType": [{"text": "any"}],
        "payloadMimeType": ["application/dicom"],
        "address": "https://h.example/dicomweb",
    },
    "Bundle": {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:0e5e1b0a-6f64-4b5b-9b0c-3e6e2b0e6c11",
                "resource": {
                    "resourceType": "Encounter",
                    "status": "planned",
                    "class": {"code": "AMB"},
                    "subject": {"reference": "Patient?identifier=a|b"},
                },
                "request": {"method": "POST", "url": "Encounter"},
            }
        ],
    },
    "OperationOutcome": {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "too-costly"}],
    },
    "Organization": {"resourceType": "Organization", "name": "A"},
    "ServiceRequest": {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "https://ehr.example/fhir/Patient/1/_history/2"},
    },
    "Binary": {"resourceType": "Binary", "contentType": "image/png", "data": "YQ=="},
    "List": {"resourceType": "List", "status": "current", "mode": "working"},
    "CapabilityStatement": {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2024",
        "kind": "instance",
        "implementation": {"description": "a"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": [{"type": "Patient"}]}],
    },
}
WRONG: tuple[Any, ...] = (17, "?", [], {}, [{"x": 1}], True, None)
FAULTS: list[tuple[str, str, Any, str]] = [
    # path of the change, its value, and the expression of the first issue
    ("Patient", "resourceType", "Patent", "Patent.resourceType"),
    ("Patient", "resourceType", REMOVED, "Resource.resourceType"),
    ("Patient", "resourceType", "SubscriptionTopic", "SubscriptionTopic.resourceType"),
    ("Patient", "id", "a b", "Patient.id"),
    ("Patient", "id", "x" * 65, "Patient.id"),
    ("Patient", "id", "", "Patient.id"),
    ("Patient", "id", None, "Patient.id"),
    ("Patient", "foo", 1, "Patient"),
    ("Patient", "_foo", {}, "Patient"),
    ("Patient", "name.0.first", "x", "Patient.name[0]"),
    ("Patient", "name.0.family", ["x"], "Patient.name[0].family"),
    ("Patient", "name.0.family", 1, "Patient.name[0].family"),
    ("Patient", "name.0.family", "", "Patient.name[0].family"),
    ("Patient", "name.0.family", "  ", "Patient.name[0].family"),
    ("Patient", "name.0.family", "a\x00", "Patient.name[0].family"),
    ("Patient", "name.0.family", "a" * (1024 * 1024 + 1), "Patient.name[0].family"),
    ("Patient", "name.0.use", "formal", "Patient.name[0].use"),
    ("Patient", "name.0._given", REMOVED, "Patient.name[0].given[1]"),
    ("Patient", "name.0._given", [None], "Patient.name[0].given[1]"),
    ("Patient", "name.0.period.end", "2019", "Patient.name[0].period"),
    ("Patient", "name", {"family": "x"}, "Patient.name"),
    ("Patient", "name", [], "Patient.name"),
    ("Patient", "name.0", {}, "Patient.name[0]"),
    ("Patient", "name.0", "Gray", "Patient.name[0]"),
    ("Patient", "gender", "F", "Patient.gender"),
    ("Patient", "birthDate", "1970-02-30", "Patient.birthDate"),
    ("Patient", "birthDate", "1970-13", "Patient.birthDate"),
    ("Patient", "birthDate", "0000", "Patient.birthDate"),
    ("Patient", "birthDate", "1970-02-28T10:00:00Z", "Patient.birthDate"),
    ("Patient", "_birthDate", "x", "Patient.birthDate"),
    ("Patient", "_birthDate", {"value": "x"}, "Patient.birthDate"),
    ("Patient", "_birthDate.extension.0.valueDateTime", REMOVED, "Patient.birthDate.extension[0]"),
    ("Patient", "_birthDate.extension.0.url", REMOVED, "Patient.birthDate.extension[0].url"),
    ("Patient", "_birthDate.extension.0.valueCode", "x", "Patient.birthDate.extension[0].value"),
    ("Patient", "_name", [{}], "Patient"),
    ("Patient", "active", "true", "Patient.active"),
    ("Patient", "active", 1, "Patient.active"),
    ("Patient", "multipleBirthInteger", 1.5, "Patient.multipleBirth"),
    ("Patient", "multipleBirthInteger", True, "Patient.multipleBirth"),
    ("Patient", "multipleBirthBoolean", True, "Patient.multipleBirth"),
    ("Patient", "multipleBirthInteger", 2**31, "Patient.multipleBirth"),
    ("Patient", "telecom.0.system", REMOVED, "Patient.telecom[0]"),
    ("Patient", "telecom.0.system", "twitter", "Patient.telecom[0].system"),
    ("Patient", "telecom.0.use", "wörk", "Patient.telecom[0].use"),
    ("Patient", "telecom.0.rank", 0, "Patient.telecom[0].rank"),
    ("Patient", "address.0.use", "holiday", "Patient.address[0].use"),
    ("Patient", "address.0.type", "virtual", "Patient.address[0].type"),
    ("Patient", "identifier.0.use", "primary", "Patient.identifier[0].use"),
    ("Patient", "identifier.0.system", "my system", "Patient.identifier[0].system"),
    ("Patient", "contact.0", {"gender": "male"}, "Patient.contact[0]"),
    ("Patient", "link.0.type", "same", "Patient.link[0].type"),
    ("Patient", "link.0.other", REMOVED, "Patient.link[0].other"),
    ("Patient", "link.0.other.reference", "Group/2", "Patient.link[0].other"),
    ("Patient", "link.0.other.reference", "Patient/a b", "Patient.link[0].other.reference"),
    ("Patient", "link.0.other.reference", "Nobody/2", "Patient.link[0].other.reference"),
    ("Patient", "link.0.other.reference", "javascript:x", "Patient.link[0].other.reference"),
    ("Patient", "link.0.other.reference", "urn:uuid:7", "Patient.link[0].other.reference"),
    ("Patient", "link.0.other.reference", "Patient?a=b", "Patient.link[0].other.reference"),
    ("Patient", "managingOrganization.reference", "#x", "Patient.contained[0]"),
    ("Patient", "managingOrganization", REMOVED, "Patient.contained[0]"),
    ("Patient", "contained", REMOVED, "Patient.managingOrganization.reference"),
    ("Patient", "contained.0.id", REMOVED, "Patient.contained[0]"),
    ("Patient", "contained.0.contained", [{"resourceType": "Basic"}], "Patient.contained[0]"),
    ("Patient", "contained.0.meta", {"versionId": "1"}, "Patient.contained[0]"),
    ("Patient", "contained.0.meta", {"security": [{"code": "R"}]}, "Patient.contained[0]"),
    ("Patient", "contained.0.resourceType", "Location", "Patient.managingOrganization"),
    ("Patient", "contained.0.name", REMOVED, "Patient.contained[0]"),
    ("Patient", "meta.lastUpdated", "2024-05-01", "Patient.meta.lastUpdated"),
    ("Patient", "meta.lastUpdated", "2024-05-01T10:00:00", "Patient.meta.lastUpdated"),
    ("Patient", "meta.lastUpdated", "2024-05-01T10:00Z", "Patient.meta.lastUpdated"),
    ("Patient", "meta.profile", ["a b"], "Patient.meta.profile[0]"),
    ("Patient", "meta.versionId", "W/1", "Patient.meta.versionId"),
    ("Patient", "text.status", "made", "Patient.text.status"),
    ("Patient", "text.div", REMOVED, "Patient.text.div"),
    ("Patient", "text.div", "<p>x</p>", "Patient.text.div"),
    ("Patient", "extension", [{"url": "a:b", "valueRatioRange": {}}], "Patient.extension[0]"),
    ("ImagingStudy", "status", REMOVED, "ImagingStudy.status"),
    ("ImagingStudy", "status", "final", "ImagingStudy.status"),
    ("ImagingStudy", "subject", REMOVED, "ImagingStudy.subject"),
    ("ImagingStudy", "subject.reference", "Encounter/1", "ImagingStudy.subject"),
    ("ImagingStudy", "encounter.type", "Patient", "ImagingStudy.encounter"),
    ("ImagingStudy", "started", "2024-05-01T10:00:00", "ImagingStudy.started"),
    ("ImagingStudy", "started", "2024-05-01T25:00:00Z", "ImagingStudy.started"),
    ("ImagingStudy", "started", "2024-05-01T10:00:00+15:00", "ImagingStudy.started"),
    ("ImagingStudy", "numberOfSeries", -1, "ImagingStudy.numberOfSeries"),
    ("ImagingStudy", "numberOfSeries", "1", "ImagingStudy.numberOfSeries"),
    ("ImagingStudy", "series.0.uid", REMOVED, "ImagingStudy.series[0].uid"),
    ("ImagingStudy", "series.0.modality", REMOVED, "ImagingStudy.series[0].modality"),
    ("ImagingStudy", "series.0.instance", [], "ImagingStudy.series[0].instance"),
    ("ImagingStudy", "series.0.instance.0.sopClass", REMOVED, "ImagingStudy.series[0].instance[0].sopClass"),  # noqa: E501
    ("ImagingStudy", "modality.0.code", "C T  x", "ImagingStudy.modality[0].code"),
    ("DocumentReference", "status", "active", "DocumentReference.status"),
    ("DocumentReference", "docStatus", "done", "DocumentReference.docStatus"),
    ("DocumentReference", "content", REMOVED, "DocumentReference.content"),
    ("DocumentReference", "content.0.attachment.contentType", REMOVED, "DocumentReference.content[0].attachment"),  # noqa: E501
    ("DocumentReference", "content.0.attachment.contentType", "png", "DocumentReference.content[0].attachment.contentType"),  # noqa: E501
    ("DocumentReference", "content.0.attachment.data", "Y!==", "DocumentReference.content[0].attachment.data"),  # noqa: E501
    ("DocumentReference", "content.0.attachment.data", "YQ=", "DocumentReference.content[0].attachment.data"),  # noqa: E501
    ("DocumentReference", "content.0.attachment.size", -1, "DocumentReference.content[0].attachment.size"),  # noqa: E501
    ("DocumentReference", "date", "2024-05-01", "DocumentReference.date"),
    ("Encounter", "status", "active", "Encounter.status"),
    ("Encounter", "class", REMOVED, "Encounter.class"),
    ("Encounter", "class_fhir", {"code": "AMB"}, "Encounter"),
    ("Encounter", "length.system", REMOVED, "Encounter.length"),
    ("Encounter", "length.comparator", "=", "Encounter.length.comparator"),
    ("Encounter", "length.value", "1", "Encounter.length.value"),
    ("Task", "status", "held", "Task.status"),
    ("Task", "intent", REMOVED, "Task.intent"),
    ("Task", "lastModified", "2024-04-30", "Task.lastModified"),
    ("Task", "input.0.valueString", REMOVED, "Task.input[0].value"),
    ("Endpoint", "payloadType", REMOVED, "Endpoint.payloadType"),
    ("Endpoint", "payloadMimeType.0", "dicom", "Endpoint.payloadMimeType"),
    ("Endpoint", "address", "https://h.example/a b", "Endpoint.address"),
    ("Bundle", "total", 1, "Bundle.total"),
    ("Bundle", "type", "batch-response", "Bundle.entry[0].resource.subject.reference"),
    ("Bundle", "entry.0.request", REMOVED, "Bundle.entry[0]"),
    ("Bundle", "entry.0.request.method", "FETCH", "Bundle.entry[0].request.method"),
    ("Bundle", "entry.0.response", {"status": "201"}, "Bundle.entry[0]"),
    ("Bundle", "entry.0.search", {"mode": "match"}, "Bundle.entry[0]"),
    ("Bundle", "entry.0.fullUrl", "http://a/Patient/1/_history/2", "Bundle.entry[0]"),
    ("Bundle", "entry.0.fullUrl", "Encounter/1", "Bundle.entry[0]"),
    ("Bundle", "entry.0.fullUrl", "urn:uuid:1", "Bundle.entry[0]"),
    ("Bundle", "entry.0.request.url", "a b", "Bundle.entry[0].request.url"),
    ("Bundle", "entry.0.resource.subject.reference", "Patient?=", "Bundle.entry[0].resource.subject.reference"),  # noqa: E501
    ("Bundle", "entry.0.resource.status", "x", "Bundle.entry[0].resource.status"),
    ("Bundle", "entry.0.resource.resourceType", "X", "Bundle.entry[0].resource.resourceType"),
    ("OperationOutcome", "issue", REMOVED, "OperationOutcome.issue"),
    ("OperationOutcome", "issue.0.code", "bad", "OperationOutcome.issue[0].code"),
    ("OperationOutcome", "issue.0.severity", "bad", "OperationOutcome.issue[0].severity"),
    ("Organization", "name", REMOVED, "Organization"),
    ("Organization", "address", [{"use": "home"}], "Organization.address[0]"),
    ("ServiceRequest", "orderDetail", [{"text": "a"}], "ServiceRequest"),
    ("ServiceRequest", "priority", "soon", "ServiceRequest.priority"),
    ("Binary", "contentType", REMOVED, "Binary.contentType"),
    ("List", "mode", "new", "List.mode"),
    ("List", "entry", [{"item": {"display": "a"}, "deleted": True}], "List.entry[0]"),
    ("CapabilityStatement", "implementation", REMOVED, "CapabilityStatement"),
    ("CapabilityStatement", "rest", REMOVED, "CapabilityStatement"),
    ("CapabilityStatement", "rest.0.resource.0.type", "X", "CapabilityStatement.rest[0].resource[0].type"),  # noqa: E501
    ("CapabilityStatement", "rest.0.resource.1", {"type": "Patient"}, "CapabilityStatement.rest[0]"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem[:40])
def test_a_published_example_is_valid(path: Path) -> None:
    assert check(decode(path.read_bytes())) == []


@pytest.mark.skipif(not EXAMPLES, reason="the published examples are not beside the project")
def test_the_published_examples_were_there() -> None:
    assert len(EXAMPLES) >= 50


@pytest.mark.parametrize("name", VALID)
def test_a_right_resource_is_valid_here_and_for_the_models(name: str) -> None:
    assert check(VALID[name]) == []
    get_fhir_model_class(name).model_validate(VALID[name])


@pytest.mark.parametrize(
    ("name", "path", "value", "expression"),
    FAULTS,
    ids=[f"{name}.{path}-{index}" for index, (name, path, _, _) in enumerate(FAULTS)],
)
def test_one_fault_is_found_where_it_is(name: str, path: str, value: Any, expression: str) -> None:
    issues = check(changed(VALID[name], path, value))
    assert expression in [issue.expression for issue in issues if issue.severity == "error"]


def test_what_the_models_refuse_is_refused_here() -> None:
    """Any element of a right resource replaced by something of another kind."""
    refused = 0
    for name, resource in VALID.items():
        for path in paths_of(resource):
            for value in WRONG:
                wrong = changed(resource, path, value)
                if refused_by_models(name, wrong):
                    refused += 1
                    assert check(wrong), (name, path, value)
    assert refused > 500


def paths_of(value: Any, path: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        if key != "resourceType":
            found.append(f"{path}{key}")
            if isinstance(inner, dict | list):
                found += paths_of(inner, f"{path}{key}.")
    return found


def refused_by_models(name: str, resource: Resource) -> bool:
    try:
        get_fhir_model_class(name).model_validate(resource)
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        return True
    return False


def test_the_first_fault_is_what_the_error_says_and_all_are_in_it() -> None:
    wrong = changed(changed(VALID["Patient"], "gender", "F"), "birthDate", "x")
    with pytest.raises(InvalidResource, match=r"Patient\.gender: has a code") as raised:
        require_valid(wrong)
    assert raised.value.expression == "Patient.gender"
    assert [where for where, _ in raised.value.issues] == ["Patient.gender", "Patient.birthDate"]


def test_no_message_repeats_the_value_at_fault() -> None:
    for issue in check(changed(VALID["Patient"], "name.0.family", "Secret\x00")):
        assert "Secret" not in issue.message


def test_a_foreign_modality_system_is_only_advised_against() -> None:
    study = changed(VALID["ImagingStudy"], "series.0.modality.system", "http://a.example")
    (issue,) = check(study)
    assert (issue.severity, issue.expression) == ("warning", "ImagingStudy.series[0].modality")
    require_valid(study)


def test_the_same_full_url_twice_is_an_error_unless_it_is_of_two_versions() -> None:
    def bundle(*metas: Resource) -> Resource:
        resources = [{"resourceType": "Organization", "name": "a", **meta} for meta in metas]
        entries = [{"fullUrl": "http://a/Organization/1", "resource": one} for one in resources]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    assert check(bundle({"meta": {"versionId": "1"}}, {"meta": {"versionId": "2"}})) == []
    assert [issue.expression for issue in check(bundle({}, {}))] == ["Bundle.entry[1].fullUrl"]


@pytest.mark.parametrize(("method", "found"), [("PUT", 1), ("POST", 0)])
def test_a_full_url_agrees_with_the_id_unless_the_id_is_yet_to_be_given(
    method: str, found: int
) -> None:
    entry = {
        "fullUrl": "https://a.example/fhir/Organization/1",
        "resource": {"resourceType": "Organization", "id": "2", "name": "a"},
        "request": {"method": method, "url": "Organization"},
    }
    assert len(check({"resourceType": "Bundle", "type": "batch", "entry": [entry]})) == found


@pytest.mark.parametrize("value", [None, 1, "Patient", [], {}, [VALID["Patient"]]])
def test_what_is_no_object_is_no_resource(value: Any) -> None:
    assert check(value)


def test_deep_nesting_ends_with_an_issue() -> None:
    resource: Resource = {"resourceType": "Patient"}
    place = resource
    for _ in range(2000):
        place["extension"] = [{"url": "a:b"}]
        place = place["extension"][0]
    assert any(issue.code == "too-long" for issue in check(resource))


def test_a_million_faults_end_with_a_short_list() -> None:
    assert len(check({"resourceType": "Patient", "name": [1] * 1_000_000})) == MAX_ISSUES


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name[:60])
def test_hostile_json_is_refused_or_checked_and_never_breaks(path: Path) -> None:
    try:
        value = decode(path.read_bytes())
    except InvalidRequest:
        return
    for issue in check(value):
        assert issue.expression
        json.dumps([issue.expression, issue.message])
