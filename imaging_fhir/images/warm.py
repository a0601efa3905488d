"""Looks at one small image of each kind, so that no child has to load what decodes it.

Libraries load parts of themselves when they are first used: a child that does so anew, for each
image, spends more time on that than on the image.
"""

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from imaging_fhir.images.rendering import FORMATS, render_stills
from imaging_fhir.model.rendering import NO_CAPTIONS, Rendering

SIDE = 64
COMPRESSED = (JPEG2000Lossless, JPEGLSLossless, RLELossless)
PIXELS = SIDE * SIDE


def warm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, *others = samples()
        for media_type in FORMATS:
            render(plain, media_type)
        for sample in others:
            render(sample, "image/jpeg")


def render(sample: bytes, media_type: str) -> None:
    rendering = Rendering(media_type=media_type)
    render_stills(io.BytesIO(sample), rendering, None, NO_CAPTIONS, None, PIXELS)


def samples() -> Iterator[bytes]:
    """The same in each transfer syntax that is met often; the first is not compressed."""
    yield written(instance())
    for syntax in COMPRESSED:
        compressed = instance()
        compressed.compress(syntax, generate_instance_uid=False)
        yield written(compressed)
    yield written(photograph())


def instance() -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, "1.2.3"
    made.Rows = made.Columns = SIDE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.RescaleSlope, made.RescaleIntercept = "1", "-1024"
    made.WindowCenter, made.WindowWidth = "0", "100"
    made.PixelData = np.arange(PIXELS, dtype="<u2").tobytes()
    return with_meta(made, ExplicitVRLittleEndian)


def photograph() -> Dataset:
    made = instance()
    made.SamplesPerPixel, made.PhotometricInterpretation = 3, "YBR_FULL_422"
    made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    jpeg = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (9, 99, 199)).save(jpeg, "JPEG")
    made.PixelData = encapsulate([jpeg.getvalue()])
    return with_meta(made, JPEGBaseline8Bit)


def with_meta(made: Dataset, syntax: UID) -> Dataset:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made["PixelData"].VR = "OB" if syntax.is_compressed else "OW"
    made["PixelData"].is_undefined_length = syntax.is_compressed
    return made


def written(made: Dataset) -> bytes:
    content = io.BytesIO()
    dcmwrite(content, made, enforce_file_format=True)
    return content.getvalue()
