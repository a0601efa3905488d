import random
from io import BytesIO

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.dicom_stream import InflatedStream, plausible_start, start_of_file
from tests.dicom_samples import ct_instance, data_set, deflated, dicom_file

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
BARE_SYNTAXES = SYNTAXES[:3]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("preamble", [True, False])
def test_the_transfer_syntax_is_that_of_the_file_meta(syntax: str, preamble: bool) -> None:
    file = dicom_file(
        data_set({"SOPClassUID": CTImageStorage}), transfer_syntax=syntax, preamble=preamble
    )
    start = start_of_file(BytesIO(file))
    assert start.transfer_syntax_uid == syntax
    assert not start.is_transfer_syntax_guessed
    assert start.meta[0x00020002] == CTImageStorage


@pytest.mark.parametrize("syntax", BARE_SYNTAXES)
def test_without_file_meta_the_transfer_syntax_is_told_from_the_bytes(syntax: str) -> None:
    file = dicom_file(
        data_set({"SOPClassUID": CTImageStorage}), transfer_syntax=syntax, file_meta=False
    )
    start = start_of_file(BytesIO(file))
    assert (start.transfer_syntax_uid, start.is_transfer_syntax_guessed) == (syntax, True)


@pytest.mark.parametrize("syntax", BARE_SYNTAXES)
def test_a_bare_data_set_starts_plausibly(syntax: str) -> None:
    file = dicom_file(
        data_set({"SOPClassUID": CTImageStorage}), transfer_syntax=syntax, file_meta=False
    )
    assert plausible_start(file)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x08\x00",
        b"\x02\x00\x00\x00",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"II*\x00\x08\x00\x00\x00",
        b"MM\x00*\x00\x00\x00\x08",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\x00\x00\x00\x18ftypheic",
        b"\x00\x00\x01\x00\x01\x00\x10\x10",
        b"Patient: Roe, Jane\n" * 9,
        b"\x08\x00" + bytes(200),
        b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100\x01\x00\x05\x00CS\x02\x00AB",
    ],
)
def test_what_is_not_dicom_does_not_start_plausibly(head: bytes) -> None:
    assert not plausible_start(head)


def test_a_command_set_before_the_data_set_is_passed_over() -> None:
    command = b"\x00\x00\x00\x00\x04\x00\x00\x00\x08\x00\x00\x00" + bytes(8)
    bare = dicom_file(data_set({"SOPClassUID": CTImageStorage}), file_meta=False)
    start = start_of_file(BytesIO(bytes(128) + b"DICM" + command + bare))
    assert start.transfer_syntax_uid == ExplicitVRLittleEndian
    assert start.stream.read(2) == b"\x08\x00"


def test_an_inflated_stream_reads_and_seeks_as_the_plain_bytes_would() -> None:
    data = bytes(range(256)) * 1000
    stream = InflatedStream(BytesIO(deflated(data)))
    stream.seek(200_000)
    assert stream.read(10) == data[200_000:200_010]
    stream.seek(-10, 1)
    assert stream.tell() == 200_000
    stream.seek(5)
    assert stream.read(3) == data[5:8]
    stream.seek(len(data) - 2)
    assert stream.read(10) == data[-2:]


def test_a_deflate_bomb_is_refused_at_the_limit() -> None:
    stream = InflatedStream(BytesIO(deflated(bytes(64 * 1024**2))))
    stream.seek(60 * 1024**2)
    with pytest.raises(UnreadableImage, match="larger than 32 MB"):
        stream.read(8)


def test_only_the_header_of_a_deflated_image_is_inflated() -> None:
    noise = random.Random(7).randbytes(512 * 512 * 2)
    file = BytesIO(ct_instance(transfer_syntax=DeflatedExplicitVRLittleEndian, PixelData=noise))
    assert start_of_file(file).stream.read(700)
    assert file.tell() < 100_000
