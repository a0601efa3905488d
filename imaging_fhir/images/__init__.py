"""Bytes to model: what an image says of itself, told by its content alone."""

from typing import BinaryIO, Protocol

from imaging_fhir.errors import ImagingError, UnreadableImage, UnsupportedImage
from imaging_fhir.images.avif import AvifReader
from imaging_fhir.images.bmp import BmpReader
from imaging_fhir.images.dicom import DicomReader
from imaging_fhir.images.gif import GifReader
from imaging_fhir.images.jpeg import JpegReader
from imaging_fhir.images.netpbm import NetpbmReader
from imaging_fhir.images.pdf import PdfReader
from imaging_fhir.images.png import PngReader
from imaging_fhir.images.tiff import TiffReader
from imaging_fhir.images.webp import WebpReader
from imaging_fhir.model.document import Document
from imaging_fhir.model.study import DicomInstance

HEAD_LENGTH = 4096


class ImageReader(Protocol):
    """One image type: how it begins, and what its headers say."""

    media_type: str

    def recognises(self, head: bytes) -> bool: ...

    def read(self, stream: BinaryIO) -> DicomInstance | Document: ...


READERS: tuple[ImageReader, ...] = (
    JpegReader(),
    PngReader(),
    GifReader(),
    WebpReader(),
    TiffReader(),
    BmpReader(),
    PdfReader(),
    NetpbmReader(),
    AvifReader(),
    DicomReader(),  # last: a data set without its file header begins with nothing certain
)


def reader_for(head: bytes) -> ImageReader:
    """The reader of a file that begins so: a name or a header can lie.

    Raise UnsupportedImage where there is none.
    """
    for reader in READERS:
        if reader.recognises(head):
            return reader
    raise UnsupportedImage("The file is of no image type that this server reads.")


def read_image(stream: BinaryIO) -> DicomInstance | Document:
    """What a seekable stream's image says; raise UnsupportedImage or UnreadableImage."""
    stream.seek(0)
    reader = reader_for(stream.read(HEAD_LENGTH))
    stream.seek(0)
    try:
        return reader.read(stream)
    except ImagingError:
        raise
    except (
        Exception
    ) as error:  # damaged bytes raise struct.error, OSError, NotImplementedError, ...
        raise UnreadableImage(f"The {reader.media_type} file is damaged.") from error
