"""The stored values of one frame, and what the file says of them (PS3.3 C.7.6.3, C.7.6.16)."""

from struct import unpack
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from imaging_fhir.errors import (
    ImagingError,
    ResourceNotFound,
    UnreadableImage,
    UnsupportedImage,
)
from imaging_fhir.images.colour import colours_of_partial
from imaging_fhir.images.dicom_numbers import whole_number
from imaging_fhir.images.jpeg_extended import add_decoder

Array = npt.NDArray[Any]

VIDEO = "1.2.840.10008.1.2.4.10"  # 1.2.840.10008.1.2.4.100 to .108: MPEG-2, H.264, HEVC
BEYOND_DECODERS = ("not support", "missing dependencies", "bits allocated")  # pydicom's words
SPACINGS_OF_ACQUISITION = ("ImagerPixelSpacing", "NominalScannedPixelSpacing")
OF_OTHER_GROUPS = (*SPACINGS_OF_ACQUISITION, "SegmentationType")
TRANSFORMATIONS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
)
VALUES = {  # element number in group 7FE0
    0x0010: "PixelData",
    0x0009: "DoubleFloatPixelData",
    0x0008: "FloatPixelData",
}
PIXEL_GROUP = 0x7FE0
DECODED_AS = {  # retired forms of JPEG with 12 bits, which one decoder reads
    "1.2.840.10008.1.2.4.53": JPEGExtended12Bit,
    "1.2.840.10008.1.2.4.55": JPEGExtended12Bit,
}

add_decoder()


class StoredFrames:
    """The frames of one DICOM instance; the header is read once, and no frame before it is asked.

    Raise UnsupportedImage where there is no picture, UnreadableImage where a frame has more than
    `pixels`.
    """

    def __init__(self, stream: BinaryIO, header: Dataset, pixels: int) -> None:
        if not ("Rows" in header and "Columns" in header and "BitsAllocated" in header):
            raise UnsupportedImage("The DICOM instance has no picture.")
        if int(header.Rows) * int(header.Columns) > pixels:
            raise UnreadableImage("The frame has more pixels than are decoded at once.")
        self.header = header
        self.stream = stream
        self.position = stream.tell()  # where reading stopped: at the pixel data
        self.count = max(whole_number(header, "NumberOfFrames", 1), 1)
        header.NumberOfFrames = self.count  # in the place of what may be no number
        self.syntax = transfer_syntax(header)

    def index(self, number: int | None) -> int:
        """From 0, of a frame's number from 1, else of the middle one; raise ResourceNotFound."""
        if number is None:
            return self.count // 2
        if not 1 <= number <= self.count:
            raise ResourceNotFound(f"The DICOM instance has no frame {number}.")
        return number - 1

    def values(self, index: int) -> Array:
        """A frame's stored values, colours as RGB by pixel."""
        syntax = self.syntax
        if syntax.startswith(VIDEO):
            raise UnsupportedImage("The DICOM instance is a video.")
        if not syntax.is_transfer_syntax:
            raise UnsupportedImage(f"Pixel data in transfer syntax {syntax} is not decoded here.")
        try:
            return self.decoded(index)
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            raise decoding_error(error, syntax) from error

    def cells(self, index: int) -> Array | None:
        """A frame's words with all their bits; only uncompressed ones have more than the sample."""
        if self.syntax.is_compressed or self.header.get("SamplesPerPixel", 1) != 1:
            return None
        options = self.options()
        options |= {"bits_stored": options["bits_allocated"], "pixel_representation": 0}
        source = self.source(options)
        cells, _ = get_decoder(self.syntax).as_array(source, index=index, raw=True, **options)
        return cells

    def decoded(self, index: int) -> Array:
        options = self.options()
        shift = stored_shift(self.header) if not self.syntax.is_compressed else 0
        if shift:
            options |= {"bits_stored": options["bits_allocated"], "pixel_representation": 0}
        is_partial = str(options.get("photometric_interpretation")).startswith("YBR_PARTIAL")
        if is_partial:
            options["photometric_interpretation"] = self.partial_layout(options)
        source = self.source(options)
        decoder = get_decoder(DECODED_AS.get(self.syntax, self.syntax))
        values, _ = decoder.as_array(source, index=index, raw=is_partial, **options)
        if is_partial:
            return colours_of_partial(values)
        return unshifted(values, shift, self.header) if shift else values

    def options(self) -> dict[str, Any]:
        """What the header says, and what it should say where it does not or says it badly."""
        options = as_pixel_options(self.header)
        if self.header.get("SamplesPerPixel") == 3 and "PlanarConfiguration" not in self.header:
            options["planar_configuration"] = 0
        return options

    def partial_layout(self, options: dict[str, Any]) -> str:
        """Chrominance for every second pixel, as in YBR_FULL_422; a JPEG decoder undoes that."""
        if self.syntax.is_compressed:
            return "YBR_FULL"
        if options["photometric_interpretation"] != "YBR_PARTIAL_422":
            raise UnsupportedImage("Uncompressed YBR_PARTIAL_420 is not decoded here.")
        return "YBR_FULL_422"

    def source(self, options: dict[str, Any]) -> Any:
        """The stream at the beginning of the pixel data's value, or a data set with all of it."""
        if self.syntax == DeflatedExplicitVRLittleEndian:
            self.stream.seek(0)
            inflated = dcmread(self.stream, force=True)
            options["pixel_keyword"] = next(
                (keyword for keyword in VALUES.values() if keyword in inflated), "PixelData"
            )
            if options["pixel_keyword"] not in inflated:
                raise UnsupportedImage("The DICOM instance has no picture.")
            options["pixel_vr"] = inflated[options["pixel_keyword"]].VR
            return inflated[options["pixel_keyword"]].value
        self.stream.seek(self.position)
        options |= self.element()
        return self.stream

    def element(self) -> dict[str, Any]:
        """Read past the pixel data's head: its keyword and, where the syntax says it, its VR."""
        head = self.stream.read(8)
        order = "<" if self.syntax.is_little_endian else ">"
        group, element = unpack(f"{order}HH", head[:4]) if len(head) == 8 else (0, 0)
        if group != PIXEL_GROUP or element not in VALUES:
            raise UnsupportedImage("The DICOM instance has no picture.")
        if self.syntax.is_implicit_VR:
            return {"pixel_keyword": VALUES[element]}
        self.stream.seek(4, 1)
        return {"pixel_keyword": VALUES[element], "pixel_vr": head[4:6].decode("latin-1")}

    def attributes(self, index: int) -> Dataset:
        """What the header says of its pixels, with what the functional groups say of this frame."""
        attributes = self.header.group_dataset(0x0028)
        for keyword in OF_OTHER_GROUPS:
            if keyword in self.header:
                attributes[keyword] = self.header[keyword]
        attributes.file_meta = FileMetaDataset()  # tells the byte order of lookup tables
        attributes.file_meta.TransferSyntaxUID = self.syntax
        shared = self.header.get("SharedFunctionalGroupsSequence") or []
        per_frame = self.header.get("PerFrameFunctionalGroupsSequence") or []
        for group in [*shared[:1], *per_frame[index : index + 1]]:
            for keyword in TRANSFORMATIONS:
                for item in (group.get(keyword) or [])[:1]:
                    attributes.update(item)
        return attributes


def stored_shift(header: Dataset) -> int:
    """By how many bits the sample lies higher than at the bottom of its cell (PS3.5 8.1.1)."""
    bits = whole_number(header, "BitsStored", 0)
    high = whole_number(header, "HighBit", bits - 1)
    allocated = whole_number(header, "BitsAllocated", 0)
    return high + 1 - bits if 0 < bits <= high + 1 <= allocated else 0


def unshifted(cells: Array, shift: int, header: Dataset) -> Array:
    bits = int(header.BitsStored)
    values: Array = (cells.astype(np.int64) >> shift) & (2**bits - 1)
    if header.get("PixelRepresentation") == 1:
        values -= (values >= 2 ** (bits - 1)) * 2**bits
    return values


def decoding_error(error: Exception, syntax: UID) -> ImagingError:
    text = str(error)
    if isinstance(error, NotImplementedError) or any(phrase in text for phrase in BEYOND_DECODERS):
        return UnsupportedImage(f"Pixel data of this kind in {syntax.name} is not decoded here.")
    return UnreadableImage(f"The pixel data ({syntax.name}) is damaged.")


def transfer_syntax(header: Dataset) -> UID:
    """As the file meta says, else as the data set was read."""
    stated = header.file_meta.get("TransferSyntaxUID")
    if stated:
        return UID(stated)
    is_implicit, is_little_endian = header.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
