"""WADO-RS and STOW-RS, with Flask's test client and with dicomweb-client over a socket."""

import gzip
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from flask import Flask
from flask.testing import FlaskClient
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
from sqlalchemy import update
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import part_start, parts
from imaging_fhir.services.composition import Services
from imaging_fhir.storage.schema import resource
from tests.dicom_samples import (
    INSTANCE,
    ROOT,
    SERIES,
    STUDY,
    ct_instance,
    data_set,
    dicom_file,
    pdf_instance,
)
from tests.integration.web.dicomweb import (
    ADDRESS,
    INSTANCE_ADDRESS,
    RELATED,
    SERIES_ADDRESS,
    STUDIES,
    ReadingClient,
    related,
    served,
    store,
)

AS_STORED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
OCTETS = "application/octet-stream"


def uid(number: int) -> str:
    return f"{SERIES}.{number}"


def numbered(number: int, **attributes: Any) -> bytes:
    return ct_instance(SOPInstanceUID=uid(number), InstanceNumber=number, **attributes)


def parts_of(response: TestResponse) -> list[bytes]:
    """The parts of an answer, which is as long as it says."""
    assert response.status_code == 200, response.data
    assert response.headers["Content-Length"] == str(len(response.data))
    found = parts(BytesIO(response.data), response.headers["Content-Type"])
    return [b"".join(part.chunks) for part in found]


def values(items: Any, tag: str) -> list[Any]:
    """The first value of an attribute in each item of a sequence."""
    return [item[tag]["Value"][0] if "Value" in item[tag] else None for item in items]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return ReadingClient(app, app.response_class)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with served(app) as found:
        yield found


class TestStore:
    def test_instances_are_stored_and_named(self, client: FlaskClient) -> None:
        response = store(client, numbered(1), numbered(2))
        answer = json.loads(response.data)
        base = f"https://images.example{ADDRESS}"
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/dicom+json"
        assert answer["00081190"] == {"vr": "UR", "Value": [base]}
        items = answer["00081199"]["Value"]
        assert values(items, "00081150") == [CTImageStorage] * 2
        assert values(items, "00081155") == [uid(1), uid(2)]
        assert values(items, "00081190") == [
            f"{base}/series/{SERIES}/instances/{uid(number)}" for number in (1, 2)
        ]
        assert "00081198" not in answer

    def test_the_answer_is_a_data_set_for_pydicom(self, client: FlaskClient) -> None:
        answer = pydicom.Dataset.from_json(store(client, numbered(1), b"x" * 200).get_json(True))
        assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uid(1)
        assert answer.OtherFailuresSequence[0].FailureReason == 0xC000

    def test_one_instance_may_come_alone(self, client: FlaskClient) -> None:
        response = client.post(STUDIES, data=numbered(1), content_type="application/dicom")
        assert response.status_code == 200
        assert client.get(ADDRESS, headers=AS_STORED).status_code == 200

    def test_the_same_instance_again_is_stored(self, client: FlaskClient) -> None:
        assert store(client, numbered(1)).status_code == 200
        assert store(client, numbered(1)).status_code == 200
        assert len(parts_of(client.get(ADDRESS, headers=AS_STORED))) == 1

    def test_other_bytes_of_the_same_instance_are_kept_with_a_warning(
        self, client: FlaskClient
    ) -> None:
        store(client, numbered(1))
        response = store(client, numbered(1, ImageComments="other"))
        [item] = response.get_json(True)["00081199"]["Value"]
        assert response.status_code == 202
        assert item["00081196"] == {"vr": "US", "Value": [0xB100]}
        assert item["00081190"] == {"vr": "UR"}
        assert "00081190" in response.get_json(True)
        assert parts_of(client.get(ADDRESS, headers=AS_STORED)) == [numbered(1)]

    def test_what_fails_does_not_lose_the_others(self, client: FlaskClient) -> None:
        response = store(client, numbered(1), b"no DICOM" * 50, numbered(2))
        answer = response.get_json(True)
        assert response.status_code == 202
        assert values(answer["00081199"]["Value"], "00081155") == [uid(1), uid(2)]
        assert values(answer["0008119A"]["Value"], "00081197") == [0xC000]

    def test_nothing_stored_is_a_conflict(self, client: FlaskClient) -> None:
        nameless = ct_instance(SeriesInstanceUID=None)
        response = store(client, nameless, b"")
        assert response.status_code == 409
        assert values(response.get_json(True)["0008119A"]["Value"], "00081197") == [0xC000] * 2
        assert "SeriesInstanceUID" in str(response.get_json(True))

    def test_another_image_type_is_not_taken_for_dicom(self, client: FlaskClient) -> None:
        assert store(client, b"\xff\xd8\xff\xe0" + bytes(500)).status_code == 409
        assert store(client, b"%PDF-1.4" + bytes(500)).status_code == 409

    def test_an_instance_of_another_study_fails(self, client: FlaskClient) -> None:
        other = ct_instance(StudyInstanceUID=f"{ROOT}.9", SOPInstanceUID=uid(2))
        response = store(client, numbered(1), other, study=STUDY)
        [item] = response.get_json(True)["00081198"]["Value"]
        assert response.status_code == 202
        assert item["00081155"]["Value"] == [uid(2)]
        assert item["00081197"]["Value"] == [0xA901]
        assert client.get(f"{STUDIES}/{ROOT}.9").status_code == 404

    def test_a_part_of_another_type_fails_alone(self, client: FlaskClient) -> None:
        photo = part_start("b", {"Content-Type": "image/jpeg"}) + b"\xff\xd8"
        response = client.post(STUDIES, data=photo + related(numbered(1)), content_type=RELATED)
        assert response.status_code == 202
        assert values(response.get_json(True)["0008119A"]["Value"], "00081197") == [0xC000]

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "multipart/form-data; boundary=b",
            'multipart/related; type="application/pdf"; boundary=b',
            "",
        ],
    )
    def test_another_body_is_not_supported(self, client: FlaskClient, content_type: str) -> None:
        response = client.post(STUDIES, data=related(numbered(1)), content_type=content_type)
        assert response.status_code == 415
        assert 'type="application/dicom"' in response.get_json()["error"]

    @pytest.mark.parametrize(
        "body",
        [b"", b"--b--", b"nothing", b"--b\r\nno header\r\n\r\n", related(b"")[:-9]],
    )
    def test_a_malformed_body_is_refused(self, client: FlaskClient, body: bytes) -> None:
        assert client.post(STUDIES, data=body, content_type=RELATED).status_code == 400

    def test_an_upload_cut_off_stores_only_what_came_whole(self, client: FlaskClient) -> None:
        body = related(numbered(1), numbered(2))
        for end in (len(body) - 3, len(body) - 100, len(body) - 600):
            response = client.post(STUDIES, data=body[:end], content_type=RELATED)
            assert response.status_code == 400
        assert parts_of(client.get(ADDRESS, headers=AS_STORED)) == [numbered(1)]

    def test_one_instance_that_comes_alone_must_come_whole(self, client: FlaskClient) -> None:
        response = client.post(
            STUDIES,
            input_stream=BytesIO(numbered(1)[:-20]),
            content_type="application/dicom",
            environ_overrides={
                "wsgi.input_terminated": True,  # as the production server says it
                "CONTENT_LENGTH": str(len(numbered(1))),
            },
        )
        assert response.status_code == 409
        assert "ends before its Content-Length" in response.get_data(as_text=True)
        assert client.get(ADDRESS).status_code == 404

    def test_an_answer_of_another_type_is_refused_before_anything_is_stored(
        self, client: FlaskClient
    ) -> None:
        response = client.post(
            STUDIES,
            data=related(numbered(1)),
            content_type=RELATED,
            headers={"Accept": "application/fhir+xml"},
        )
        assert response.status_code == 406
        assert client.get(ADDRESS).status_code == 404


class TestRetrieve:
    def test_a_study_comes_as_stored_in_the_order_of_its_numbers(self, client: FlaskClient) -> None:
        files = [numbered(number) for number in (1, 2, 10)]
        store(client, files[2], files[0], files[1])
        response = client.get(ADDRESS, headers=AS_STORED)
        assert parts_of(response) == files
        assert response.headers["Content-Type"].startswith(
            'multipart/related; type="application/dicom"; boundary='
        )

    def test_each_part_says_its_transfer_syntax_and_address(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        response = client.get(INSTANCE_ADDRESS, headers=AS_STORED)
        [part] = parts(BytesIO(response.data), response.headers["Content-Type"])
        assert part.headers["Content-Location"] == f"https://images.example{INSTANCE_ADDRESS}"
        assert part.headers["Content-Type"] == (
            f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
        )

    def test_a_series_comes_without_those_of_another(self, client: FlaskClient) -> None:
        other = ct_instance(SeriesInstanceUID=f"{SERIES}0", SOPInstanceUID=uid(2), SeriesNumber=2)
        store(client, ct_instance(), other)
        assert parts_of(client.get(SERIES_ADDRESS, headers=AS_STORED)) == [ct_instance()]
        assert len(parts_of(client.get(ADDRESS, headers=AS_STORED))) == 2

    def test_one_instance_may_be_asked_for_alone(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        response = client.get(INSTANCE_ADDRESS, headers=accept)
        assert response.data == ct_instance()
        assert response.headers["Content-Length"] == str(len(ct_instance()))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert client.get(ADDRESS, headers=accept).status_code == 406

    def test_the_accept_parameter_beats_the_header(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        query = {"accept": "application/dicom; transfer-syntax=*"}
        response = client.get(INSTANCE_ADDRESS, query_string=query, headers={"Accept": "text/html"})
        assert response.data == ct_instance()

    def test_without_a_transfer_syntax_explicit_little_endian_is_meant(
        self, client: FlaskClient
    ) -> None:
        store(client, numbered(1))
        accept = {"Accept": "multipart/related; type=application/dicom"}
        assert parts_of(client.get(ADDRESS, headers=accept)) == [numbered(1)]
        store(client, numbered(2, transfer_syntax=JPEGBaseline8Bit))
        assert len(parts_of(client.get(ADDRESS))) == 2

    @pytest.mark.parametrize(
        "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
    )
    @pytest.mark.parametrize("preamble", [True, False])
    @pytest.mark.parametrize("file_meta", [True, False])
    def test_what_arrived_without_a_head_is_served_as_a_file(
        self, client: FlaskClient, syntax: str, preamble: bool, file_meta: bool
    ) -> None:
        instance = pydicom.dcmread(BytesIO(ct_instance()))
        sent = dicom_file(instance, transfer_syntax=syntax, preamble=preamble, file_meta=file_meta)
        assert store(client, sent).status_code == 200
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        response = client.get(INSTANCE_ADDRESS, headers=accept)
        served = pydicom.dcmread(BytesIO(response.data))
        assert response.data.endswith(sent)
        assert (response.data == sent) == (preamble and file_meta)
        assert len(response.data) == int(response.headers["Content-Length"])
        assert parts_of(client.get(ADDRESS)) == [response.data]
        assert served.file_meta.TransferSyntaxUID == syntax
        assert served.file_meta.MediaStorageSOPInstanceUID == INSTANCE
        assert served.PatientID == "4711"

    def test_what_is_not_there_is_not_found(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        for address in (
            f"{STUDIES}/{ROOT}.9",
            f"{ADDRESS}/series/{ROOT}.9",
            f"{SERIES_ADDRESS}/instances/{ROOT}.9",
            f"{STUDIES}/{ROOT}.9/series/{SERIES}/instances/{INSTANCE}",
            f"{ADDRESS}/series/{ROOT}.9/instances/{INSTANCE}/metadata",
        ):
            response = client.get(address, headers=AS_STORED)
            assert response.status_code == 404, address
            assert response.get_json()["error"]

    def test_what_is_no_uid_is_refused(self, client: FlaskClient) -> None:
        assert client.get(f"{STUDIES}/1.2.x").status_code == 400
        assert client.get(f"{STUDIES}/{'1' * 65}/metadata").status_code == 400

    def test_a_deleted_study_is_hidden(self, app: Flask, client: FlaskClient) -> None:
        store(client, ct_instance())
        services: Services = app.extensions["imaging_fhir"]
        services.database.write(
            lambda transaction: transaction.execute(
                update(resource).where(resource.c.type == "ImagingStudy").values(deleted=True)
            )
        )
        for address in (ADDRESS, INSTANCE_ADDRESS, f"{ADDRESS}/metadata"):
            assert client.get(address).status_code == 404

    def test_what_the_client_has_is_not_sent_again(self, client: FlaskClient) -> None:
        store(client, numbered(1))
        for address in (ADDRESS, f"{ADDRESS}/metadata"):
            tag = client.get(address).headers["ETag"]
            known = client.get(address, headers={"If-None-Match": f'"x", {tag}'})
            assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", tag)
        store(client, numbered(2))
        assert client.get(ADDRESS, headers={"If-None-Match": tag}).status_code == 200

    def test_head_has_the_headers_alone(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        response = client.head(INSTANCE_ADDRESS, query_string={"accept": "application/dicom"})
        assert (response.status_code, response.data) == (200, b"")
        assert response.headers["Content-Length"] == str(len(ct_instance()))

    def test_bytes_that_are_gone_are_no_empty_answer(self, app: Flask, client: FlaskClient) -> None:
        store(client, ct_instance())
        services: Services = app.extensions["imaging_fhir"]
        for blob in list(services.blobs.blobs()):
            services.blobs.remove(blob)
        assert client.get(ADDRESS, headers=AS_STORED).status_code == 404

    def test_bytes_that_go_missing_on_the_way_cut_the_answer(
        self, app: Flask, client: FlaskClient
    ) -> None:
        store(client, numbered(1))
        store(client, numbered(2, rows=8))
        services: Services = app.extensions["imaging_fhir"]
        [larger] = [blob for blob in services.blobs.blobs() if blob.size > len(numbered(1))]
        services.blobs.remove(larger)
        with pytest.raises(Exception, match="not kept"):
            client.get(ADDRESS, headers=AS_STORED)


class TestMetadata:
    def test_metadata_is_what_pydicom_makes_of_the_file(self, client: FlaskClient) -> None:
        store(client, numbered(1), numbered(2))
        response = client.get(f"{ADDRESS}/metadata")
        assert response.headers["Content-Type"] == "application/dicom+json"
        for found, sent in zip(response.get_json(True), (numbered(1), numbered(2)), strict=True):
            expected = pydicom.dcmread(BytesIO(sent), stop_before_pixels=True).to_json_dict()
            assert found.pop("7FE00010")["vr"] == "OW"
            assert found == expected

    @pytest.mark.parametrize("address", [ADDRESS, SERIES_ADDRESS, INSTANCE_ADDRESS])
    def test_bulk_data_has_its_absolute_address(self, client: FlaskClient, address: str) -> None:
        store(client, ct_instance())
        [found] = client.get(f"{address}/metadata").get_json(True)
        expected = f"https://images.example{INSTANCE_ADDRESS}/bulkdata/7FE00010"
        assert found["7FE00010"]["BulkDataURI"] == expected

    def test_a_text_that_looks_like_an_address_is_left_as_it_is(self, client: FlaskClient) -> None:
        text = 'x","BulkDataURI":"bulkdata/7FE00010'
        store(client, ct_instance(ImageComments=text))
        [found] = client.get(f"{ADDRESS}/metadata").get_json(True)
        assert found["00204000"]["Value"] == [text]

    def test_metadata_is_one_gzip_member_for_whoever_wants_it(self, client: FlaskClient) -> None:
        store(client, *(numbered(number) for number in range(1, 103)))
        plain = client.get(f"{ADDRESS}/metadata")
        packed = client.get(f"{ADDRESS}/metadata", headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert len(plain.get_json(True)) == 102

    def test_metadata_in_another_form_are_refused(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        accept = {"Accept": 'multipart/related; type="application/dicom"'}
        assert client.get(f"{ADDRESS}/metadata", headers=accept).status_code == 406


class TestBulkData:
    def bulk(self, client: FlaskClient, path: str, accept: str = "*/*") -> TestResponse:
        return client.get(f"{INSTANCE_ADDRESS}/bulkdata/{path}", headers={"Accept": accept})

    @pytest.mark.parametrize(
        "syntax",
        [
            ImplicitVRLittleEndian,
            ExplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
        ],
    )
    def test_pixels_are_little_endian_octets(self, client: FlaskClient, syntax: str) -> None:
        pixels = numpy.arange(16, dtype="<u2").tobytes()
        order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
        sent = numpy.frombuffer(pixels, "<u2").astype(order).tobytes()
        store(client, ct_instance(transfer_syntax=syntax, PixelData=sent))
        assert self.bulk(client, "7FE00010").data == pixels
        alone = self.bulk(client, "7fe00010", OCTETS)
        assert (alone.data, alone.headers["Content-Type"]) == (pixels, OCTETS)
        in_parts = self.bulk(client, "7FE00010", f'multipart/related; type="{OCTETS}"')
        assert parts_of(in_parts) == [pixels]

    def test_every_address_in_the_metadata_leads_to_its_value(self, client: FlaskClient) -> None:
        document = b"%PDF-1.4" + bytes(3000)
        samples = bytes(range(256)) * 8
        waveform = {"WaveformBitsAllocated": 8, "WaveformData": samples}
        store(client, pdf_instance(document, WaveformSequence=[{}, waveform]))
        [found] = client.get(f"{ADDRESS}/metadata").get_json(True)
        of_document = found["00420011"]["BulkDataURI"]
        of_samples = found["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
        assert client.get(of_document).data == document
        assert client.get(of_samples).data == samples

    def test_compressed_frames_come_in_parts(self, client: FlaskClient) -> None:
        frames = [b"\xff\xd8" + bytes([number]) * 20 + b"\xff\xd9" for number in range(3)]
        instance = data_set({"SOPClassUID": CTImageStorage, "NumberOfFrames": 3})
        instance.add_new("PixelData", "OB", pydicom.encaps.encapsulate(frames))
        store(client, with_encapsulated(instance))
        assert parts_of(self.bulk(client, "7FE00010")) == frames
        response = self.bulk(client, "7FE00010", 'multipart/related; type="image/jpeg"')
        assert parts_of(response) == frames
        as_octets = f'multipart/related; type="{OCTETS}"'
        assert self.bulk(client, "7FE00010", as_octets).status_code == 406
        as_stored = self.bulk(client, "7FE00010", f"{as_octets}; transfer-syntax=*")
        assert parts_of(as_stored) == frames

    @pytest.mark.parametrize("path", ["00280031", "54000100", "7FE00010/0/7FE00010", "x", "../a"])
    def test_what_is_no_bulk_data_is_not_found(self, client: FlaskClient, path: str) -> None:
        store(client, ct_instance())
        assert self.bulk(client, path).status_code == 404

    def test_an_image_type_is_not_made_of_uncompressed_pixels(self, client: FlaskClient) -> None:
        store(client, ct_instance())
        assert self.bulk(client, "7FE00010", "image/jpeg").status_code == 406


def with_encapsulated(instance: pydicom.Dataset) -> bytes:
    instance.file_meta = pydicom.dataset.FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


class TestDicomwebClient:
    def test_what_it_stores_it_gets_back(self, address: str, client: FlaskClient) -> None:
        remote = DICOMwebClient(address)
        sent = [pydicom.dcmread(BytesIO(numbered(number))) for number in (1, 2)]
        answer = remote.store_instances(sent)
        assert len(answer.ReferencedSOPSequence) == 2
        as_stored = (("application/dicom", "*"),)
        assert remote.retrieve_study(STUDY, media_types=as_stored) == sent
        assert remote.retrieve_series(STUDY, SERIES, media_types=as_stored) == sent
        assert remote.retrieve_instance(STUDY, SERIES, uid(2), media_types=as_stored) == sent[1]
        assert list(remote.iter_study(STUDY)) == sent

    def test_it_reads_metadata_and_bulk_data(self, address: str, client: FlaskClient) -> None:
        store(client, numbered(1), numbered(2))
        remote = DICOMwebClient(address)
        assert len(remote.retrieve_study_metadata(STUDY)) == 2
        assert len(remote.retrieve_series_metadata(STUDY, SERIES)) == 2
        found = remote.retrieve_instance_metadata(STUDY, SERIES, uid(1))
        assert pydicom.Dataset.from_json(
            found, bulk_data_uri_handler=lambda *_: b""
        ).SOPInstanceUID == uid(1)
        path = f"{address}/studies/{STUDY}/series/{SERIES}/instances/{uid(1)}/bulkdata/7FE00010"
        assert remote.retrieve_bulkdata(path) == [bytes(32)]


def test_real_files_come_back_byte_for_byte(client: FlaskClient, shared_data: Path) -> None:
    stored: set[str] = set()
    for path in some_real_files(shared_data):
        content = path.read_bytes()
        response = client.post(STUDIES, data=content, content_type="application/dicom")
        for address in set(addresses_of(response)) - stored:
            stored.add(address)
            accept = {"Accept": "application/dicom; transfer-syntax=*"}
            assert client.get(address, headers=accept).data.endswith(content), path
            assert_bulk_data_is_there(client, address)
    assert len(stored) > 10


def addresses_of(response: TestResponse) -> list[str]:
    """Of the instances that can be retrieved."""
    items = response.get_json(True).get("00081199", {"Value": []})["Value"]
    return [address for address in values(items, "00081190") if address]


def assert_bulk_data_is_there(client: FlaskClient, address: str) -> None:
    [found] = client.get(f"{address}/metadata").get_json(True)
    for bulk_address in bulk_addresses(found):
        response = client.get(bulk_address)
        assert response.status_code == 200, bulk_address
        assert response.data or "7FE0" in bulk_address, bulk_address


def some_real_files(shared_data: Path) -> list[Path]:
    files = sorted(path for path in (shared_data / "dicom").rglob("*") if path.is_file())
    return [path for path in files if path.stat().st_size < 2_000_000][::8]


def bulk_addresses(found: Any) -> Iterator[str]:
    if isinstance(found, list):
        for item in found:
            yield from bulk_addresses(item)
    elif isinstance(found, dict):
        if "BulkDataURI" in found:
            yield found["BulkDataURI"]
        for item in found.values():
            yield from bulk_addresses(item)
