from typing import Any

import pytest

from imaging_fhir.fhir.summary import subset
from imaging_fhir.fhir.validation import require_valid
from imaging_fhir.model.codec import Resource

TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
STUDY: Resource = {
    "resourceType": "ImagingStudy",
    "id": "1.2.3",
    "meta": {"versionId": "3"},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "contained": [
        {"resourceType": "Practitioner", "id": "referrer-1", "name": [{"family": "A"}]},
    ],
    "status": "available",
    "subject": {"reference": "Patient/1"},
    "referrer": {"reference": "#referrer-1"},
    "numberOfInstances": 1,
    "series": [
        {
            "uid": "1.2.3.4",
            "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"},
            "instance": [
                {
                    "uid": "1.2.3.4.5",
                    "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2"},
                }
            ],
        }
    ],
}


def names(**options: Any) -> set[str]:
    cut = subset(STUDY, **{"summary": None, **options})
    require_valid(cut)
    assert cut["meta"] == {"versionId": "3", "tag": [TAG]}
    return set(cut) - {"resourceType", "id", "meta"}


def test_a_summary_has_series_without_instances() -> None:
    cut = subset(STUDY, summary="true")
    assert set(cut["series"][0]) == {"uid", "modality"}
    assert "text" not in cut
    assert cut["numberOfInstances"] == 1


def test_what_is_contained_stays_only_where_something_kept_refers_to_it() -> None:
    assert "contained" in names(summary="true")
    assert "contained" not in names(elements=["status"])


def test_text_keeps_what_r4_demands() -> None:
    assert names(summary="text") == {"text", "status", "subject"}


def test_data_drops_the_text_alone() -> None:
    assert names(summary="data") == set(STUDY) - {"resourceType", "id", "meta", "text"}


def test_elements_keep_what_r4_demands_and_what_changes_the_meaning() -> None:
    assert names(elements=["numberOfInstances", "ImagingStudy.series", "Patient.name"]) == {
        "numberOfInstances",
        "series",
        "status",
        "subject",
    }
    patient = {"resourceType": "Patient", "birthDate": "2001", "active": True, "gender": "other"}
    cut = subset({**patient, "_birthDate": {"id": "b"}}, summary=None, elements=["birthDate"])
    assert set(cut) == {"resourceType", "meta", "birthDate", "_birthDate", "active"}


@pytest.mark.parametrize("elements", [[], ["Patient.name"]])
def test_with_nothing_asked_for_the_resource_stays_whole(elements: list[str]) -> None:
    assert subset(STUDY, summary=None, elements=elements) is STUDY


def test_the_tag_is_not_repeated() -> None:
    once = subset(STUDY, summary="data")
    assert subset(once, summary="data") == once
