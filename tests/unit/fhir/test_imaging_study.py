import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imaging_fhir.fhir.datatypes import universal_system
from imaging_fhir.fhir.endpoint import picture_endpoint, viewer_endpoint
from imaging_fhir.fhir.imaging_study import (
    SeriesFragment,
    assemble,
    imaging_study_head,
    imaging_study_instance,
    imaging_study_series_head,
)
from imaging_fhir.model.codec import Resource, encode
from imaging_fhir.model.study import SeriesAttributes, StudyAttributes
from tests.unit.fhir.facts import INSTANCE, SERIES, STUDY

BERLIN = ZoneInfo("Europe/Berlin")
BARE = StudyAttributes(study_instance_uid="1.2.3")


def head(study: StudyAttributes = STUDY, **changes: Any) -> Resource:
    given: dict[str, Any] = {
        "subject": {"reference": "Patient/1"},
        "modalities": ["CT", "SR", "CT"],
        "zone": BERLIN,
        "system_of": universal_system,
        "archive_endpoint": "Endpoint/archive",
    }
    return imaging_study_head(study, **{**given, **changes})


def series_head(series: SeriesAttributes = SERIES) -> Resource:
    return imaging_study_series_head(series, zone=BERLIN, system_of=universal_system)


def assembled(with_instances: bool = True, instances: int = 2) -> Resource:
    fragment = SeriesFragment(
        head=encode(series_head()),
        number_of_instances=instances,
        instances=[encode(imaging_study_instance(INSTANCE))] * instances,
    )
    pieces = assemble(
        encode(head()),
        resource_id="s1",
        meta={"versionId": "3"},
        number_of_series=2,
        number_of_instances=2 * instances,
        series=[fragment, fragment],
        with_instances=with_instances,
    )
    found: Resource = json.loads(b"".join(pieces))
    return found


def test_identifiers_are_the_uid_the_accession_numbers_and_the_study_id() -> None:
    found = head()["identifier"]
    assert [one["value"] for one in found] == [
        f"urn:oid:{STUDY.study_instance_uid}",
        "A1",
        "A2",
        "S17",
    ]
    assert found[0]["system"] == "urn:dicom:uid"
    assert found[1]["system"] == "urn:oid:1.2.3.4"
    assert found[1]["type"]["coding"][0]["code"] == "ACSN"
    assert "system" not in found[2]


def test_a_study_id_that_is_an_accession_number_is_said_once() -> None:
    values = [one["value"] for one in head(replace(STUDY, study_id="A1"))["identifier"]]
    assert values.count("A1") == 1


def test_modalities_keep_their_order_and_come_once() -> None:
    assert [found["code"] for found in head()["modality"]] == ["CT", "SR"]


def test_started_has_the_zone_of_the_place() -> None:
    assert head()["started"] == "2024-05-01T13:45:07.25+02:00"
    assert head(zone=None)["started"] == "2024-05-01"


def test_an_unknown_order_is_a_logical_reference_by_each_of_its_numbers() -> None:
    found = head()["basedOn"]
    assert {one["type"] for one in found} == {"ServiceRequest"}
    assert [one["identifier"]["value"] for one in found] == ["A1", "A2", "P1", "F1"]


def test_a_known_order_takes_the_place_of_its_numbers() -> None:
    known = [{"reference": "ServiceRequest/9"}]
    assert head(based_on=known)["basedOn"] == known


def test_a_coded_physician_is_contained_and_a_bare_name_is_shown() -> None:
    found = head()
    assert found["referrer"]["reference"] == "#referrer-1"
    assert found["referrer"]["display"] == "Dr Ann B Gray MD"
    assert found["interpreter"] == [{"type": "Practitioner", "display": "Tarou Yamada"}]
    assert [one["id"] for one in found["contained"]] == ["referrer-1"]
    assert found["contained"][0]["identifier"] == [{"value": "G-1"}]


def test_viewer_and_picture_are_contained_endpoints_beside_the_archive() -> None:
    viewer, picture = (
        viewer_endpoint("https://h.example/1"),
        picture_endpoint("https://h.example/2"),
    )
    found = head(own_endpoints=(viewer, picture))
    references = ("Endpoint/archive", "#viewer", "#picture")
    assert found["endpoint"] == [{"reference": one} for one in references]
    assert found["contained"][-2:] == [viewer, picture]


def test_reason_procedure_and_place_are_said() -> None:
    found = head()
    assert found["procedureCode"][0]["coding"][0]["code"] == "169069000"
    assert [one.get("text") for one in found["reasonCode"]] == ["Cough", "Cough for six weeks"]
    assert found["location"] == {"type": "Location", "display": "Radiology, St. Elsewhere"}


def test_what_a_user_wrote_wins_element_by_element() -> None:
    overlay = {
        "status": "entered-in-error",
        "note": [{"text": "wrong arm"}],
        "description": None,
        "interpreter": [{"reference": "#mine"}],
        "contained": [{"resourceType": "Practitioner", "id": "mine"}],
    }
    found = head(overlay=overlay)
    assert found["status"] == "entered-in-error"
    assert found["note"] == [{"text": "wrong arm"}]
    assert "description" not in found
    assert [one["id"] for one in found["contained"]] == ["mine", "referrer-1"]
    assert found["started"] == head()["started"]


@pytest.mark.parametrize("referrer", [None, {"reference": "Practitioner/9"}])
def test_what_a_user_replaced_is_no_longer_contained(referrer: Resource | None) -> None:
    found = head(overlay={"referrer": referrer, "contained": None})
    assert found.get("referrer") == referrer
    assert "contained" not in found


def test_a_bare_study_says_only_what_it_must() -> None:
    assert set(head(BARE, modalities=[])) == {
        "resourceType",
        "identifier",
        "status",
        "subject",
        "endpoint",
    }


def test_a_series_is_complete() -> None:
    found = series_head()
    assert found["bodySite"]["code"] == "816094009"
    assert found["laterality"]["code"] == "51440002"
    assert found["started"] == "2024-05-01T13:50:00+02:00"
    assert found["specimen"] == [
        {"type": "Specimen", "identifier": {"value": "SP1"}, "display": "Left upper lobe"}
    ]
    actors = [one["actor"] for one in found["performer"]]
    assert [one["display"] for one in actors] == [
        "Dr Ann B Gray MD",
        "Tarou Yamada",
        "ACME Scan 3000",
    ]
    assert actors[2]["identifier"]["value"] == "SN-9"
    assert found["performer"][0]["function"]["coding"][0]["code"] == "PRF"


def test_an_instance_keeps_the_number_zero() -> None:
    assert imaging_study_instance(INSTANCE) == {
        "uid": INSTANCE.sop_instance_uid,
        "sopClass": {
            "system": "urn:ietf:rfc:3986",
            "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2",
        },
        "number": 0,
        "title": "ORIGINAL\\PRIMARY\\AXIAL",
    }


def test_fragments_are_joined_to_the_whole_resource() -> None:
    whole = {
        **head(),
        "id": "s1",
        "meta": {"versionId": "3"},
        "numberOfSeries": 2,
        "numberOfInstances": 4,
        "series": [
            {
                **series_head(),
                "numberOfInstances": 2,
                "instance": [imaging_study_instance(INSTANCE)] * 2,
            }
        ]
        * 2,
    }
    assert assembled() == json.loads(encode(whole))


def test_instances_can_be_left_out_and_the_counts_stay() -> None:
    found = assembled(with_instances=False)
    assert found["numberOfInstances"] == 4
    assert all("instance" not in one for one in found["series"])


def test_an_empty_array_never_appears() -> None:
    assert all("instance" not in one for one in assembled(instances=0)["series"])
    pieces = assemble(
        encode(head(BARE)),
        resource_id="s1",
        meta={},
        number_of_series=0,
        number_of_instances=0,
        series=[],
    )
    assert "series" not in json.loads(b"".join(pieces))


def test_only_the_head_of_a_study_is_assembled() -> None:
    with pytest.raises(ValueError, match="head"):
        b"".join(
            assemble(
                b'{"resourceType":"Patient"}',
                resource_id="s1",
                meta={},
                number_of_series=0,
                number_of_instances=0,
                series=[],
            )
        )
