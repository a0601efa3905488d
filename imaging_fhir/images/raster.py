"""Reads the facts of a picture that Pillow opens; runs in a limited child (see decode.py)."""

import warnings
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO

from PIL import Image

from imaging_fhir.images.exif import ExifFacts, exif_facts, local_date_time
from imaging_fhir.model.document import Document
from imaging_fhir.model.study import LocalDateTime, ReadWarning

Image.MAX_IMAGE_PIXELS = None  # a header is read at any size; render.py counts before it decodes

MAXIMUM_WARNINGS = 10
UPRIGHT_IN_PILLOW = "TIFF"  # its size is already that after rotation
TRANSPOSED = range(5, 9)  # EXIF orientations that swap width and height
SINGLE_PICTURE = ("JPEG", "MPO")  # the second picture of an MPO is a preview or a depth map


def is_dicom(head: bytes) -> bool:
    """A DICOM file, whose preamble may be the head of a TIFF or of anything else (PS3.10 7.1)."""
    return head[128:132] == b"DICM"


def pillow_formats(media_type: str) -> list[str]:
    """Pillow's names for a media type; no other format is tried."""
    Image.init()
    return [format_ for format_, mime in Image.MIME.items() if mime == media_type]


def read_raster(stream: BinaryIO, media_type: str) -> Document:
    """The facts in the headers; no pixel is decoded."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(stream, formats=pillow_formats(media_type)) as image:
            facts = raster_facts(image)
            width, height = displayed_size(image, facts.orientation)
            frames = 1 if image.format in SINGLE_PICTURE else getattr(image, "n_frames", 1)
    return Document(
        media_type=media_type,
        width=width,
        height=height,
        frames=frames if frames > 1 else None,
        orientation=facts.orientation,
        taken=facts.taken,
        equipment=facts.equipment,
        is_photograph=facts.is_photograph,
        warnings=(*facts.warnings, *_read_warnings(caught)),
    )


def displayed_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    if orientation in TRANSPOSED and image.format != UPRIGHT_IN_PILLOW:
        return height, width
    return width, height


def raster_facts(image: Image.Image) -> ExifFacts:
    """What the EXIF says; EXIF that does not parse is a warning and spoils no picture."""
    try:
        # PngImageFile.getexif would decode the picture, in search of chunks behind it
        exif = Image.Image.getexif(image)
        facts = exif_facts(exif)
    except (
        Exception
    ) as error:  # a damaged directory raises struct.error, KeyError, SyntaxError, ...
        fault = f"does not parse ({type(error).__name__})"
        facts = ExifFacts(warnings=[ReadWarning(keyword="EXIF", message=fault)])
    else:
        if image.info.get("exif") and len(exif) == 0:  # Pillow failed on it before, and kept quiet
            facts.warnings.append(ReadWarning(keyword="EXIF", message="has no readable tag"))
    if facts.taken is None:
        facts.taken = _creation_time(image, facts.warnings)
    return facts


def _creation_time(image: Image.Image, faults: list[ReadWarning]) -> LocalDateTime | None:
    """PNG's `Creation Time` (11.3.3.2), which is RFC 1123 by advice and ISO 8601 by habit.

    The tIME chunk is the time of the last change and says nothing of the first.
    """
    text = image.info.get("Creation Time")
    if not isinstance(text, str) or not text.strip():
        return None
    taken = local_date_time(text.strip()) or _standard_date_time(text.strip())
    if taken is None:
        faults.append(ReadWarning(keyword="Creation Time", message="is no date and time"))
    return taken


def _standard_date_time(text: str) -> LocalDateTime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, IndexError, TypeError, OverflowError):
            continue
        offset = moment.strftime("%z")
        return LocalDateTime(
            date=moment.date().isoformat(),
            time=moment.time().isoformat(),
            offset=f"{offset[:3]}:{offset[3:5]}" if offset else None,
        )
    return None


def _read_warnings(caught: list[warnings.WarningMessage]) -> tuple[ReadWarning, ...]:
    messages = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    found = [ReadWarning(keyword="file", message=message) for message in messages]
    return tuple(found[:MAXIMUM_WARNINGS])
