"""Frames and headers in another transfer syntax: decoded, or compressed anew without loss.

All of it runs in the limited child process (decode.py). Samples are those of the stored frame: no
colour is converted but by what a codestream itself says of its colours (PS3.5 8.2.4). What was
compressed is decoded again and compared before it leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, config, dcmread, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.bulk_data import WORD_BYTES
from imaging_fhir.images.decode import DEFAULT_LIMITS, Source, run_limited
from imaging_fhir.images.frames import (
    VIDEO,
    CompressedFrames,
    FrameTable,
    frame_pieces,
    swapped,
)
from imaging_fhir.images.jpeg_extended import add_decoder
from imaging_fhir.images.pieces import chunks_of

Array = npt.NDArray[Any]
Frame = tuple[Array, str]  # samples, PhotometricInterpretation

LOSSY = frozenset(
    map(str, (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K))
)
ENCODERS: dict[str, str] = {  # pydicom's plug-ins; GDCM's aborts on colours
    RLELossless: "pylibjpeg",
    JPEGLSLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
}
OFFSET_TABLES = (0x7FE00001, 0x7FE00002)  # extended, of the frames as they were
BATCH_BYTES = 8 * 1024**2  # after which a child gives back what it has so far
BEYOND_DECODERS = ("not support", "missing dependencies", "bits allocated")  # pydicom's words

add_decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodedFrames:
    """Some frames, and what they are described by from now on."""

    frames: list[bytes]
    photometric: str
    allocated: int  # bits of a sample


def transcoded(
    source: Source, table: FrameTable, *, syntax: str, target: str, numbers: tuple[int, ...]
) -> TranscodedFrames:
    """The first frames of `numbers`, one at least, in the target syntax.

    Raise UnsupportedImage where that cannot be made of them, UnreadableImage.
    """
    return run_limited(transcode, source, table, syntax, target, numbers, DEFAULT_LIMITS.pixels)


def transcode(
    stream: BinaryIO,
    table: FrameTable,
    syntax: str,
    target: str,
    numbers: tuple[int, ...],
    pixels: int,
) -> TranscodedFrames:
    """What `transcoded` does, in the child."""
    if syntax.startswith(VIDEO):
        raise UnsupportedImage("The frames of a video are not decoded here.")
    described = dcmread(stream, stop_before_pixels=True, force=True)
    if int(described.Rows) * int(described.Columns) > pixels:
        raise UnsupportedImage("The frame has more pixels than are decoded at once.")
    size = stream.seek(0, 2)
    frames: list[bytes] = []
    photometric, length = "", 0
    for number in numbers:
        stored = b"".join(chunks_of(stream, frame_pieces(stream, size, table, number)))
        samples, photometric = decoded(stored, described, table, syntax)
        frames.append(WRITERS[target](samples, photometric, described))
        length += len(frames[-1]) + samples.nbytes
        if length > BATCH_BYTES:
            break
    return TranscodedFrames(
        frames=frames, photometric=photometric, allocated=int(described.BitsAllocated)
    )


def decoded(stored: bytes, header: Dataset, table: FrameTable, syntax: str) -> Frame:
    """Of one frame, in words as large as BitsAllocated says, colours by pixel."""
    if not isinstance(table, CompressedFrames):
        return samples_of(stored, ExplicitVRLittleEndian, header)
    return samples_of(encapsulate([stored]), syntax, header)


def samples_of(content: bytes, syntax: str, header: Dataset) -> Frame:
    options = as_pixel_options(header, number_of_frames=1, pixel_keyword="PixelData")
    if options.get("samples_per_pixel", 1) > 1:
        options.setdefault("planar_configuration", 0)
    try:
        samples, found = get_decoder(UID(syntax)).as_array(content, raw=True, **options)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        if any(phrase in str(error) for phrase in BEYOND_DECODERS):
            raise UnsupportedImage(f"Frames of this kind in {syntax} are not decoded.") from error
        raise UnreadableImage(f"The frame ({UID(syntax).name}) is damaged.") from error
    kind, allocated = samples.dtype.kind, -(-int(header.BitsAllocated) // 8)
    fitting = samples.astype(np.dtype(f"<{kind}{allocated}"), copy=False)
    return fitting, str(found["photometric_interpretation"])


def as_octets(samples: Array, _photometric: str, _header: Dataset) -> bytes:
    return samples.tobytes()


def writer(target: str) -> Callable[[Array, str, Dataset], bytes]:
    """What compresses a frame so, or raises UnsupportedImage."""

    def compressed(samples: Array, photometric: str, header: Dataset) -> bytes:
        options = as_pixel_options(header, number_of_frames=1, planar_configuration=0)
        options["photometric_interpretation"] = photometric
        try:
            content = get_encoder(target).encode(
                samples, encoding_plugin=ENCODERS[target], **options
            )
        except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
            raise UnsupportedImage(f"These frames do not go into {target}.") from error
        require_same(content, target, samples, options)
        return content

    return compressed


def require_same(content: bytes, target: str, samples: Array, options: dict[str, Any]) -> None:
    options = options | {"pixel_keyword": "PixelData"}
    again, _ = get_decoder(UID(target)).as_array(encapsulate([content]), raw=True, **options)
    if not np.array_equal(again, samples):
        raise UnsupportedImage(f"These frames do not go into {target} without loss.")


WRITERS: dict[str, Callable[[Array, str, Dataset], bytes]] = {
    ExplicitVRLittleEndian: as_octets,
    **{target: writer(target) for target in ENCODERS},
}
TARGETS = frozenset(map(str, WRITERS))


def is_decodable(syntax: str) -> bool:
    """Is it a transfer syntax that frames are read in here?"""
    try:
        return not syntax.startswith(VIDEO) and get_decoder(UID(syntax)).is_available
    except NotImplementedError:
        return False


def header_in(source: Source, *, syntax: str, target: str, photometric: str | None) -> bytes:
    """The file up to its pixel data, in the target syntax; all of one that has no pixel data.

    `photometric` is that of the frames where they were decoded. Raise UnreadableImage.
    """
    return run_limited(header, source, syntax, target, photometric)


def header(stream: BinaryIO, syntax: str, target: str, photometric: str | None) -> bytes:
    """What `header_in` does, in the child."""
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = (
        config.IGNORE
    )
    found = dcmread(stream, stop_before_pixels=True, force=True)
    is_big_endian = not found.original_encoding[1]
    for tag in OFFSET_TABLES:
        if tag in found:
            del found[tag]
    if photometric is not None:
        describe(found, syntax, photometric)
    if is_big_endian:
        turn_words(found)
    found.file_meta.TransferSyntaxUID = UID(target)
    buffer = BytesIO()
    dcmwrite(buffer, found, enforce_file_format=True)
    return buffer.getvalue()


def describe(found: Dataset, syntax: str, photometric: str) -> None:
    """As the frames are now; what was compressed with loss says so for good (PS3.3 C.7.6.1.1.5)."""
    found.PhotometricInterpretation = photometric
    if int(found.get("SamplesPerPixel") or 1) > 1:
        found.PlanarConfiguration = 0
    if syntax in LOSSY:
        found.LossyImageCompression = "01"


def turn_words(found: Dataset) -> None:
    """Values that pydicom keeps as bytes, in the other order of bytes."""
    for element in found.iterall():
        if element.VR in WORD_BYTES and isinstance(element.value, bytes):
            element.value = swapped(element.value, WORD_BYTES[element.VR])
