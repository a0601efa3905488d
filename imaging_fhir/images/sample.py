"""Sample files of the kinds that a hospital has, made of the pictures in `phantom`.

A header is a mapping of DICOM keywords; a sequence is a list of such mappings. What a header does
not say of the image itself (geometry, pixels, UIDs below the study) is filled in here.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.ExifTags import IFD, Base
from pydicom import Dataset, Sequence, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from imaging_fhir.images import phantom

Header = dict[str, Any]
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

A4_AT_150_DPI = (1240, 1754)
UPRIGHT_HELD_SIDEWAYS = 6  # EXIF Orientation: turn by 90 degrees clockwise to display


def ct_chest(header: Header, *, slices: int = 40) -> Iterator[bytes]:
    for number in range(1, slices + 1):
        height = (number - 0.5) / slices
        stored = np.clip(phantom.chest_slice(height) + 1024, 0, 4095).astype(np.uint16)
        described = {
            "SOPClassUID": CTImageStorage,
            "Modality": "CT",
            "BodyPartExamined": "CHEST",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "KVP": "120",
            "RescaleIntercept": "-1024",
            "RescaleSlope": "1",
            "RescaleType": "HU",
            "WindowCenter": ["40", "-600"],
            "WindowWidth": ["400", "1500"],
            **axial_position(number, spacing=1.48, thickness=7.5),
        }
        yield dicom_file(header | described, stored, number=number, bits=12)


def mr_brain(header: Header, *, slices: int = 24) -> Iterator[bytes]:
    for number in range(1, slices + 1):
        stored = phantom.brain_slice((number - 0.5) / slices).astype(np.uint16)
        described = {
            "SOPClassUID": MRImageStorage,
            "Modality": "MR",
            "BodyPartExamined": "BRAIN",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
            "ScanningSequence": "SE",
            "SequenceVariant": "SK",
            "MRAcquisitionType": "2D",
            "MagneticFieldStrength": "3",
            "RepetitionTime": "4500",
            "EchoTime": "96",
            "WindowCenter": "480",
            "WindowWidth": "960",
            **axial_position(number, spacing=0.9, thickness=5),
        }
        yield dicom_file(header | described, stored, number=number, bits=12)


def axial_position(number: int, *, spacing: float, thickness: float) -> Header:
    """PS3.3 C.7.6.2 Image Plane, in mm; the first slice is the lowest."""
    return {
        "PixelSpacing": [spacing, spacing],
        "SliceThickness": thickness,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-128 * spacing, -128 * spacing, number * thickness],
        "SliceLocation": number * thickness,
        "FrameOfReferenceUID": uid("frame of reference", spacing, thickness),
    }


def mammogram(header: Header, *, laterality: str) -> bytes:
    picture = phantom.breast(seed=phantom.SEED + ord(laterality))
    if laterality == "R":
        picture = np.fliplr(picture)
    described = {
        "SOPClassUID": DigitalMammographyXRayImageStorageForPresentation,
        "Modality": "MG",
        "BodyPartExamined": "BREAST",
        "ImageLaterality": laterality,
        "ViewPosition": "MLO",
        "PatientOrientation": ["A", "FR"] if laterality == "L" else ["P", "FL"],
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageType": ["DERIVED", "PRIMARY"],
        "ImagerPixelSpacing": [0.1, 0.1],
        "WindowCenter": "1900",
        "WindowWidth": "3300",
    }
    return dicom_file(header | described, picture.astype(np.uint16), number=1, bits=12)


def ultrasound_clip(header: Header, *, frames: int = 24) -> bytes:
    """One heartbeat, each frame a baseline JPEG as ultrasound machines send them."""
    pictures = [phantom.heart_frame(frame / frames) for frame in range(frames)]
    described = {
        "SOPClassUID": UltrasoundMultiFrameImageStorage,
        "Modality": "US",
        "BodyPartExamined": "HEART",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "FrameTime": f"{1000 / frames:.3f}",
        "FrameIncrementPointer": 0x00181063,  # FrameTime
        "NumberOfFrames": frames,
        "LossyImageCompression": "01",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    stored = np.stack([picture.astype(np.uint8) for picture in pictures])
    return dicom_file(header | described, stored, number=1, bits=8, compressed=True)


def ultrasound_still(header: Header) -> bytes:
    described = {
        "SOPClassUID": UltrasoundImageStorage,
        "Modality": "US",
        "ImageType": ["ORIGINAL", "PRIMARY"],
    }
    stored = phantom.heart_frame(0.3).astype(np.uint8)
    return dicom_file(header | described, stored, number=1, bits=8)


def dicom_file(
    header: Header, pixels: Pixels, *, number: int, bits: int, compressed: bool = False
) -> bytes:
    """A file of PS3.10 with pixels as rows by columns, or frames by rows by columns."""
    instance = data_set(header)
    series = (header["StudyInstanceUID"], header["Modality"], header.get("SeriesNumber"))
    instance.SeriesInstanceUID = uid("series", *series)
    instance.SOPInstanceUID = uid("instance", *series, number)
    instance.InstanceNumber = number
    describe_pixels(instance, pixels, bits)
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = (
        JPEGBaseline8Bit if compressed else ExplicitVRLittleEndian
    )
    instance.PixelData = encapsulate(jpeg_frames(pixels)) if compressed else pixels.tobytes()
    instance["PixelData"].VR = "OW" if bits > 8 else "OB"
    target = BytesIO()
    dcmwrite(target, instance, enforce_file_format=True)
    return target.getvalue()


def data_set(header: Header) -> Dataset:
    result = Dataset()
    for keyword, value in header.items():
        items = isinstance(value, list) and value and isinstance(value[0], Mapping)
        setattr(result, keyword, Sequence(map(data_set, value)) if items else value)
    return result


def describe_pixels(instance: Dataset, pixels: Pixels, bits: int) -> None:
    """PS3.3 C.7.6.3 Image Pixel."""
    instance.Rows, instance.Columns = pixels.shape[-2:]
    instance.SamplesPerPixel = 1
    instance.PhotometricInterpretation = "MONOCHROME2"
    instance.BitsAllocated = pixels.itemsize * 8
    instance.BitsStored, instance.HighBit = bits, bits - 1
    instance.PixelRepresentation = 0


def jpeg_frames(pixels: Pixels) -> list[bytes]:
    return [jpeg(Image.fromarray(frame), quality=88) for frame in pixels]


def jpeg(image: Image.Image, **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, "JPEG", **options)
    return target.getvalue()


def uid(*names: object) -> str:
    return str(generate_uid(entropy_srcs=["imaging_fhir sample", *map(str, names)]))


def wound_photo(taken: datetime, *, healed: float) -> bytes:
    """As a phone held upright stores it: lying on its side, with EXIF saying so."""
    upright = Image.fromarray(phantom.wound(healed=healed).astype(np.uint8))
    draw_ruler(upright, taken)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    return jpeg(stored, quality=90, exif=phone_exif(taken))


def draw_ruler(image: Image.Image, taken: datetime) -> None:
    """The paper strip that a nurse lays beside a wound: centimetres and the date."""
    draw = ImageDraw.Draw(image)
    left, top, width = 330, 905, 940
    draw.rectangle((left, top, left + width, top + 105), fill=(246, 244, 236))
    for millimetre in range(101):
        x = left + 20 + millimetre * 9
        length = 40 if millimetre % 10 == 0 else 26 if millimetre % 5 == 0 else 15
        draw.line((x, top, x, top + length), fill=(30, 30, 30), width=2)
        if millimetre % 10 == 0:
            centimetre = str(millimetre // 10)
            draw.text((x - 6, top + 42), centimetre, fill=(30, 30, 30), font=font(22))
    draw.text((left + 20, top + 72), f"cm   {taken:%Y-%m-%d}", fill=(30, 30, 30), font=font(24))


def phone_exif(taken: datetime) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Example", "Ward Phone 3"
    exif[Base.Orientation] = UPRIGHT_HELD_SIDEWAYS
    details = exif.get_ifd(IFD.Exif)
    details[Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    details[Base.OffsetTimeOriginal] = taken.isoformat()[-6:]
    return exif


def scanned_letter(lines: list[str], written: datetime) -> bytes:
    """A PDF of one page that went through a scanner slightly askew."""
    page = Image.new("L", A4_AT_150_DPI, 250)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((150, 170 + 46 * number), line, fill=45, font=font(40 if number == 0 else 27))
    page = page.rotate(0.7, resample=Image.Resampling.BICUBIC, fillcolor=250)
    grain = phantom.texture(page.height, page.width, seed=phantom.SEED, roughness=0.6)
    scanned = np.clip(np.asarray(page, dtype=float) - 6 + 4 * grain, 0, 255).astype(np.uint8)
    target = BytesIO()
    stamp = written.utctimetuple()
    Image.fromarray(scanned).save(
        target, "PDF", resolution=150, title=lines[0], creationDate=stamp, modDate=stamp
    )
    return target.getvalue()


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
