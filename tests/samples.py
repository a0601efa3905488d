"""One small file of every image type that READERS reads, made here: no patient, no copy."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tests.dicom_samples import ct_instance

SIZE = (12, 8)
RED = (200, 30, 40)


def raster(format_: str, *, mode: str = "RGB", exif: dict[int, object] | None = None) -> bytes:
    content = io.BytesIO()
    picture = Image.new("RGB", SIZE, RED).convert(mode)
    options: dict[str, Any] = {}
    if exif is not None:
        options = {"tiffinfo": _tiff_tags(exif)} if format_ == "TIFF" else {"exif": _exif(exif)}
    picture.save(content, format_, **options)
    return content.getvalue()


def _exif(tags: dict[int, object]) -> Image.Exif:
    """EXIF with these tags, those of the camera's own directory among them."""
    exif = Image.Exif()
    exif[Base.Orientation] = 1  # without a tag of its own, Pillow writes no EXIF at all
    camera = exif.get_ifd(IFD.Exif)
    for tag, value in tags.items():
        (camera if tag >= 0x8000 else exif)[tag] = value
    return exif


def _tiff_tags(tags: dict[int, object]) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2()
    camera = {tag: value for tag, value in tags.items() if tag >= 0x8000}
    for tag in tags.keys() - camera.keys():
        directory[tag] = tags[tag]
    if camera:
        directory[IFD.Exif] = camera
    return directory


def animation(format_: str, frames: int = 3) -> bytes:
    content = io.BytesIO()
    pictures = [Image.new("RGB", SIZE, (60 * number, 0, 0)) for number in range(frames)]
    pictures[0].save(content, format_, save_all=True, append_images=pictures[1:])
    return content.getvalue()


def pdf(
    pages: int = 2, *, created: str | None = None, width: int = 612, height: int = 792
) -> bytes:
    """Pages whose left half is red, in points."""
    kids = " ".join(f"{number} 0 R" for number in range(5, 5 + pages))
    drawing = f"0.8 0.1 0.2 rg 0 0 {width / 2} {height} re f"
    page = f"<</Type/Page/Parent 2 0 R/Contents 4 0 R/MediaBox[0 0 {width} {height}]>>"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {pages}>>",
        "<<>>" if created is None else f"<</CreationDate({created})>>",
        f"<</Length {len(drawing)}>>stream\n{drawing}\nendstream",
        *[page] * pages,
    ]
    return _pdf_file(objects)


def _pdf_file(objects: list[str]) -> bytes:
    content, offsets = "%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(content))
        content += f"{number} 0 obj{text}endobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size, start = len(objects) + 1, len(content)
    content += f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    content += f"trailer<</Size {size}/Root 1 0 R/Info 3 0 R>>\nstartxref\n{start}\n%%EOF\n"
    return content.encode()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "image/jpeg": partial(raster, "JPEG"),
    "image/png": partial(raster, "PNG"),
    "image/gif": partial(raster, "GIF"),
    "image/webp": partial(raster, "WEBP"),
    "image/tiff": partial(raster, "TIFF"),
    "image/bmp": partial(raster, "BMP"),
    "image/x-portable-anymap": partial(raster, "PPM"),
    "image/avif": partial(raster, "AVIF"),
    "application/pdf": pdf,
    "application/dicom": ct_instance,
}
