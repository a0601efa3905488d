"""Clients that others wrote, over real sockets: dicomweb-client and fhirpy."""

from io import BytesIO

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from fhirpy import SyncFHIRClient
from pydicom import Dataset

from tests.e2e.sent import Sent, study_of
from tests.e2e.server import Server

SERIES, INSTANCES = 2, 12


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    return study_of("9", series=SERIES, instances=INSTANCES)


@pytest.fixture(scope="module")
def dicomweb(server: Server, sent: list[Sent]) -> DICOMwebClient:
    """A client that has stored the study."""
    client = DICOMwebClient(f"{server.address}/dicomweb")
    response = client.store_instances(datasets=[read(one.content) for one in sent])
    stored = {item.ReferencedSOPInstanceUID for item in response.ReferencedSOPSequence}
    assert stored == {one.instance for one in sent}
    assert "FailedSOPSequence" not in response
    return client


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(content))


def uids(instances: list[Dataset]) -> list[str]:
    return sorted(str(one.SOPInstanceUID) for one in instances)


def test_dicomweb_client_retrieves_what_it_stored(
    dicomweb: DICOMwebClient, sent: list[Sent]
) -> None:
    study = dicomweb.retrieve_study(sent[0].study, media_types=(("application/dicom", "*"),))
    assert uids(study) == sorted(one.instance for one in sent)
    series = dicomweb.retrieve_series(
        sent[0].study, sent[0].series, media_types=(("application/dicom", "*"),)
    )
    assert uids(series) == sorted(one.instance for one in sent if one.series == sent[0].series)
    one = sent[-1]
    instance = dicomweb.retrieve_instance(
        one.study, one.series, one.instance, media_types=(("application/dicom", "*"),)
    )
    assert instance == read(one.content)


def test_dicomweb_client_reads_the_metadata_of_each_level(
    dicomweb: DICOMwebClient, sent: list[Sent]
) -> None:
    one = sent[0]
    of_study = dicomweb.retrieve_study_metadata(one.study)
    of_series = dicomweb.retrieve_series_metadata(one.study, one.series)
    of_instance = dicomweb.retrieve_instance_metadata(one.study, one.series, one.instance)
    assert (len(of_study), len(of_series)) == (SERIES * INSTANCES, INSTANCES)
    found = Dataset.from_json(of_instance, bulk_data_uri_handler=lambda *_: b"")
    expected = read(one.content)
    del found.PixelData, expected.PixelData
    assert found == expected


def test_dicomweb_client_retrieves_bulk_data(dicomweb: DICOMwebClient, sent: list[Sent]) -> None:
    one = sent[0]
    metadata = dicomweb.retrieve_instance_metadata(one.study, one.series, one.instance)
    [value] = dicomweb.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"])
    assert value == read(one.content).PixelData


def test_fhirpy_follows_the_pages_of_a_search(server: Server) -> None:
    client = SyncFHIRClient(server.base)
    for number in range(25):
        client.resource("Patient", name=[{"family": f"Page{number:02}"}]).save()
    search = client.resources("Patient").search(name="page").sort("family").limit(4)
    names = [patient["name"][0]["family"] for patient in search]
    assert names == [f"Page{number:02}" for number in range(25)]
    assert len(search.fetch_all()) == 25


def test_fhirpy_edits_and_deletes(server: Server) -> None:
    client = SyncFHIRClient(server.base)
    patient = client.resource("Patient", name=[{"family": "Edited"}], gender="female")
    patient.save()
    patient["gender"] = "other"
    patient.save()
    found = client.resources("Patient").search(family="edited").first()
    assert found is not None
    assert (found["id"], found["gender"], found["meta"]["versionId"]) == (patient.id, "other", "2")
    patient.delete()  # type: ignore[no-untyped-call]  # fhirpy leaves it without types
    assert client.resources("Patient").search(family="edited").first() is None


def test_fhirpy_finds_the_study_with_its_patient(
    server: Server, dicomweb: DICOMwebClient, sent: list[Sent]
) -> None:
    client = SyncFHIRClient(server.base)
    search = client.resources("ImagingStudy").search(
        identifier=f"urn:dicom:uid|urn:oid:{sent[0].study}"
    )
    bundle = search.include("ImagingStudy", "patient").fetch_raw()
    study, patient = (entry.resource for entry in bundle.entry)
    assert study["subject"]["reference"] == f"Patient/{patient['id']}"
    assert study["numberOfInstances"] == SERIES * INSTANCES
    [endpoint] = [one["reference"] for one in study["endpoint"] if one["reference"][0] != "#"]
    address = client.reference(reference=endpoint).to_resource()["address"]
    assert len(DICOMwebClient(address).retrieve_study_metadata(study["id"])) == len(sent)
