"""Rendered frames beside those of DCMTK, an independent renderer, for every DICOM file there is.

Both are given the same window, since each chooses its own where a file says none. The files that
cannot be compared are in tables below, with the reason; where DCMTK is wrong, numbers show it.
"""

import io
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images.rendering import rendered
from imaging_fhir.model.rendering import Profile, Rendering, Window

DATA = Path(__file__).parents[4] / "shared" / "data" / "dicom"
Pixels = npt.NDArray[Any]

GREY_LEVELS = 1  # by which two renderers may round differently
RESIZED_LEVELS = 2  # where one of them makes the pixels square
TOOLS = {"1.2.840.10008.1.2.4.80": "dcml2pnm", "1.2.840.10008.1.2.4.81": "dcml2pnm"}
OTHERS = "dcmj2pnm"  # JPEG, RLE and all that is not compressed

NOT_DECODED_BY_DCMTK = {  # transfer syntax -> why there is nothing to compare with
    "1.2.840.10008.1.2.4.90": "JPEG 2000: DCMTK's free edition has no decoder",
    "1.2.840.10008.1.2.4.91": "JPEG 2000: DCMTK's free edition has no decoder",
    "1.2.840.10008.1.2.4.201": "HTJ2K: DCMTK has no decoder",
    "1.2.840.10008.1.2.4.203": "HTJ2K: DCMTK has no decoder",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame: newer than DCMTK, and not decoded here",
}
NOT_COMPARED = {  # file -> why
    **dict.fromkeys(
        (
            "dicomParser/CT0012.fragmented_no_bot_jpeg_baseline.51.dcm",
            "dicomParser/CT0012.fragmented_no_bot_jpeg_lossless.57.dcm",
            "dicomParser/CT0012.fragmented_no_bot_jpeg_lossless.70.dcm",
            "dicomParser/CT0012.fragmented_no_bot_jpeg_ls.80.dcm",
            "dicomParser/CT0012.fragmented_no_bot_jpeg_ls.81.dcm",
            "dicomParser/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm",
        ),
        "frames of several fragments without an offset table: DCMTK does not tell them apart",
    ),
    "pydicom-data/liver_rle.dcm": "RLE of single bits: decoded by neither",
    "pydicom-data/liver_nonbyte_aligned_rle.dcm": "RLE of single bits: decoded by neither",
    "pydicom/MR_truncated.dcm": "cut off: decoded by neither",
    "pydicom/SC_rgb_jpeg.dcm": "a native data set that says it is JPEG: decoded by neither",
    "pydicom/JPEG2000-embedded-sequence-delimiter.dcm": "a damaged codestream: decoded by neither",
    "pydicom-data/parametric_map_float.dcm": "Float Pixel Data: not read by DCMTK",
    "pydicom-data/parametric_map_double_float.dcm": "Double Float Pixel Data: not read by DCMTK",
}
DCMTK_IS_WRONG = {  # file -> how; each is proven below
    "pydicom/rtdose_expb.dcm": "32 bits in big endian are read as swapped words",
    "pydicom/rtdose_expb_1frame.dcm": "32 bits in big endian are read as swapped words",
}

judged = pytest.mark.skipif(
    not (DATA.exists() and shutil.which(OTHERS)), reason="needs the shared data and DCMTK"
)


def header(path: Path) -> Dataset | None:
    """Of a DICOM file with pixels, else None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = dcmread(path, stop_before_pixels=True, force=True)
            return found if "Rows" in found and "BitsAllocated" in found else None
        except Exception:  # no DICOM at all
            return None


@cache
def folders() -> list[str]:
    return sorted(path.name for path in DATA.iterdir() if path.is_dir()) if DATA.exists() else []


def images(folder: str) -> Iterator[tuple[str, Path, Dataset]]:
    for path in sorted((DATA / folder).rglob("*")):
        found = header(path) if path.is_file() else None
        if found is not None:
            yield str(path.relative_to(DATA)), path, found


def middle_frame(found: Dataset) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return int(found.get("NumberOfFrames") or 1) // 2 + 1
        except ValueError:
            return 1


def window_for(found: Dataset) -> Window | None:
    """The file's own window, else one over all values; None for colour."""
    if not str(found.get("PhotometricInterpretation")).startswith("MONOCHROME"):
        return None
    center, width = (first(found.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if center is not None and width is not None and width >= 1:
        return Window(center=center, width=width)
    bits = int(found.get("BitsStored") or 16)
    is_signed = found.get("PixelRepresentation") == 1
    return Window(center=0 if is_signed else 2 ** (bits - 1), width=2**bits)


def first(value: Any) -> float | None:
    if value in (None, ""):
        return None
    return float(value if isinstance(value, str | float | int) else value[0])


def ours(path: Path, frame: int, window: Window | None) -> Pixels:
    """In the colours of the file: DCMTK applies no profile."""
    profile: Profile = "yes" if window is None else "no"
    rendering = Rendering(media_type="image/png", window=window, profile=profile)
    [made] = rendered(path, rendering, frames=(frame,))
    return np.asarray(Image.open(io.BytesIO(made.content))).astype(int)


def theirs(path: Path, found: Dataset, window: Window | None, target: Path) -> Pixels | None:
    """DCMTK's picture; None where it makes none."""
    syntax = str(found.file_meta.get("TransferSyntaxUID"))
    asked = [] if window is None else ["+Ww", str(window.center), str(window.width)]
    frame = ["+F", str(middle_frame(found))]
    command: list[str | Path] = [
        TOOLS.get(syntax, OTHERS),
        "-q",
        "-O",
        *frame,
        *asked,
        "+op",
        path,
        target,
    ]
    subprocess.run(command, check=False, capture_output=True)
    if not target.exists() or not target.stat().st_size:
        return None
    picture = np.asarray(Image.open(target)).astype(int)
    target.unlink()
    return picture


def difference(one: Pixels, other: Pixels) -> tuple[int, int]:
    """Of the furthest pixel, and what is allowed: resampled where one has square pixels."""
    if one.shape == other.shape:
        return int(np.abs(one - other).max()), GREY_LEVELS
    square = Image.fromarray(other.astype(np.uint8)).resize(
        (one.shape[1], one.shape[0]), Image.Resampling.BILINEAR
    )
    return int(np.abs(one - np.asarray(square).astype(int)).max()), RESIZED_LEVELS


@judged
@pytest.mark.parametrize("folder", folders())
def test_every_frame_looks_as_another_renderer_shows_it(folder: str, tmp_path: Path) -> None:
    """And what is said not to be comparable is not: the tables cannot grow stale."""
    wrong: list[str] = []
    for name, path, found in images(folder):
        window = window_for(found)
        other = theirs(path, found, window, tmp_path / "picture.pnm")
        if name in DCMTK_IS_WRONG:
            own = ours(path, middle_frame(found), window)
            if other is None or difference(own, other)[0] <= GREY_LEVELS:
                wrong.append(f"{name}: DCMTK is right after all")
        elif reason_for(name, found) or has_no_pixels(path):
            if other is not None:
                wrong.append(f"{name}: DCMTK shows it")
        elif other is None:
            wrong.append(f"{name}: DCMTK shows nothing")
        else:
            furthest, allowed = difference(ours(path, middle_frame(found), window), other)
            if furthest > allowed:
                wrong.append(f"{name}: {furthest} grey levels")
    assert not wrong


def has_no_pixels(path: Path) -> bool:
    """A header that promises an image, without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = dcmread(path, force=True)
        return not any(f"{kind}PixelData" in found for kind in ("", "Float", "DoubleFloat"))


def reason_for(name: str, found: Dataset) -> str:
    """Why the file is not compared; empty where it is."""
    by_syntax = NOT_DECODED_BY_DCMTK.get(str(found.file_meta.get("TransferSyntaxUID")), "")
    return NOT_COMPARED.get(name) or by_syntax


@judged
def test_what_dcmtk_does_not_show_is_shown_unless_the_reason_says_otherwise() -> None:
    for name, path, found in (one for folder in folders() for one in images(folder)):
        reason = reason_for(name, found)
        if reason.endswith(("by neither", "decoded here")):
            with pytest.raises((UnsupportedImage, UnreadableImage)):
                ours(path, middle_frame(found), window_for(found))
        elif reason and not has_no_pixels(path):
            shown = ours(path, middle_frame(found), window_for(found))
            assert shown.shape[:2] >= (found.Rows, found.Columns), name


@judged
@pytest.mark.parametrize("name", ["rtdose_expb.dcm", "rtdose_expb_1frame.dcm"])
def test_big_endian_of_32_bits_is_as_its_little_endian_twin(name: str) -> None:
    """The twin has the same numbers, and DCMTK agrees with us on it (it is compared above)."""
    twin = DATA / "pydicom" / name.replace("_expb", "")
    found = dcmread(twin)
    frame = middle_frame(found)
    window = window_for(found)
    assert window is not None
    values = found.pixel_array.reshape(-1, found.Rows, found.Columns)[frame - 1].astype(float)
    expected = np.clip((values - window.center + 0.5) / (window.width - 1) + 0.5, 0, 1) * 255
    shown = ours(DATA / "pydicom" / name, frame, window)
    assert np.abs(shown - np.rint(expected)).max() <= GREY_LEVELS
    assert (shown == ours(twin, frame, window)).all()
