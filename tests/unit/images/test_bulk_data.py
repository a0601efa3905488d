import random
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import ResourceNotFound
from imaging_fhir.images.bulk_data import bulk_value
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.images.frames import swapped
from tests.dicom_samples import ct_instance, dicom_file, pdf_instance


def value(file: bytes, path: str) -> bytes:
    return b"".join(bulk_value(BytesIO(file), path).chunks())


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_pixels_are_found_in_every_encoding(syntax: str) -> None:
    pixels = bytes(range(32))
    assert value(ct_instance(transfer_syntax=syntax, PixelData=pixels), "7FE00010") == pixels


def test_big_endian_words_are_turned() -> None:
    pixels = bytes(range(32))
    file = ct_instance(transfer_syntax=ExplicitVRBigEndian, PixelData=pixels)
    assert value(file, "7FE00010") == swapped(pixels, 2)


def test_words_of_any_size_are_turned() -> None:
    assert swapped(b"12345678", 1) == b"12345678"
    assert swapped(b"12345678", 2) == b"21436587"
    assert swapped(b"12345678", 4) == b"43218765"
    assert swapped(b"12345678", 8) == b"87654321"
    assert swapped(b"123", 2) == b"123"


def test_every_bulk_data_address_that_the_reader_makes_is_found() -> None:
    chance = random.Random(5)
    document, samples, private = (chance.randbytes(size) for size in (3000, 2048, 4096))
    waveform: dict[str, Any] = {"WaveformBitsAllocated": 8, "WaveformData": samples}
    instance = pydicom.dcmread(BytesIO(pdf_instance(document, WaveformSequence=[{}, waveform])))
    instance.private_block(0x0011, "ACME", create=True).add_new(0x01, "OB", private)
    file = dicom_file(instance)
    json = DicomReader().read(BytesIO(file)).dicom_json
    for path, expected in (
        ("00420011", document),
        ("54000100/1/54001010", samples),
        ("00111001", private),
    ):
        assert f'"bulkdata/{path}"'.encode() in json
        assert value(file, path) == expected


def test_a_long_value_comes_in_pieces() -> None:
    pixels = bytes(2 * 700 * 700)
    found = bulk_value(BytesIO(ct_instance(rows=700, columns=700)), "7FE00010")
    pieces = list(found.chunks())
    assert len(pieces) > 1
    assert b"".join(pieces) == pixels


def test_pixels_cut_off_are_given_as_far_as_they_go() -> None:
    assert value(ct_instance(PixelData=bytes(range(32)))[:-10], "7FE00010") == bytes(range(22))


@pytest.mark.parametrize("path", ["00420011", "7FE00010/0/7FE00010", "00081140", "nonsense"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    file = ct_instance(ReferencedImageSequence=[{"ReferencedSOPInstanceUID": "1.2"}])
    with pytest.raises(ResourceNotFound):
        bulk_value(BytesIO(file), path)
