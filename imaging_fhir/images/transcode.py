"""Frames in another form: decoded, or compressed anew without loss (PS3.5 8.2, PS3.18 8.7.3).

All of it runs in the limited child process (decode.py). Samples are those of the stored frame: no
colour is converted but by what a codestream itself says of its colours (PS3.5 8.2.4). What was
compressed is decoded again and compared before it leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels import as_pixel_options, get_decoder, get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.decode import DEFAULT_LIMITS, Source, run_limited
from imaging_fhir.images.frames import VIDEO, CompressedFrames, FrameTable, frame_pieces
from imaging_fhir.images.jpeg_extended import add_decoder
from imaging_fhir.images.pieces import chunks_of

Array = npt.NDArray[Any]
Frame = tuple[Array, str]  # samples, PhotometricInterpretation

BATCH_BYTES = 8 * 1024**2  # after which a child gives back what it has so far
BEYOND_DECODERS = ("not support", "missing dependencies", "bits allocated")  # pydicom's words

add_decoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodedFrames:
    """Some frames, and what they are described by from now on."""

    frames: list[bytes]
    photometric: str


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
    header = dcmread(stream, stop_before_pixels=True, force=True)
    if int(header.Rows) * int(header.Columns) > pixels:
        raise UnsupportedImage("The frame has more pixels than are decoded at once.")
    size = stream.seek(0, 2)
    frames: list[bytes] = []
    photometric, length = "", 0
    for number in numbers:
        stored = b"".join(chunks_of(stream, frame_pieces(stream, size, table, number)))
        samples, photometric = decoded(stored, header, table, syntax)
        frames.append(WRITERS[target](samples, photometric, header))
        length += len(frames[-1]) + samples.nbytes
        if length > BATCH_BYTES:
            break
    return TranscodedFrames(frames=frames, photometric=photometric)


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
            content = get_encoder(target).encode(samples, **options)
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


WRITERS = {
    ExplicitVRLittleEndian: as_octets,
    **{target: writer(target) for target in (RLELossless, JPEGLSLossless, JPEG2000Lossless)},
}
TARGETS = frozenset(map(str, WRITERS))
