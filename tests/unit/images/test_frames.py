"""Frames found in files of every encoding, against the bytes that went in and against pydicom."""

import struct
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, itemize_fragment
from pydicom.pixels.utils import pack_bits, unpack_bits
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from imaging_fhir.errors import ResourceNotFound, UnreadableImage
from imaging_fhir.images.frames import (
    CompressedFrames,
    NativeFrames,
    TableIsWrong,
    frame_pieces,
    frame_table,
    inflated_copy,
    swapped,
)
from imaging_fhir.images.pieces import Piece, chunks_of, part_of, size_of
from tests.dicom_samples import ct_instance, data_set, dicom_file, photo_instance

SIZE = 2**40  # of files that are whole
JPEG_FRAMES = [b"\xff\xd8" + bytes([n]) * (21 + n) + b"\xff\xd9" for n in range(4)]


def frames_of(file: bytes, *, scan: bool = False) -> list[bytes]:
    stream, syntax = BytesIO(file), str(pydicom.dcmread(BytesIO(file)).file_meta.TransferSyntaxUID)
    table = frame_table(stream, transfer_syntax=syntax, scan=scan)
    if isinstance(table, NativeFrames) and table.deflated_at is not None:
        whole = BytesIO()
        table = inflated_copy(stream, table.deflated_at, table, whole)
        stream = whole
    return [
        b"".join(chunks_of(stream, frame_pieces(stream, len(stream.getvalue()), table, number)))
        for number in range(1, table.number + 1)
    ]


def compressed(
    pixel_data: bytes, number: int, syntax: str = JPEGBaseline8Bit, **more: Any
) -> bytes:
    instance = data_set({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1", "NumberOfFrames": number})
    for keyword, value in more.items():
        setattr(instance, keyword, value)
    instance.add_new("PixelData", "OB", pixel_data)
    instance["PixelData"].is_undefined_length = True
    instance.file_meta = pydicom.dataset.FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, instance, enforce_file_format=True)
    return buffer.getvalue()


def padded(frames: list[bytes]) -> list[bytes]:
    return [frame + bytes(len(frame) % 2) for frame in frames]


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize(("bits", "code"), [(8, "u1"), (16, "u2"), (32, "u4")])
def test_native_frames_are_little_endian(syntax: str, bits: int, code: str) -> None:
    values = np.arange(3 * 5 * 3, dtype=f"<{code}").reshape(3, 5, 3)
    stored = values.tobytes() + bytes(values.nbytes % 2)
    if syntax == ExplicitVRBigEndian:
        stored = swapped(stored, bits // 8)
    file = ct_instance(
        rows=5,
        columns=3,
        transfer_syntax=syntax,
        NumberOfFrames=3,
        BitsAllocated=bits,
        PixelData=stored,
    )
    assert frames_of(file) == [frame.tobytes() for frame in values]


def test_words_of_big_endian_may_lie_across_frames() -> None:
    values = np.arange(46, dtype=np.uint8)
    instance = pydicom.dcmread(
        BytesIO(ct_instance(rows=5, columns=3, NumberOfFrames=3, BitsAllocated=8))
    )
    instance.add_new("PixelData", "OW", swapped(values.tobytes(), 2))
    file = dicom_file(instance, transfer_syntax=ExplicitVRBigEndian)
    assert frames_of(file) == [values[n : n + 15].tobytes() for n in (0, 15, 30)]


def test_frames_of_single_bits_begin_with_their_first_bit() -> None:
    values = np.random.default_rng(3).integers(0, 2, (5, 3, 3), dtype=np.uint8)
    file = ct_instance(
        rows=3, columns=3, NumberOfFrames=5, BitsAllocated=1, PixelData=pack_bits(values)
    )
    found = [np.asarray(unpack_bits(frame))[:9].reshape(3, 3) for frame in frames_of(file)]
    assert np.array_equal(found, values)
    assert all(len(frame) == 2 for frame in frames_of(file))


def test_colours_that_share_samples_are_shorter() -> None:
    file = ct_instance(
        rows=2,
        columns=4,
        NumberOfFrames=2,
        BitsAllocated=8,
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=bytes(range(32)),
    )
    assert frames_of(file) == [bytes(range(16)), bytes(range(16, 32))]


def test_floating_point_frames_are_found() -> None:
    instance = pydicom.dcmread(BytesIO(ct_instance(rows=2, columns=2, NumberOfFrames=2)))
    del instance.PixelData
    instance.BitsAllocated = 32
    instance.FloatPixelData = struct.pack("<8f", *range(8))
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    assert frames_of(buffer.getvalue()) == [
        struct.pack("<4f", *range(4)),
        struct.pack("<4f", *range(4, 8)),
    ]


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("has_bot", [True, False])
def test_compressed_frames_are_joined_from_their_fragments(fragments: int, has_bot: bool) -> None:
    pixel_data = encapsulate(JPEG_FRAMES, fragments_per_frame=fragments, has_bot=has_bot)
    file = compressed(pixel_data, 4)
    assert frames_of(file) == padded(JPEG_FRAMES)
    assert frames_of(file, scan=True) == padded(JPEG_FRAMES)


def test_the_extended_table_of_offsets_is_used() -> None:
    pixel_data, offsets, lengths = encapsulate_extended(JPEG_FRAMES)
    more: dict[str, Any] = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    assert frames_of(compressed(pixel_data, 4, **more)) == padded(JPEG_FRAMES)
    wrong = {**more, "ExtendedOffsetTable": bytes(32)}  # all zero: as if there were none
    assert frames_of(compressed(pixel_data, 4, **wrong)) == padded(JPEG_FRAMES)


def test_a_table_tells_of_a_frame_without_reading_another() -> None:
    file = compressed(encapsulate(JPEG_FRAMES), 4)
    table = frame_table(BytesIO(file), transfer_syntax=JPEGBaseline8Bit)
    assert isinstance(table, CompressedFrames)
    bounds = [table.of(number) for number in range(1, 5)]
    assert all(end == start for (_, end), (start, _) in pairwise(bounds))
    stream = Counting(file)
    assert size_of(frame_pieces(stream, SIZE, table, 3)) == len(padded(JPEG_FRAMES)[2])
    assert stream.count == 2 * 8  # the head of the frame's item, and of the next


class Counting(BytesIO):
    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.count += len(found)
        return found


def test_a_table_that_leads_elsewhere_is_noticed() -> None:
    pixel_data = bytearray(encapsulate(JPEG_FRAMES))
    pixel_data[8 + 4 : 8 + 8] = struct.pack("<L", 3)  # the second frame's offset
    file = compressed(bytes(pixel_data), 4)
    stream = BytesIO(file)
    table = frame_table(stream, transfer_syntax=JPEGBaseline8Bit)
    with pytest.raises(TableIsWrong):
        frame_pieces(stream, SIZE, table, 2)
    assert frames_of(file, scan=True) == padded(JPEG_FRAMES)


def test_fragments_of_one_frame_need_no_end_of_image() -> None:
    pixel_data = itemize_fragment(b"") + itemize_fragment(b"abcd") + itemize_fragment(b"ef")
    assert frames_of(compressed(pixel_data, 1, RLELossless)) == [b"abcdef"]


def test_fragments_that_make_another_number_of_frames_are_damaged() -> None:
    pixel_data = itemize_fragment(b"") + itemize_fragment(b"abcd") * 3
    with pytest.raises(UnreadableImage, match="do not make 2 frames"):
        frames_of(compressed(pixel_data, 2, RLELossless))


def test_a_video_is_one_stream() -> None:
    pixel_data = itemize_fragment(b"") + itemize_fragment(b"abcd") + itemize_fragment(b"ef")
    file = compressed(pixel_data, 40, "1.2.840.10008.1.2.4.102")
    assert frames_of(file) == [b"abcdef"]


@pytest.mark.parametrize("number", [0, 5])
def test_a_frame_that_is_not_there_is_not_found(number: int) -> None:
    for file in (compressed(encapsulate(JPEG_FRAMES), 4), ct_instance(NumberOfFrames=1)):
        table = frame_table(BytesIO(file), transfer_syntax=JPEGBaseline8Bit)
        with pytest.raises(ResourceNotFound, match=f"no frame {number}"):
            frame_pieces(BytesIO(file), SIZE, table, number)


def test_what_has_no_pixels_has_no_frames() -> None:
    with pytest.raises(ResourceNotFound, match="no frames"):
        frame_table(BytesIO(photo_instance()), transfer_syntax=ExplicitVRLittleEndian)


def test_a_frame_that_is_cut_off_is_damaged_and_those_before_are_not() -> None:
    file = ct_instance(rows=4, columns=4, NumberOfFrames=2, PixelData=bytes(range(64)))
    cut = BytesIO(file[:-10])
    table = frame_table(cut, transfer_syntax=ExplicitVRLittleEndian)
    assert b"".join(chunks_of(cut, frame_pieces(cut, len(file) - 10, table, 1))) == bytes(range(32))
    with pytest.raises(UnreadableImage, match="cut off"):
        frame_pieces(cut, len(file) - 10, table, 2)


def test_pixel_data_that_is_too_short_is_damaged() -> None:
    file = ct_instance(rows=4, columns=4, NumberOfFrames=3, PixelData=bytes(64))
    with pytest.raises(UnreadableImage, match="less pixel data"):
        frame_table(BytesIO(file), transfer_syntax=ExplicitVRLittleEndian)


def test_a_part_of_pieces_is_that_part_of_the_whole() -> None:
    stream = BytesIO(b"0123456789")
    pieces: list[Piece] = [b"ab", (2, 5), b"", (7, 9), b"c"]
    whole = b"".join(chunks_of(stream, pieces))
    assert whole == b"ab23478c"
    for start in range(len(whole)):
        for stop in range(start, len(whole) + 1):
            part = list(part_of(pieces, start, stop))
            assert b"".join(chunks_of(stream, part)) == whole[start:stop]
