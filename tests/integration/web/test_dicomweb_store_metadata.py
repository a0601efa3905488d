"""STOW-RS of metadata with bulk data, as phones send photographs, documents and films (IHE WIC)."""

import json
import random
from io import BytesIO
from typing import Any

import numpy
import pytest
from flask.testing import FlaskClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import (
    EncapsulatedPDFStorage,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
    VideoPhotographicImageStorage,
    VLPhotographicImageStorage,
)
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import body_end, part_start, parts
from imaging_fhir.dicomweb.xml import from_xml, to_xml
from tests.dicom_samples import ROOT

JSON, XML = "application/dicom+json", "application/dicom+xml"
STUDY, SERIES, INSTANCE = f"{ROOT}.7", f"{ROOT}.7.1", f"{ROOT}.7.1.1"
ADDRESS = f"/dicomweb/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
Elements = dict[str, dict[str, Any]]
BulkData = tuple[str, str, bytes]  # its location, type and bytes


def metadata(sop_class: str, **attributes: Any) -> Elements:
    data_set = Dataset()
    for keyword, value in {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": INSTANCE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "PatientID": "4711",
        "PatientName": "Müller^Änne",
        "Modality": "XC",
        "StudyDate": "20260401",
        "InstanceNumber": 1,
        "PatientWeight": "70.50",
        **attributes,
    }.items():
        setattr(data_set, keyword, value)
    found: Elements = json.loads(data_set.to_json())
    return found


def with_bulk(elements: Elements, tag: str, vr: str, location: str) -> Elements:
    return {**elements, tag: {"vr": vr, "BulkDataURI": location}}


def body(kind: str, data_sets: list[Elements], *bulk: BulkData) -> bytes:
    head = {"Content-Type": kind}
    if kind == JSON:
        text = part_start("b", head) + json.dumps(data_sets).encode()
    else:
        text = b"".join(part_start("b", head) + to_xml(one) for one in data_sets)
    rest = b"".join(
        part_start("b", {"Content-Type": of, "Content-Location": location}) + content
        for location, of, content in bulk
    )
    return text + rest + body_end("b")


def send(
    client: FlaskClient, content: bytes, kind: str = JSON, study: str = "", **headers: str
) -> TestResponse:
    return client.post(
        f"/dicomweb/studies{study}",
        data=content,
        content_type=f'multipart/related; type="{kind}"; boundary=b',
        headers=headers,
    )


def stored(client: FlaskClient) -> Dataset:
    answer = client.get(
        ADDRESS, headers={"Accept": "application/dicom; transfer-syntax=*"}, buffered=True
    )
    assert answer.status_code == 200, answer.data
    return dcmread(BytesIO(answer.data))


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.effect_noise((33, 17), 60).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [JSON, XML])
def test_a_photograph_of_a_phone_becomes_an_instance(client: FlaskClient, kind: str) -> None:
    photo = jpeg()
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "photo1")
    answer = send(client, body(kind, [sent], ("photo1", "image/jpeg", photo)), kind)
    assert answer.status_code == 200, answer.data
    found = stored(client)
    assert found.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert found.file_meta.MediaStorageSOPInstanceUID == INSTANCE
    assert (found.Rows, found.Columns, found.SamplesPerPixel) == (17, 33, 3)
    assert found.PhotometricInterpretation == "YBR_FULL_422"
    assert found.LossyImageCompression == "01"
    assert str(found.PatientName) == "Müller^Änne"
    assert found.PatientWeight == 70.5
    accept = {"Accept": 'multipart/related; type="image/jpeg"'}
    frame = client.get(f"{ADDRESS}/frames/1", headers=accept, buffered=True)
    [part] = [b"".join(one.chunks) for one in parts(BytesIO(frame.data), frame.content_type)]
    assert part.rstrip(b"\0") == photo.rstrip(b"\0")
    assert numpy.asarray(found.pixel_array).shape == (17, 33, 3)


@pytest.mark.parametrize(
    ("mode", "options", "interpretation"),
    [
        ("L", {}, "MONOCHROME2"),
        ("RGB", {"subsampling": 0}, "YBR_FULL"),
        ("RGB", {"subsampling": 2, "progressive": True}, "YBR_FULL_422"),
    ],
)
def test_what_a_jpeg_says_of_itself_is_taken(
    client: FlaskClient, mode: str, options: dict[str, Any], interpretation: str
) -> None:
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    content = body(JSON, [sent], ("a", "image/jpeg", jpeg(mode, **options)))
    assert send(client, content).status_code == 200
    assert stored(client).PhotometricInterpretation == interpretation


def test_what_the_metadata_say_of_the_image_counts(client: FlaskClient) -> None:
    sent = metadata(VLPhotographicImageStorage, PhotometricInterpretation="RGB")
    content = body(
        JSON, [with_bulk(sent, "7FE00010", "OB", "a")], ("a", "image/jpeg", jpeg(subsampling=0))
    )
    assert send(client, content).status_code == 200
    assert stored(client).PhotometricInterpretation == "RGB"


def test_a_document_is_encapsulated(client: FlaskClient) -> None:
    document = b"%PDF-1.4 odd"[:11]
    sent = metadata(EncapsulatedPDFStorage, Modality="DOC", DocumentTitle="Letter")
    content = body(
        JSON,
        [with_bulk(sent, "00420011", "OB", "https://phone.example/1.pdf")],
        ("https://phone.example/1.pdf", "application/pdf", document),
    )
    assert send(client, content).status_code == 200
    found = stored(client)
    assert found.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert found.EncapsulatedDocument == document + b"\0"
    assert found.EncapsulatedDocumentLength == 11


def test_a_film_is_one_fragment(client: FlaskClient) -> None:
    film = bytes(range(256)) * 2048
    sent = metadata(
        VideoPhotographicImageStorage, Rows=64, Columns=64, NumberOfFrames=5, BitsAllocated=8
    )
    content = body(JSON, [with_bulk(sent, "7FE00010", "OB", "v")], ("v", "video/mp4", film))
    assert send(client, content).status_code == 200
    found = stored(client)
    assert found.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"
    assert film in found.PixelData


def test_pixels_that_are_not_compressed_are_kept_as_they_are(client: FlaskClient) -> None:
    pixels = bytes(range(16))
    sent = metadata(SecondaryCaptureImageStorage, Rows=4, Columns=4, BitsAllocated=8)
    content = body(
        XML,
        [with_bulk(sent, "7FE00010", "OW", "p")],
        ("p", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1", pixels),
    )
    assert send(client, content, XML).status_code == 200
    assert stored(client).PixelData == pixels


def test_several_parts_of_one_location_are_frames(client: FlaskClient) -> None:
    frames = [jpeg("L", quality=quality) for quality in (60, 90)]
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "f")
    content = body(JSON, [sent], *(("f", "image/jpeg", frame) for frame in frames))
    assert send(client, content).status_code == 200
    assert stored(client).NumberOfFrames == 2


def test_values_that_are_inline_are_kept(client: FlaskClient) -> None:
    sent = metadata(SecondaryCaptureImageStorage, Rows=1, Columns=2, BitsAllocated=8)
    sent["7FE00010"] = {"vr": "OB", "InlineBinary": "AQI="}
    sent["00091001"] = {"vr": "UN", "InlineBinary": "AQIDBA=="}
    sent["00090010"] = {"vr": "LO", "Value": ["ACME"]}
    assert send(client, body(JSON, [sent])).status_code == 200
    found = stored(client)
    assert found.PixelData == b"\1\2"
    assert found[0x00091001].value == b"\1\2\3\4"


def test_each_instance_is_judged_by_itself(client: FlaskClient) -> None:
    good = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    lacking = with_bulk(
        metadata(VLPhotographicImageStorage, SOPInstanceUID=f"{SERIES}.2"), "7FE00010", "OB", "x"
    )
    nobody = metadata(VLPhotographicImageStorage)
    del nobody["00080018"]
    content = body(JSON, [good, lacking, nobody], ("a", "image/jpeg", jpeg()))
    answer = send(client, content)
    assert answer.status_code == 202
    told = Dataset.from_json(answer.get_json(force=True))
    assert [one.ReferencedSOPInstanceUID for one in told.ReferencedSOPSequence] == [INSTANCE]
    [failed] = told.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (f"{SERIES}.2", 0xC000)
    [other] = told.OtherFailuresSequence
    assert other.FailureReason == 0xC000


def test_an_instance_of_another_study_fails(client: FlaskClient) -> None:
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    content = body(JSON, [sent], ("a", "image/jpeg", jpeg()))
    answer = send(client, content, study=f"/{ROOT}.8")
    assert answer.status_code == 409
    told = Dataset.from_json(answer.get_json(force=True))
    assert told.FailedSOPSequence[0].FailureReason == 0xA901
    assert client.get(ADDRESS).status_code == 404


def test_the_answer_is_xml_for_whom_wants_it(client: FlaskClient) -> None:
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    content = body(XML, [sent], ("a", "image/jpeg", jpeg()))
    answer = send(client, content, XML, Accept=XML)
    assert answer.status_code == 200
    assert answer.content_type == XML
    told = Dataset.from_json(json.dumps(from_xml(answer.data)))
    assert told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == INSTANCE


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (body(JSON, []), 400),
        (part_start("b", {"Content-Type": JSON}) + b"[{" + body_end("b"), 400),
        (part_start("b", {"Content-Type": JSON}) + b'["x"]' + body_end("b"), 400),
        (part_start("b", {"Content-Type": JSON}) + b'[{"00100010": 1}]' + body_end("b"), 400),
        (part_start("b", {"Content-Type": "image/jpeg"}) + b"x" + body_end("b"), 400),
        (part_start("b", {"Content-Type": JSON}) + b"[" * 100_000 + body_end("b"), 400),
        (part_start("b", {"Content-Type": JSON}) + b"[]", 400),
        (b"", 400),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(
    client: FlaskClient, content: bytes, status: int
) -> None:
    assert send(client, content).status_code == status


@pytest.mark.parametrize(
    "document",
    [
        b"<x/>",
        b"<NativeDicomModel",
        b'<!DOCTYPE x [<!ENTITY e "e">]><NativeDicomModel/>',
        b"<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="00200013" vr="IS"><Value>x</Value>'
        b"</DicomAttribute></NativeDicomModel>",
        b'<NativeDicomModel><DicomAttribute tag="00081140" vr="SQ">'
        + b'<Item><DicomAttribute tag="00081140" vr="SQ">' * 90
        + b"</DicomAttribute></Item>" * 90
        + b"</DicomAttribute></NativeDicomModel>",
    ],
)
def test_xml_that_is_no_data_set_is_refused(client: FlaskClient, document: bytes) -> None:
    content = part_start("b", {"Content-Type": XML}) + document + body_end("b")
    assert send(client, content, XML).status_code == 400


@pytest.mark.parametrize(
    "element",
    [
        {"vr": "US", "Value": [70_000]},
        {"vr": "US", "Value": ["x"]},
        {"vr": "US", "Value": "x"},
        {"vr": "PN", "Value": ["x"]},
        {"vr": "SQ", "Value": ["x"]},
        {"vr": "OB", "InlineBinary": "?"},
        {"vr": "OB", "InlineBinary": 1},
        {"vr": "ZZ", "Value": ["x"]},
        {"vr": "AT", "Value": ["x"]},
        {"vr": "LO", "Value": [{}]},
        {"vr": "LO", "Value": ["x" * 70_000]},
        {"vr": ["LO"]},
        {"Value": ["x"]},
        {},
    ],
)
def test_a_value_that_dicom_cannot_say_fails_its_instance_alone(
    client: FlaskClient, element: dict[str, Any]
) -> None:
    sent = {**metadata(SecondaryCaptureImageStorage), "00189999": element}
    answer = send(client, body(JSON, [sent]))
    assert answer.status_code == 409, answer.data


def test_whatever_comes_is_answered(client: FlaskClient) -> None:
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    chance = random.Random(11)
    statuses = set()
    for number in range(120):
        kind = (JSON, XML)[number % 2]
        damaged = bytearray(body(kind, [sent], ("a", "image/jpeg", jpeg("L"))))
        for _ in range(chance.randrange(1, 6)):
            start = chance.randrange(len(damaged))
            if chance.random() < 0.3:
                del damaged[start : start + chance.randrange(1, 60)]
            else:
                damaged[start] = chance.randrange(256)
        statuses.add(send(client, bytes(damaged), kind).status_code)
    assert statuses <= {200, 202, 400, 409, 413}
    assert 400 in statuses


def test_as_many_parts_as_are_taken_are_read_and_no_more(client: FlaskClient) -> None:
    sent = with_bulk(metadata(VLPhotographicImageStorage), "7FE00010", "OB", "a")
    bulk = [(f"u{number}", "image/jpeg", b"") for number in range(100_000)]
    answer = send(client, body(JSON, [sent], *bulk))
    assert answer.status_code == 413
