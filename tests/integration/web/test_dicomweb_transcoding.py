"""WADO-RS: instances in another transfer syntax than the one they are stored in."""

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import parts
from imaging_fhir.images.frames import swapped
from tests.dicom_samples import SERIES, ct_instance, dicom_file, report_instance
from tests.integration.web.dicomweb import ADDRESS, INSTANCE_ADDRESS, ReadingClient, store

DICOM = "application/dicom"
LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless]
NATIVE = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
CHANCE = np.random.default_rng(8)
GREY = CHANCE.integers(-2048, 2048, (3, 36, 35), dtype="<i2")
COLOUR = CHANCE.integers(0, 256, (2, 33, 37, 3), dtype="u1")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return ReadingClient(app, app.response_class)


def grey(syntax: str = ExplicitVRLittleEndian, **more: Any) -> bytes:
    stored = GREY.tobytes()
    words = np.arange(4, dtype="<u2").tobytes()
    is_big = syntax == ExplicitVRBigEndian
    instance = pydicom.dcmread(
        BytesIO(
            ct_instance(
                rows=36,
                columns=35,
                NumberOfFrames=3,
                PixelRepresentation=1,
                SmallestImagePixelValue=-2048,
                ImageComments="of Jane",
                **more,
            )
        )
    )
    instance.PixelData = swapped(stored, 2) if is_big else stored
    instance.add_new("RedPaletteColorLookupTableData", "OW", swapped(words, 2 if is_big else 1))
    return dicom_file(instance, transfer_syntax=syntax)


def colour(photometric: str = "RGB") -> bytes:
    return ct_instance(
        rows=33,
        columns=37,
        NumberOfFrames=2,
        SamplesPerPixel=3,
        PlanarConfiguration=1,
        PhotometricInterpretation=photometric,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=COLOUR.transpose(0, 3, 1, 2).tobytes(),
    )


def compressed(syntax: str, file: bytes) -> bytes:
    instance = pydicom.dcmread(BytesIO(file))
    instance.compress(UID(syntax), generate_instance_uid=False)
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def encapsulated(syntax: str, *frames: bytes, **more: Any) -> bytes:
    instance = pydicom.dcmread(BytesIO(ct_instance(rows=8, columns=8, **more)))
    instance.add_new("PixelData", "OB", encapsulate(list(frames)))
    instance["PixelData"].is_undefined_length = True
    instance.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


def retrieved(client: FlaskClient, accept: str, address: str = INSTANCE_ADDRESS) -> TestResponse:
    return client.get(address, headers={"Accept": accept})


def file_in(client: FlaskClient, syntax: str) -> pydicom.Dataset:
    """The instance as it comes in that transfer syntax, which all its places say."""
    response = retrieved(client, f"{DICOM}; transfer-syntax={syntax}")
    assert response.status_code == 200, response.data
    assert response.headers["Content-Type"] == f"{DICOM}; transfer-syntax={syntax}"
    assert response.headers["Content-Length"] == str(len(response.data))
    found = pydicom.dcmread(BytesIO(response.data))
    assert found.file_meta.TransferSyntaxUID == syntax
    return found


def elements(file: pydicom.Dataset) -> dict[str, Any]:
    return {
        tag: element for tag, element in file.to_json_dict().items() if not tag.startswith("7FE0")
    }


@pytest.mark.parametrize("source", [*NATIVE, *LOSSLESS])
@pytest.mark.parametrize("target", [ExplicitVRLittleEndian, *LOSSLESS])
def test_pixels_and_all_else_stay_as_they_were(
    client: FlaskClient, source: str, target: str
) -> None:
    file = grey(source) if source in NATIVE else compressed(source, grey())
    store(client, file)
    found, sent = file_in(client, target), pydicom.dcmread(BytesIO(grey()))
    assert np.array_equal(found.pixel_array, GREY)
    assert elements(found) == elements(sent)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("target", LOSSLESS)
def test_colours_are_not_converted(client: FlaskClient, photometric: str, target: str) -> None:
    store(client, colour(photometric))
    found = file_in(client, target)
    assert np.array_equal(pixel_array(found, raw=True), COLOUR)
    assert found.PhotometricInterpretation == photometric
    assert found.PlanarConfiguration == 0
    assert "LossyImageCompression" not in found


def test_uncompressed_planes_stay_as_they_are(client: FlaskClient) -> None:
    instance = pydicom.dcmread(BytesIO(colour()))
    store(client, dicom_file(instance, transfer_syntax=ImplicitVRLittleEndian))
    found = file_in(client, ExplicitVRLittleEndian)
    assert found.PixelData == COLOUR.transpose(0, 3, 1, 2).tobytes()
    assert found.PlanarConfiguration == 1


def test_what_was_compressed_with_loss_says_so(client: FlaskClient, shared_data: Any) -> None:
    sent = pydicom.dcmread(shared_data / "dicom/pydicom/SC_rgb_jpeg_dcmtk.dcm")
    buffer = BytesIO()
    sent.save_as(buffer)
    store(client, buffer.getvalue())
    uids = sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID
    address = "/dicomweb/studies/{}/series/{}/instances/{}".format(*uids)
    response = retrieved(client, DICOM, address)
    found = pydicom.dcmread(BytesIO(response.data))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.LossyImageCompression == "01"
    assert found.PhotometricInterpretation == "YBR_FULL"
    assert np.array_equal(found.pixel_array, sent.pixel_array)


def test_a_study_comes_in_the_transfer_syntax_asked_for(client: FlaskClient) -> None:
    """What has no pixels is not compressed."""
    report = report_instance(SeriesInstanceUID=f"{SERIES}9", SOPInstanceUID=f"{SERIES}9.1")
    store(client, grey(), compressed(RLELossless, grey(SOPInstanceUID=f"{SERIES}.2")), report)
    accept = f"multipart/related; type={DICOM}; transfer-syntax={JPEGLSLossless}"
    response = retrieved(client, accept, ADDRESS)
    assert response.status_code == 200
    found = [
        (part.headers["Content-Type"], pydicom.dcmread(BytesIO(b"".join(part.chunks))))
        for part in parts(BytesIO(response.data), response.headers["Content-Type"])
    ]
    syntaxes = [JPEGLSLossless, JPEGLSLossless, ExplicitVRLittleEndian]
    assert [kind for kind, _ in found] == [f"{DICOM}; transfer-syntax={one}" for one in syntaxes]
    assert [file.file_meta.TransferSyntaxUID for _, file in found] == syntaxes
    assert all(np.array_equal(file.pixel_array, GREY) for _, file in found[:2])


def test_the_best_quality_is_chosen_and_as_stored_of_those_alike(client: FlaskClient) -> None:
    stored = compressed(JPEGLSLossless, grey())
    store(client, stored)
    rle, jls = (f"{DICOM}; transfer-syntax={one}" for one in (RLELossless, JPEGLSLossless))
    assert retrieved(client, f"{rle}, {jls}").data == stored
    assert retrieved(client, f"{rle}; q=0.2, {jls}; q=0.1").headers["Content-Type"] == rle
    unknown = f"{DICOM}; transfer-syntax=1.2.3"
    assert retrieved(client, f"{unknown}, {rle}; q=0.1").headers["Content-Type"] == rle
    assert retrieved(client, unknown).status_code == 406


def test_what_cannot_be_converted_is_refused_or_comes_as_stored(client: FlaskClient) -> None:
    """Damaged frames, and those of a video: PS3.18 8.7.3.5.2 excepts them from its default."""
    asked = f"{DICOM}; transfer-syntax={ExplicitVRLittleEndian}"
    for syntax, status in ((JPEGBaseline8Bit, 422), ("1.2.840.10008.1.2.4.102", 406)):
        number = f"{SERIES}.{status}"
        file = encapsulated(syntax, b"\xff\xd8 no JPEG \xff\xd9", SOPInstanceUID=number)
        store(client, file)
        address = INSTANCE_ADDRESS.rpartition("/")[0] + f"/{number}"
        assert retrieved(client, asked, address).status_code == status
        as_stored = retrieved(client, DICOM, address)
        assert as_stored.data == file
        assert as_stored.headers["Content-Type"] == f"{DICOM}; transfer-syntax={syntax}"
    assert len(list_of(retrieved(client, f"multipart/related; type={DICOM}", ADDRESS))) == 2


def list_of(response: TestResponse) -> list[bytes]:
    return [
        b"".join(part.chunks)
        for part in parts(BytesIO(response.data), response.headers["Content-Type"])
    ]


def test_pixels_of_single_bits_are_not_compressed(client: FlaskClient) -> None:
    store(client, ct_instance(rows=8, columns=8, BitsAllocated=1, BitsStored=1, HighBit=0))
    asked = f"{DICOM}; transfer-syntax={JPEG2000Lossless}"
    assert retrieved(client, asked).status_code == 406


def test_a_part_of_an_instance_is_sent_by_range(client: FlaskClient) -> None:
    store(client, grey())
    headers = {"Accept": f"{DICOM}; transfer-syntax=*", "Range": "bytes=128-131"}
    response = client.get(INSTANCE_ADDRESS, headers=headers)
    assert (response.status_code, response.data) == (206, b"DICM")


def test_a_report_goes_into_explicit_vr(client: FlaskClient) -> None:
    instance = pydicom.dcmread(BytesIO(report_instance()))
    store(client, dicom_file(instance, transfer_syntax=ImplicitVRLittleEndian))
    found = file_in(client, ExplicitVRLittleEndian)
    assert elements(found) == elements(instance)
