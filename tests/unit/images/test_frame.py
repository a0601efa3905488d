"""Frames of DICOM instances as pictures: grey scale, colour, geometry, transfer syntaxes."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imaging_fhir.errors import ResourceNotFound, UnreadableImage, UnsupportedImage
from imaging_fhir.images.decode import DecodeLimits
from imaging_fhir.images.render import rendition
from tests.dicom_samples import ct_instance, pdf_instance, photo_instance, report_instance
from tests.samples import pdf

DATA = Path(__file__).parents[4] / "shared" / "data" / "dicom"
Values = npt.NDArray[Any]


def shown(
    content: bytes | Path, *, max_size: int = 512, frame: int | None = None
) -> npt.NDArray[np.uint8]:
    """The picture's values, in a format that keeps them."""
    made = rendition(
        content, media_type="application/dicom", max_size=max_size, frame=frame, format="png"
    )
    return np.asarray(Image.open(io.BytesIO(made.content)))


def grey(values: Values, **attributes: Any) -> bytes:
    """A CT image of these values, each stored in a word."""
    rows, columns = values.shape[-2:]
    frames = {"NumberOfFrames": len(values)} if values.ndim == 3 else {}
    pixels: dict[str, Any] = {
        "PixelData": values.astype("<i2").tobytes(),
        "BitsStored": 16,
        "HighBit": 15,
    }
    return ct_instance(rows=rows, columns=columns, **(pixels | frames | attributes))


def colour(values: Values, photometric: str = "RGB", **attributes: Any) -> bytes:
    rows, columns = values.shape[:2]
    described: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": photometric,
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelData": values.astype(np.uint8).tobytes(),
    }
    return ct_instance(rows=rows, columns=columns, **(described | attributes))


RAMP = np.tile(np.arange(0, 256, dtype=np.int16), (4, 1))
WINDOW = {"WindowCenter": "128", "WindowWidth": "256"}
RED_BLUE = np.array([[(200, 30, 40), (10, 20, 250)]] * 2)


def test_a_window_maps_its_values_to_black_and_white() -> None:
    picture = shown(grey(RAMP, WindowCenter="100.5", WindowWidth="101"))[0].astype(int)
    assert picture[:51].tolist() == [0] * 51
    assert picture[150:].tolist() == [255] * 106
    assert picture[100] == pytest.approx(127, abs=1)


def test_the_first_of_several_windows_counts() -> None:
    content = grey(RAMP, WindowCenter=["128", "10"], WindowWidth=["256", "2"])
    assert (shown(content) == shown(grey(RAMP, **WINDOW))).all()


def test_a_window_is_of_values_after_rescaling() -> None:
    content = grey(
        RAMP, RescaleSlope="2", RescaleIntercept="-1000", WindowCenter="-744", WindowWidth="512"
    )
    assert np.abs(shown(content)[0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize(
    ("function", "at_the_edge"), [("LINEAR", 0), ("LINEAR_EXACT", 0), ("SIGMOID", 30)]
)
def test_each_function_of_a_window_is_known(function: str, at_the_edge: int) -> None:
    picture = shown(grey(RAMP, VOILUTFunction=function, **WINDOW))[0]
    assert picture[0] == pytest.approx(at_the_edge, abs=1)
    assert picture[128] == pytest.approx(128, abs=1)


def test_monochrome_1_is_white_at_its_lowest() -> None:
    plain = shown(grey(RAMP, **WINDOW)).astype(int)
    inverted = shown(grey(RAMP, PhotometricInterpretation="MONOCHROME1", **WINDOW))
    assert np.abs(255 - plain - inverted).max() <= 1


def test_signed_values_are_signed() -> None:
    signed = grey(RAMP - 128, PixelRepresentation=1, WindowCenter="0", WindowWidth="256")
    assert np.abs(shown(signed)[0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("width", ["0", "-5", None])
def test_without_a_good_window_the_bulk_of_the_values_is_shown(width: str | None) -> None:
    picture = shown(grey(RAMP * 7 + 1000, WindowCenter="128", WindowWidth=width))
    assert (picture.min(), picture.max()) == (0, 255)
    assert picture.mean() == pytest.approx(127.5, abs=3)


def test_a_window_beside_all_values_is_not_used() -> None:
    picture = shown(grey(RAMP, WindowCenter="20000", WindowWidth="100"))
    assert (picture.min(), picture.max()) == (0, 255)


def test_padding_does_not_darken_the_picture() -> None:
    values = (RAMP + 1000).copy()
    values[:2] = -2000
    picture = shown(grey(values, PixelRepresentation=1, PixelPaddingValue=-2000))
    assert picture[2:].mean() == pytest.approx(127.5, abs=3)


def test_a_lookup_table_is_applied() -> None:
    inverse = np.arange(256, dtype="<u2")[::-1].tobytes()
    table = [{"LUTDescriptor": [256, 0, 8], "LUTData": inverse}]
    picture = shown(grey(RAMP, VOILUTSequence=table, BitsStored=16))
    assert picture[0].tolist() == list(range(255, -1, -1))
    modality = [{**table[0], "ModalityLUTType": "US"}]
    assert shown(grey(RAMP, ModalityLUTSequence=modality, **WINDOW))[0, 0] == 255


def test_a_window_of_the_frame_is_used_for_that_frame() -> None:
    windows = [
        {"FrameVOILUTSequence": [{"WindowCenter": centre, "WindowWidth": "256"}]}
        for centre in ("128", "256")
    ]
    content = grey(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=windows)
    assert shown(content, frame=1).mean() == pytest.approx(127.5, abs=1)
    assert shown(content, frame=2).mean() == pytest.approx(31.5, abs=1)


def test_the_middle_frame_is_shown_unless_one_is_chosen() -> None:
    values = np.stack([RAMP * 0 + 50 * number for number in range(5)])
    values[:, 0, 0] = 255
    content = grey(values, **WINDOW)
    assert shown(content)[2, 2] == pytest.approx(100, abs=1)
    assert shown(content, frame=5)[2, 2] == pytest.approx(200, abs=1)


@pytest.mark.parametrize("frame", [0, 6])
def test_a_frame_that_is_not_there_is_said(frame: int) -> None:
    with pytest.raises(ResourceNotFound):
        shown(grey(np.stack([RAMP] * 5)), frame=frame)


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_by_pixel_and_by_plane_are_the_same(planar: int) -> None:
    values = np.moveaxis(RED_BLUE, 2, 0) if planar else RED_BLUE
    content = colour(
        RED_BLUE, PixelData=values.astype(np.uint8).tobytes(), PlanarConfiguration=planar
    )
    assert (shown(content) == RED_BLUE).all()


def test_a_missing_planar_configuration_is_by_pixel() -> None:
    assert (shown(colour(RED_BLUE, PlanarConfiguration=None)) == RED_BLUE).all()


def test_luminance_and_chrominance_become_red_green_and_blue() -> None:
    ybr = np.asarray(Image.fromarray(RED_BLUE.astype(np.uint8)).convert("YCbCr"))
    difference = shown(colour(ybr, "YBR_FULL")).astype(int) - RED_BLUE
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_colours(bits: int) -> None:
    scale = 257 if bits == 16 else 1
    keywords = [f"{name}PaletteColorLookupTable" for name in ("Red", "Green", "Blue")]
    tables: dict[str, Any] = {
        f"{keyword}Data": (RED_BLUE[0, :, channel] * scale).astype(f"<u{bits // 8}").tobytes()
        for channel, keyword in enumerate(keywords)
    }
    tables |= {f"{keyword}Descriptor": [2, 0, bits] for keyword in keywords}
    content = ct_instance(
        rows=2,
        columns=2,
        PhotometricInterpretation="PALETTE COLOR",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes([0, 1, 0, 1]),
        **tables,
    )
    assert np.abs(shown(content).astype(int) - RED_BLUE).max() <= 1


def test_floating_values_and_an_exact_window_of_width_one() -> None:
    content = ct_instance(
        rows=1,
        columns=3,
        BitsAllocated=32,
        BitsStored=None,
        HighBit=None,
        PixelRepresentation=None,
        PixelData=None,
        FloatPixelData=np.array([0.0, 0.5, 1.0], "<f4").tobytes(),
        VOILUTFunction="LINEAR_EXACT",
        WindowCenter="0.5",
        WindowWidth="1",
    )
    assert shown(content)[0].tolist() == pytest.approx([0, 128, 255], abs=1)


def test_single_bits_are_black_and_white() -> None:
    bits: dict[str, Any] = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    picture = shown(ct_instance(rows=2, columns=8, PixelData=b"\x0f\xf0", **bits))
    assert picture.tolist() == [[255] * 4 + [0] * 4, [0] * 4 + [255] * 4]


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, (256, 128)),
        ({"PixelSpacing": ["2", "1"]}, (256, 256)),
        ({"PixelSpacing": ["1", "2"]}, (256, 64)),
        ({"PixelAspectRatio": [2, 1], "PixelSpacing": ["1", "1"]}, (256, 256)),
        ({"PixelSpacing": ["0", "1"]}, (256, 128)),
        ({"PixelSpacing": ["1000", "1"]}, (256, 128)),
        ({"PixelSpacing": "3"}, (256, 128)),
    ],
)
def test_the_picture_has_square_pixels(attributes: dict[str, Any], size: tuple[int, int]) -> None:
    values = np.tile(np.arange(1024), (512, 1)) % 256
    assert shown(grey(values, **attributes), max_size=256).shape == size[::-1]


def test_a_large_image_is_the_mean_of_its_parts() -> None:
    values = np.zeros((900, 1100), np.int16)
    values[:, 550:] = 255
    picture = shown(grey(values, **WINDOW), max_size=100)
    assert picture.shape == (82, 100)
    assert (picture[:, :47].max(), picture[:, 53:].min()) == (0, 255)


def test_an_encapsulated_pdf_shows_its_first_page() -> None:
    assert shown(pdf_instance(pdf()), max_size=100).shape == (100, 78, 3)


@pytest.mark.parametrize(
    "content",
    [report_instance(), photo_instance(), pdf_instance(b"<ClinicalDocument/>"),
     ct_instance(PixelData=None)],
    ids=["report", "header", "CDA", "no pixel data"],
)  # fmt: skip
def test_what_has_no_picture_says_so(content: bytes) -> None:
    with pytest.raises(UnsupportedImage, match="no picture"):
        shown(content)


def test_a_video_says_so() -> None:
    with pytest.raises(UnsupportedImage, match="video"):
        shown(ct_instance(transfer_syntax="1.2.840.10008.1.2.4.102"))


def test_pixel_data_that_ends_early_is_damaged() -> None:
    with pytest.raises(UnreadableImage):
        shown(grey(RAMP)[:-500])


def test_more_pixels_than_allowed_are_not_decoded() -> None:
    with pytest.raises(UnreadableImage, match="more pixels"):
        rendition(
            ct_instance(rows=60_000, columns=60_000, PixelData=b"\0\0"),
            media_type="application/dicom",
            max_size=64,
        )


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ],
)
def test_a_native_transfer_syntax_shows_the_same(syntax: str) -> None:
    order = ">i2" if syntax == ExplicitVRBigEndian else "<i2"
    content = grey(RAMP, transfer_syntax=syntax, PixelData=RAMP.astype(order).tobytes(), **WINDOW)
    assert (shown(content) == shown(grey(RAMP, **WINDOW))).all()


# One slice of CT, and what it looks like in each transfer syntax.
CT = "cornerstone3D/CTImage.dcm_{}.dcm"
LOSSLESS = (
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
)
LOSSY = (
    "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91",
    "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81",
    "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51",
    "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55",
    "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53",
)


def shared(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip("the shared data is not here")
    return path


@pytest.mark.parametrize("syntax", LOSSLESS + LOSSY)
def test_a_compressed_transfer_syntax_shows_the_same(syntax: str) -> None:
    reference = shown(shared(CT.format(LOSSLESS[0]))).astype(int)
    assert reference.shape == (512, 512)
    assert 40 < reference.mean() < 55
    difference = np.abs(shown(shared(CT.format(syntax))) - reference)
    assert difference.mean() <= (2 if syntax in LOSSY else 0)


def test_a_transfer_syntax_without_a_decoder_is_named() -> None:
    with pytest.raises(UnsupportedImage, match="JPEG"):
        shown(ct_instance(transfer_syntax="1.2.840.10008.1.2.4.52"))


@pytest.mark.parametrize(
    ("name", "shape", "mean"),
    [
        ("pydicom-data/HTJ2K_08_RGB.dcm", (480, 640, 3), 128),
        ("pydicom-data/HTJ2KLossless_08_RGB.dcm", (480, 640, 3), 128),
        ("pydicom-data/OT-PAL-8-face.dcm", (480, 640, 3), 110),
        ("pydicom/examples_ybr_color.dcm", (240, 320, 3), 20),
        ("pydicom/examples_palette.dcm", (350, 800, 3), 20),
        ("pydicom/SC_ybr_full_422_uncompressed.dcm", (100, 100, 3), 128),
        ("pydicom-data/MR2_J2KI.dcm", (1024, 1024), 45),
    ],
)
def test_real_colour_and_grey_images_look_as_they_should(
    name: str, shape: tuple[int, ...], mean: float
) -> None:
    picture = shown(shared(name), max_size=2048)
    assert picture.shape == shape
    assert picture.mean() == pytest.approx(mean, abs=25)
    assert picture.std() > 10


def test_limits_hold_for_dicom_as_well() -> None:
    limits = DecodeLimits(pixels=100)
    with pytest.raises(UnreadableImage, match="more pixels"):
        rendition(grey(RAMP), media_type="application/dicom", max_size=9, limits=limits)


def damaged(path: Path, chance: random.Random) -> bytes:
    """The file with some bytes of its pixel data changed."""
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content) // 3, len(content))] = chance.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("syntax", [*LOSSLESS[1:], *LOSSY])
def test_damaged_pixel_data_is_shown_or_refused_within_the_limits(syntax: str) -> None:
    chance = random.Random(syntax)
    path = shared(CT.format(syntax))
    for _ in range(4):
        try:
            made = rendition(
                damaged(path, chance),
                media_type="application/dicom",
                max_size=64,
                limits=DecodeLimits(cpu_seconds=1, seconds=4),
            )
        except (UnreadableImage, UnsupportedImage):
            continue
        assert max(made.width, made.height) <= 64
    assert shown(grey(RAMP, **WINDOW)).shape == RAMP.shape
