"""QIDO-RS: searches at every level, what they answer, and whose they say images are."""

from io import BytesIO
from typing import Any

import pytest
from dicomweb_client import DICOMwebClient
from flask.testing import FlaskClient
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import parts
from imaging_fhir.dicomweb.xml import from_xml
from imaging_fhir.model.codec import decode
from tests.dicom_samples import ROOT, ct_instance, report_instance
from tests.integration.web.test_dicomweb import address

__all__ = ["address"]

Items = list[dict[str, Any]]
REQUEST = {"ScheduledProcedureStepID": "P1", "RequestedProcedureID": "R1"}


def uids(number: int, series: int = 1, instance: int = 1) -> dict[str, Any]:
    study = f"{ROOT}.{number}"
    return {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.{series}",
        "SOPInstanceUID": f"{study}.{series}.{instance}",
    }


def send(client: FlaskClient, file: bytes) -> None:
    response = client.post("/dicomweb/studies", data=file, content_type="application/dicom")
    assert response.status_code == 200, response.data


def ask(client: FlaskClient, address: str, **parameters: Any) -> TestResponse:
    return client.get(f"/dicomweb/{address}", query_string=parameters)


def found(client: FlaskClient, address: str, **parameters: Any) -> Items:
    response = ask(client, address, **parameters)
    if response.status_code == 204:
        assert response.data == b""
        return []
    assert response.status_code == 200, response.data
    assert response.headers["Content-Type"] == "application/dicom+json"
    items: Items = response.get_json(force=True)
    assert items
    return items


def studies(client: FlaskClient, **parameters: Any) -> list[int]:
    """The last component of each StudyInstanceUID that is found, in the order of the answer."""
    items = found(client, "studies", **parameters)
    return [int(value(item, "0020000D").rpartition(".")[2]) for item in items]


def value(item: dict[str, Any], tag: str) -> Any:
    return item[tag]["Value"][0] if "Value" in item[tag] else None


@pytest.fixture
def archive(client: FlaskClient) -> FlaskClient:
    """Three studies: a CT of two series, a CT with a report, and one that says little."""
    send(client, ct_instance(**uids(1), StudyDescription="Head CT", ReferringPhysicianName="A^B"))
    send(client, ct_instance(**uids(1, instance=2), InstanceNumber=2))
    send(
        client,
        ct_instance(
            **uids(1, series=2),
            SeriesNumber=2,
            SeriesDescription="Thin [1mm]",
            PerformedProcedureStepStartDate="20260314",
            PerformedProcedureStepStartTime="1000",
            RequestAttributesSequence=[REQUEST, {"ScheduledProcedureStepID": "P2"}],
        ),
    )
    other: dict[str, Any] = {
        "PatientID": "4712",
        "PatientName": "Müller-Straße^Jürgen^^Dr",
        "PatientSex": "M",
        "AccessionNumber": "a1",
        "StudyDate": "20260315",
        "StudyTime": "0930",
        "OtherPatientIDsSequence": [{"PatientID": "X9"}],
    }
    send(client, ct_instance(**uids(2), **other))
    send(client, report_instance(**uids(2, series=2), **other, SeriesNumber=9))
    send(
        client,
        ct_instance(
            **uids(3),
            PatientID="4713",
            PatientName="",
            StudyDate="",
            StudyTime=None,
            AccessionNumber=None,
            StudyID=None,
        ),
    )
    return client


class TestMatching:
    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ({}, [2, 1, 3]),
            ({"PatientID": "4711"}, [1]),
            ({"00100020": "4711"}, [1]),
            ({"PatientID": "47*"}, [2, 1, 3]),
            ({"PatientID": "471?"}, [2, 1, 3]),
            ({"PatientID": "4?1"}, []),
            ({"PatientID": "4711", "PatientName": "ROE^JANE"}, [1]),
            ({"PatientName": "roe^jane^"}, [1]),
            ({"PatientName": "roe"}, []),
            ({"PatientName": "roe*"}, [1]),
            ({"PatientName": "*straße*"}, [2]),
            ({"PatientName": "muller*"}, [2]),
            ({"PatientName": "jurgen mueller", "fuzzymatching": "true"}, [2]),
            ({"PatientName": "JURG", "fuzzymatching": "true"}, [2]),
            ({"PatientName": "urgen", "fuzzymatching": "true"}, []),
            ({"PatientName": "jane doe", "fuzzymatching": "true"}, []),
            ({"AccessionNumber": "A1"}, [1]),
            ({"AccessionNumber": "a1"}, [2]),
            ({"AccessionNumber": ""}, [2, 1, 3]),
            ({"AccessionNumber": "*"}, [2, 1, 3]),
            ({"StudyDate": "20260314"}, [1]),
            ({"StudyDate": "20260314-20260315"}, [2, 1]),
            ({"StudyDate": "20260315-"}, [2]),
            ({"StudyDate": "-20260314"}, [1]),
            ({"StudyTime": "09-10"}, [2, 1]),
            ({"StudyTime": "0930"}, [2]),
            ({"StudyTime": "09"}, [2]),
            ({"StudyDate": "20260314-20260315", "StudyTime": "1000-1100"}, [2, 1]),
            ({"StudyDate": "20260314-20260315", "StudyTime": "1030-0900"}, []),
            ({"StudyDate": "20260314", "StudyTime": "1000-1100"}, [1]),
            ({"StudyInstanceUID": f"{ROOT}.1,{ROOT}.3"}, [1, 3]),
            ({"StudyInstanceUID": rf"{ROOT}.1\{ROOT}.3"}, [1, 3]),
            ({"ModalitiesInStudy": "SR"}, [2]),
            ({"ModalitiesInStudy": "SR,CT"}, [2, 1, 3]),
            ({"SOPClassesInStudy": CTImageStorage}, [2, 1, 3]),
            ({"StudyDescription": "head*"}, []),
            ({"StudyDescription": "Head*"}, [1]),
            ({"ReferringPhysicianName": "a^b"}, [1]),
            ({"PatientSex": "F"}, [1, 3]),
            ({"PatientBirthDate": "19750314"}, [2, 1, 3]),
            ({"OtherPatientIDsSequence.PatientID": "X9"}, [2]),
            ({"00101002.00100020": "X*"}, [2]),
            ({"NumberOfStudyRelatedInstances": "3"}, [1]),
            ({"NumberOfStudyRelatedSeries": "1"}, [3]),
        ],
    )
    def test_studies_are_found(
        self, archive: FlaskClient, parameters: dict[str, str], expected: list[int]
    ) -> None:
        assert studies(archive, **parameters) == expected

    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ({}, ["2.1", "2.2", "1.1", "1.2", "3.1"]),
            ({"Modality": "SR"}, ["2.2"]),
            ({"Modality": "SR", "PatientID": "4711"}, []),
            ({"SeriesDescription": "Thin [[]1mm]"}, []),
            ({"SeriesDescription": "Thin [1*"}, ["1.2"]),
            ({"SeriesNumber": "09"}, ["2.2"]),
            ({"PatientID": "4711"}, ["1.1", "1.2"]),
            ({"RequestAttributesSequence.ScheduledProcedureStepID": "P2"}, ["1.2"]),
            (
                {
                    "RequestAttributesSequence.ScheduledProcedureStepID": "P1",
                    "RequestAttributesSequence.RequestedProcedureID": "R1",
                },
                ["1.2"],
            ),
            (
                {
                    "00400275.00400009": "P2",
                    "RequestAttributesSequence.RequestedProcedureID": "R1",
                },
                [],
            ),
            (
                {
                    "PerformedProcedureStepStartDate": "20260313-20260314",
                    "PerformedProcedureStepStartTime": "11-12",
                },
                ["1.2"],
            ),
            (
                {
                    "PerformedProcedureStepStartDate": "20260314",
                    "PerformedProcedureStepStartTime": "11-12",
                },
                [],
            ),
        ],
    )
    def test_series_are_found(
        self, archive: FlaskClient, parameters: dict[str, str], expected: list[str]
    ) -> None:
        items = found(archive, "series", **parameters)
        assert [value(item, "0020000E").removeprefix(f"{ROOT}.") for item in items] == expected

    @pytest.mark.parametrize(
        ("address", "parameters", "expected"),
        [
            ("instances", {}, ["2.1.1", "2.2.1", "1.1.1", "1.1.2", "1.2.1", "3.1.1"]),
            ("instances", {"InstanceNumber": "2"}, ["1.1.2"]),
            ("instances", {"SOPInstanceUID": f"{ROOT}.1.1.2"}, ["1.1.2"]),
            ("instances", {"Modality": "SR"}, ["2.2.1"]),
            (f"studies/{ROOT}.1/instances", {}, ["1.1.1", "1.1.2", "1.2.1"]),
            (f"studies/{ROOT}.1/series/{ROOT}.1.1/instances", {}, ["1.1.1", "1.1.2"]),
            (f"studies/{ROOT}.2/series/{ROOT}.1.1/instances", {}, []),
            (f"studies/{ROOT}.1/instances", {"SOPClassUID": CTImageStorage}, "all"),
        ],
    )
    def test_instances_are_found(
        self, archive: FlaskClient, address: str, parameters: dict[str, str], expected: Any
    ) -> None:
        if expected == "all":
            expected = ["1.1.1", "1.1.2", "1.2.1"]
        items = found(archive, address, **parameters)
        assert [value(item, "00080018").removeprefix(f"{ROOT}.") for item in items] == expected

    @pytest.mark.parametrize(
        "parameters",
        [
            {"PatientNmae": "x"},
            {"patientname": "x"},
            {"StudyDate": "yesterday"},
            {"StudyDate": "20260314-x"},
            {"StudyTime": "25h"},
            {"StudyInstanceUID": "1.2.x"},
            {"NumberOfStudyRelatedSeries": "many"},
            {"limit": "-1"},
            {"limit": "ten"},
            {"offset": "1.5"},
            {"fuzzymatching": "maybe"},
            {"PatientID": ["1", "2"]},
            {"PatientID": "1", "00100020": "1"},
            {"limit": ["1", "2"]},
            {"PatientID": "x" * 5000},
            {"PatientID": "\0"},
        ],
    )
    def test_what_is_not_understood_is_refused(
        self, archive: FlaskClient, parameters: dict[str, Any]
    ) -> None:
        response = ask(archive, "studies", **parameters)
        assert response.status_code == 400
        assert "error" in response.get_json()

    def test_an_attribute_that_is_no_key_is_warned_of(self, archive: FlaskClient) -> None:
        response = ask(archive, "studies", PatientWeight="70", Modality="CT", PatientID="4711")
        assert sorted(one.partition(": ")[2] for one in response.headers.getlist("Warning")) == [
            "The attribute 00080060 is no matching key here.",
            "The attribute 00101030 is no matching key here.",
        ]
        assert len(response.get_json(force=True)) == 1

    def test_matching_that_is_not_done_is_warned_of(self, archive: FlaskClient) -> None:
        response = ask(archive, "studies", emptyvaluematching="true", PatientID="4711")
        assert response.headers["Warning"] == (
            "299 https://images.example/dicomweb: The emptyvaluematching parameter is not "
            "supported. Empty Value Matching has not been performed."
        )

    def test_another_form_is_not_acceptable(self, archive: FlaskClient) -> None:
        assert archive.get("/dicomweb/studies", headers={"Accept": "image/png"}).status_code == 406
        json = archive.get("/dicomweb/studies", headers={"Accept": "application/json"})
        assert json.status_code == 200


class TestAnswers:
    def test_a_study_has_its_attributes(self, archive: FlaskClient) -> None:
        [item] = found(archive, "studies", PatientID="4711")
        assert item == {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080020": {"vr": "DA", "Value": ["20260314"]},
            "00080030": {"vr": "TM", "Value": ["101500"]},
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "00080056": {"vr": "CS", "Value": ["ONLINE"]},
            "00080061": {"vr": "CS", "Value": ["CT"]},
            "00080090": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
            "00081030": {"vr": "LO", "Value": ["Head CT"]},
            "00081190": {
                "vr": "UR",
                "Value": [f"https://images.example/dicomweb/studies/{ROOT}.1"],
            },
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Roe^Jane"}]},
            "00100020": {"vr": "LO", "Value": ["4711"]},
            "00100030": {"vr": "DA", "Value": ["19750314"]},
            "00100040": {"vr": "CS", "Value": ["F"]},
            "0020000D": {"vr": "UI", "Value": [f"{ROOT}.1"]},
            "00200010": {"vr": "SH", "Value": ["S1"]},
            "00201206": {"vr": "IS", "Value": [2]},
            "00201208": {"vr": "IS", "Value": [3]},
        }

    def test_what_is_required_is_there_though_it_is_empty(self, archive: FlaskClient) -> None:
        [item] = found(archive, "studies", PatientID="4713")
        for tag, vr in (("00080020", "DA"), ("00080050", "SH"), ("00100010", "PN")):
            assert item[tag] == {"vr": vr}

    def test_a_series_in_a_study_has_its_own_attributes(self, archive: FlaskClient) -> None:
        [_, item] = found(archive, f"studies/{ROOT}.1/series")
        assert value(item, "00080060") == "CT"
        assert value(item, "00200011") == 2
        assert value(item, "00201209") == 1
        assert value(item, "00400244") == "20260314"
        assert value(value_item(item, "00400275"), "00400009") == "P1"
        assert value(item, "00081190").endswith(f"studies/{ROOT}.1/series/{ROOT}.1.2")
        assert "00100010" not in item

    def test_series_of_all_studies_have_the_studys_attributes(self, archive: FlaskClient) -> None:
        items = found(archive, "series", PatientID="4711")
        assert [value(item, "00080050") for item in items] == ["A1", "A1"]

    def test_instances_have_what_a_viewer_needs(self, archive: FlaskClient) -> None:
        [item, _] = found(archive, f"studies/{ROOT}.1/series/{ROOT}.1.1/instances")
        assert [value(item, tag) for tag in ("00280010", "00280011", "00280100")] == [4, 4, 16]
        assert value(item, "00200013") == 1
        assert "00080060" not in item
        [item, *_] = found(archive, f"studies/{ROOT}.1/instances")
        assert value(item, "00080060") == "CT"
        assert "00100010" not in item

    def test_more_fields_are_told_when_asked_for(self, archive: FlaskClient) -> None:
        address = f"studies/{ROOT}.1/series"
        [item, _] = found(archive, address, includefield=["PatientName,00080050", "Nonsense"])
        assert value(item, "00080050") == "A1"
        assert value(item, "00100010") == {"Alphabetic": "Roe^Jane"}
        [item] = found(archive, "studies", PatientID="4711", includefield="SOPClassesInStudy")
        assert value(item, "00080062") == CTImageStorage

    def test_all_fields_of_an_instance_are_its_metadata(self, archive: FlaskClient) -> None:
        address = f"studies/{ROOT}.1/series/{ROOT}.1.1/instances"
        [item, _] = found(archive, address, includefield="all")
        [metadata] = archive.get(f"/dicomweb/{address}/{ROOT}.1.1.1/metadata").get_json(force=True)
        assert {tag: item[tag] for tag in metadata} == metadata

    def test_what_was_matched_is_told(self, archive: FlaskClient) -> None:
        [item] = found(archive, "studies", **{"OtherPatientIDsSequence.PatientID": "X9"})
        assert value(value_item(item, "00101002"), "00100020") == "X9"


def value_item(item: dict[str, Any], tag: str) -> dict[str, Any]:
    first: dict[str, Any] = value(item, tag)
    return first


class TestXml:
    @pytest.mark.parametrize(
        "address",
        ["studies", "series", "instances?includefield=all", f"studies/{ROOT}.1/metadata"],
    )
    def test_it_says_what_json_says(self, archive: FlaskClient, address: str) -> None:
        accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}
        answer = archive.get(f"/dicomweb/{address}", headers=accept, buffered=True)
        assert answer.status_code == 200
        found = parts(BytesIO(answer.data), answer.content_type)
        in_xml = [
            from_xml(b"".join(part.chunks))
            for part in found
            if part.content_type == "application/dicom+xml"
        ]
        json = archive.get(f"/dicomweb/{address}", buffered=True)
        assert in_xml == decode(json.data)


class TestPaging:
    def test_pages_follow_one_another(self, archive: FlaskClient) -> None:
        pages = [studies(archive, limit=1, offset=offset) for offset in range(4)]
        assert pages == [[2], [1], [3], []]

    def test_what_remains_is_said(self, archive: FlaskClient) -> None:
        response = ask(archive, "studies", limit=1)
        assert response.headers["Warning"] == (
            "299 https://images.example/dicomweb: "
            "There are 2 additional results that can be requested"
        )
        assert "Warning" not in ask(archive, "studies", limit=2, offset=1).headers

    def test_nothing_is_asked_for(self, archive: FlaskClient) -> None:
        assert ask(archive, "studies", limit=0).status_code == 204


def test_dicomweb_client_searches_at_each_level(archive: FlaskClient, address: str) -> None:
    remote = DICOMwebClient(address)
    found = remote.search_for_studies(
        search_filters={"PatientName": "jane", "StudyDate": "20260301-20260331"},
        fields=["StudyDescription"],
        fuzzymatching=True,
    )
    assert [Dataset.from_json(one).StudyDescription for one in found] == ["Head CT"]
    assert len(remote.search_for_studies(limit=2)) == 2
    assert len(remote.search_for_studies(limit=2, offset=2)) == 1
    assert len(remote.search_for_studies(limit=2, get_remaining=True)) == 3
    assert remote.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    study = f"{ROOT}.1"
    assert len(remote.search_for_series(study)) == 2
    assert len(remote.search_for_series(search_filters={"Modality": "SR"})) == 1
    instances = remote.search_for_instances(study, f"{study}.1")
    assert [Dataset.from_json(one).InstanceNumber for one in instances] == [1, 2]
    assert len(remote.search_for_instances(study)) == 3
    assert len(remote.search_for_instances(search_filters={"InstanceNumber": "2"})) == 1
