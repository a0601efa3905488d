"""One frame of a DICOM instance as a picture (PS3.3 C.7.6.3, C.11.1, C.11.2; PS3.5 8)."""

import io
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import (
    ImagingError,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.images.jpeg_extended import add_decoder
from imaging_fhir.images.pdf import pdf_picture

Array = npt.NDArray[Any]

PERCENTILES = (0.5, 99.5)  # of what is shown where the file says no window
MOST_UNEQUAL_SPACING = 20.0  # more is a mistake, not an aspect
VIDEO = "1.2.840.10008.1.2.4.10"  # 1.2.840.10008.1.2.4.100 to .108: MPEG-2, H.264, HEVC
BEYOND_DECODERS = ("not support", "missing dependencies", "bits allocated")  # pydicom's words
SPACINGS_OF_ACQUISITION = ("ImagerPixelSpacing", "NominalScannedPixelSpacing")
ASPECTS = ("PixelAspectRatio", "PixelSpacing", *SPACINGS_OF_ACQUISITION)
TRANSFORMATIONS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
)

add_decoder()


def dicom_picture(stream: BinaryIO, frame: int | None, max_size: int, pixels: int) -> Image.Image:
    """Frame `frame` (from 1), else the middle one; only that frame is decoded."""
    header = dcmread(stream, stop_before_pixels=True, force=True)
    if "EncapsulatedDocument" in header:
        return _encapsulated_picture(header, frame, max_size)
    if not ("Rows" in header and "Columns" in header and "BitsAllocated" in header):
        raise UnsupportedImage("The DICOM instance has no picture.")
    index = _frame_index(header, frame)
    if int(header.Rows) * int(header.Columns) > pixels:
        raise UnreadableImage("The frame has more pixels than are decoded at once.")
    values = _decoded(stream, header, index)
    attributes = _display_attributes(header, index)
    picture = _picture(values, attributes, max_size)
    return _with_aspect(picture, _target_size(attributes, max_size))


def _encapsulated_picture(header: Dataset, frame: int | None, max_size: int) -> Image.Image:
    """A page of an encapsulated PDF; MIMETypeOfEncapsulatedDocument is not what decides."""
    document = bytes(header.EncapsulatedDocument)
    if not document.startswith(b"%PDF-"):
        raise UnsupportedImage("The document in the DICOM instance has no picture.")
    return pdf_picture(io.BytesIO(document), frame, max_size)


def _frame_count(header: Dataset) -> int:
    return max(int(_first_number(header, "NumberOfFrames") or 1), 1)


def _frame_index(header: Dataset, frame: int | None) -> int:
    frames = _frame_count(header)
    if frame is None:
        return frames // 2
    if not 1 <= frame <= frames:
        raise ResourceNotFound(f"The DICOM instance has no frame {frame}.")
    return frame - 1


def _decoded(stream: BinaryIO, header: Dataset, index: int) -> Array:
    """One frame's stored values, colours as RGB by pixel."""
    syntax = _transfer_syntax(header)
    if syntax.startswith(VIDEO):
        raise UnsupportedImage("The DICOM instance is a video.")
    if not syntax.is_transfer_syntax:
        raise UnsupportedImage(f"Pixel data in transfer syntax {syntax} is not decoded here.")
    stream.seek(0)
    source: BinaryIO | Dataset = stream
    if syntax == DeflatedExplicitVRLittleEndian:  # no frame can be found without inflating all
        source = dcmread(stream, force=True)
    try:
        return pixel_array(source, index=index, **_decoding_options(header, syntax))
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        raise _decoding_error(error, syntax) from error


def _decoding_options(header: Dataset, syntax: UID) -> dict[str, Any]:
    """What the header should say, where it does not or says it badly."""
    options: dict[str, Any] = {"number_of_frames": _frame_count(header)}
    if header.get("SamplesPerPixel") == 3 and "PlanarConfiguration" not in header:
        options["planar_configuration"] = 0
    return options | {"transfer_syntax_uid": syntax}


def _decoding_error(error: Exception, syntax: UID) -> ImagingError:
    text = str(error)
    if "no pixel data" in text:
        return UnsupportedImage("The DICOM instance has no picture.")
    if any(phrase in text for phrase in BEYOND_DECODERS):
        return UnsupportedImage(f"Pixel data of this kind in {syntax.name} is not decoded here.")
    return UnreadableImage(f"The pixel data ({syntax.name}) is damaged.")


def _transfer_syntax(header: Dataset) -> UID:
    """As the file meta says, else as the data set was read."""
    stated = header.file_meta.get("TransferSyntaxUID")
    if stated:
        return UID(stated)
    is_implicit, is_little_endian = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _display_attributes(header: Dataset, index: int) -> Dataset:
    """What the header says of its pixels, with what the functional groups say of this frame
    (PS3.3 C.7.6.3 and C.7.6.16)."""
    attributes = header.group_dataset(0x0028)
    for keyword in SPACINGS_OF_ACQUISITION:
        if keyword in header:
            attributes[keyword] = header[keyword]
    attributes.file_meta = FileMetaDataset()  # tells the byte order of lookup tables
    attributes.file_meta.TransferSyntaxUID = _transfer_syntax(header)
    shared = header.get("SharedFunctionalGroupsSequence") or []
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    for group in [*shared[:1], *per_frame[index : index + 1]]:
        for keyword in TRANSFORMATIONS:
            for item in (group.get(keyword) or [])[:1]:
                attributes.update(item)
    return attributes


def _picture(values: Array, attributes: Dataset, max_size: int) -> Image.Image:
    photometric = attributes.get("PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        return Image.fromarray(_eight_bit_colour(apply_color_lut(values, attributes)))
    if values.ndim == 3:
        picture = Image.fromarray(_eight_bit_colour(values, int(attributes.BitsStored)))
        picture.info["icc_profile"] = attributes.get("ICCProfile")
        return picture
    grey = _windowed(reduced(values, max_size), attributes)
    if photometric == "MONOCHROME1":
        grey = 1 - grey
    return Image.fromarray((grey * 255).round().astype(np.uint8))


def _eight_bit_colour(values: Array, bits: int | None = None) -> Array:
    """Channels to 8 bits; a palette of 16 bits may nevertheless hold values of 8."""
    if values.dtype.itemsize == 1:
        return values.view(np.uint8)
    bits = bits or (16 if values.max(initial=0) > 255 else 8)
    return (values >> max(bits - 8, 0)).astype(np.uint8)


def reduced(values: Array, max_size: int) -> Array:
    """Means over square blocks, to no less than twice the size asked for: it saves memory."""
    rows, columns = values.shape
    block = max(min(rows, columns) // (2 * max_size), 1)
    if block == 1:
        return values
    rows, columns = rows // block, columns // block
    blocks = values[: rows * block, : columns * block].reshape(rows, block, columns, block)
    means: Array = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means if values.dtype.kind == "f" else means.round().astype(values.dtype)


def _windowed(stored: Array, attributes: Dataset) -> Array:
    """Grey from 0 to 1: modality transformation, then the first VOI LUT or window."""
    values = apply_modality_lut(stored, attributes).astype(np.float32)
    window = _window(attributes)
    if attributes.get("VOILUTSequence"):
        grey = _voi_lut(values, attributes)
    elif window:
        grey = _window_function(values, *window, str(attributes.get("VOILUTFunction") or ""))
    else:
        return _stretched(values, stored, attributes)
    # a window beside all values shows nothing: it was meant for other images
    return grey if np.ptp(grey) > 0 else _stretched(values, stored, attributes)


def _voi_lut(values: Array, attributes: Dataset) -> Array:
    shown = apply_voi(values.round().astype(np.int32), attributes, index=0)
    bits = int(attributes.VOILUTSequence[0].LUTDescriptor[2])
    grey: Array = np.clip(shown.astype(np.float32) / (2**bits - 1), 0, 1)
    return grey


def _window(attributes: Dataset) -> tuple[float, float] | None:
    """Centre and width of the first window, where it is one."""
    centre, width = (_first_number(attributes, key) for key in ("WindowCenter", "WindowWidth"))
    return (centre, width) if centre is not None and width is not None and width > 0 else None


def _window_function(values: Array, centre: float, width: float, function: str) -> Array:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, from 0 to 1."""
    if function == "SIGMOID":
        grey: Array = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -50, 50)))
        return grey
    if function != "LINEAR_EXACT" and width > 1:  # LINEAR counts whole numbers
        centre, width = centre - 0.5, width - 1
    grey = np.clip((values - centre) / width + 0.5, 0, 1)
    return grey  # noqa: RET504 - typed above


def _stretched(values: Array, stored: Array, attributes: Dataset) -> Array:
    """The bulk of the values over the whole range; padding and infinities do not count."""
    counted = values[np.isfinite(values) & (stored != _padding(attributes))]
    lowest, highest = np.percentile(counted, PERCENTILES) if counted.size else (0, 1)
    if lowest == highest and counted.size:
        lowest, highest = counted.min(), counted.max()
    grey = (np.nan_to_num(values, posinf=0, neginf=0) - lowest) / ((highest - lowest) or 1)
    stretched: Array = np.clip(grey, 0, 1)
    return stretched


def _padding(attributes: Dataset) -> float:
    value = _first_number(attributes, "PixelPaddingValue")
    return float("nan") if value is None else value


def _first_number(attributes: Dataset, keyword: str) -> float | None:
    """The first value of a numeric attribute; None where it is missing or malformed."""
    try:
        value = attributes.get(keyword)
        number = float(value[0] if isinstance(value, MultiValue) else value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def _target_size(attributes: Dataset, max_size: int) -> tuple[int, int]:
    """Width and height with square pixels, within `max_size`, and never larger than needed."""
    aspect = _pixel_aspect(attributes)
    width = int(attributes.Columns) * max(1 / aspect, 1)
    height = int(attributes.Rows) * max(aspect, 1)
    scale = min(max_size / max(width, height), 1)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _pixel_aspect(attributes: Dataset) -> float:
    """A pixel's height by its width (PS3.3 C.7.6.3.1.7 and 10.7)."""
    for keyword in ASPECTS:
        try:
            vertical, horizontal = (float(value) for value in attributes.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if min(vertical, horizontal) > 0:
            aspect = vertical / horizontal
            return aspect if 1 / MOST_UNEQUAL_SPACING < aspect < MOST_UNEQUAL_SPACING else 1
    return 1


def _with_aspect(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    if picture.size == size:
        return picture
    profile = picture.info.get("icc_profile")
    resized = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    resized.info["icc_profile"] = profile
    return resized
