"""PDF (ISO 32000): its pages and its date; pdfium parses it in a limited child."""

import re
from typing import BinaryIO

import pypdfium2
from PIL import Image
from pypdfium2.raw import FPDF_ERR_PASSWORD

from imaging_fhir.errors import ResourceNotFound, UnreadableImage
from imaging_fhir.images.decode import HEADER_LIMITS, run_limited
from imaging_fhir.images.exif import is_offset, local_date_time
from imaging_fhir.images.raster import is_dicom
from imaging_fhir.model.document import Document
from imaging_fhir.model.study import LocalDateTime, ReadWarning

# ISO 32000-1 7.9.4: D:YYYYMMDDHHmmSSOHH'mm'
_DATE = re.compile(
    r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?)?(?:(Z)|([+-]\d\d)'?(\d\d)?'?)?.*"
)


class PdfReader:
    media_type = "application/pdf"

    def recognises(self, head: bytes) -> bool:
        return head.lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(b"%PDF-") and not is_dicom(head)

    def read(self, stream: BinaryIO) -> Document:
        return run_limited(read_pdf, stream, limits=HEADER_LIMITS)


def open_pdf(stream: BinaryIO) -> pypdfium2.PdfDocument:
    """The document; its scripts and forms are never run. Raise UnreadableImage."""
    try:
        return pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if error.err_code == FPDF_ERR_PASSWORD:
            raise UnreadableImage("The PDF asks for a password.") from error
        raise UnreadableImage("The PDF is damaged.") from error


def read_pdf(stream: BinaryIO) -> Document:
    with open_pdf(stream) as pdf:
        pages = len(pdf)
        created = pdf.get_metadata_value("CreationDate").strip("\0 ")
    if pages == 0:
        raise UnreadableImage("The PDF has no page.")
    taken = pdf_date(created)
    fault = ReadWarning(keyword="CreationDate", message="is no date and time")
    return Document(
        media_type=PdfReader.media_type,
        pages=pages,
        taken=taken,
        warnings=(fault,) if created and taken is None else (),
    )


def pdf_picture(stream: BinaryIO, page: int | None, max_size: int) -> Image.Image:
    """A page (from 1) at most `max_size` wide and high; forms are not filled, scripts not run."""
    number = page or 1
    with open_pdf(stream) as pdf:
        if not 1 <= number <= len(pdf):
            raise ResourceNotFound(f"The PDF has no page {number}.")
        sheet = pdf[number - 1]
        scale = max_size / max(*sheet.get_size(), 1)
        picture: Image.Image = sheet.render(scale=scale, may_draw_forms=False).to_pil()
        return picture.convert("RGB")


def pdf_date(text: str) -> LocalDateTime | None:
    """A PDF date as far as it says; None where it is none that can be."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, utc, zone, zone_minute = match.groups()
    time = f" {hour}:{minute}:{second or '00'}" if hour else ""
    moment = local_date_time(f"{year}:{month or '01'}:{day or '01'}{time}")
    if moment is None:
        return None
    offset = utc or (f"{zone}:{zone_minute or '00'}" if zone else None)
    return LocalDateTime(
        date="-".join(part for part in (year, month, day) if part),
        time=moment.time,
        offset=offset if moment.time and offset and is_offset(offset) else None,
    )
