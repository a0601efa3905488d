from datetime import datetime, timedelta, timezone
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from pydicom import dcmread

from imaging_fhir.images import sample

NOON = datetime(2025, 4, 2, 12, 0, tzinfo=timezone(timedelta(hours=2)))
HEADER = {
    "StudyInstanceUID": sample.uid("test"),
    "PatientID": "1",
    "IssuerOfPatientIDQualifiersSequence": [{"UniversalEntityID": "2.16.840.1.113883.19"}],
}


def test_slices_are_one_series_in_the_order_of_their_position() -> None:
    slices = [dcmread(BytesIO(content)) for content in sample.ct_chest(HEADER, slices=3)]
    assert len({instance.SeriesInstanceUID for instance in slices}) == 1
    assert [instance.InstanceNumber for instance in slices] == [1, 2, 3]
    positions = [instance.ImagePositionPatient[2] for instance in slices]
    assert positions == sorted(positions)


def test_a_slice_has_air_outside_and_bone_inside() -> None:
    [content] = sample.ct_chest(HEADER, slices=1)
    instance = dcmread(BytesIO(content))
    hounsfield = instance.pixel_array + float(instance.RescaleIntercept)
    assert hounsfield[:20, :20].mean() == pytest.approx(-1000, abs=30)
    assert hounsfield.max() > 400


def test_a_sequence_of_the_header_arrives_as_one() -> None:
    instance = dcmread(BytesIO(sample.ultrasound_still(HEADER)))
    [issuer] = instance.IssuerOfPatientIDQualifiersSequence
    assert issuer.UniversalEntityID == "2.16.840.1.113883.19"


def test_the_clip_is_compressed_and_moves() -> None:
    instance = dcmread(BytesIO(sample.ultrasound_clip(HEADER, frames=2)))
    assert instance.file_meta.TransferSyntaxUID.is_compressed
    first, second = instance.pixel_array.astype(int)
    assert np.abs(first - second).mean() > 1


def test_left_and_right_mammograms_face_each_other() -> None:
    brighter = {}
    for side in ("L", "R"):
        pixels = dcmread(BytesIO(sample.mammogram(HEADER, laterality=side))).pixel_array
        left, right = np.hsplit(pixels, 2)
        brighter[side] = "left" if left.mean() > right.mean() else "right"
    assert brighter == {"L": "left", "R": "right"}


def test_a_photo_says_when_it_was_taken_and_which_way_is_up() -> None:
    with Image.open(BytesIO(sample.wound_photo(NOON, healed=0.5))) as photo:
        assert photo.height > photo.width
        assert photo.getexif()[Base.Orientation] == 6
        details = photo.getexif().get_ifd(IFD.Exif)
        assert details[Base.DateTimeOriginal] == "2025:04:02 12:00:00"
        assert details[Base.OffsetTimeOriginal] == "+02:00"


def test_a_scan_is_a_pdf_with_its_date_and_the_same_each_time() -> None:
    scan = sample.scanned_letter(["Referral", "", "Dear colleague"], NOON)
    assert scan.startswith(b"%PDF")
    assert b"20250402100000Z" in scan
    assert scan == sample.scanned_letter(["Referral", "", "Dear colleague"], NOON)
