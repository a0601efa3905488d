"""WADO-RS: frames as they are stored, and in other forms."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from flask import Flask
from flask.testing import FlaskClient
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
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
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from imaging_fhir.dicomweb.multipart import Part, parts
from imaging_fhir.images.frames import swapped
from imaging_fhir.services.composition import Services
from imaging_fhir.storage.schema import frame_table
from tests.dicom_samples import ct_instance, data_set, photo_instance
from tests.integration.web.dicomweb import INSTANCE_ADDRESS, ReadingClient, served, store

OCTETS = "application/octet-stream"
OHIF = f"multipart/related; type={OCTETS}; transfer-syntax=*"
VALUES = np.random.default_rng(5).integers(0, 4096, (3, 36, 35), dtype="<u2")
LOSSLESS = [RLELossless, JPEGLSLossless, JPEG2000Lossless]
IMAGE_TYPES: dict[str, str] = {
    RLELossless: "image/dicom-rle",
    JPEGLSLossless: "image/jls",
    JPEG2000Lossless: "image/jp2",
}
ONE_FRAME: dict[str, Any] = {
    "rows": 36,
    "columns": 35,
    "number_of_frames": 1,
    "samples_per_pixel": 1,
    "photometric_interpretation": "MONOCHROME2",
    "bits_allocated": 16,
    "bits_stored": 12,
    "pixel_representation": 0,
    "pixel_keyword": "PixelData",
}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return ReadingClient(app, app.response_class)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with served(app) as found:
        yield found


def multi_frame(syntax: str = ExplicitVRLittleEndian, values: Any = VALUES, **more: Any) -> bytes:
    frames, rows, columns = values.shape[:3]
    stored = values.tobytes()
    if syntax == ExplicitVRBigEndian:
        stored = swapped(stored, 2)
    return ct_instance(
        rows=rows,
        columns=columns,
        transfer_syntax=syntax,
        NumberOfFrames=frames,
        PixelData=stored,
        **more,
    )


def compressed(syntax: str, file: bytes) -> bytes:
    instance = pydicom.dcmread(BytesIO(file))
    instance.compress(UID(syntax), generate_instance_uid=False)
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def stored_frames(file: bytes) -> list[bytes]:
    instance = pydicom.dcmread(BytesIO(file))
    return list(
        pydicom.encaps.generate_frames(
            instance.PixelData, number_of_frames=int(instance.get("NumberOfFrames", 1))
        )
    )


def frames(client: FlaskClient, numbers: str, accept: str = "*/*", **headers: str) -> TestResponse:
    return client.get(f"{INSTANCE_ADDRESS}/frames/{numbers}", headers={"Accept": accept, **headers})


def found_parts(response: TestResponse) -> list[tuple[str, bytes]]:
    """The content type and the bytes of each part."""
    assert response.status_code == 200, response.data
    return [
        (part.headers["Content-Type"], b"".join(part.chunks))
        for part in parts(BytesIO(response.data), response.headers["Content-Type"])
    ]


def octets(frames: Any) -> list[tuple[str, bytes]]:
    kind = f"{OCTETS}; transfer-syntax={ExplicitVRLittleEndian}"
    return [(kind, frame.tobytes()) for frame in frames]


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("accept", ["*/*", OHIF, f"multipart/related; type={OCTETS}"])
def test_native_frames_are_octets_in_little_endian(
    client: FlaskClient, syntax: str, accept: str
) -> None:
    store(client, multi_frame(syntax))
    response = frames(client, "3,1", accept)
    assert found_parts(response) == octets(VALUES[[2, 0]])
    assert response.headers["Content-Length"] == str(len(response.data))
    assert response.headers["Content-Type"].startswith(f'multipart/related; type="{OCTETS}"')


def test_each_part_says_which_frame_it_is(client: FlaskClient) -> None:
    store(client, multi_frame())
    response = frames(client, "2,3")
    found: list[Part] = []
    for part in parts(BytesIO(response.data), response.headers["Content-Type"]):
        found.append(part)
    assert [part.headers["Content-Location"] for part in found] == [
        f"https://images.example{INSTANCE_ADDRESS}/frames/{number}" for number in (2, 3)
    ]


def test_one_frame_may_be_asked_for_alone(client: FlaskClient) -> None:
    store(client, multi_frame())
    response = frames(client, "2", OCTETS)
    assert response.data == VALUES[1].tobytes()
    assert response.headers["Content-Type"] == f"{OCTETS}; transfer-syntax={ExplicitVRLittleEndian}"
    assert frames(client, "1,2", OCTETS).status_code == 406
    assert len(found_parts(frames(client, "1,2", f"{OCTETS}, {OHIF}; q=0.5"))) == 2


def test_a_part_of_a_frame_is_sent_by_range(client: FlaskClient) -> None:
    store(client, multi_frame())
    whole = frames(client, "2", OCTETS)
    tag = whole.headers["ETag"]
    part = frames(client, "2", OCTETS, Range="bytes=10-19")
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert part.headers["Content-Range"] == "bytes 10-19/2520"
    of_other = {"If-Range": '"other"', "Range": "bytes=10-19"}
    assert frames(client, "2", OCTETS, **of_other).data == whole.data
    of_same = {"If-Range": tag, "Range": "bytes=2500-"}
    assert frames(client, "2", OCTETS, **of_same).data == whole.data[2500:]
    assert frames(client, "2", OCTETS, Range="bytes=2520-").status_code == 416


def test_what_a_client_has_is_not_sent_again(client: FlaskClient) -> None:
    store(client, multi_frame())
    tag = frames(client, "1").headers["ETag"]
    known = frames(client, "1", **{"If-None-Match": tag})
    assert (known.status_code, known.data, known.headers["ETag"]) == (304, b"", tag)


@pytest.mark.parametrize(
    ("numbers", "status"),
    [
        ("0", 404),
        ("4", 404),
        ("1,4", 404),
        ("9999999999", 404),
        ("x", 400),
        ("1,", 400),
        ("-1", 400),
        ("1 2", 400),
        ("1.0", 400),
        ("12345678901", 400),
        (",".join(["1"] * 10_001), 400),
    ],
)
def test_wrong_frame_numbers_are_refused(client: FlaskClient, numbers: str, status: int) -> None:
    store(client, multi_frame())
    response = frames(client, numbers)
    assert (response.status_code, list(response.get_json())) == (status, ["error"])


def test_what_has_no_frames_has_none(client: FlaskClient) -> None:
    store(client, photo_instance())
    assert frames(client, "1").status_code == 404


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_compressed_frames_come_as_stored(client: FlaskClient, syntax: str) -> None:
    file = compressed(syntax, multi_frame())
    own = IMAGE_TYPES[syntax]
    stored = stored_frames(file)
    store(client, file)
    assert found_parts(frames(client, "1,3", OHIF)) == [
        (f"{OCTETS}; transfer-syntax={syntax}", stored[n]) for n in (0, 2)
    ]
    as_images = f"multipart/related; type={own}"
    for accept in (
        as_images,
        f"{as_images}; transfer-syntax={syntax}",
        "multipart/related; type=image/*",
    ):
        assert found_parts(frames(client, "2", accept)) == [
            (f"{own}; transfer-syntax={syntax}", stored[1])
        ]
    assert frames(client, "2", own).data == stored[1]
    other = f"{as_images}; transfer-syntax={JPEGBaseline8Bit}"
    assert frames(client, "2", other).status_code == 406


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_compressed_frames_are_decoded_for_whoever_wants_octets(
    client: FlaskClient, syntax: str
) -> None:
    store(client, compressed(syntax, multi_frame()))
    response = frames(client, "2,3,1")
    assert found_parts(response) == octets(VALUES[[1, 2, 0]])
    assert response.headers["Content-Length"] == str(len(response.data))
    assert frames(client, "2", OCTETS).data == VALUES[1].tobytes()


@pytest.mark.parametrize("target", LOSSLESS)
@pytest.mark.parametrize("source", [ExplicitVRLittleEndian, ExplicitVRBigEndian, *LOSSLESS])
def test_frames_are_compressed_anew_without_loss(
    client: FlaskClient, source: str, target: str
) -> None:
    is_native = source in (ExplicitVRLittleEndian, ExplicitVRBigEndian)
    store(client, multi_frame(source) if is_native else compressed(source, multi_frame()))
    own = IMAGE_TYPES[target]
    found = found_parts(frames(client, "3,2", f"multipart/related; type={own}"))
    assert [kind for kind, _ in found] == [f"{own}; transfer-syntax={target}"] * 2
    for (_, content), expected in zip(found, VALUES[[2, 1]], strict=True):
        decoded, _ = get_decoder(target).as_array(encapsulate([content]), **ONE_FRAME)
        assert np.array_equal(decoded, expected)


def test_the_stored_form_is_chosen_of_those_that_are_liked_as_well(client: FlaskClient) -> None:
    file = compressed(JPEGLSLossless, multi_frame())
    store(client, file)
    rle, jls = (f"multipart/related; type=image/{name}" for name in ("dicom-rle", "jls"))
    kinds = {
        f"{rle}, {jls}": JPEGLSLossless,
        f"{rle}, {jls}; q=0.9": RLELossless,
        f"{rle}; q=0.1, {jls}; q=0.2": JPEGLSLossless,
        f"multipart/related; type=video/mp4, {rle}; q=0.3": RLELossless,
    }
    for accept, syntax in kinds.items():
        [(kind, _)] = found_parts(frames(client, "1", accept))
        assert kind.endswith(f"transfer-syntax={syntax}"), accept


def test_a_video_is_sent_as_the_stream_that_it_is(client: FlaskClient) -> None:
    syntax, video = "1.2.840.10008.1.2.4.102", b"\x00\x00\x01" * 40
    instance = data_set({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1.1", "NumberOfFrames": 30})
    instance.add_new("PixelData", "OB", encapsulate([video], fragments_per_frame=3, has_bot=False))
    instance["PixelData"].is_undefined_length = True
    instance.file_meta = pydicom.dataset.FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    store(client, buffer.getvalue())
    expected = [(f"video/mp4; transfer-syntax={syntax}", video)]
    assert found_parts(frames(client, "1")) == expected
    bulk = f"{INSTANCE_ADDRESS}/bulkdata/7FE00010"
    assert found_parts(client.get(bulk)) == expected
    alone = client.get(bulk, headers={"Accept": "video/mp4", "Range": "bytes=3-5"})
    assert (alone.status_code, alone.data) == (206, b"\x00\x00\x01")
    assert frames(client, "2").status_code == 404
    assert frames(client, "1", OCTETS).status_code == 406


def test_damaged_frames_are_an_error_and_not_an_empty_answer(client: FlaskClient) -> None:
    instance = pydicom.dcmread(BytesIO(multi_frame()))
    instance.PixelData = encapsulate([b"\xff\xd8 no JPEG \xff\xd9"] * 3)
    instance["PixelData"].VR = "OB"
    instance["PixelData"].is_undefined_length = True
    instance.file_meta.TransferSyntaxUID = UID(JPEG2000Lossless)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    store(client, buffer.getvalue())
    response = frames(client, "1")
    assert response.status_code == 422
    assert "damaged" in response.get_json()["error"]
    assert len(found_parts(frames(client, "1", OHIF))) == 1


def test_the_table_of_frames_is_kept_and_used(app: Flask, client: FlaskClient) -> None:
    file = compressed(JPEGLSLossless, multi_frame())
    store(client, file)
    services: Services = app.extensions["imaging_fhir"]
    for _ in range(2):
        assert [content for _, content in found_parts(frames(client, "2", OHIF))] == [
            stored_frames(file)[1]
        ]
        with services.database.read() as connection:
            [row] = connection.execute(select(frame_table)).all()
    wrong = row.body.replace(row.body[-8:], bytes(8))
    services.database.write(
        lambda transaction: transaction.execute(update(frame_table).values(body=wrong))
    )
    assert frames(client, "3", OHIF).status_code == 200  # noticed, and made anew
    with services.database.read() as connection:
        assert connection.execute(select(frame_table.c.body)).scalar() == row.body


def test_dicomweb_client_reads_frames(address: str, client: FlaskClient) -> None:
    file = compressed(JPEG2000Lossless, multi_frame())
    store(client, file)
    remote = DICOMwebClient(address)
    study, series, instance = (part for part in INSTANCE_ADDRESS.split("/") if part[:1].isdigit())
    found = remote.retrieve_instance_frames(study, series, instance, [1, 3])
    assert found == [VALUES[n].tobytes() for n in (0, 2)]
    as_stored = (("image/jp2", JPEG2000Lossless),)
    again = remote.iter_instance_frames(study, series, instance, [2], media_types=as_stored)
    assert list(again) == [stored_frames(file)[1]]
