"""Whether two DICOM files are the same data set, or the same image in another transfer syntax."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import pydicom
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, AllTransferSyntaxes

from imaging_fhir.errors import ImagingError
from imaging_fhir.images.decode import Source, run_limited
from imaging_fhir.model.dicom_attribute import is_of_identity

PREAMBLE_LENGTH = 128
CHUNK = 1024**2
LOSSLESS = frozenset(
    {
        "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Non-Hierarchical
        "1.2.840.10008.1.2.4.70",  # JPEG Lossless, First-Order Prediction
        "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
        "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless Only
        "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless Only
        "1.2.840.10008.1.2.4.202",  # HTJ2K with RPCL, Lossless Only
        "1.2.840.10008.1.2.5",  # RLE Lossless
    }
)
# What a change of transfer syntax may change beside the pixels' encoding.
ABOUT_ENCODING = frozenset(
    {
        "PixelData",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
        "SpecificCharacterSet",
        "DataSetTrailingPadding",
        "DerivationDescription",  # a transcoder says here what it did
        "DerivationCodeSequence",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """`pixels` is of the decoded frames; `lossy` of how they are or were compressed.

    `image` is of the attributes without those that say whose it is.
    """

    attributes: str
    image: str
    pixels: str
    lossy: bool


def data_set_sha256(stream: BinaryIO) -> str:
    """Of the data set alone: preamble and file meta group may differ between two copies."""
    stream.seek(0)
    head = stream.read(PREAMBLE_LENGTH + 16)
    stream.seek(0)
    if head[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 8] == b"DICM\x02\x00\x00\x00":
        length = int.from_bytes(head[PREAMBLE_LENGTH + 12 : PREAMBLE_LENGTH + 16], "little")
        stream.seek(PREAMBLE_LENGTH + 16 + length)
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def compared(one: Source, other: Source) -> Literal["lossless", "renamed", "lossy", "other"]:
    """How two files with one SOP Instance UID but different data sets differ.

    `lossless`: the same attributes and decoded pixels. `lossy`: the same attributes, and one of
    the two was compressed with loss. `renamed`: they differ in whose they are alone.
    What cannot be decoded is `other`.
    """
    try:
        first, second = run_limited(digest, one), run_limited(digest, other)
    except ImagingError:
        return "other"
    if first.attributes != second.attributes:
        is_same_image = (first.image, first.pixels) == (second.image, second.pixels)
        return "renamed" if is_same_image else "other"
    if first.pixels == second.pixels:
        return "lossless"
    return "lossy" if first.lossy or second.lossy else "other"


def digest(stream: BinaryIO) -> Digest:
    """Run in the limited child: it decodes every frame."""
    data_set = pydicom.dcmread(stream, force=True)
    syntax = UID(data_set.file_meta.get("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian))
    return Digest(
        attributes=attributes_digest(data_set),
        image=attributes_digest(data_set, passing_over=is_of_identity),
        pixels=pixels_digest(data_set),
        lossy=is_lossy(data_set, syntax),
    )


def is_lossy(data_set: pydicom.Dataset, syntax: UID) -> bool:
    compressed = syntax in AllTransferSyntaxes and syntax.is_compressed
    encapsulated = compressed and syntax.is_encapsulated
    return (encapsulated and syntax not in LOSSLESS) or (
        data_set.get("LossyImageCompression") == "01"
    )


def attributes_digest(
    data_set: pydicom.Dataset, *, passing_over: Callable[[int], bool] = lambda tag: False
) -> str:
    found = hashlib.sha256()
    for element in data_set:
        is_told = element.keyword not in ABOUT_ENCODING and element.tag.element != 0
        if is_told and not passing_over(element.tag):
            found.update(f"{element.tag}{element.value!r}".encode("utf-8", "replace"))
    return found.hexdigest()


def pixels_digest(data_set: pydicom.Dataset) -> str:
    found = hashlib.sha256()
    if "PixelData" in data_set:
        for frame in iter_pixels(data_set):
            found.update(np.ascontiguousarray(frame).tobytes())
    return found.hexdigest()
