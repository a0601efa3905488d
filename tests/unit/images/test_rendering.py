"""Pixels to grey and colours by the standard's own formulas, and overlays, places and cines."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import apply_color_lut

from imaging_fhir.errors import UnreadableImage, UnsupportedImage
from imaging_fhir.images import rendering
from imaging_fhir.images.decode import DecodeLimits
from imaging_fhir.images.rendering import rendered, rendered_cine
from imaging_fhir.model.rendering import Annotation, Rendering, Viewport, Window
from tests.dicom_samples import ct_instance

Pixels = npt.NDArray[Any]
CHANCE = np.random.default_rng(11)


def shown(content: bytes, **asked: Any) -> Pixels:
    [made] = rendered(content, Rendering(media_type="image/png", **asked))
    return np.asarray(Image.open(io.BytesIO(made.content))).astype(int)


def image(values: Pixels, kind: str = "<u2", **attributes: Any) -> bytes:
    rows, columns = values.shape[:2]
    bits = np.dtype(kind).itemsize * 8
    described: dict[str, Any] = {
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(np.dtype(kind).kind == "i"),
        "PixelData": values.astype(kind).tobytes(),
    }
    return ct_instance(rows=rows, columns=columns, **(described | attributes))


def by_the_standard(values: Pixels, window: Window) -> Pixels:
    """The pseudo-code of PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, value by value."""
    center, width = window.center, window.width
    found = []
    for x in values.reshape(-1).tolist():
        if window.function == "LINEAR":
            if x <= center - 0.5 - (width - 1) / 2:
                y = 0.0
            elif x > center - 0.5 + (width - 1) / 2:
                y = 255.0
            else:
                y = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
        elif window.function == "LINEAR_EXACT":
            if x <= center - width / 2:
                y = 0.0
            elif x > center + width / 2:
                y = 255.0
            else:
                y = ((x - center) / width + 0.5) * 255
        else:
            y = 255 / (1 + np.exp(min(-4 * (x - center) / width, 700)))
        found.append(y)
    return np.reshape(found, values.shape)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    ("center", "width"), [(40.0, 400.0), (-100.5, 1.0), (0.0, 2.0), (7e3, 1e4)]
)
@pytest.mark.parametrize("kind", ["<i2", "<u2", "<u4", "u1"])
def test_windows_follow_the_formulas(function: Any, center: float, width: float, kind: str) -> None:
    limits = np.iinfo(kind)
    values = CHANCE.integers(max(limits.min, -9000), min(limits.max, 20_000), (24, 32))
    window = Window(center=center, width=width, function=function)
    picture = shown(image(values, kind), window=window)
    assert np.abs(picture - by_the_standard(values, window)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("slope", "intercept"), [(2.5, -1024.0), (-1.0, 300.0), (0.001, 0.0)])
def test_a_rescale_comes_before_the_window(slope: float, intercept: float) -> None:
    values = CHANCE.integers(0, 4096, (24, 32))
    window = Window(center=slope * 2000 + intercept, width=max(abs(slope) * 3000, 1.0))
    content = image(values, RescaleSlope=str(slope), RescaleIntercept=str(intercept))
    expected = by_the_standard(values * slope + intercept, window)
    assert np.abs(shown(content, window=window) - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (10, 13), (8, 15), (12, 11)])
@pytest.mark.parametrize("is_signed", [0, 1])
def test_samples_lie_where_the_high_bit_says(stored: int, high: int, is_signed: int) -> None:
    """PS3.5 8.1.1: above and below the sample there may be anything."""
    low = -(2 ** (stored - 1)) if is_signed else 0
    values = CHANCE.integers(low, low + 2**stored, (16, 16))
    shift = high + 1 - stored
    others = CHANCE.integers(0, 2**16, (16, 16)) & ~(((1 << stored) - 1) << shift)
    cells = ((values & (2**stored - 1)) << shift) | others
    content = image(
        cells, BitsStored=stored, HighBit=high, PixelRepresentation=is_signed,
        WindowCenter=str(low + 2 ** (stored - 1)), WindowWidth=str(2**stored),
    )  # fmt: skip
    window = Window(center=low + 2 ** (stored - 1), width=2**stored)
    assert np.abs(shown(content) - by_the_standard(values, window)).max() <= 0.5 + 1e-6


def test_a_voi_lut_is_read_by_the_sign_of_what_goes_in() -> None:
    values = CHANCE.integers(0, 2000, (16, 16))
    entries = CHANCE.integers(0, 1024, 500)
    table = {"LUTDescriptor": [500, -700 % 65536, 10], "LUTData": entries.astype("<u2").tobytes()}
    content = image(values, RescaleSlope="1", RescaleIntercept="-1000", VOILUTSequence=[table])
    expected = entries[np.clip(values - 1000 + 700, 0, 499)] / 1023 * 255
    assert np.abs(shown(content) - expected).max() <= 0.5 + 1e-6


def test_eight_bits_without_a_window_are_grey_as_they_are() -> None:
    values = CHANCE.integers(0, 100, (16, 16))
    assert (shown(image(values, "u1")) == values).all()


def test_segments_are_seen_whatever_their_numbers() -> None:
    values = CHANCE.integers(0, 4, (16, 16))
    labels = image(values, "u1", SegmentationType="LABELMAP")
    assert sorted({int(one) for one in shown(labels).reshape(-1)}) == [0, 85, 170, 255]


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_numbers_with_a_point_are_windowed_as_they_are(kind: str) -> None:
    values = CHANCE.normal(0, 3, (20, 20))
    values[0, :2] = np.nan, np.inf
    keyword = "FloatPixelData" if kind == "<f4" else "DoubleFloatPixelData"
    data: dict[str, Any] = {keyword: values.astype(kind).tobytes()}
    content = image(
        np.zeros((20, 20)), kind, BitsStored=None, HighBit=None, PixelRepresentation=None,
        **({"PixelData": None} | data),
    )  # fmt: skip
    window = Window(center=0.5, width=6, function="LINEAR_EXACT")
    picture = shown(content, window=window)
    assert np.abs(picture[1:] - by_the_standard(values[1:], window)).max() <= 0.5 + 1e-4
    assert picture[0, :2].tolist() == [0, 255]
    assert shown(content)[1:].std() > 30


COLOURS = CHANCE.integers(16, 236, (16, 16, 3))


def colours(values: Pixels, photometric: str, **attributes: Any) -> bytes:
    described: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": photometric,
        "PlanarConfiguration": 0,
    }
    return image(values, attributes.pop("kind", "u1"), **(described | attributes))


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_colours_are_scaled(bits: int) -> None:
    values = CHANCE.integers(0, 2**bits, (16, 16, 3))
    content = colours(values, "RGB", kind="<u2", BitsStored=bits, HighBit=bits - 1)
    assert np.abs(shown(content) - values / (2**bits - 1) * 255).max() <= 0.5


FULL = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
PARTIAL = np.array(
    [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]]
)


@pytest.mark.parametrize(
    ("photometric", "matrix", "offset"),
    [
        ("YBR_FULL", FULL, (0, 128, 128)),
        ("YBR_FULL_422", FULL, (0, 128, 128)),
        ("YBR_PARTIAL_422", PARTIAL, (16, 128, 128)),
    ],
)
def test_luminance_and_chrominance_by_their_matrices(
    photometric: str, matrix: Pixels, offset: tuple[int, ...]
) -> None:
    """PS3.3 C.7.6.3.1.2; of 422, two neighbours have one chrominance."""
    ybr = np.clip(np.rint(np.repeat(COLOURS[:, ::2], 2, axis=1) @ matrix.T + offset), 0, 255)
    stored = ybr
    if photometric.endswith("422"):
        pairs = ybr.reshape(16, 8, 2, 3)
        stored = np.stack(
            [pairs[:, :, 0, 0], pairs[:, :, 1, 0], pairs[:, :, 0, 1], pairs[:, :, 0, 2]], axis=-1
        )
    content = colours(COLOURS, photometric, PixelData=stored.astype("u1").tobytes())
    expected = np.clip((ybr - offset) @ np.linalg.inv(matrix).T, 0, 255)
    assert np.abs(shown(content) - expected).max() <= 1


def palette(attributes: dict[str, Any], indices: Pixels) -> bytes:
    return image(indices, "u1", PhotometricInterpretation="PALETTE COLOR", **attributes)


CHANNELS = ("Red", "Green", "Blue")
NAME = "{}PaletteColorLookupTable"


SEGMENTS = {  # discrete, linear, discrete, and then the linear one again (C.7.9.2)
    16: [0, 3, 0, 9000, 18000, 1, 20, 60000, 0, 2, 65535, 100, 2, 1, 10, 0],
    8: [0, 3, 0, 35, 70, 1, 20, 235, 0, 2, 255, 1, 2, 1, 5, 0, 0, 0],
}


@pytest.mark.parametrize("bits", [8, 16])
def test_a_segmented_palette_is_what_it_stands_for(bits: int) -> None:
    segments = SEGMENTS[bits]
    start, middle, end = segments[2:5], segments[7], segments[10:12]
    entries = [
        *start, *np.linspace(start[-1], middle, 21)[1:], *end, *np.linspace(end[-1], middle, 21)[1:]
    ]  # fmt: skip
    described: dict[str, Any] = {}
    for channel in CHANNELS:
        described[f"{NAME.format(channel)}Descriptor"] = [len(entries), 0, bits]
        data = np.array(segments, f"<u{bits // 8}").tobytes()
        described[f"Segmented{NAME.format(channel)}Data"] = data
    indices = CHANCE.integers(0, 60, (16, 16))
    expected = np.array(entries)[np.clip(indices, 0, 44)] / (2**bits - 1) * 255
    picture = shown(palette(described, indices))
    assert np.abs(picture - expected[..., None]).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_is_looked_up_as_pydicom_does(bits: int) -> None:
    described: dict[str, Any] = {}
    for channel in CHANNELS:
        entries = CHANCE.integers(0, 2**bits, 40).astype(f"<u{bits // 8}")
        described[f"{NAME.format(channel)}Descriptor"] = [40, 5, bits]
        described[f"{NAME.format(channel)}Data"] = entries.tobytes()
    indices = CHANCE.integers(0, 60, (16, 16)).astype("u1")
    content = palette(described, indices)
    expected = apply_color_lut(indices, dcmread(io.BytesIO(content))) / (2**bits - 1) * 255
    assert np.abs(shown(content) - expected).max() <= 0.5


@pytest.mark.parametrize("segments", [[2, 1, 0, 0], [1, 5, 7], [7, 1, 1], [2, 9, 0, 0, 2, 9]])
def test_a_damaged_palette_is_damaged(segments: list[int]) -> None:
    described: dict[str, Any] = {}
    for channel in CHANNELS:
        described[f"{NAME.format(channel)}Descriptor"] = [256, 0, 16]
        described[f"Segmented{NAME.format(channel)}Data"] = np.array(segments, "<u2").tobytes()
    with pytest.raises(UnreadableImage, match=r"(?i)palette"):
        shown(palette(described, np.zeros((4, 4), int)))


MASK = CHANCE.random((10, 12)) < 0.3


def plane(group: int, *, row: int = 1, column: int = 1) -> dict[int, tuple[str, Any]]:
    bits = np.packbits(MASK, bitorder="little").tobytes()
    return {
        group << 16 | 0x10: ("US", MASK.shape[0]),
        group << 16 | 0x11: ("US", MASK.shape[1]),
        group << 16 | 0x40: ("CS", "G"),
        group << 16 | 0x50: ("SS", [row, column]),
        group << 16 | 0x100: ("US", 1),
        group << 16 | 0x102: ("US", 0),
        group << 16 | 0x3000: ("OW", bits + b"\0" * (len(bits) % 2)),
    }


def with_elements(content: bytes, elements: dict[int, tuple[str, Any]]) -> bytes:
    found = dcmread(io.BytesIO(content))
    for tag, (vr, value) in elements.items():
        found.add_new(tag, vr, value)
    written = io.BytesIO()
    found.save_as(written)
    return written.getvalue()


OVERLAY: tuple[Annotation, ...] = ("overlay",)


@pytest.mark.parametrize(("row", "column"), [(1, 1), (4, 9), (-2, -3), (12, 14)])
def test_an_overlay_is_burned_in_where_it_lies_if_it_is_asked_for(row: int, column: int) -> None:
    content = with_elements(
        image(np.zeros((16, 20), int), "u1"), plane(0x6002, row=row, column=column)
    )
    assert shown(content).max() == 0
    expected = np.zeros((40, 40), int)
    expected[9 + row : 19 + row, 9 + column : 21 + column] = MASK * 255
    assert (shown(content, annotations=OVERLAY) == expected[10:26, 10:30]).all()


def test_an_overlay_in_the_unused_bits_is_found() -> None:
    values = CHANCE.integers(0, 4096, (10, 12))
    content = image(values | MASK << 14, BitsStored=12, HighBit=11)
    embedded = {
        tag: value for tag, value in plane(0x6000).items() if tag & 0xFFFF not in (0x102, 0x3000)
    } | {0x60000102: ("US", 14)}
    window = Window(center=2048, width=4096)
    expected = by_the_standard(values, window)
    picture = shown(with_elements(content, embedded), window=window)
    assert np.abs(picture - expected).max() <= 0.5
    burned = shown(with_elements(content, embedded), window=window, annotations=OVERLAY)
    assert np.abs(burned - np.where(MASK, 255, expected)).max() <= 0.5


def test_pixels_that_are_not_square_become_so() -> None:
    content = image(CHANCE.integers(0, 255, (16, 20)), "u1", PixelSpacing=["1", "0.5"])
    assert shown(content).shape == (32, 20)
    assert shown(content, viewport=Viewport(width=40, height=40)).shape == (40, 25)


def frames(count: int) -> bytes:
    values = np.stack([np.full((16, 24), 1000 * number) for number in range(count)])
    values[:, :4], values[:, 4:8] = 0, 1000 * count
    return ct_instance(
        rows=16, columns=24, NumberOfFrames=count, PixelData=values.astype("<u2").tobytes(),
        BitsStored=16, HighBit=15, PixelRepresentation=0, FrameTime="40",
    )  # fmt: skip


def test_a_cine_has_one_window_for_all_its_frames() -> None:
    made = rendered_cine(frames(5), Rendering(media_type="image/gif"))
    animation: Any = Image.open(io.BytesIO(made.content))
    levels = []
    for number in range(5):
        animation.seek(number)
        levels.append(np.asarray(animation.convert("L"))[12, 8])
    assert np.abs(np.diff(levels) - 51).max() <= 2
    assert animation.info["duration"] == 40


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_a_video_plays_its_frames_in_their_time(tmp_path: Path) -> None:
    made = rendered_cine(frames(10), Rendering(media_type="video/mp4"))
    video = tmp_path / "cine.mp4"
    video.write_bytes(made.content)
    asked = "stream=codec_name,width,height,r_frame_rate,pix_fmt,nb_read_frames"
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", asked, "-of", "csv=p=0"]
    told = subprocess.run([*command, video], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "h264,24,16,yuv420p,25/1,10"


def test_too_many_frames_for_one_answer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "CINE_LIMITS", DecodeLimits(pixels=5000))
    with pytest.raises(UnreadableImage, match="too many"):
        rendered_cine(frames(10), Rendering(media_type="image/gif"))


def test_what_has_no_pixels_has_no_picture() -> None:
    with pytest.raises(UnsupportedImage, match="no picture"):
        shown(ct_instance(PixelData=None))
