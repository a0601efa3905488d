"""Presentation states: beside DCMTK's dcmp2pgm, and by numbers where that leaves things out."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from imaging_fhir.errors import UnreadableImage
from imaging_fhir.images.rendering import rendered
from imaging_fhir.model.rendering import Region, Rendering, Viewport
from tests.dicom_samples import INSTANCE, SERIES, ct_instance, data_set, dicom_file

Pixels = npt.NDArray[Any]

ROWS, COLUMNS = 96, 128
VALUES = np.add.outer(np.arange(ROWS) * 17, np.arange(COLUMNS) * 11) % 3000
IMAGE = ct_instance(
    rows=ROWS,
    columns=COLUMNS,
    PixelData=VALUES.astype("<i2").tobytes(),
    BitsStored=12,
    HighBit=11,
    PixelRepresentation=0,
    RescaleSlope="1",
    RescaleIntercept="-1000",
    WindowCenter="0",
    WindowWidth="10",
)
REFERENCE = {
    "ReferencedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "ReferencedSOPInstanceUID": INSTANCE,
}
AREA = {
    "DisplayedAreaTopLeftHandCorner": [1, 1],
    "DisplayedAreaBottomRightHandCorner": [COLUMNS, ROWS],
    "PresentationSizeMode": "SCALE TO FIT",
    "PresentationPixelAspectRatio": [1, 1],
}
RESCALE = {"RescaleSlope": "1", "RescaleIntercept": "-1000", "RescaleType": "US"}
NO_RESCALE = dict.fromkeys(RESCALE)
WINDOW = {"SoftcopyVOILUTSequence": [{"WindowCenter": "400", "WindowWidth": "1200"}]}
BY_WINDOW = np.rint(np.clip((VALUES - 1000 - 399.5) / 1199 + 0.5, 0, 1) * 255)

CURVE = np.arange(256) ** 2 // 16
P_LUT = {"LUTDescriptor": [256, 0, 12], "LUTData": CURVE.astype("<u2").tobytes()}
STEEP = {"LUTDescriptor": [2000, -800 % 65536, 16],
         "LUTData": (np.arange(2000) * 32).astype("<u2").tobytes()}  # fmt: skip
DOWN = {"LUTDescriptor": [4096, 0, 16], "ModalityLUTType": "US",
        "LUTData": (np.arange(4096)[::-1] * 16).astype("<u2").tobytes()}  # fmt: skip


def state(**attributes: Any) -> bytes:
    described: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1",
        "SOPInstanceUID": f"{INSTANCE}.9",
        "SeriesInstanceUID": f"{SERIES}.9",
        "Modality": "PR",
        "InstanceNumber": 1,
        "ContentLabel": "SHOWN",
        "ContentDescription": "",
        "PresentationCreationDate": "20260314",
        "PresentationCreationTime": "120000",
        "ContentCreatorName": "",
        "PresentationLUTShape": "IDENTITY",
        "ReferencedSeriesSequence": [
            {"SeriesInstanceUID": SERIES, "ReferencedImageSequence": [REFERENCE]}
        ],
        "DisplayedAreaSelectionSequence": [AREA],
        **RESCALE,
    }
    return dicom_file(data_set(described | attributes))


def shown(content: bytes, image: bytes = IMAGE, **asked: Any) -> Pixels:
    rendering = Rendering(media_type="image/png", **asked)
    [made] = rendered(image, rendering, presentation=content)
    return np.asarray(Image.open(io.BytesIO(made.content))).astype(int)


@pytest.mark.skipif(not shutil.which("dcmp2pgm"), reason="DCMTK is not installed")
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        WINDOW,
        {**WINDOW, "PresentationLUTShape": "INVERSE"},
        {**WINDOW, "ImageRotation": 90, "ImageHorizontalFlip": "N"},
        {**WINDOW, "ImageRotation": 90, "ImageHorizontalFlip": "Y"},
        {**WINDOW, "ImageRotation": 180, "ImageHorizontalFlip": "Y"},
        {**WINDOW, "ImageRotation": 270, "ImageHorizontalFlip": "N"},
        {"SoftcopyVOILUTSequence": [{"VOILUTSequence": [STEEP]}]},
        {**NO_RESCALE, "ModalityLUTSequence": [DOWN],
         "SoftcopyVOILUTSequence": [{"WindowCenter": "30000", "WindowWidth": "50000"}]},
        NO_RESCALE,
    ],
    ids=["plain", "window", "inverse", "90", "90 flipped", "180 flipped", "270",
         "VOI LUT", "Modality LUT", "no Modality LUT"],
)  # fmt: skip
def test_it_shows_what_another_renderer_shows(attributes: dict[str, Any], tmp_path: Path) -> None:
    content = state(**attributes)
    (tmp_path / "image").write_bytes(IMAGE)
    (tmp_path / "state").write_bytes(content)
    target = tmp_path / "picture.pgm"
    paths = [tmp_path / "state", tmp_path / "image", target]
    subprocess.run(["dcmp2pgm", "-q", "-p", *paths], check=True, capture_output=True)
    other = np.asarray(Image.open(target)).astype(int)
    picture = shown(content)
    assert picture.shape == other.shape
    assert np.abs(picture - other).max() <= 1


def test_what_the_image_says_does_not_count() -> None:
    """PS3.4 N.2.1: not its window, and not its modality transformation."""
    assert np.abs(shown(state(**NO_RESCALE)) - VALUES / 4095 * 255).max() <= 1
    assert np.abs(shown(state(**WINDOW)) - BY_WINDOW).max() <= 1


def test_what_is_about_another_image_or_frame_does_not_count() -> None:
    other = {**REFERENCE, "ReferencedSOPInstanceUID": "1.2.3"}
    windows = [
        {"WindowCenter": "0", "WindowWidth": "5", "ReferencedImageSequence": [other]},
        {"WindowCenter": "0", "WindowWidth": "5",
         "ReferencedImageSequence": [{**REFERENCE, "ReferencedFrameNumber": 2}]},
        {"WindowCenter": "400", "WindowWidth": "1200",
         "ReferencedImageSequence": [{**REFERENCE, "ReferencedFrameNumber": 1}]},
    ]  # fmt: skip
    assert np.abs(shown(state(SoftcopyVOILUTSequence=windows)) - BY_WINDOW).max() <= 1


def test_a_presentation_lut_comes_last() -> None:
    """C.11.6.1: over the whole range of what the VOI LUT gives."""
    content = state(PresentationLUTShape=None, PresentationLUTSequence=[P_LUT], **WINDOW)
    grey = np.clip((VALUES - 1000 - 399.5) / 1199 + 0.5, 0, 1)
    expected = CURVE[np.rint(grey * 255).astype(int)] / 4095 * 255
    assert np.abs(shown(content) - expected).max() <= 1


def test_the_displayed_area_is_cut_out_and_may_reach_beyond_the_image() -> None:
    inside = {**AREA, "DisplayedAreaTopLeftHandCorner": [11, 21],
              "DisplayedAreaBottomRightHandCorner": [60, 90]}  # fmt: skip
    picture = shown(state(DisplayedAreaSelectionSequence=[inside], **WINDOW))
    assert np.abs(picture - BY_WINDOW[20:90, 10:60]).max() <= 1
    beyond = {**AREA, "DisplayedAreaTopLeftHandCorner": [-9, 1]}
    picture = shown(state(DisplayedAreaSelectionSequence=[beyond], **WINDOW))
    assert picture.shape == (ROWS, COLUMNS + 10)
    assert picture[:, :10].max() == 0
    assert np.abs(picture[:, 10:] - BY_WINDOW).max() <= 1


def test_a_viewport_of_the_client_counts_before_the_displayed_area() -> None:
    viewport = Viewport(width=30, height=20, region=Region(left=20, top=40, width=30, height=20))
    picture = shown(state(**WINDOW), viewport=viewport)
    assert np.abs(picture - BY_WINDOW[40:60, 20:50]).max() <= 1


ROW, COLUMN = np.ogrid[1 : ROWS + 1, 1 : COLUMNS + 1]


@pytest.mark.parametrize(
    ("shutter", "is_open"),
    [
        (
            {"ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 10,
             "ShutterRightVerticalEdge": 100, "ShutterUpperHorizontalEdge": 5,
             "ShutterLowerHorizontalEdge": 80},
            (ROW >= 5) & (ROW <= 80) & (COLUMN >= 10) & (COLUMN <= 100),
        ),
        (
            {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [40, 60],
             "RadiusOfCircularShutter": 30},
            (ROW - 40) ** 2 + (COLUMN - 60) ** 2 <= 900,
        ),
        (
            {"ShutterShape": "POLYGONAL",
             "VerticesOfThePolygonalShutter": [11, 21, 11, 101, 81, 101, 81, 21]},
            (ROW >= 11) & (ROW <= 81) & (COLUMN >= 21) & (COLUMN <= 101),
        ),
    ],
    ids=["rectangle", "circle", "polygon"],
)  # fmt: skip
@pytest.mark.parametrize("colour", [0, 65535])
def test_a_shutter_hides_what_lies_outside(
    shutter: dict[str, Any], is_open: Pixels, colour: int
) -> None:
    picture = shown(state(ShutterPresentationValue=colour, **shutter, **WINDOW))
    expected = np.where(is_open, BY_WINDOW, colour // 257)
    assert np.abs(picture - expected).max() <= 1


def graphics(*, units: str = "PIXEL", **attributes: Any) -> list[dict[str, Any]]:
    described = {"GraphicAnnotationUnits": units, "GraphicDimensions": 2, **attributes}
    described.setdefault("NumberOfGraphicPoints", len(described["GraphicData"]) // 2)
    return [{"GraphicLayer": "A", "GraphicObjectSequence": [described]}]


BLACK = {"SoftcopyVOILUTSequence": [{"WindowCenter": "9000", "WindowWidth": "10"}]}


def drawn(annotations: list[dict[str, Any]], **asked: Any) -> set[tuple[int, int]]:
    """Rows and columns of what is white on a black image."""
    picture = shown(state(GraphicAnnotationSequence=annotations, **BLACK), **asked)
    return {(int(row), int(column)) for row, column in np.argwhere(picture > 128)}


def test_lines_and_circles_are_drawn_where_they_belong() -> None:
    line = drawn(graphics(GraphicType="POLYLINE", GraphicData=[10, 20, 30, 20]))
    assert line == {(20, column) for column in range(10, 31)}
    circle = drawn(graphics(GraphicType="CIRCLE", GraphicData=[60, 40, 80, 40]))
    assert circle
    radii = [np.hypot(row - 40, column - 60) for row, column in circle]
    assert min(radii) >= 18.5
    assert max(radii) <= 21.5
    filled = drawn(graphics(GraphicType="CIRCLE", GraphicData=[60, 40, 70, 40], GraphicFilled="Y"))
    assert (40, 60) in filled


def test_what_is_drawn_follows_the_viewport_or_the_display() -> None:
    large = Viewport(width=COLUMNS * 2, height=ROWS * 2)
    line = graphics(GraphicType="POLYLINE", GraphicData=[10, 20, 30, 20])
    assert drawn(line, viewport=large) == {(40, column) for column in range(20, 61)}
    share = graphics(units="DISPLAY", GraphicType="POLYLINE", GraphicData=[0.25, 0.5, 0.5, 0.5])
    assert drawn(share) == {(48, column) for column in range(32, 65)}


def test_a_text_is_written_at_its_box() -> None:
    text = {
        "UnformattedTextValue": "L5",
        "BoundingBoxAnnotationUnits": "PIXEL",
        "BoundingBoxTopLeftHandCorner": [40, 30],
        "BoundingBoxBottomRightHandCorner": [70, 50],
    }
    pixels = drawn([{"GraphicLayer": "A", "TextObjectSequence": [text]}])
    assert pixels
    assert all(28 <= row <= 50 and 38 <= column <= 70 for row, column in pixels)


def test_no_presentation_state_is_said() -> None:
    with pytest.raises(UnreadableImage, match="refers to no image"):
        shown(IMAGE)
